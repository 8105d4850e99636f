/* fixture.h: what several tests start from: the Qwen2.5 tokenizer, the real model's path, numbers that vary. */
#ifndef FIXTURE_H
#define FIXTURE_H
#include <stdlib.h>
#include "../src/base/base.h"

#define FIXTURE __attribute__((unused)) static /* a test may need only some of it */

FIXTURE QmTokenizer *qwen;

/* Setup and teardown of a group: opens and closes `qwen`. */
FIXTURE int open_qwen(void **state) {
    (void)state;
    Err err = {0};
    qwen = qm_tokenizer_open("tests/data/qwen2.5", &err);
    if (!qwen) fprintf(stderr, "%s\n", err.text);
    return qwen ? 0 : -1;
}

FIXTURE int close_qwen(void **state) {
    (void)state;
    qm_tokenizer_close(qwen);
    return 0;
}

/* Where the real model is, if it is. */
FIXTURE const char *smollm_path(void) {
    const char *path = getenv("QWENMESH_SMOLLM2");
    return path ? path : "models/SmolLM2-135M-Instruct.Q4_1.gguf";
}

/* A sanitizer's build looks for faults of memory and of threads, which few meshes and models show as well as many; that
 * numbers and bits are right on all of them is the plain build's to show. */
FIXTURE bool brief(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

FIXTURE uint64_t random_state = 88172645463325252u;

FIXTURE uint32_t random_below(uint32_t n) { /* xorshift64*, Vigna 2016 */
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * 2685821657736338717u >> 32) % n;
}
#endif
