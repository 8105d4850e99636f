/* test_save.c: saved models: byte for byte what save_pretrained writes, whole or not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <cmocka.h>
#include "../src/base/output_folder.h"
#include "../src/io/json_python.h"
#include "../src/io/safetensors.h"
#include "gguf_write.h"
#include "saved_model.h"

static const char *const cases[] = {"f32-untied", "f32-tied", "bf16-untied", "bf16-tied"};
enum { CASES = sizeof cases / sizeof *cases };

static json_t *json_at(const char *folder, const char *name) {
    Err err = {0};
    char *path = path_join(folder, name, &err);
    json_t *root = json_file(path, 1 << 24, &err);
    if (!root) fail_msg("%s", err.text);
    free(path);
    return root;
}

static char *text_at(const char *folder, const char *name, size_t *bytes) {
    Err err = {0};
    char *path = path_join(folder, name, &err), *text = file_read(path, 1 << 24, bytes, &err);
    if (!text) fail_msg("%s", err.text);
    free(path);
    return text;
}

static void same_text(const char *a, const char *file, const char *b, const char *other) {
    size_t n, m;
    char *x = text_at(a, file, &n), *y = text_at(b, other, &m);
    if (n != m || memcmp(x, y, n)) fail_msg("%s/%s is not %s/%s but:\n%s", a, file, b, other, x);
    free(x);
    free(y);
}

/* ---- What is written --------------------------------------------------------------------------------------------- */

/* Every file of golden.json's list is in the folder with its SHA-256. */
static void same_files(const char *folder, const json_t *files, const char *what) {
    const char *name;
    json_t *file;
    assert_true(json_object_size(files) > 0);
    json_object_foreach((json_t *)(uintptr_t)files, name, file) {
        char hex[65], path[256];
        snprintf(path, sizeof path, "%s/%s", folder, name);
        if (!file_sha(path, hex)) fail_msg("%s: %s is not there", what, name);
        if (strcmp(hex, json_string_value(json_object_get(file, "sha256")))) fail_msg("%s: %s differs", what, name);
    }
}

static void files_are_those_of_save_pretrained(void **state) {
    (void)state;
    for (int i = 0; i < CASES; i++) {
        char from[64], to[64], out[96];
        Err err = {0};
        Opened o;
        snprintf(from, sizeof from, "tests/golden/save/%s", cases[i]);
        folder_new(to, "save");
        json_t *golden = json_at(from, "golden.json");
        if (!opened_open(&o, from, &err)) fail_msg("%s", err.text);
        const json_t *order = json_object_get(golden, "order_of_sharding");
        assert_int_equal(json_array_size(order), o.saved.count);
        for (int64_t t = 0; t < o.saved.count; t++)
            assert_string_equal(o.saved.tensors[t].name, json_string_value(json_array_get(order, (size_t)t)));
        for (int sharded = 0; sharded < 2; sharded++) {
            ModelSave save = opened_save(&o, i < 2 ? DTYPE_F32 : DTYPE_BF16, sharded ? 50000 : 0);
            snprintf(out, sizeof out, "%s/%s", to, sharded ? "sharded" : "single");
            if (!model_folder_save(&save, out, &err)) fail_msg("%s", err.text);
            same_files(out, json_object_get(golden, sharded ? "sharded" : "single"), cases[i]);
            same_text(out, "config.json", from, "config.json");
            same_text(out, "generation_config.json", from, "generation_config.json");
            if (sharded) same_text(out, "model.safetensors.index.json", from, "sharded.index.json");
            size_t files = sharded ? json_object_size(json_object_get(golden, "sharded")) + 3 : 3;
            assert_int_equal(folder_entries(out), files);
        }
        opened_close(&o);
        json_decref(golden);
        folder_clear(to);
    }
}

/* Borderline values in both 16-bit types; NaN is any NaN. */
static bool read_list(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    (void)err;
    memcpy(out, (const float *)owner + first, (size_t)rows * sizeof *out);
    return true;
}

