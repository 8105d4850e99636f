/* test_gguf_save.c: models saved as GGUF: what our reader finds in them, block by block and id by id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "../src/base/output_folder.h"
#include "../src/io/quant_write.h"
#include "../src/model/gguf_save.h"
#include "../src/text/split.h"
#include "gguf_write.h"
#include "saved_model.h"

static const DType types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0};
enum { TYPES = sizeof types / sizeof *types };

/* ---- Blocks ------------------------------------------------------------------------------------------------------ */

/* The plain quantisers of gguf_write.h on numbers of all sizes, zeros and ties among them; to the last bit by another
 * implementation: below. */
static void blocks_are_the_references(void **state) {
    (void)state;
    float x[32];
    uint8_t a[128], b[128];
    for (int round = 0; round < 20000; round++) {
        float size = ldexpf(1, (int)random_below(36) - 20);
        for (int i = 0; i < 32; i++) {
            int32_t n = (int32_t)random_below(2001) - 1000;
            x[i] = random_below(8) == 0 ? 0 : random_below(4) ? size * (float)n / 1000 : size * (float)(n / 100) / 16;
        }
        if (round == 0) memset(x, 0, sizeof x);
        for (int t = 0; t < TYPES; t++) {
            size_t bytes;
            assert_true(dtype_bytes(types[t], 32, &bytes));
            assert_true(dtype_write(types[t], x, 32, a));
            quantise(types[t], x, 32, b);
            for (size_t i = 0; i < bytes; i++) {
                int off = (int8_t)a[i] - (int8_t)b[i]; /* gguf_write.h multiplies by 127 / most, ggml by 1 / d */
                if (types[t] == DTYPE_Q8_0 ? abs(off) > 1 : off)
                    fail_msg("%s: other blocks in round %d", dtype_row(types[t])->name, round);
            }
        }
    }
    const float bad[] = {NAN, INFINITY, -INFINITY, 3e38f};
    for (int i = 0; i < 4; i++) {
        x[13] = bad[i];
        assert_false(dtype_write(DTYPE_Q8_0, x, 32, a));
        assert_false(dtype_write(DTYPE_Q4_0, x, 32, a));
    }
    assert_false(dtype_writable(DTYPE_Q6_K));
}

/* What llama-quantize makes of a model. */
static void matrices_are_llama_quantizes(void **state) {
    (void)state;
    char to[64], file[96];
    Err err = {0};
    Opened a;
    json_t *golden = json_file("tests/golden/gguf/quantised.json", 1 << 20, &err), *sha;
    const char *name;
    if (!golden || !opened_open(&a, "tests/golden/yarn", &err)) fail_msg("%s", err.text);
    folder_new(to, "quantised");
    snprintf(file, sizeof file, "%s/m.gguf", to);
    for (int t = 3; t < TYPES; t++) {
        ModelSave save = opened_save(&a, types[t], 0);
        Gguf gguf;
        int seen = 0;
        if (!gguf_save(&save, file, &err) || !gguf_open(&gguf, file, &err)) fail_msg("%s", err.text);
        json_object_foreach(json_object_get(golden, dtype_row(types[t])->name), name, sha) {
            const GgufTensor *tensor = gguf_tensor(&gguf, name);
            char hex[65];
            assert_non_null(tensor);
            if (tensor->dtype != types[t]) continue; /* embedding and head */
            bytes_sha(tensor->data, tensor->bytes, hex);
            if (strcmp(hex, json_string_value(sha)))
                fail_msg("%s: other blocks in %s", dtype_row(types[t])->name, name);
            seen++;
        }
        assert_true(seen >= 14);
        gguf_close(&gguf);
    }
    json_decref(golden);
    opened_close(&a);
    folder_clear(to);
}

/* ---- Models ------------------------------------------------------------------------------------------------------ */

/* The type a tensor is expected to have. */
static DType stored_type(const SaveTensor *t, DType type) {
    bool ends = strstr(t->name, "embed_tokens") || strstr(t->name, "lm_head");
    if (t->rank == 1) return DTYPE_F32;
    if (type == DTYPE_Q4_0 && ends) type = DTYPE_Q8_0;
    return t->dim[1] % dtype_row(type)->block ? DTYPE_F16 : type;
}

