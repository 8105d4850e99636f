/* fuzz_safetensors.c: any bytes as a safetensors file. */
#include "../../src/io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    SafeTensors st;
    Err err = {0};
    if (!safetensors_parse(&st, data, bytes, "fuzz", &err)) return 0;
    volatile uint8_t last = 0;
    for (int64_t i = 0; i < st.count; i++)
        if (st.tensors[i].bytes) last = st.tensors[i].data[st.tensors[i].bytes - 1];
    (void)last;
    safetensors_close(&st);
    return 0;
}
