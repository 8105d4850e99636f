/* weights_random.c: see weights_random.h. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "weights_random.h"

enum { RANDOM_PAGES = 1021 }; /* of the block: a prime, so that it repeats out of step with rows */

/* Where a block has its f16 scale and minimum; -1: none. */
static const struct { DType type; int scale, min; } blocks[] = {
    {DTYPE_Q8_0, 0, -1}, {DTYPE_Q4_0, 0, -1}, {DTYPE_Q4_1, 0, 2},   {DTYPE_Q5_0, 0, -1},
    {DTYPE_Q5_1, 0, 2},  {DTYPE_Q4_K, 0, 2},  {DTYPE_Q5_K, 0, 2},   {DTYPE_Q6_K, 208, -1},
};

static uint32_t random_next(uint64_t *state) { /* xorshift64*, Vigna 2016 */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)(*state * 2685821657736338717u >> 32);
}

/* Plain numbers of either sign between 1/128 and 1/32: no zeros, no subnormals, which would change the speed. */
static bool random_plain(DType type, uint8_t *data, size_t bytes) {
    uint64_t state = 88172645463325252u;
    for (size_t at = 0; at < bytes; at += (size_t)dtype_row(type)->block_bytes) {
        uint32_t r = random_next(&state), u = (r & 0x80ffffffu) + 0x3c000000u;
        float f;
        memcpy(&f, &u, sizeof f);
        uint16_t half = type == DTYPE_BF16 ? f32_to_bf16(f) : f32_to_f16(f);
        if (type == DTYPE_F32) memcpy(data + at, &f, sizeof f);
        else if (type == DTYPE_BF16 || type == DTYPE_F16) memcpy(data + at, &half, sizeof half);
        else return false;
    }
    return true;
}

/* Random digits under a scale that makes values of about 1/64. */
static bool random_blocks(DType type, uint8_t *data, size_t bytes) {
    uint64_t state = 88172645463325252u;
    size_t i = 0, count = sizeof blocks / sizeof *blocks, block = (size_t)dtype_row(type)->block_bytes;
    while (i < count && blocks[i].type != type) i++;
    if (i == count) return random_plain(type, data, bytes);
    for (size_t at = 0; at < bytes; at++) data[at] = (uint8_t)random_next(&state);
    double digits = type == DTYPE_Q8_0 ? 128 : type == DTYPE_Q5_0 || type == DTYPE_Q5_1 ? 16 : 8;
    if (type == DTYPE_Q4_K || type == DTYPE_Q5_K) digits *= 32; /* times a scale of 6 bits */
    if (type == DTYPE_Q6_K) digits *= 4 * 64;
    for (size_t at = 0; at < bytes; at += block) {
        uint16_t scale = f32_to_f16((float)((1.0 + random_next(&state) / 4294967296.0) / 64 / digits));
        uint16_t min = blocks[i].min >= 0 && type != DTYPE_Q4_K && type != DTYPE_Q5_K
                           ? (uint16_t)(0x8000 | f32_to_f16(1.0f / 64))
                           : scale;
        memcpy(data + at + blocks[i].scale, &scale, sizeof scale);
        if (blocks[i].min >= 0) memcpy(data + at + blocks[i].min, &min, sizeof min);
    }
    return true;
}

bool random_pages(DType type, size_t bytes, uint8_t **pages, size_t *mapped, Err *err) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), unit = (size_t)dtype_row(type)->block_bytes;
    size_t block = (RANDOM_PAGES + unit - 1) / unit * unit * page;
    *mapped = (bytes + block - 1) / block * block;
    int fd = memfd_create("generated weights", MFD_CLOEXEC);
    void *all = mmap(NULL, *mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all != MAP_FAILED) *pages = all;
    bool ok = fd >= 0 && all != MAP_FAILED && ftruncate(fd, (off_t)block) == 0, known = true;
    if (ok) {
        uint8_t *first = mmap(NULL, block, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ok = first != MAP_FAILED;
        known = !ok || random_blocks(type, first, block);
        if (ok) munmap(first, block);
    }
    for (size_t at = 0; ok && at < *mapped; at += block)
        ok = mmap(*pages + at, block, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) != MAP_FAILED;
    if (!ok) err_as(err, QM_IO, "generated weights: cannot map %zu bytes: %s", *mapped, strerror(errno));
    if (fd >= 0) close(fd);
    return ok && (known || err_set(err, "generated weights: %s is no weight type", dtype_row(type)->name));
}