/* Values of the file are those of the folder, stored and read again. */
static void same_values(const Opened *folder, const Opened *file, DType type, const char *what) {
    Err err = {0};
    assert_int_equal(folder->saved.count, file->saved.count);
    assert_int_equal(weights_count(file->weights) - folder->saved.count, file->config.rope.type == ROPE_LONGROPE);
    for (int64_t k = 0; k < folder->saved.count; k++) {
        const SaveTensor *u = &folder->saved.tensors[k], *v = &file->saved.tensors[k];
        int64_t columns = u->rank > 1 ? u->dim[1] : 1, n = u->dim[0] * columns;
        DType stored = stored_type(u, type);
        size_t bytes;
        float *f = malloc((size_t)n * sizeof *f), *g = malloc((size_t)n * sizeof *g);
        uint8_t *raw = malloc((size_t)n * sizeof *f);
        assert_string_equal(u->name, v->name);
        assert_true(u->read(u->owner, 0, u->dim[0], f, &err) && v->read(v->owner, 0, v->dim[0], g, &err));
        assert_true(dtype_bytes(stored, n, &bytes) && dtype_write(stored, f, n, raw));
        dtype_row(stored)->read(raw, 0, n, f);
        if (memcmp(f, g, (size_t)n * sizeof *f)) fail_msg("%s, %s: %s differs", what, dtype_row(type)->name, u->name);
        free(f);
        free(g);
        free(raw);
    }
}

static void same_config(const ModelConfig *x, const ModelConfig *y) {
    assert_string_equal(x->architecture, y->architecture);
    assert_true(x->layers == y->layers && x->hidden == y->hidden && x->ffn == y->ffn && x->vocab == y->vocab &&
                x->heads == y->heads && x->kv_heads == y->kv_heads && x->head_dim == y->head_dim &&
                x->max_positions == y->max_positions && x->tied == y->tied && x->qkv_bias == y->qkv_bias &&
                x->o_bias == y->o_bias && x->mlp_bias == y->mlp_bias && x->qk_norm == y->qk_norm);
    assert_true((float)x->rms_norm_eps == (float)y->rms_norm_eps && x->bos == y->bos && x->pad == y->pad &&
                x->eos_count == y->eos_count && !memcmp(x->eos, y->eos, sizeof x->eos));
    const Rope *p = &x->rope, *q = &y->rope;
    assert_true((float)p->theta == (float)q->theta && (float)p->factor == (float)q->factor && p->dim == q->dim &&
                fabs(p->attention_factor - q->attention_factor) < 1e-6);
}

static void models_come_back(void **state) {
    (void)state;
    static const char *const folders[] = {"tiny",      "heads14-2",   "heads28-4", "llama-9-3",
                                          "qwen3-6-3", "qwen3-10-2t", "yarn",      "linear"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char from[64], to[64], file[96], again[96];
        Err err = {0};
        Opened a, b;
        snprintf(from, sizeof from, "tests/golden/%s", folders[i]);
        folder_new(to, "gguf");
        snprintf(file, sizeof file, "%s/m.gguf", to);
        snprintf(again, sizeof again, "%s/n.gguf", to);
        if (!opened_open(&a, from, &err)) fail_msg("%s", err.text);
        for (int t = 0; t < TYPES; t++) {
            ModelSave save = opened_save(&a, types[t], 0);
            if (!gguf_save(&save, file, &err) || !opened_open(&b, file, &err)) fail_msg("%s: %s", from, err.text);
            same_config(&a.config, &b.config);
            same_values(&a, &b, types[t], from);
            if (types[t] == DTYPE_F32) { /* a GGUF file as the source: the same file, but for the order of keys */
                Opened c;
                save = opened_save(&b, DTYPE_F32, 0);
                if (!gguf_save(&save, again, &err) || !opened_open(&c, again, &err)) fail_msg("%s", err.text);
                same_config(&a.config, &c.config);
                same_values(&a, &c, DTYPE_F32, again);
                const Gguf *x = NULL, *y = NULL;
                assert_true(source_gguf(b.source, &x, &err) && source_gguf(c.source, &y, &err));
                assert_int_equal(x->value_count, y->value_count);
                assert_int_equal(x->file.bytes, y->file.bytes);
                opened_close(&c);
            }
            opened_close(&b);
        }
        opened_close(&a);
        /*folder_clear(to);*/
    }
}

