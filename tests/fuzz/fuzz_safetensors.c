/* fuzz_safetensors.c: arbitrary bytes as a safetensors file. What is accepted covers its data exactly. */
#include <stdlib.h>
#include "../../src/io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    SafeTensors st;
    Err err = {0};
    if (!safetensors_parse(&st, data, bytes, "input", &err)) {
        if (!err.kind) abort();
        return 0;
    }
    const uint8_t *at = NULL;
    for (int64_t i = 0; i < st.count; i++) {
        const SafeTensor *t = &st.tensors[i];
        if ((at && t->data != at) || t->data < data || t->bytes > (size_t)(data + bytes - t->data)) abort();
        if (safetensors_find(&st, t->name) != t) abort();
        at = t->data + t->bytes;
    }
    if (at && at != data + bytes) abort();
    safetensors_close(&st);
    return 0;
}
