/* file_digest.h: the SHA-256 of a large file, read once: it is kept in the user's cache folder, by path, size and time. */
#ifndef FILE_DIGEST_H
#define FILE_DIGEST_H
#include "../base/base.h"

enum { DIGEST_BYTES = 32, DIGEST_TEXT = 65 };

void digest_text(const uint8_t digest[DIGEST_BYTES], char out[DIGEST_TEXT]);
/* False and an error where the file cannot be read, or changes meanwhile. Where nothing can be kept it is read every
 * time. Any thread; seconds a GB at the first time. */
bool file_digest(const char *path, uint8_t out[DIGEST_BYTES], Err *err);
#endif
