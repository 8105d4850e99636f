/* test_weights.c: tensors by Hugging Face name from folders, shards and GGUF files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "gguf_write.h"
#include "fixture.h"

/* A folder for one test, and paths in it. */
static char folder[64];

static int folder_make(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/qwenmesh-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_remove(void **state) {
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *in_folder(const char *name) {
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text) {
    Err err = {0};
    if (!file_write(in_folder(name), text, strlen(text), &err)) fail_msg("%s", err.text);
}

static Weights *open_good(const char *path) {
    Err err = {0};
    Weights *w = weights_from(path, &err);
    if (!w) fail_msg("%s", err.text);
    return w;
}

static void expect_error(const char *path, const char *words) {
    Err err = {0};
    Weights *w = weights_from(path, &err);
    if (w) fail_msg("accepted, expected '%s'", words);
    char list[160], *rest = NULL;
    snprintf(list, sizeof list, "%s", words);
    for (char *word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest))
        if (!strstr(err.text, word)) fail_msg("'%s' does not say '%s'", err.text, word);
}

/* Writes a safetensors file of U8 tensors [1], by name. */
static void put_safetensors(const char *name, const char *const *names, int64_t count) {
    Err err = {0};
    SafeTensor list[8] = {0};
    for (int64_t i = 0; i < count; i++)
        list[i] = (SafeTensor){.name = names[i], .dtype = DTYPE_U8, .rank = 1, .dim = {1}};
    SafeWriter *w = safewriter_open(in_folder(name), list, count, &err);
    if (!w || !safewriter_data(w, "abcdefgh", (size_t)count, &err) || !safewriter_close(w, &err))
        fail_msg("%s", err.text);
}

/* ---- Hugging Face folders --------------------------------------------------------------------------------------- */

/* One file: by folder or by its own path; finding marks as used. */
static void single_file_is_read(void **state) {
    (void)state;
    static const char *const paths[] = {"tests/golden/llama-9-3", "tests/golden/llama-9-3/model.safetensors"};
    for (int i = 0; i < 2; i++) {
        Weights *w = open_good(paths[i]);
        assert_int_equal(weights_count(w), 20);
        WeightTensor *t = weights_find(w, "model.layers.1.mlp.down_proj.weight");
        assert_true(t && t->dtype == DTYPE_BF16 && t->rank == 2 && t->dim[0] == 144 && t->dim[1] == 384 &&
                    t->permuted_heads == 0);
        assert_string_equal(t->file, "tests/golden/llama-9-3/model.safetensors");
        assert_true(weights_row(t, 3) == t->data + 3 * 384 * 2);
        assert_null(weights_find(w, "lm_head.weight"));
        assert_null(weights_gguf(w));
        int used = 0;
        for (int64_t k = 0; k < weights_count(w); k++) used += weights_at(w, k)->used;
        assert_int_equal(used, 1);
        weights_close(w);
    }
}

/* Six shards with an index are one checkpoint; each tensor knows its file. */
static void shards_are_read(void **state) {
    (void)state;
    Weights *w = open_good("tests/golden/tiny");
    assert_int_equal(weights_count(w), 39);
    WeightTensor *t = weights_find(w, "lm_head.weight");
    assert_true(t && t->dim[0] == 512 && t->dim[1] == 64);
    assert_non_null(strstr(t->file, "tiny/model-00006-of-00006.safetensors"));
    assert_non_null(strstr(weights_find(w, "model.embed_tokens.weight")->file, "model-00001-of-00006"));
    weights_close(w);
}

/* The index says which files there are, and which of two tensors of a name counts. */
static void index_decides(void **state) {
    (void)state;
    put_safetensors("one", (const char *const[]){"a", "b", "extra"}, 3);
    put_safetensors("two", (const char *const[]){"b", "c"}, 2);
    put("model.safetensors.index.json", "{\"weight_map\":{\"c\":\"two\",\"a\":\"one\",\"b\":\"two\"}}");
    Weights *w = open_good(folder);
    assert_int_equal(weights_count(w), 4);
    assert_non_null(weights_find(w, "extra")); /* the index is stale there: a warning */
    assert_non_null(strstr(weights_find(w, "b")->file, "/two"));
    assert_int_equal(weights_find(w, "c")->data[0], 'b');
    weights_close(w);
    put_safetensors("model.safetensors", (const char *const[]){"whole"}, 1); /* comes before an index */
    w = open_good(folder);
    assert_non_null(weights_find(w, "whole"));
    weights_close(w);
}

/* A stale index: every tensor is in some file, if not where it says, or its file is gone. */
static void stale_index(void **state) {
    (void)state;
    put_safetensors("one", (const char *const[]){"a", "b"}, 2);
    put_safetensors("two", (const char *const[]){"c"}, 1);
    put("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"two\",\"b\":\"one\",\"c\":\"one\"}}");
    Weights *w = open_good(folder);
    assert_int_equal(weights_count(w), 3);
    assert_non_null(strstr(weights_find(w, "a")->file, "/one"));
    assert_non_null(strstr(weights_find(w, "c")->file, "/two"));
    weights_close(w);
    put("model.safetensors.index.json", "{\"weight_map\":{\"a\":\"gone\",\"b\":\"one\"}}");
    w = open_good(folder);
    assert_int_equal(weights_count(w), 2);
    weights_close(w);
    put("model.safetensors.index.json", "{\"weight_map\":{\"c\":\"gone\",\"b\":\"one\"}}");
    expect_error(folder, "cannot open,gone,puts c");
}

/* Files that are recognisably something else are called so. */
static void other_files(void **state) {
    (void)state;
    static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    static const char *const texts[][2] = {{lfs, "Git LFS pointer,git lfs pull,qwenmesh pull"},
                                           {"<!DOCTYPE html>\n<html>", "web page"},
                                           {"\n <HTML lang=en>", "web page"},
                                           {"PK\3\4xxxxxxxxxxxx", "zip archive"},
                                           {"\x1f\x8bxxxxxxxxxxxx", "gzip"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        put("model.safetensors", texts[i][0]);
        expect_error(folder, texts[i][1]);
        put("x.gguf", texts[i][0]);
        expect_error(in_folder("x.gguf"), texts[i][1]);
    }
    assert_int_equal(remove(in_folder("model.safetensors")), 0);
    assert_int_equal(remove(in_folder("x.gguf")), 0);
    put("model.safetensors.index.json", lfs);
    expect_error(folder, "index.json,Git LFS pointer");
    Err err = {0}; /* nothing there: a repository's name says how to get it */
    assert_null(weights_from("Qwen/Qwen2.5-0.5B", &err));
    assert_non_null(strstr(err.text, "'qwenmesh pull Qwen/Qwen2.5-0.5B'"));
    err = (Err){0};
    assert_null(weights_from("tests/no-such-model", &err));
    assert_null(strstr(err.text, "pull"));
}

/* Shards must be plain names of files beside the index. */
static void index_cannot_leave_its_folder(void **state) {
    (void)state;
    static const char *const names[] = {"../one", "/etc/passwd", "sub/one", "..", ".", "", "a\\\\b", "./one"};
    put_safetensors("one", (const char *const[]){"a"}, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char json[128];
        snprintf(json, sizeof json, "{\"weight_map\":{\"a\":\"%s\"}}", names[i]);
        put("model.safetensors.index.json", json);
        expect_error(folder, "weight_map: a: expected the name of a file in the same folder");
    }
}

/* Indices that are damaged or do not fit their shards. */
static void index_is_checked(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "not valid JSON"},
        {"[]", "expected a weight_map"},
        {"{}", "expected a weight_map"},
        {"{\"weight_map\":{}}", "expected a weight_map"},
        {"{\"weight_map\":[\"one\"]}", "expected a weight_map"},
        {"{\"weight_map\":{\"a\":1}}", "weight_map: a,no string"},
        {"{\"weight_map\":{\"a\":\"on\\u0000e\"}}", "weight_map: a"},
        {"{\"weight_map\":{\"a\":\"none\"}}", "cannot open,none"},
        {"{\"weight_map\":{\"x\":\"one\"}}", "tensor x is not in,/one"},
        {"{\"weight_map\":{\"a\":\"one\",\"a\":\"one\"}}", "duplicate"},
        {"{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}", "safetensors file"},
    };
    put_safetensors("one", (const char *const[]){"a"}, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put("model.safetensors.index.json", cases[i][0]);
        expect_error(folder, cases[i][1]);
    }
}