static void rounding_is_torchs(void **state) {
    (void)state;
    SafeTensors golden, saved;
    Err err = {0};
    char out[64], path[128];
    assert_true(safetensors_open(&golden, "tests/golden/save/rounding.safetensors", &err));
    const SafeTensor *f32 = safetensors_find(&golden, "f32");
    float numbers[64];
    memcpy(numbers, f32->data, f32->bytes);
    const SaveTensor t = {.name = "x", .rank = 1, .dim = {f32->dim[0]}, .read = read_list, .owner = numbers};
    folder_new(out, "rounding");
    snprintf(path, sizeof path, "%s/model.safetensors", out);
    for (int half = 0; half < 2; half++) {
        if (!safetensors_save(out, "model", &t, 1, half ? DTYPE_F16 : DTYPE_BF16, 1000, &err)) fail_msg("%s", err.text);
        assert_true(safetensors_open(&saved, path, &err));
        const SafeTensor *want = safetensors_find(&golden, half ? "f16" : "bf16"), *got = safetensors_find(&saved, "x");
        assert_int_equal(got->bytes, want->bytes);
        for (int64_t i = 0; i < want->dim[0]; i++) {
            uint16_t a, b;
            memcpy(&a, got->data + 2 * i, 2);
            memcpy(&b, want->data + 2 * i, 2);
            bool nan = numbers[i] != numbers[i], is = half ? (a & 0x7c00) == 0x7c00 && (a & 0x3ff)
                                                           : (a & 0x7f80) == 0x7f80 && (a & 0x7f);
            if (nan ? !is : a != b)
                fail_msg("%s %g: expected %04x, got %04x", half ? "f16" : "bf16", (double)numbers[i], b, a);
        }
        safetensors_close(&saved);
    }
    safetensors_close(&golden);
    folder_clear(out);
}

/* Exactly the limit fits; a byte more opens another file; a tensor above the limit stands alone, before the open
 * one. */
static void shards_are_dealt_in_order(void **state) {
    (void)state;
    float zeros[64] = {0};
    static const struct { const char *name; int64_t numbers; } sizes[] = {{"a", 10}, {"b", 15}, {"c", 40}, {"d", 1}};
    SaveTensor list[4];
    for (int i = 0; i < 4; i++)
        list[i] = (SaveTensor){.name = sizes[i].name, .rank = 1, .dim = {sizes[i].numbers}, .read = read_list,
                               .owner = zeros};
    const struct { int64_t most; const char *file[4]; } cuts[] = {
        {1000, {NULL, NULL, NULL, NULL}},
        {100, {"2-of-00003", "2-of-00003", "1-of-00003", "3-of-00003"}},
        {104, {"2-of-00002", "2-of-00002", "1-of-00002", "2-of-00002"}},
        {99, {"1-of-00003", "3-of-00003", "2-of-00003", "3-of-00003"}},
    };
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
        char out[64];
        Err err = {0};
        folder_new(out, "shards");
        if (!safetensors_save(out, "model", list, 4, DTYPE_F32, cuts[k].most, &err)) fail_msg("%s", err.text);
        json_t *index = cuts[k].file[0] ? json_at(out, "model.safetensors.index.json") : NULL;
        for (int i = 0; index && i < 4; i++) {
            char want[96];
            snprintf(want, sizeof want, "model-0000%s.safetensors", cuts[k].file[i]);
            const json_t *map = json_object_get(index, "weight_map");
            const char *got = json_string_value(json_object_get(map, list[i].name));
            if (strcmp(got, want))
                fail_msg("limit %d: %s is in %s, expected %s", (int)cuts[k].most, list[i].name, got, want);
        }
        json_decref(index);
        folder_clear(out);
    }
    assert_true(safetensors_saved_name("model-00001-of-00012.safetensors", "model"));
    assert_false(safetensors_saved_name("model-a-of-00012.safetensors", "model"));
    assert_false(safetensors_saved_name("models.safetensors", "model"));
}

