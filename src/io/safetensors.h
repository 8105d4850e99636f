/* safetensors.h: one safetensors file, read and written. Format: github.com/huggingface/safetensors, README. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H
#include "dtype.h"
#include "names.h"

typedef struct SafeTensor {
    const char *name;
    DType dtype;
    int rank;               /* <= 8 */
    int64_t dim[8];
    const uint8_t *data;
    size_t bytes;
} SafeTensor;

typedef struct SafeTensors {
    MappedFile file;
    SafeTensor *tensors;    /* in file order */
    int64_t count;
    Name *index;            /* sorted by name, item = place in tensors */
    Arena arena;
} SafeTensors;

/* Validates everything before use: header size (<= 100 MB, inside the file), JSON, no duplicate names, known dtypes,
 * shapes that multiply to the byte range without wrapping, no overlap, no holes, whole buffer covered. */
/* Whether a file begins as one does: a length, then a JSON object. */
bool safetensors_is(const uint8_t *data, size_t bytes);
bool safetensors_open(SafeTensors *st, const char *path, Err *err);
/* The same on bytes in memory that outlive *st; `path` is for messages. What the fuzzer calls. */
bool safetensors_parse(SafeTensors *st, const uint8_t *data, size_t bytes, const char *path, Err *err);
void safetensors_close(SafeTensors *st);
const SafeTensor *safetensors_find(const SafeTensors *st, const char *name);

/* Writes a file: first the list of names, dtypes and shapes, then each tensor's data in pieces, in order. */
typedef struct SafeWriter SafeWriter;
SafeWriter *safewriter_open(const char *path, const SafeTensor *tensors, int64_t count, Err *err); /* data unused */
bool safewriter_data(SafeWriter *w, const void *data, size_t bytes, Err *err);
/* Error if fewer or more bytes came than declared; frees w always. The file appears under its name only when all went
 * well: until then it is PATH.partial, which an error removes. */
bool safewriter_close(SafeWriter *w, Err *err);
#endif
