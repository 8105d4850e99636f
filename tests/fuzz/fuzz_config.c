/* fuzz_config.c: any text as config.json. */
#include "../../src/io/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static ModelConfig config;
    Err err = {0};
    if (config_from_json(&config, (const char *)data, bytes, "fuzz", &err)) config_parameters(&config);
    return 0;
}