static void json_is_pythons(void **state) {
    (void)state;
    static const struct { double value; const char *text; } numbers[] = {
        {0, "0.0"},        {-0.0, "-0.0"},     {1e-6, "1e-06"},   {1e-4, "0.0001"}, {0.1, "0.1"}, {1e6, "1000000.0"},
        {1e15, "1000000000000000.0"},          {1e16, "1e+16"},   {1.5e300, "1.5e+300"}, {123.456, "123.456"},
        {9.999999747378752e-06, "9.999999747378752e-06"},         {5e-324, "5e-324"}, {-2.5, "-2.5"}, {100, "100.0"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},      {0.30000000000000004, "0.30000000000000004"}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char text[PYTHON_FLOAT_BYTES];
        python_float(numbers[i].value, text);
        assert_string_equal(text, numbers[i].text);
    }
    Err err = {0};
    json_t *v = json_text("{\"b\":[],\"a\":{\"x\":[1,2.5,null],\"\\u00e4\":\"\\ud83d\\ude00\\n\\u007f\\\"\"},\"c\":{}}",
                          72, "text", &err);
    if (!v) fail_msg("%s", err.text);
    char *text = json_python(v, (JsonStyle){true, true}, "text", &err);
    assert_string_equal(text, "{\n  \"a\": {\n    \"x\": [\n      1,\n      2.5,\n      null\n    ],\n    \"\\u00e4\": "
                              "\"\\ud83d\\ude00\\n\\u007f\\\"\"\n  },\n  \"b\": [],\n  \"c\": {}\n}");
    free(text);
    json_decref(v);
}

/* What changes is set, all else stays, in its order. */
static void config_keeps_its_order(void **state) {
    (void)state;
    Err err = {0};
    Opened o;
    char to[64], out[96];
    folder_new(to, "config");
    snprintf(out, sizeof out, "%s/m", to);
    if (!opened_open(&o, "tests/golden/heads14-2", &err)) fail_msg("%s", err.text);
    json_t *changes = json_pack("{s:n, s:{s:s}}", "use_cache", "id2label", "0", "no");
    ModelSave save = opened_save(&o, DTYPE_F16, 0);
    save.changes = changes;
    if (!model_folder_save(&save, out, &err)) fail_msg("%s", err.text);
    json_t *a = json_at("tests/golden/heads14-2", "config.json"), *b = json_at(out, "config.json"), *value;
    const char *type = json_object_get(a, "dtype") ? "dtype" : "torch_dtype", *key;
    void *at = json_object_iter(b);
    json_object_foreach(a, key, value) {
        if (!strcmp(key, "use_cache")) continue;
        assert_string_equal(json_object_iter_key(at), key);
        if (!strcmp(key, type)) assert_string_equal(json_string_value(json_object_iter_value(at)), "float16");
        else assert_true(json_equal(json_object_iter_value(at), value));
        at = json_object_iter_next(b, at);
    }
    assert_string_equal(json_object_iter_key(at), "id2label");
    json_decref(changes);
    json_decref(a);
    json_decref(b);
    opened_close(&o);
    folder_clear(to);
}

/* Heads call the layers below them differently; what is saved loads here with the same numbers. */
static void heads_keep_their_names(void **state) {
    (void)state;
    static const char *const folders[] = {"seqcls", "tokcls", "qa", "embed", "tiny", "qwen3-10-2t", "llama-9-3"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char from[64], to[64], out[96];
        Err err = {0};
        Opened o, again;
        snprintf(from, sizeof from, "tests/golden/%s", folders[i]);
        folder_new(to, "heads");
        snprintf(out, sizeof out, "%s/m", to);
        if (!opened_open(&o, from, &err)) fail_msg("%s", err.text);
        ModelSave save = opened_save(&o, DTYPE_F32, 0);
        if (!model_folder_save(&save, out, &err) || !opened_open(&again, out, &err)) fail_msg("%s", err.text);
        assert_int_equal(weights_count(again.weights), o.saved.count);
        for (int64_t t = 0; t < weights_count(again.weights); t++) { /* the names of the source's own file */
            const char *name = weights_at(again.weights, t)->name;
            bool there = false;
            for (int64_t k = 0; k < weights_count(o.weights); k++)
                there |= !strcmp(weights_at(o.weights, k)->name, name);
            if (!there) fail_msg("%s: %s is not a name of its checkpoint", from, name);
        }
        for (int64_t t = 0; t < o.saved.count; t++) {
            SaveTensor *a = &o.saved.tensors[t], *b = &again.saved.tensors[t];
            size_t n = (size_t)(a->dim[0] * (a->rank > 1 ? a->dim[1] : 1));
            float *x = malloc(n * sizeof *x), *y = malloc(n * sizeof *y);
            assert_string_equal(a->name, b->name);
            assert_true(a->read(a->owner, 0, a->dim[0], x, &err) && b->read(b->owner, 0, b->dim[0], y, &err));
            assert_memory_equal(x, y, n * sizeof *x);
            free(x);
            free(y);
        }
        opened_close(&again);
        opened_close(&o);
        folder_clear(to);
    }
}

