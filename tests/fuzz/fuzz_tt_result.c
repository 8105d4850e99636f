/* fuzz_tt_result.c: serialised Tenstorrent programs: whatever the bytes, reading ends; counts and sizes make sense. */
#include <stdlib.h>
#include <string.h>
#include "../../src/pjrt/tt_result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    TtResult result;
    TtReport r;
    Err err = {0};
    if (!tt_result_read(data, bytes, &result, &err) || !tt_report_read(&result, &r, &err)) {
        if (!err.kind || !err.text[0]) abort();
        return 0;
    }
    if (r.argument_bytes < 0 || r.prepared_bytes < 0 || r.temporary_bytes < 0 || r.relayout_bytes < 0 ||
        r.dram_bytes < 0 || r.parameter_bytes < 0)
        abort();
    for (int i = 0; i < r.ops; i++)
        if (r.op[i].count < 1 || !memchr(r.op[i].name, 0, TT_NAME)) abort();
    tt_report_free(&r);
    return 0;
}
