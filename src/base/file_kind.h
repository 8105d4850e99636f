/* file_kind.h: files that are recognisably something else than a model's. */
#ifndef FILE_KIND_H
#define FILE_KIND_H
#include "base.h"

/* True for a Git LFS pointer, which no text is meant to be. Then an error says so. */
bool file_is_pointer(const void *data, size_t bytes, const char *path, Err *err);
/* True for a Git LFS pointer, a web page, an archive. Then an error says so. */
bool file_is_other(const void *data, size_t bytes, const char *path, Err *err);
#endif