/* Tokenizer files, templates in a folder of their own among them, are copied as they are; a second save replaces
 * them. */
static void small_files_are_copied(void **state) {
    (void)state;
    static const char *const files[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "merges.txt",
                                        "chat_template.jinja", "additional_chat_templates/tool_use.jinja",
                                        "additional_chat_templates/short.jinja"};
    enum { FILES = sizeof files / sizeof *files };
    char to[64], from[96], out[96], path[192];
    Err err = {0};
    Opened o;
    folder_new(to, "small");
    snprintf(from, sizeof from, "%s/from", to);
    snprintf(out, sizeof out, "%s/m", to);
    snprintf(path, sizeof path, "%s/additional_chat_templates", from);
    assert_true(folder_make(path, &err));
    if (!opened_open(&o, "tests/golden/save/f32-tied", &err)) fail_msg("%s", err.text);
    ModelSave save = opened_save(&o, DTYPE_F32, 0);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < FILES; i++) {
            snprintf(path, sizeof path, "%s/%s", from, files[i]);
            snprintf(out, sizeof out, "file %d of round %d", i, round);
            if (round && i == FILES - 1) unlink(path);
            else assert_true(file_write(path, out, strlen(out), &err));
        }
        snprintf(out, sizeof out, "%s/m", to);
        save.tokenizer = source_open(from, &err);
        if (!model_folder_save(&save, out, &err)) fail_msg("%s", err.text);
        source_close(save.tokenizer);
        for (int i = 0; i < FILES - round; i++) same_text(out, files[i], from, files[i]);
        assert_int_equal(folder_entries(out), 3 + FILES + 1 - round);
    }
    opened_close(&o);
    folder_clear(to);
}

/* ---- Whole or not there ------------------------------------------------------------------------------------------ */

/* Shards of another number go; a file that is not the model's stays. */
static void old_shards_are_removed(void **state) {
    (void)state;
    char to[64], path[128];
    Err err = {0};
    Opened o;
    folder_new(to, "old");
    snprintf(path, sizeof path, "%s/notes.txt", to);
    assert_true(file_write(path, "mine", 4, &err));
    if (!opened_open(&o, "tests/golden/save/f32-untied", &err)) fail_msg("%s", err.text);
    const int64_t limits[] = {50000, 0, 60000, 30000};
    json_t *golden = json_at("tests/golden/save/f32-untied", "golden.json");
    for (int i = 0; i < 4; i++) {
        ModelSave save = opened_save(&o, DTYPE_F32, limits[i]);
        if (!model_folder_save(&save, to, &err)) fail_msg("%s", err.text);
        assert_true(file_exists(path));
        Opened again;
        if (!opened_open(&again, to, &err)) fail_msg("%s", err.text);
        opened_close(&again);
        if (i < 2) same_files(to, json_object_get(golden, i ? "single" : "sharded"), "again");
        if (i == 1) assert_int_equal(folder_entries(to), 4);
    }
    ModelSave save = opened_save(&o, DTYPE_F32, 0);
    assert_false(model_folder_save(&save, "tests/golden/save/f32-untied", &err));
    assert_non_null(strstr(err.text, "expected another folder"));
    err = (Err){0};
    assert_false(model_folder_save(&save, path, &err));
    assert_non_null(strstr(err.text, "expected a folder"));
    opened_close(&o);
    json_decref(golden);
    folder_clear(to);
}

