/* test_pack.c: packed files: what is written is what is read, with the bits of the model it came from; what is damaged,
 * false or of another layout is refused; a write that fails leaves nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <dirent.h>
#include <unistd.h>
#include "../src/cpu/packed_file.h"
#include "../src/model/family.h"
#include "gguf_write.h"
#include "pack_write.h"

static char folder[] = "/tmp/qwenmesh-pack-XXXXXX";

static int setup(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}
static int teardown(void **state) {
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* A path in the test's folder; of the last call. */
static const char *in_folder(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int files_in_folder(void) {
    int count = 0;
    DIR *d = opendir(folder);
    for (const struct dirent *e; (e = readdir(d));) count += e->d_name[0] != '.';
    closedir(d);
    return count;
}

/* ---- The layout -------------------------------------------------------------------------------------------------- */

/* Under the name PACK_LAYOUT, panels of numbers that vary hash to this. If a panel's bytes change, the name must. */
static void layout_has_its_name(void **state) {
    enum { K = 416 };
    static const DType types[] = {DTYPE_F32,  DTYPE_BF16, DTYPE_F16,  DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_1,
                                  DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q4_K, DTYPE_Q5_K, DTYPE_Q6_K};
    Text all = {0};
    char hex[2 * SHA_BYTES + 1];
    uint8_t digest[SHA_BYTES], *panel = aligned_alloc(64, 1 << 16);
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const DTypeRow *type = dtype_row(types[i]);
        int64_t k = type->block == 256 ? 512 : K;
        size_t row = 0;
        PackedType packed;
        assert_true(packed_type_of(types[i], &packed) && dtype_bytes(types[i], k, &row));
        uint8_t *data = malloc(16 * row);
        const uint8_t *rows[PANEL];
        for (size_t at = 0; at < 16 * row; at++) data[at] = (uint8_t)((at * 2654435761u) >> 11 & 0x3b);
        for (size_t r = 0; r < PANEL; r++) rows[r] = r == 15 ? NULL : data + r * row;
        pack_panel(types[i], rows, k, panel);
        text_add(&all, (char *)panel, (size_t)packed_panel_bytes(packed, k));
        free(data);
    }
    float exact[PANEL][K]; /* values that 8 and 4 bits hold exactly, so that no rounding has a say */
    const uint8_t *rows[PANEL];
    for (int r = 0; r < PANEL; r++) {
        for (int i = 0; i < K; i++) exact[r][i] = (float)((i * 7 + r) % 15 - 7) * 0.125f;
        for (int i = 0; i < K; i += 32) exact[r][i] = -1;
        rows[r] = (const uint8_t *)exact[r];
    }
    for (PackedType t = PACKED_Q8G; t <= PACKED_Q4G; t++) {
        PackError error = {0};
        pack_quantise(DTYPE_F32, t, rows, K, panel, &error);
        if (t == PACKED_Q4G) assert_true(error.error == 0 && error.most == 0);
        text_add(&all, (char *)panel, (size_t)packed_panel_bytes(t, K));
    }
    packed_sha(all.data, all.bytes, NULL, 0, digest);
    for (int i = 0; i < SHA_BYTES; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    print_message("panels of %s hash to %s\n", PACK_LAYOUT, hex);
    assert_string_equal(PACK_LAYOUT, "panel16-2");
    assert_string_equal(hex, "0223e2e97729368376ecb08c0d10f9d5ae0e5dab2eb472da25dfa14bc58ebb9f");
    text_free(&all);
    free(panel);
}

static void bf16_is_nearest(void **state) {
    enum { K = 131 };
    float w[PANEL][K];
    const uint8_t *rows[PANEL];
    PackError error = {0};
    (void)state;
    for (int r = 0; r < PANEL; r++) {
        for (int i = 0; i < K; i++) w[r][i] = 1 + (float)(r * K + i) / 4096;
        rows[r] = (const uint8_t *)w[r];
    }
    rows[3] = NULL;
    uint16_t panel[(K + 1) / 2 * 2 * PANEL];
    assert_int_equal(packed_panel_bytes(PACKED_BF16, K), sizeof panel);
    pack_quantise(DTYPE_F32, PACKED_BF16, rows, K, panel, &error);
    for (int r = 0; r < PANEL; r++)
        for (int i = 0; i < K + 1; i++)
            assert_int_equal(panel[(i / 2 * PANEL + r) * 2 + i % 2], i < K && r != 3 ? f32_to_bf16(w[r][i]) : 0);
    assert_true(error.most > 0.003 && error.most <= 1.0 / 256 && error.error > 0);
}

/* ---- Writing and reading ----------------------------------------------------------------------------------------- */

static bool write_sample(const char *path, size_t big, Err *err) {
    PackedWriter w;
    PackedSection a = {.kind = SECTION_FILE, .name = "config.json", .bytes = 3},
                  b = {.kind = SECTION_ROWS, .name = "x", .stored = DTYPE_F32, .rank = 1, .bytes = 4 * big};
    b.dim[0] = (int64_t)big;
    float *x = malloc(4 * big);
    for (size_t i = 0; i < big; i++) x[i] = (float)i;
    bool ok = packed_writer_open(&w, path, err) && packed_writer_add(&w, &a, err) && packed_writer_add(&w, &b, err) &&
              packed_writer_start(&w, "panel16-2", "4bit", err) && packed_writer_put(&w, 0, 0, "{ }", err);
    for (size_t i = ok ? packed_pieces(&w.sections[1]) : 0; ok && i-- > 0;) { /* any order */
        size_t n;
        ok = packed_writer_put(&w, 1, i, (char *)x + packed_piece(&w.sections[1], i, &n), err);
    }
    ok = ok && packed_writer_finish(&w, 0.25, err);
    packed_writer_close(&w);
    free(x);
    return ok;
}

static void written_is_read(void **state) {
    Err err = {0};
    Packed p;
    enum { BIG = 9 << 20 }; /* floats: 36 MiB, pieces of 16 MiB and two that are shorter */
    const char *path = in_folder("sample");
    (void)state;
    if (!write_sample(path, BIG, &err) || !packed_open(&p, path, &err)) fail_msg("%s", err.text);
    assert_string_equal(p.layout, "panel16-2");
    assert_string_equal(p.weights, "4bit");
    assert_true(p.error == 0.25 && p.count == 2 && packed_is(path));
    const PackedSection *a = packed_find(&p, SECTION_FILE, "config.json"), *b = packed_find(&p, SECTION_ROWS, "x");
    assert_true(a && b && !packed_find(&p, SECTION_PANELS, "x") && !packed_find(&p, SECTION_FILE, "x"));
    assert_memory_equal(a->data, "{ }", 3);
    assert_int_equal(packed_pieces(b), 3);
    assert_int_equal((uintptr_t)b->data % PACKED_ALIGN, 0);
    for (int64_t i = 0; i < BIG; i += 997) assert_true(((const float *)(const void *)b->data)[i] == (float)i);
    assert_true(packed_verify(&p, a, &err) && packed_verify(&p, b, &err));
    packed_close(&p);
    assert_true(write_sample(path, 10, &err)); /* a packed file may be written over */
    assert_int_equal(unlink(path), 0);
}

/* Cut anywhere or with any byte of the header changed, the file is refused; a changed byte of data is found. */
static void damage_is_found(void **state) {
    Err err = {0};
    Packed p;
    size_t bytes;
    const char *path = in_folder("sample");
    (void)state;
    assert_true(write_sample(path, 1000, &err));
    uint8_t *file = (uint8_t *)file_read(path, 1 << 20, &bytes, &err);
    for (size_t n = 0; n < bytes; n += n < 200 ? 1 : 997) {
        uint8_t *part = malloc(n ? n : 1);
        memcpy(part, file, n);
        err = (Err){0};
        assert_false(packed_parse(&p, part, n, "cut", &err));
        assert_true(err.kind);
        free(part);
    }
    for (size_t i = 0; i < 700; i++) {
        file[i] ^= 0x10;
        err = (Err){0};
        if (packed_parse(&p, file, bytes, "changed", &err)) fail_msg("byte %zu changed and not found", i);
        assert_true(err.kind);
        file[i] ^= 0x10;
    }
    file[bytes - 1] ^= 1;
    err = (Err){0};
    assert_true(packed_parse(&p, file, bytes, "changed", &err));
    assert_false(packed_verify(&p, packed_find(&p, SECTION_ROWS, "x"), &err));
    assert_non_null(strstr(err.text, "section rows x is damaged"));
    packed_close(&p);
    free(file);
    unlink(path);
}

#define HEAD "{\"layout\":\"panel16-2\",\"weights\":\"file\",\"error\":0,\"sections\":["
#define SHA "\"sha256\":\"0000000000000000000000000000000000000000000000000000000000000000\""
#define ROWS(more) HEAD "{\"kind\":\"rows\",\"name\":\"x\",\"offset\":0,\"bytes\":8," SHA "," more "}]}"

static void false_headers_are_refused(void **state) {
    static const struct { const char *json, *why; } bad[] = {
        {"", "not valid JSON"},
        {"[]", "expected an object"},
        {"{\"layout\":\"a\",\"weights\":\"file\"}", "sections: expected a list"},
        {"{\"layout\":\"\",\"weights\":\"file\",\"sections\":[]}", "layout: expected a text"},
        {"{\"layout\":\"a\",\"weights\":\"file\",\"error\":\"x\",\"sections\":[]}", "error: expected a number"},
        {HEAD "1]}", "expected an object"},
        {HEAD "{\"kind\":\"rows\",\"name\":\"x\",\"offset\":4096,\"bytes\":8193," SHA "}]}", "in the file"},
        {HEAD "{\"kind\":\"file\",\"name\":\"x\",\"offset\":8,\"bytes\":8," SHA "}]}", "multiple of 4096"},
        {HEAD "{\"kind\":\"file\",\"name\":\"x\",\"offset\":9223372036854771712,\"bytes\":9223372036854775807,"
              SHA "}]}",
         "in the file"},
        {HEAD "{\"kind\":\"file\",\"name\":\"x\",\"offset\":0,\"bytes\":0," SHA "}]}", "bytes: expected"},
        {HEAD "{\"kind\":\"file\",\"name\":\"x\",\"offset\":-4096,\"bytes\":8," SHA "}]}", "offset: expected"},
        {HEAD "{\"kind\":\"file\",\"name\":\"x\",\"bytes\":8," SHA "}]}", "missing"},
        {HEAD "{\"kind\":\"file\",\"name\":\"x\",\"offset\":0,\"bytes\":8,\"sha256\":\"00\"}]}", "sha256"},
        {HEAD "{\"kind\":\"other\",\"name\":\"x\",\"offset\":0,\"bytes\":8," SHA "}]}", "kind: expected"},
        {HEAD "{\"kind\":\"file\",\"name\":\"\",\"offset\":0,\"bytes\":8," SHA "}]}", "name: expected"},
        {HEAD "{\"kind\":\"file\",\"name\":\"x\",\"offset\":0,\"bytes\":4097," SHA
              "},{\"kind\":\"file\",\"name\":\"y\",\"offset\":4096,\"bytes\":8," SHA "}]}",
         "after the last section"},
        {HEAD "{\"kind\":\"file\",\"name\":\"x\",\"offset\":0,\"bytes\":1," SHA
              "},{\"kind\":\"file\",\"name\":\"x\",\"offset\":4096,\"bytes\":8," SHA "}]}",
         "there twice"},
        {ROWS("\"shape\":[2]"), "stored: expected"},
        {ROWS("\"stored\":\"i64\",\"shape\":[1]"), "stored: expected"},
        {ROWS("\"stored\":\"f32\",\"shape\":[3]"), "bytes of its shape"},
        {ROWS("\"stored\":\"f32\",\"shape\":[]"), "one or two sizes"},
        {ROWS("\"stored\":\"f32\",\"shape\":[1,1,2]"), "one or two sizes"},
        {ROWS("\"stored\":\"f32\",\"shape\":[0]"), "sizes of 1 to"},
        {ROWS("\"stored\":\"f32\",\"shape\":[2147483648,2147483648]"), "bytes of its shape"},
        {ROWS("\"stored\":\"q4_0\",\"shape\":[14]"), "bytes of its shape"},
        {HEAD "{\"kind\":\"panels\",\"name\":\"x\",\"offset\":0,\"bytes\":8," SHA
              ",\"stored\":\"f32\",\"shape\":[2]}]}",
         "two sizes"},
        {HEAD "{\"kind\":\"panels\",\"name\":\"x\",\"offset\":0,\"bytes\":8," SHA
              ",\"stored\":\"f32\",\"shape\":[1,2]}]}",
         "type: expected"},
    };
    static const uint8_t data[2 * PACKED_ALIGN];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Packed p;
        Err err = {0};
        size_t bytes;
        uint8_t *file = pack_bytes(bad[i].json, strlen(bad[i].json), data, sizeof data, &bytes);
        if (packed_parse(&p, file, bytes, "false", &err)) fail_msg("accepted: %s", bad[i].json);
        if (!strstr(err.text, bad[i].why)) fail_msg("%s\nexpected \"%s\", got: %s", bad[i].json, bad[i].why, err.text);
        free(file);
    }
    Packed p;
    Err err = {0};
    size_t bytes;
    const char *good = ROWS("\"stored\":\"f32\",\"shape\":[2]");
    uint8_t *file = pack_bytes(good, strlen(good), data, sizeof data, &bytes);
    assert_true(packed_parse(&p, file, bytes, "good", &err)); /* so what is above is refused for its reason only */
    packed_close(&p);
    pack_number(file + 8, PACKED_VERSION + 1, 4);
    pack_seal(file, strlen(good), bytes);
    assert_false(packed_parse(&p, file, bytes, "new", &err));
    assert_non_null(strstr(err.text, "expected packed version"));
    free(file);
}