/* Llama 3 scaling becomes divisors, of a family that has them. */
static void llama3_becomes_divisors(void **state) {
    (void)state;
    char to[64], folder[96], file[96], path[128];
    Err err = {0};
    Opened a, b;
    size_t bytes;
    folder_new(to, "llama3");
    snprintf(folder, sizeof folder, "%s/m", to);
    snprintf(file, sizeof file, "%s/m.gguf", to);
    if (!opened_open(&a, "tests/golden/llama-9-3", &err)) fail_msg("%s", err.text);
    json_t *rope =
        json_pack("{s:s, s:f, s:f, s:f, s:i, s:f}", "rope_type", "llama3", "factor", 8.0, "low_freq_factor", 1.0,
                  "high_freq_factor", 4.0, "original_max_position_embeddings", 64, "rope_theta", 10000.0);
    json_t *changes = json_pack("{s:o, s:n}", "rope_parameters", rope, "rope_scaling");
    ModelSave save = opened_save(&a, DTYPE_F32, 0);
    save.changes = changes;
    if (!model_folder_save(&save, folder, &err)) fail_msg("%s", err.text);
    opened_close(&a);
    json_decref(changes);
    if (!opened_open(&a, folder, &err)) fail_msg("%s", err.text);
    assert_int_equal(a.config.rope.type, ROPE_LLAMA3);
    save = opened_save(&a, DTYPE_F32, 0);
    if (!gguf_save(&save, file, &err) || !opened_open(&b, file, &err)) fail_msg("%s", err.text);
    assert_int_equal(b.config.rope.type, ROPE_LONGROPE);
    same_values(&a, &b, DTYPE_F32, "llama3");
    GgufWriter w = {0}; /* the test's own formula */
    twin_rope_freqs(&w, &a.config.rope);
    float want[MAX_HEAD_DIM / 2];
    memcpy(want, w.data.data, w.data.bytes);
    for (int64_t i = 0; i < a.config.rope.dim / 2; i++) assert_true((float)b.config.rope.long_factor[i] == want[i]);
    text_free(&w.data);
    text_free(&w.infos);
    snprintf(path, sizeof path, "%s/again.gguf", to);
    save = opened_save(&b, DTYPE_F32, 0);
    if (!gguf_save(&save, path, &err)) fail_msg("%s", err.text);
    char *x = file_read(path, 1 << 28, &bytes, &err);
    assert_non_null(memmem(x, bytes, "rope_freqs.weight", 17));
    free(x);
    opened_close(&a);
    opened_close(&b);
    /*folder_clear(to);*/
}

static void what_gguf_cannot_say_is_refused(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"dynamic", "dynamic rotary embedding"},
                                           {"sliding", "sliding window"},
                                           {"seqcls", "the head 'sequence'"},
                                           {"llama3", "llama3 rotary embedding of qwen2"},
                                           {"embed", "the head 'none'"}};
    char to[64], file[96];
    folder_new(to, "refused");
    snprintf(file, sizeof file, "%s/m.gguf", to);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char from[64];
        Err err = {0};
        Opened a;
        snprintf(from, sizeof from, "tests/golden/%s", cases[i][0]);
        if (!opened_open(&a, from, &err)) fail_msg("%s", err.text);
        ModelSave save = opened_save(&a, DTYPE_F32, 0);
        if (gguf_save(&save, file, &err)) fail_msg("%s was written", from);
        if (!strstr(err.text, cases[i][1])) fail_msg("expected '%s' in: %s", cases[i][1], err.text);
        save.dtype = DTYPE_Q6_K;
        err = (Err){0};
        assert_false(gguf_save(&save, file, &err));
        assert_int_equal(err.kind, QM_USAGE);
        opened_close(&a);
    }
    assert_int_equal(folder_entries(to), 0);
    /*folder_clear(to);*/
}

/* A number that no scale holds; a full disk: an error, and no file. */
static bool read_nan(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    (void)err;
    for (int64_t i = 0; i < rows * *(int64_t *)owner; i++) out[i] = first + i == 7 ? NAN : 1;
    return true;
}