/* In a child whose files may have `limit` bytes: the save fails with a word, and what was there is as it was. */
static void full_disk_leaves_what_was_there(void **state) {
    (void)state;
    char to[64], out[96], fresh[96];
    Err err = {0};
    Opened o;
    folder_new(to, "full");
    snprintf(out, sizeof out, "%s/m", to);
    snprintf(fresh, sizeof fresh, "%s/n", to);
    if (!opened_open(&o, "tests/golden/save/f32-tied", &err)) fail_msg("%s", err.text);
    ModelSave save = opened_save(&o, DTYPE_F32, 0);
    if (!model_folder_save(&save, out, &err)) fail_msg("%s", err.text);
    for (rlim_t limit = 0; limit < 200000; limit += 12500) {
        pid_t child = fork();
        if (child == 0) {
            signal(SIGXFSZ, SIG_IGN);
            setrlimit(RLIMIT_FSIZE, &(struct rlimit){limit, limit});
            save.dtype = DTYPE_BF16; /* 77000 bytes */
            Err why = {0};
            bool ok = model_folder_save(&save, out, &why) && model_folder_save(&save, fresh, &why);
            _exit(ok ? 0 : why.kind == QM_IO && strstr(why.text, "File too large") ? 1 : 2);
        }
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 0) {
            assert_true(limit > 70000);
            break;
        }
        assert_int_equal(WEXITSTATUS(status), 1);
        json_t *golden = json_at("tests/golden/save/f32-tied", "golden.json");
        same_files(out, json_object_get(golden, "single"), "after a full disk");
        assert_int_equal(folder_entries(out), 3);
        assert_int_equal(folder_entries(to), 4); /* nothing of fresh */
        json_decref(golden);
    }
    assert_int_equal(folder_entries(to), 8);
    opened_close(&o);
    folder_clear(to);
}

/* A writer that saves two models in turn into one folder is killed at a random moment: the folder is one of them, or
 * lacks its configuration until the next writer has ended the moves; what that saves is whole. */
static void a_killed_writer_leaves_a_whole_folder(void **state) {
    (void)state;
    char to[64], out[96], config[128];
    Err err = {0};
    Opened o[2];
    int whole = 0, rounds = brief() ? 10 : 30;
    double took = 0;
    folder_new(to, "kill");
    snprintf(out, sizeof out, "%s/m", to);
    snprintf(config, sizeof config, "%s/config.json", out);
    for (int i = 0; i < 2; i++) {
        char from[64];
        snprintf(from, sizeof from, "tests/golden/save/%s", cases[i]);
        if (!opened_open(&o[i], from, &err)) fail_msg("%s", err.text);
    }
    for (int i = 0; i < 2; i++) { /* how long two saves take here */
        ModelSave save = opened_save(&o[i], DTYPE_F32, i ? 0 : 50000);
        double start = clock_seconds();
        if (!model_folder_save(&save, out, &err)) fail_msg("%s", err.text);
        took += clock_seconds() - start;
    }
    for (int round = 0; round < rounds; round++) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = round;; i++) {
                ModelSave save = opened_save(&o[i & 1], DTYPE_F32, i & 1 ? 0 : 50000);
                if (!model_folder_save(&save, out, &(Err){0})) _exit(1);
            }
        }
        usleep(random_below((uint32_t)(took * 2e6) + 2));
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        for (int again = 0; again < 2; again++) {
            Opened now;
            if (file_exists(config)) {
                if (!opened_open(&now, out, &err)) fail_msg("round %d: %s", round, err.text);
                assert_int_equal(now.saved.count, o[now.config.tied].saved.count);
                opened_close(&now);
                whole += !again;
            }
            OutputFolder next; /* the next writer, who then writes nothing */
            if (!folder_exists(out)) break;
            if (!output_folder_open(&next, out, FOLDER_ADD, &err)) fail_msg("%s", err.text);
            output_folder_close(&next);
            if (again && folder_exists(out)) assert_true(folder_entries(out) >= 3 && folder_entries(out) <= 7);
        }
    }
    assert_true(whole > 0);
    OutputFolder last;
    assert_true(output_folder_open(&last, out, FOLDER_ADD, &err));
    output_folder_close(&last);
    assert_int_equal(folder_entries(to), 1 + folder_entries(out)); /* no remains beside it */
    opened_close(&o[0]);
    opened_close(&o[1]);
    folder_clear(to);
}