/* ---- The engine -------------------------------------------------------------------------------------------------- */

static bool pack_model(const char *model, const char *how, const char *out, const atomic_bool *stop, Err *err) {
    ModelConfig *config = calloc(1, sizeof *config);
    ModelGraph *graph = calloc(1, sizeof *graph);
    PackedReport report;
    Workers *workers = workers_new(3, false, err);
    Source *source = source_open(model, err);
    Weights *weights = source && config_load(config, source, err) ? model_weights(config, source, err) : NULL;
    PackedJob job = {.graph = &graph->graph, .weights = weights, .source = source, .how = how, .out = out,
                     .stop = stop};
    bool ok = weights && workers && model_graph(graph, config, 1, 64, false, err) &&
              packed_file_write(&job, workers, &report, err);
    if (ok && how && strcmp(how, "bf16")) assert_true(!strcmp(how, "file") ? report.error == 0 : report.error > 1e-4);
    model_graph_free(graph);
    weights_close(weights);
    source_close(source);
    workers_free(workers);
    free(graph);
    free(config);
    return ok;
}

enum { TOKENS = 21 };

/* All logits of a fixed prompt; malloc'ed. NULL and an error when the model does not open. */
static float *logits_of(const char *model, const char *mesh, const char *weights, size_t *bytes, Err *err) {
    QmEngineOptions o = {
        .size = sizeof o, .model = model, .mesh = mesh, .threads = 2, .context = 64, .weights = weights};
    QmEngine *engine = qm_engine_open(&o, err);
    if (!engine) return NULL;
    int32_t ids[TOKENS];
    int64_t vocab = qm_engine_info(engine)->vocab;
    for (int i = 0; i < TOKENS; i++) ids[i] = (int32_t)((i * 37 + 5) % vocab);
    *bytes = (size_t)(TOKENS * vocab) * sizeof(float);
    float *logits = malloc(*bytes);
    QmSession *session = qm_session_new(engine, err);
    QmAppend a = {.session = session, .tokens = ids, .count = TOKENS, .logits_from = TOKENS, .logits = logits};
    if (!session || !qm_forward(engine, &a, 1, err)) fail_msg("%s", err->text);
    qm_session_free(session);
    qm_engine_close(engine);
    return logits;
}

