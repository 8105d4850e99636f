/* fuzz_adapter.c: two bytes, the length of an adapter_config.json, then that, then an adapter_model.safetensors. What
 * is taken has modules with matrices of one rank, a scale that is a number, and names that the graph can have. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../../src/io/adapter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(bool holds) {
    if (!holds) abort();
}

static void check_module(const Adapter *a, const AdapterModule *m) {
    check(m->a && m->b && m->rank >= 1 && m->rank <= MAX_ADAPTER_RANK && isfinite(m->scale));
    check(m->a->rank == 2 && m->b->rank == 2 && m->a->dim[0] == m->rank && m->b->dim[1] == m->rank);
    check(m->a->bytes >= (size_t)(m->rank * m->a->dim[1]) * 2 && a->config.dora == (m->magnitude != NULL));
    check(memchr(m->name, 0, sizeof m->name) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 2) return 0;
    size_t config = (size_t)data[0] | (size_t)data[1] << 8;
    if (config > bytes - 2) config = bytes - 2;
    Err err = {0};
    Adapter *a = adapter_parse((const char *)data + 2, config, data + 2 + config, bytes - 2 - config, "input", &err);
    check((a == NULL) == (err.kind != QM_OK));
    for (int64_t i = 0; a && i < a->count; i++) {
        check_module(a, &a->modules[i]);
        check(i == 0 || strcmp(a->modules[i - 1].name, a->modules[i].name) < 0);
    }
    for (int64_t i = 0; a && i < a->weight_count; i++) check(memchr(a->weights[i].name, 0, sizeof a->weights[i].name));
    adapter_close(a);
    return 0;
}