/* Moves that were cut off after the commit are ended by the next writer. */
static void cut_off_moves_are_ended(void **state) {
    (void)state;
    char to[64], from[96], path[192];
    Err err = {0};
    const struct { const char *name, *text; } files[] = {
        {"m/a", "old"}, {"m/b", "old"}, {"m/key", "old"}, {"m/stays", "old"}, {"m/save.complete/a", "new"},
        {"m/save.complete/c", "new"}, {"m/save.complete/key", "new"},
        {"m/save.complete/files.list", "key key\ngone b\nnew a\nnew c\n"}};
    folder_new(to, "moves");
    snprintf(from, sizeof from, "%s/m/save.complete", to);
    assert_true(folder_make(from, &err));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", to, files[i].name);
        assert_true(file_write(path, files[i].text, strlen(files[i].text), &err));
    }
    snprintf(from, sizeof from, "%s/m", to);
    OutputFolder next;
    if (!output_folder_open(&next, from, FOLDER_ADD, &err)) fail_msg("%s", err.text);
    output_folder_close(&next);
    size_t bytes;
    const char *const want[][2] = {{"a", "new"}, {"c", "new"}, {"key", "new"}, {"stays", "old"}};
    for (int i = 0; i < 4; i++) {
        char *text = text_at(from, want[i][0], &bytes);
        assert_string_equal(text, want[i][1]);
        free(text);
    }
    assert_int_equal(folder_entries(from), 4);
    folder_clear(to);
}

/* ---- From GGUF --------------------------------------------------------------------------------------------------- */

/* The folder of a GGUF file has the configuration that the file has, and the weights in Hugging Face's order of
 * rows. */
static void gguf_becomes_a_folder(void **state) {
    (void)state;
    static const char *const folders[] = {"tiny",        "heads14-2", "llama-9-3", "qwen3-6-3",
                                          "qwen3-10-2t", "yarn",      "linear",    "llama3"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char from[64], to[64], file[96], out[96], twin[96];
        Err err = {0};
        Opened a, b, t;
        snprintf(from, sizeof from, "tests/golden/%s", folders[i]);
        folder_new(to, "gguf");
        snprintf(file, sizeof file, "%s/m.gguf", to);
        snprintf(out, sizeof out, "%s/m", to);
        snprintf(twin, sizeof twin, "%s/twin", to);
        if (!twin_gguf(from, DTYPE_Q8_0, file, &err) || !twin_folder(from, DTYPE_Q8_0, twin, &err) ||
            !opened_open(&a, file, &err))
            fail_msg("%s", err.text);
        ModelSave save = opened_save(&a, DTYPE_F32, 0);
        if (!model_folder_save(&save, out, &err) || !opened_open(&b, out, &err) || !opened_open(&t, twin, &err))
            fail_msg("%s: %s", from, err.text);
        ModelConfig *x = &a.config, *y = &b.config;
        assert_true(x->layers == y->layers && x->hidden == y->hidden && x->ffn == y->ffn && x->vocab == y->vocab &&
                    x->heads == y->heads && x->kv_heads == y->kv_heads && x->head_dim == y->head_dim &&
                    x->max_positions == y->max_positions && x->tied == y->tied && x->qkv_bias == y->qkv_bias &&
                    x->o_bias == y->o_bias && x->mlp_bias == y->mlp_bias && x->qk_norm == y->qk_norm);
        assert_true((float)x->rms_norm_eps == (float)y->rms_norm_eps);
        assert_true(x->bos == y->bos && x->pad == y->pad && x->eos_count == y->eos_count &&
                    !memcmp(x->eos, y->eos, sizeof x->eos));
        const Rope *p = &x->rope, *q = &y->rope;
        assert_true(p->type == q->type && p->theta == q->theta && p->factor == q->factor && p->dim == q->dim &&
                    p->original_max == q->original_max && p->attention_factor == q->attention_factor &&
                    !memcmp(p->long_factor, q->long_factor, sizeof p->long_factor));
        assert_int_equal(t.saved.count, b.saved.count);
        for (int64_t k = 0; k < b.saved.count; k++) {
            SaveTensor *u = &b.saved.tensors[k], *v = &t.saved.tensors[k];
            size_t n = (size_t)(u->dim[0] * (u->rank > 1 ? u->dim[1] : 1));
            float *f = malloc(n * sizeof *f), *g = malloc(n * sizeof *g);
            assert_true(u->read(u->owner, 0, u->dim[0], f, &err) && v->read(v->owner, 0, v->dim[0], g, &err));
            if (memcmp(f, g, n * sizeof *f)) fail_msg("%s: %s differs", from, u->name);
            free(f);
            free(g);
        }
        opened_close(&a);
        opened_close(&b);
        opened_close(&t);
        folder_clear(to);
    }
}

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