static void same_bits(const char *model, const char *how) {
    static const char *const meshes[] = {"1x1", "2x4", "8x4"};
    char path[128];
    Err err = {0};
    snprintf(path, sizeof path, "%s/model.%s", folder, how);
    if (!pack_model(model, how, path, NULL, &err)) fail_msg("%s: %s", model, err.text);
    for (int m = 0; m < 3; m++) {
        size_t bytes, packed_bytes;
        float *a = logits_of(model, meshes[m], how, &bytes, &err),
              *b = logits_of(path, meshes[m], NULL, &packed_bytes, &err);
        if (!a || !b) fail_msg("%s: %s", model, err.text);
        assert_int_equal(bytes, packed_bytes);
        if (memcmp(a, b, bytes)) fail_msg("%s as %s, mesh %s: other bits when packed", model, how, meshes[m]);
        free(a), free(b);
    }
    unlink(path);
}

static void folders_keep_their_bits(void **state) {
    static const char *const how[] = {"file", "bf16", "8bit", "4bit"};
    (void)state;
    for (int i = 0; i < 4; i++) {
        same_bits("tests/golden/heads14-2", how[i]); /* tied, qwen2 with biases */
        same_bits("tests/golden/tiny", how[i]);      /* untied, in shards        */
        same_bits("tests/golden/llama3", how[i]);
        same_bits("tests/golden/qwen3-10-2t", how[i]); /* norms of heads */
    }
}

