/* test_twin.c: a quantised GGUF file and a folder with the very same values as f32 give the same bits of logits: names,
 * permuted rows, block formats and metadata are then all read alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "gguf_write.h"

enum { TOKENS = 24 };

/* Logits of the last row after a fixed prompt; malloc'ed. */
static float *logits_of(const char *model, int64_t *vocab) {
    QmErr err = {0};
    QmEngineOptions options = {.size = sizeof options, .model = model, .mesh = "1x2", .threads = 2, .slots = 1,
                               .context = 64, .kv_cache = "f32"};
    QmEngine *engine = qm_engine_open(&options, &err);
    if (!engine) fail_msg("%s: %s", model, err.text);
    int32_t ids[TOKENS];
    *vocab = qm_engine_info(engine)->vocab;
    for (int i = 0; i < TOKENS; i++) ids[i] = (int32_t)((i * 37 + 5) % *vocab);
    float *logits = malloc((size_t)*vocab * sizeof *logits);
    QmSession *session = qm_session_new(engine, &err);
    QmAppend entry = {.session = session, .tokens = ids, .count = TOKENS, .logits_from = 1, .logits = logits};
    if (!session || !qm_forward(engine, &entry, 1, &err)) fail_msg("%s: %s", model, err.text);
    qm_session_free(session);
    qm_engine_close(engine);
    return logits;
}

/* Every format is computed as the f32 of its values would be, so even the order of sums is the same. */
static void compare(const char *name, DType type) {
    char folder[] = "/tmp/qwenmesh-test-XXXXXX", source[64], command[64];
    Err err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(source, sizeof source, "tests/golden/%s", name);
    char *gguf = path_join(folder, "twin.gguf", &err), *hf = path_join(folder, "twin", &err);
    if (!twin_gguf(source, type, gguf, &err) || !twin_folder(source, type, hf, &err)) fail_msg("%s", err.text);
    int64_t vocab;
    float *a = logits_of(gguf, &vocab), *b = logits_of(hf, &vocab), most = 0, worst = 0;
    for (int64_t i = 0; i < vocab; i++) {
        most = fmaxf(most, fabsf(b[i]));
        worst = fmaxf(worst, fabsf(a[i] - b[i]));
    }
    if (getenv("TWIN_SHOW"))
        print_message("%s %s: off by %g of %g\n", name, dtype_row(type)->name, (double)worst, (double)most);
    if (memcmp(a, b, (size_t)vocab * sizeof *a) != 0)
        fail_msg("%s %s: logits off by %g of %g", name, dtype_row(type)->name, (double)worst, (double)most);
    free(a), free(b), free(gguf), free(hf);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

#define TYPE(name, type)                                                                                               \
    static void name(void **state) {                                                                                   \
        (void)state;                                                                                                   \
        compare("heads14-2", type);                                                                                    \
        compare("llama-9-3", type);                                                                                    \
        compare("qwen3-10-2t", type);                                                                                  \
    }
TYPE(f32, DTYPE_F32)
TYPE(f16, DTYPE_F16)
TYPE(bf16, DTYPE_BF16)
TYPE(q8_0, DTYPE_Q8_0)
TYPE(q4_0, DTYPE_Q4_0)
TYPE(q4_1, DTYPE_Q4_1)
TYPE(q5_0, DTYPE_Q5_0)
TYPE(q5_1, DTYPE_Q5_1)

/* Rotary metadata: linear and YaRN scaling. */
static void rope_types(void **state) {
    (void)state;
    compare("linear", DTYPE_F32);
    compare("yarn", DTYPE_F32);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32),  cmocka_unit_test(f16),  cmocka_unit_test(bf16), cmocka_unit_test(q8_0),
        cmocka_unit_test(q4_0), cmocka_unit_test(q4_1), cmocka_unit_test(q5_0), cmocka_unit_test(q5_1),
        cmocka_unit_test(rope_types),
    };
    return cmocka_run_group_tests_name("twin", tests, NULL, NULL);
}
