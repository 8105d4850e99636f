/* weights_random.h: generated values for measuring speed. */
#ifndef WEIGHTS_RANDOM_H
#define WEIGHTS_RANDOM_H
#include "dtype.h"

/* Maps at least `bytes` of address space onto one block of values of `type`, over and over: it takes a few MiB. *pages,
 * NULL or *mapped bytes, is the caller's to munmap, also after failure. */
bool random_pages(DType type, size_t bytes, uint8_t **pages, size_t *mapped, Err *err);
#endif