/* Folders without weights say what was looked for, and that pickled weights are not read. */
static void missing_weights_are_explained(void **state) {
    (void)state;
    expect_error(folder, "holds no weights,model.safetensors,index.json,*.gguf");
    put("pytorch_model.bin", "PK");
    expect_error(folder, "holds no weights,pytorch_model.bin is there");
    expect_error(in_folder("pytorch_model.bin"), "pytorch_model.bin");
    expect_error(in_folder("none"), "cannot open,No such file");
}

/* Tensors of more than four dimensions are no weights of ours. */
static void rank_is_checked(void **state) {
    (void)state;
    Err err = {0};
    SafeTensor t = {.name = "a", .dtype = DTYPE_U8, .rank = 5, .dim = {1, 1, 1, 1, 1}};
    SafeWriter *w = safewriter_open(in_folder("model.safetensors"), &t, 1, &err);
    assert_true(w && safewriter_data(w, "a", 1, &err) && safewriter_close(w, &err));
    expect_error(folder, "tensor a,at most 4 dimensions,got 5");
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------- */

static GgufWriter header(const char *architecture, uint32_t heads, uint32_t kv_heads) {
    GgufWriter w = {0};
    char key[64];
    gw_text(&w, "general.architecture", architecture);
    snprintf(key, sizeof key, "%s.attention.head_count", architecture);
    if (heads) gw_u32(&w, key, heads);
    snprintf(key, sizeof key, "%s.attention.head_count_kv", architecture);
    if (kv_heads) gw_u32(&w, key, kv_heads);
    return w;
}

static void add_tensor(GgufWriter *w, const char *name, int64_t rows, int64_t columns) {
    float x[64];
    for (int64_t i = 0; i < rows * columns; i++) x[i] = (float)i;
    gw_tensor(w, name, DTYPE_F32, columns > 1 ? 2 : 1, (int64_t[]){rows, columns}, x, (size_t)(4 * rows * columns));
}

static void put_gguf(GgufWriter *w, const char *name) {
    Err err = {0};
    Text file = gw_file(w);
    if (!file_write(in_folder(name), file.data, file.bytes, &err)) fail_msg("%s", err.text);
    text_free(&file);
}

/* GGUF names become Hugging Face's; names that are not in the table stay as they are. */
static void gguf_names_are_mapped(void **state) {
    (void)state;
    static const char *const names[][2] = {
        {"token_embd.weight", "model.embed_tokens.weight"},
        {"output_norm.weight", "model.norm.weight"},
        {"output.weight", "lm_head.weight"},
        {"blk.0.attn_norm.weight", "model.layers.0.input_layernorm.weight"},
        {"blk.1.ffn_norm.weight", "model.layers.1.post_attention_layernorm.weight"},
        {"blk.12.attn_q.weight", "model.layers.12.self_attn.q_proj.weight"},
        {"blk.12.attn_q.bias", "model.layers.12.self_attn.q_proj.bias"},
        {"blk.345.attn_k.weight", "model.layers.345.self_attn.k_proj.weight"},
        {"blk.0.attn_v.bias", "model.layers.0.self_attn.v_proj.bias"},
        {"blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.weight"},
        {"blk.0.ffn_gate.weight", "model.layers.0.mlp.gate_proj.weight"},
        {"blk.0.ffn_up.weight", "model.layers.0.mlp.up_proj.weight"},
        {"blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight"},
        {"rope_freqs.weight", "rope_freqs.weight"},
        {"blk.0.attn_q.scale", "blk.0.attn_q.scale"},
        {"blk.0.attn_qkv.weight", "blk.0.attn_qkv.weight"},
        {"blk.x.attn_q.weight", "blk.x.attn_q.weight"},
        {"blk..attn_q.weight", "blk..attn_q.weight"},
        {"blk.0.weight", "blk.0.weight"},
        {"blk.7", "blk.7"},
        {"blk.", "blk."},
        {".weight", ".weight"},
        {"weight", "weight"},
        {"outputs.weight", "outputs.weight"},
    };
    enum { COUNT = sizeof names / sizeof *names };
    GgufWriter w = header("qwen2", 2, 0);
    for (int i = 0; i < COUNT; i++) add_tensor(&w, names[i][0], 2, 2);
    put_gguf(&w, "model.gguf");
    Weights *weights = open_good(folder);
    assert_non_null(weights_gguf(weights));
    assert_int_equal(weights_count(weights), COUNT);
    for (int i = 0; i < COUNT; i++) {
        WeightTensor *t = weights_find(weights, names[i][1]);
        if (t != weights_at(weights, i)) fail_msg("%s is not %s", names[i][0], names[i][1]);
        assert_int_equal(t->permuted_heads, 0);
        assert_string_equal(t->file, in_folder("model.gguf"));
    }
    weights_close(weights);
}

/* Two heads of four rows: numpy's reshape(2, 2, 2).swapaxes(1, 2) of rows 0..7 stores 0 2 1 3 4 6 5 7. */
static void llama_rows_are_put_back(void **state) {
    (void)state;
    static const int stored[] = {0, 2, 1, 3, 4, 6, 5, 7};
    float x[8][3], bias[8], value;
    GgufWriter w = header("llama", 2, 1);
    for (int i = 0; i < 8; i++) {
        bias[i] = (float)stored[i];
        for (int k = 0; k < 3; k++) x[i][k] = (float)(10 * stored[i] + k);
    }
    gw_tensor(&w, "blk.0.attn_q.weight", DTYPE_F32, 2, (int64_t[]){8, 3}, x, sizeof x);
    gw_tensor(&w, "blk.0.attn_q.bias", DTYPE_F32, 1, (int64_t[]){8}, bias, sizeof bias);
    add_tensor(&w, "blk.0.attn_k.weight", 4, 2);
    add_tensor(&w, "blk.0.attn_v.weight", 4, 2);
    put_gguf(&w, "model.gguf");
    Weights *weights = open_good(in_folder("model.gguf"));
    WeightTensor *q = weights_find(weights, "model.layers.0.self_attn.q_proj.weight");
    WeightTensor *b = weights_find(weights, "model.layers.0.self_attn.q_proj.bias");
    WeightTensor *k = weights_find(weights, "model.layers.0.self_attn.k_proj.weight");
    WeightTensor *v = weights_find(weights, "model.layers.0.self_attn.v_proj.weight");
    assert_true(q->permuted_heads == 2 && b->permuted_heads == 2 && k->permuted_heads == 1 && v->permuted_heads == 0);
    for (int i = 0; i < 8; i++) {
        memcpy(&value, weights_row(q, i) + 4, sizeof value);
        assert_true(value == (float)(10 * i + 1));
        memcpy(&value, weights_row(b, i), sizeof value);
        assert_true(value == (float)i);
    }
    assert_true(weights_row(k, 1) == k->data + 2 * 8 && weights_row(k, 2) == k->data + 8);
    assert_true(weights_row(v, 1) == v->data + 8);
    weights_close(weights);
}

/* A twin in f32 has, row by row, the values of the folder it was made of; so have its configuration and tensor list. */
static void gguf_twins_have_the_values(void **state) {
    (void)state;
    static const char *const cases[] = {"tiny", "heads28-4", "heads14-2", "llama-9-3", "yarn", "linear", "llama3",
                                        "qwen3-6-3", "qwen3-10-2t"};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char path[64];
        Err err = {0};
        snprintf(path, sizeof path, "tests/golden/%s", cases[c]);
        if (!twin_gguf(path, DTYPE_F32, in_folder("twin.gguf"), &err)) fail_msg("%s", err.text);
        Weights *a = open_good(path), *b = open_good(in_folder("twin.gguf"));
        assert_int_equal(weights_count(b), weights_count(a) + !strcmp(cases[c], "llama3"));
        for (int64_t i = 0; i < weights_count(a); i++) {
            const WeightTensor *t = weights_at(a, i), *u = weights_find(b, t->name);
            if (!u || u->rank != t->rank || u->dim[0] != t->dim[0] || u->dim[1] != t->dim[1]) fail_msg("%s", t->name);
            int64_t count;
            float *x = twin_values(t, &count), *y = twin_values(u, &count);
            if (memcmp(x, y, 4 * (size_t)count) != 0) fail_msg("%s: %s differs", cases[c], t->name);
            bool permuted = !strcmp(cases[c], "llama-9-3") && (strstr(t->name, "q_proj") || strstr(t->name, "k_proj"));
            assert_int_equal(u->permuted_heads, !permuted ? 0 : strstr(t->name, "q_proj") ? 9 : 3);
            free(x);
            free(y);
        }
        weights_close(a);
        weights_close(b);
    }
}