/* Tied embeddings are then looked up in panels of each type; llama's rows are permuted, its rope is in tensors. */
static void gguf_files_keep_their_bits(void **state) {
    static const DType types[] = {DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0,
                                  DTYPE_Q4_1, DTYPE_Q5_0, DTYPE_Q5_1, DTYPE_Q6_K};
    char path[128];
    Err err = {0};
    (void)state;
    snprintf(path, sizeof path, "%s/twin.gguf", folder);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!twin_gguf("tests/golden/heads14-2", types[i], path, &err)) fail_msg("%s", err.text);
        same_bits(path, "file");
    }
    if (!twin_gguf("tests/golden/llama-9-3", DTYPE_Q4_K, path, &err)) fail_msg("%s", err.text);
    same_bits(path, "file");
    same_bits(path, "4bit");
    if (!twin_gguf("tests/golden/qwen3-6-3", DTYPE_Q8_0, path, &err)) fail_msg("%s", err.text);
    same_bits(path, "file");
    if (!twin_gguf("tests/golden/llama3", DTYPE_Q8_0, path, &err)) fail_msg("%s", err.text);
    same_bits(path, "file");
    unlink(path);
}

/* The file's matrices are what they are. */
static void other_weights_are_refused(void **state) {
    char path[128];
    Err err = {0};
    size_t bytes;
    (void)state;
    snprintf(path, sizeof path, "%s/model", folder);
    assert_true(pack_model("tests/golden/tiny", "8bit", path, NULL, &err));
    assert_null(logits_of(path, "1x1", "4bit", &bytes, &err));
    assert_non_null(strstr(err.text, "packed as 8bit: --weights 4bit needs the model"));
    err = (Err){0};
    free(logits_of(path, "1x1", "8bit", &bytes, &err));
    free(logits_of(path, "1x1", "file", &bytes, &err));
    assert_false(err.kind);
    char again[140];
    snprintf(again, sizeof again, "%s.2", path);
    assert_false(pack_model(path, "8bit", again, NULL, &err));
    assert_non_null(strstr(err.text, "is a packed file already"));
    unlink(path);
    assert_int_equal(files_in_folder(), 0);
}

