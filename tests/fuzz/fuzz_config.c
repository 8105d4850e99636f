/* fuzz_config.c: arbitrary text as config.json. What is accepted has sizes that fit together. */
#include <math.h>
#include <stdlib.h>
#include "../../src/model/family.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    ModelConfig c;
    Err err = {0};
    if (config_from_json(&c, (const char *)data, bytes, "input", &err) == (err.kind != QM_OK)) abort();
    if (err.kind) return 0;
    if (c.layers < 1 || c.layers > MAX_LAYERS || c.heads % c.kv_heads || config_group(&c) < 1 ||
        !family_of(&c))
        abort();
    if (c.rope.dim % 2 || c.rope.dim < 2 || c.rope.dim > c.head_dim || c.head_dim > MAX_HEAD_DIM) abort();
    if (!isfinite(c.rope.theta) || !isfinite(c.rope.factor) || !isfinite(c.rope.attention_factor) ||
        c.rope.original_max < 1)
        abort();
    for (int i = 0; i < c.eos_count; i++)
        if (c.eos[i] < 0 || c.eos[i] >= c.vocab) abort();
    for (int64_t i = 0; i < c.layers; i++)
        if (c.window[i] < 0) abort();
    return 0;
}