/* A quantised twin and the folder of its values agree bit for bit, for every type. */
static void quantised_twins_agree(void **state) {
    (void)state;
    static const DType types[] = {DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_F16, DTYPE_BF16};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        Err err = {0};
        if (!twin_gguf("tests/golden/llama-9-3", types[k], in_folder("twin.gguf"), &err) ||
            !twin_folder("tests/golden/llama-9-3", types[k], in_folder("twin"), &err))
            fail_msg("%s", err.text);
        Weights *a = open_good(in_folder("twin")), *b = open_good(in_folder("twin.gguf"));
        int quantised = 0;
        for (int64_t i = 0; i < weights_count(a); i++) {
            const WeightTensor *t = weights_at(a, i), *u = weights_find(b, t->name);
            int64_t count;
            float *x = twin_values(t, &count), *y = twin_values(u, &count);
            if (memcmp(x, y, 4 * (size_t)count) != 0) fail_msg("%s: %s differs", dtype_row(types[k])->name, t->name);
            quantised += u->dtype == types[k];
            free(x);
            free(y);
        }
        assert_true(quantised >= 2);
        weights_close(a);
        weights_close(b);
    }
}

/* Head counts that are missing, absurd or do not divide the rows; names that collide; parts of a split file. */
static void gguf_is_checked(void **state) {
    (void)state;
    GgufWriter w = header("llama", 0, 1);
    put_gguf(&w, "model.gguf");
    expect_error(folder, "llama.attention.head_count is missing");
    w = header("llama", 1 << 21, 1);
    put_gguf(&w, "model.gguf");
    expect_error(folder, "expected 1 to 2^20,2097152");
    w = header("llama", 3, 1);
    add_tensor(&w, "blk.0.attn_q.weight", 8, 2);
    put_gguf(&w, "model.gguf");
    expect_error(folder, "blk.0.attn_q.weight,8 rows,3 heads");
    w = header("llama", 2, 0);
    add_tensor(&w, "blk.0.attn_k.weight", 6, 2);
    put_gguf(&w, "model.gguf");
    expect_error(folder, "blk.0.attn_k.weight,6 rows,2 heads");
    w = header("llama", 1, 0);
    gw_tensor(&w, "blk.0.attn_q.bias", DTYPE_Q8_0, 1, (int64_t[]){32}, (uint8_t[34]){0}, 34);
    put_gguf(&w, "model.gguf");
    expect_error(folder, "bias without blocks,q8_0");
    w = header("qwen2", 2, 0);
    add_tensor(&w, "output.weight", 2, 2);
    add_tensor(&w, "lm_head.weight", 2, 2);
    put_gguf(&w, "model.gguf");
    expect_error(folder, "two tensors are called lm_head.weight");
    w = header("qwen2", 2, 0);
    gw_u32(&w, "split.count", 3);
    put_gguf(&w, "model.gguf");
    expect_error(folder, "one of 3 parts,llama-gguf-split");
    put("second.gguf", "GGUF");
    expect_error(folder, "several .gguf files");
    put("not.gguf", "hello");
    expect_error(in_folder("not.gguf"), "not a GGUF file");
}