/* Replaces the first `from` in a packed file's header by `to`, as long, and seals it. */
static void falsify(const char *path, const char *from, const char *to) {
    Err err = {0};
    size_t bytes;
    uint8_t *file = (uint8_t *)file_read(path, 16 << 20, &bytes, &err);
    assert_non_null(file);
    uint64_t json = 0;
    memcpy(&json, file + 16, 8);
    uint8_t *at = memmem(file + PACKED_HEADER, json, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    pack_seal(file, json, bytes);
    assert_true(file_write(path, file, bytes, &err));
    free(file);
}

/* Headers that are sound and say what no engine can use. */
static void false_panels_are_refused(void **state) {
    static const struct { const char *from, *to, *why; } bad[] = {
        {"\"layout\":\"panel16-2\"", "\"layout\":\"panel16-0\"", "in the layout panel16-2, got panel16-0: pack"},
        {"\"type\":\"q8g\"", "\"type\":\"q9g\"", "'q9g' is no packed type"},
        {"\"type\":\"q8g\"", "\"type\":\"q4g\"", "bytes of panels, got"},
        {"\"type\":\"q8g\"", "\"type\":\"f32\"", "bytes of panels, got"},
        {"\"name\":\"model.norm.weight\"", "\"name\":\"model.morn.weight\"", "missing: model.norm.weight"},
        {"\"kind\":\"panels\",\"name\":\"model.layers.1.mlp.down_proj.weight\"",
         "\"kind\":\"file\",  \"name\":\"model.layers.1.mlp.down_proj.weight\"",
         "missing: model.layers.1.mlp.down_proj"},
        {"config.json", "konfig.json", "holds no configuration"},
    };
    char path[128];
    size_t bytes;
    (void)state;
    snprintf(path, sizeof path, "%s/model", folder);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Err err = {0};
        assert_true(pack_model("tests/golden/tiny", "8bit", path, NULL, &err));
        falsify(path, bad[i].from, bad[i].to);
        assert_null(logits_of(path, "1x1", NULL, &bytes, &err));
        if (!strstr(err.text, bad[i].why)) fail_msg("expected \"%s\", got: %s", bad[i].why, err.text);
    }
    unlink(path);
}

