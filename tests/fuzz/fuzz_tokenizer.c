/* fuzz_tokenizer.c: any bytes as tokenizer.json; what loads must encode and decode. */
#include <stdlib.h>
#include "../../src/text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    Err err = {0};
    QmTokenizer *t = tokenizer_new(&err);
    int32_t *ids = NULL;
    if (t && tokenizer_load_json(t, data, bytes, "fuzz", &err)) {
        int64_t n = qm_tokenizer_encode(t, "ab a\xff 12\n", 9, true, &ids, &err);
        if (n > 0) free(qm_tokenizer_decode(t, ids, n, false, NULL, &err));
    }
    free(ids);
    qm_tokenizer_close(t);
    return 0;
}