/* A published llama-architecture file: its tensors, types and permuted heads. */
static void smollm2_is_read(void **state) {
    (void)state;
    const char *path = smollm_path();
    if (!file_exists(path)) {
        printf("SKIP %s is not here: `make model` brings it\n", path);
        skip();
    }
    Weights *w = open_good(path);
    assert_int_equal(weights_count(w), 272);
    WeightTensor *t = weights_find(w, "model.layers.29.self_attn.q_proj.weight");
    assert_true(t && t->dim[0] == 576 && t->dim[1] == 576 && t->dtype == DTYPE_Q4_1 && t->permuted_heads == 9);
    assert_int_equal(weights_find(w, "model.layers.0.self_attn.k_proj.weight")->permuted_heads, 3);
    assert_null(weights_find(w, "lm_head.weight"));
    for (int64_t i = 0; i < weights_count(w); i++) assert_true(!strncmp(weights_at(w, i)->name, "model.", 6));
    weights_close(w);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_make, folder_remove)

/* Lists from memory: found by name, two of a name refused; generated values are finite, of one size, and vary. */
static void in_memory(void **state) {
    (void)state;
    Err err = {0};
    static const float four[4] = {1, 2, 3, 4};
    WeightTensor list[2] = {{.name = "a", .rank = 1, .dim = {4}, .data = (const uint8_t *)four, .bytes = sizeof four},
                            {.name = "b", .rank = 1}};
    Weights *w = weights_new(list, 2, &err);
    assert_non_null(w);
    assert_ptr_equal(weights_find(w, "a")->data, four);
    assert_null(weights_find(w, "c"));
    weights_close(w);
    list[1].name = "a";
    assert_null(weights_new(list, 2, &err));
    assert_non_null(strstr(err.text, "two tensors"));
}