static void failure_leaves_nothing(void **state) {
    Err err = {0};
    atomic_bool stop = true;
    char path[128];
    (void)state;
    snprintf(path, sizeof path, "%s/model", folder);
    assert_false(pack_model("tests/golden/tiny", "file", path, &stop, &err));
    assert_string_equal(err.text, "interrupted");
    assert_int_equal(files_in_folder(), 0);
    err = (Err){0};
    assert_true(file_write(path, "mine", 4, &err)); /* nobody's file is written over */
    assert_false(pack_model("tests/golden/tiny", "file", path, NULL, &err));
    assert_non_null(strstr(err.text, "is no packed file: remove it first"));
    assert_int_equal(files_in_folder(), 1);
    unlink(path);
    err = (Err){0};
    assert_false(pack_model("tests/golden/tiny", "file", "/no/such/folder/model", NULL, &err));
    assert_non_null(strstr(err.text, "cannot write /no/such/folder/model"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout_has_its_name),        cmocka_unit_test(bf16_is_nearest),
        cmocka_unit_test(written_is_read),            cmocka_unit_test(damage_is_found),
        cmocka_unit_test(false_headers_are_refused),  cmocka_unit_test(folders_keep_their_bits),
        cmocka_unit_test(gguf_files_keep_their_bits), cmocka_unit_test(other_weights_are_refused),
        cmocka_unit_test(false_panels_are_refused),   cmocka_unit_test(failure_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