static void failures_leave_no_file(void **state) {
    (void)state;
    char to[64], file[96];
    Err err = {0};
    Opened a;
    folder_new(to, "fail");
    snprintf(file, sizeof file, "%s/m.gguf", to);
    if (!opened_open(&a, "tests/golden/heads14-2", &err)) fail_msg("%s", err.text);
    for (rlim_t limit = 0; limit < 2000000; limit += 250000) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
            ModelSave save = opened_save(&a, DTYPE_Q8_0, 0);
            Err why = {0};
            _exit(gguf_save(&save, file, &why) ? 0 : why.kind == QM_IO && strstr(why.text, file) ? 1 : 2);
        }
        int status;
        waitpid(child, &status, 0);
        assert_int_equal(WEXITSTATUS(status), 1);
        assert_int_equal(folder_entries(to), 0);
    }
    ModelSave save = opened_save(&a, DTYPE_Q4_0, 0);
    for (int64_t i = 0; i < a.saved.count; i++) {
        SaveTensor *t = &a.saved.tensors[i];
        if (strcmp(t->name, "model.layers.0.mlp.up_proj.weight")) continue;
        t->read = read_nan;
        t->owner = &t->dim[1];
    }
    assert_false(gguf_save(&save, file, &err));
    assert_non_null(strstr(err.text, "model.layers.0.mlp.up_proj.weight cannot be written as q4_0"));
    assert_int_equal(folder_entries(to), 0);
    opened_close(&a);
    /*folder_clear(to);*/
}

/* ---- Tokenizers -------------------------------------------------------------------------------------------------- */

static void same_ids(const QmTokenizer *a, const QmTokenizer *b, const char *text, size_t bytes) {
    for (int special = 0; special < 2; special++) {
        int32_t *x = NULL, *y = NULL;
        Err err = {0};
        int64_t n = qm_tokenizer_encode(a, text, bytes, special, &x, &err),
                m = qm_tokenizer_encode(b, text, bytes, special, &y, &err);
        if (n < 0 || m < 0) fail_msg("%s", err.text);
        if (n != m || memcmp(x, y, (size_t)n * sizeof *x)) fail_msg("other ids for: %.*s", (int)bytes, text);
        free(x);
        free(y);
    }
}

static bool read_zeros(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    (void)first, (void)err;
    memset(out, 0, (size_t)(rows * *(int64_t *)owner) * sizeof *out);
    return true;
}

/* A model of zeros with as many rows as a tokenizer needs, saved as the file, and the small files that are written from
 * its keys as the folder. */
static void save_tokenizer(const char *from, int64_t rows, const char *file, const char *folder) {
    Err err = {0};
    Opened o, g;
    if (!opened_open(&o, "tests/golden/heads14-2", &err)) fail_msg("%s", err.text);
    ModelSave save = opened_save(&o, DTYPE_F16, 0);
    ModelConfig config = o.config;
    int64_t columns = config.hidden;
    if (!(save.tokenizer = source_open(from, &err))) fail_msg("%s", err.text);
    config.vocab = rows;
    save.config = &config;
    for (int64_t i = 0; i < o.saved.count; i++) {
        SaveTensor *t = &o.saved.tensors[i];
        if (!strstr(t->name, "embed_tokens")) continue;
        t->dim[0] = rows;
        t->read = read_zeros;
        t->owner = &columns;
    }
    if (!gguf_save(&save, file, &err) || !opened_open(&g, file, &err)) fail_msg("%s", err.text);
    ModelSave small = opened_save(&g, DTYPE_F16, 0);
    if (!folder_make(folder, &err) || !model_folder_write_small(&small, folder, &err)) fail_msg("%s", err.text);
    source_close(save.tokenizer);
    opened_close(&g);
    opened_close(&o);
}

static void same_texts(QmTokenizer *const t[3], const char *texts) {
    Err err = {0};
    FILE *file = fopen(texts, "re");
    char *line = NULL;
    size_t room = 0, lines = 0;
    for (ssize_t n; (n = getline(&line, &room, file)) > 0; lines++) {
        json_t *row = json_text(line, (size_t)n, "line", &err);
        const json_t *text = json_object_get(row, "text");
        for (int i = 1; i < 3; i++) same_ids(t[0], t[i], json_string_value(text), json_string_length(text));
        json_decref(row);
    }
    assert_true(lines > 100);
    fclose(file);
    free(line);
}