/* The tokenizer that is written from the keys of the real model gives the ids of the keys. */
static void the_real_tokenizer_is_written(void **state) {
    (void)state;
    Err err = {0};
    Opened o;
    char to[64], out[96];
    if (!file_exists(smollm_path())) skip();
    folder_new(to, "tokenizer");
    snprintf(out, sizeof out, "%s/m", to);
    if (!opened_open(&o, smollm_path(), &err)) fail_msg("%s", err.text);
    ModelSave save = opened_save(&o, DTYPE_BF16, 0);
    assert_true(folder_make(out, &err));
    if (!model_folder_write_small(&save, out, &err)) fail_msg("%s", err.text);
    QmTokenizer *a = qm_tokenizer_open(smollm_path(), &err), *b = qm_tokenizer_open(out, &err);
    if (!a || !b) fail_msg("%s", err.text);
    assert_int_equal(qm_tokenizer_eos(a), qm_tokenizer_eos(b));
    FILE *file = fopen("tests/golden/tokenizer/smollm2.jsonl", "re");
    char *line = NULL;
    size_t room = 0, lines = 0;
    for (ssize_t n; (n = getline(&line, &room, file)) > 0; lines++) {
        json_t *row = json_text(line, (size_t)n, "line", &err);
        const json_t *text = json_object_get(row, "text");
        same_ids(a, b, json_string_value(text), json_string_length(text));
        same_ids(a, b, line, (size_t)n);
        json_decref(row);
    }
    assert_true(lines >= 300);
    fclose(file);
    free(line);
    for (int i = 0; i < 2000; i++) {
        static const char *const bits[] = {
            "<|im_start|>",  "<|im_end|>", " ",    "\n", "ab", "é",          "漢", "12", "don't",  "😀",
            "<|endoftext|>", "\t",         "user", ".",  "Ġ",  "<file_sep>", "  ", "ſ",  "e\u0301"};
        char text[512] = "";
        for (uint32_t k = random_below(20) + 1; k > 0; k--)
            strcat(text, bits[random_below(sizeof bits / sizeof *bits)]);
        same_ids(a, b, text, strlen(text));
    }
    static const char chat[] = "[{\"role\":\"user\",\"content\":\"Hi <|im_end|> there\"}]";
    int32_t *x = NULL, *y = NULL;
    int64_t n = qm_tokenizer_chat(a, chat, sizeof chat - 1, true, &x, NULL, &err),
            m = qm_tokenizer_chat(b, chat, sizeof chat - 1, true, &y, NULL, &err);
    if (n < 0 || m < 0) fail_msg("%s", err.text);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, (size_t)n * sizeof *x);
    free(x);
    free(y);
    qm_tokenizer_close(a);
    qm_tokenizer_close(b);
    opened_close(&o);
    folder_clear(to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_those_of_save_pretrained), cmocka_unit_test(rounding_is_torchs),
        cmocka_unit_test(shards_are_dealt_in_order),          cmocka_unit_test(json_is_pythons),
        cmocka_unit_test(config_keeps_its_order),             cmocka_unit_test(heads_keep_their_names),
        cmocka_unit_test(small_files_are_copied),
        cmocka_unit_test(old_shards_are_removed),             cmocka_unit_test(full_disk_leaves_what_was_there),
        cmocka_unit_test(a_killed_writer_leaves_a_whole_folder), cmocka_unit_test(cut_off_moves_are_ended),
        cmocka_unit_test(gguf_becomes_a_folder),              cmocka_unit_test(the_real_tokenizer_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