/* A tied model with another head than its embedding is not tied; with the same one, or one alone, it is. */
static void tied_heads(void **state) {
    (void)state;
    static const float one[4] = {1, 2, 3, 4}, same[4] = {1, 2, 3, 4}, other[4] = {1, 2, 3, 5};
    const float *const heads[] = {same, other, NULL};
    for (int i = 0; i < 3; i++) {
        Err err = {0};
        WeightTensor list[2] = {{.name = "model.embed_tokens.weight",
                                 .rank = 2,
                                 .dim = {2, 2},
                                 .data = (const uint8_t *)one,
                                 .bytes = sizeof one},
                                {.name = heads[i] ? "lm_head.weight" : "x",
                                 .rank = 2,
                                 .dim = {2, 2},
                                 .data = (const uint8_t *)(heads[i] ? heads[i] : one),
                                 .bytes = sizeof one}};
        Weights *w = weights_new(list, 2, &err);
        assert_non_null(w);
        ModelConfig c = {.architecture = "qwen2", .tied = true};
        config_untie(&c, w);
        assert_int_equal(c.tied, i != 1);
        weights_close(w);
    }
}

/* What a file says reaches no terminal as it is: neither in names nor in whole errors. */
static void shown_text(void **state) {
    (void)state;
    static const char bad[] = "a\x1b]0;P\x07\xc2\x9b[2J\x7f\xe2\x80\xae\xff\xc3\xa9\n";
    assert_string_equal(name_text(bad, sizeof bad - 1).text, "a?]0;P???[2J?????\xc3\xa9?");
    Err err = {0};
    err_set(&err, "%s", bad);
    err_prefix(&err, "\x1bx");
    assert_null(strpbrk(err.text, "\x1b\x07\x7f\x9b"));
    assert_non_null(strstr(err.text, "?x: a?]0;P"));
    assert_int_equal(err.text[strlen(err.text) - 1], '\n'); /* lists have lines */
}