/* A tokenizer as keys of a GGUF file, and as tokenizer.json written from those: the same ids, and the same chat. */
static void comes_back(const char *from, int64_t rows, bool chat) {
    static const char messages[] = "[{\"role\":\"user\",\"content\":\"Hi <|im_end|> there\"}]";
    char to[64], file[96], folder[96], *text[3] = {NULL};
    Err err = {0};
    folder_new(to, "tokenizer");
    snprintf(file, sizeof file, "%s/m.gguf", to);
    snprintf(folder, sizeof folder, "%s/m", to);
    save_tokenizer(from, rows, file, folder);
    QmTokenizer *t[3] = {qm_tokenizer_open(from, &err), qm_tokenizer_open(file, &err), qm_tokenizer_open(folder, &err)};
    if (!t[0] || !t[1] || !t[2]) fail_msg("%s", err.text);
    same_texts(t, "tests/golden/tokenizer/qwen2.5.jsonl");
    for (int i = 0; i < 3 && chat; i++) {
        int32_t *ids = NULL;
        if (qm_tokenizer_chat(t[i], messages, sizeof messages - 1, true, &ids, &text[i], &err) < 0)
            fail_msg("%s", err.text);
        free(ids);
        assert_string_equal(text[i], text[0]);
        assert_int_equal(qm_tokenizer_eos(t[i]), qm_tokenizer_eos(t[0]));
    }
    for (int i = 0; i < 3; i++) free(text[i]), qm_tokenizer_close(t[i]);
    folder_clear(to);
}

static void tokenizers_come_back(void **state) {
    (void)state;
    comes_back("tests/data/qwen2.5", 151936, true);
    comes_back("tests/data/bytes", 512, false);
}

/* As Llama 3's: a token before every text, whole words that are tokens are those, and its pattern. */
static void a_first_token_comes_back(void **state) {
    (void)state;
    Err err = {0};
    char to[64], path[96];
    folder_new(to, "bos");
    json_t *root = json_file("tests/data/bytes/tokenizer.json", 1 << 20, &err);
    if (!root) fail_msg("%s", err.text);
    json_object_set_new(json_object_get(root, "model"), "ignore_merges", json_true());
    json_object_set_new(root, "pre_tokenizer",
                        json_pack("{s:s, s:[{s:s, s:{s:s}, s:s, s:b}, {s:s, s:b, s:b, s:b}]}", "type", "Sequence",
                                  "pretokenizers", "type", "Split", "pattern", "Regex", split_pattern(SPLIT_LLAMA3),
                                  "behavior", "Isolated", "invert", 0, "type", "ByteLevel", "add_prefix_space", 0,
                                  "trim_offsets", 1, "use_regex", 0));
    json_object_set_new(root, "post_processor",
                        json_pack("{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}], s:[], s:{s:{s:s, s:[i], s:[s]}}}", "type",
                                  "TemplateProcessing", "single", "SpecialToken", "id", "<|endoftext|>", "type_id", 0,
                                  "Sequence", "id", "A", "type_id", 0, "pair", "special_tokens", "<|endoftext|>", "id",
                                  "<|endoftext|>", "ids", 256, "tokens", "<|endoftext|>"));
    char *text = json_dumps(root, JSON_COMPACT);
    snprintf(path, sizeof path, "%s/tokenizer.json", to);
    assert_true(text && file_write(path, text, strlen(text), &err));
    comes_back(to, 512, false);
    QmTokenizer *t = qm_tokenizer_open(to, &err);
    int32_t *ids = NULL;
    assert_true(t && qm_tokenizer_encode(t, "a", 1, false, &ids, &err) == 2 && ids[0] == 256);
    free(ids);
    qm_tokenizer_close(t);
    free(text);
    json_decref(root);
    folder_clear(to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_the_references),
        cmocka_unit_test(matrices_are_llama_quantizes),        cmocka_unit_test(models_come_back),
        cmocka_unit_test(llama3_becomes_divisors),          cmocka_unit_test(what_gguf_cannot_say_is_refused),
        cmocka_unit_test(failures_leave_no_file),           cmocka_unit_test(tokenizers_come_back),
        cmocka_unit_test(a_first_token_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