static void generated(void **state) {
    (void)state;
    const DType types[] = {DTYPE_F32,  DTYPE_F16,  DTYPE_BF16, DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q5_0,
                           DTYPE_Q5_1, DTYPE_Q8_0, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};
    const WeightTensor list[2] = {{.name = "x.weight", .rank = 2, .dim = {5000, 1024}},
                                  {.name = "input_layernorm.weight", .rank = 1, .dim = {7}, .gain = true}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        Err err = {0};
        Weights *w = weights_random(list, 2, types[i], &err);
        if (!w) fail_msg("%s", err.text);
        const WeightTensor *t = weights_find(w, "x.weight");
        assert_int_equal(t->dtype, types[i]);
        for (int64_t row = 0; row < 5000; row += 4999) {
            float v[1024], most = 0;
            int above = 0;
            dtype_row(types[i])->read(weights_row(t, row), 0, 1024, v);
            for (int k = 0; k < 1024; k++) {
                float size = v[k] < 0 ? -v[k] : v[k];
                if (!(size <= 0.25f)) fail_msg("%s: value %d is %g", dtype_row(types[i])->name, k, (double)v[k]);
                if (size > most) most = size;
                above += v[k] > 0;
            }
            assert_true(most > 1e-3f);
            assert_true(above > 100 && above < 924);
        }
        assert_true(((const float *)(const void *)weights_find(w, "input_layernorm.weight")->data)[6] == 1.0f);
        weights_close(w);
    }
    Err err = {0};
    assert_null(weights_random(list, 2, DTYPE_I32, &err));
    assert_non_null(strstr(err.text, "no weight type"));
    const WeightTensor odd[1] = {{.name = "x.weight", .rank = 2, .dim = {4, 33}}};
    Err odd_err = {0};
    assert_null(weights_random(odd, 1, DTYPE_Q8_0, &odd_err));
    assert_non_null(strstr(odd_err.text, "no whole blocks"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_memory),
        cmocka_unit_test(tied_heads),
        cmocka_unit_test(shown_text),
        cmocka_unit_test(generated),
        cmocka_unit_test(single_file_is_read),
        cmocka_unit_test(shards_are_read),
        IN_FOLDER(index_decides),
        IN_FOLDER(stale_index),
        IN_FOLDER(other_files),
        IN_FOLDER(index_cannot_leave_its_folder),
        IN_FOLDER(index_is_checked),
        IN_FOLDER(missing_weights_are_explained),
        IN_FOLDER(rank_is_checked),
        IN_FOLDER(gguf_names_are_mapped),
        IN_FOLDER(llama_rows_are_put_back),
        IN_FOLDER(gguf_twins_have_the_values),
        IN_FOLDER(quantised_twins_agree),
        IN_FOLDER(gguf_is_checked),
        cmocka_unit_test(smollm2_is_read),
    };
    return cmocka_run_group_tests_name("weights", tests, NULL, NULL);
}
