/* gguf.h: one GGUF file, versions 2 and 3, little-endian. Format: github.com/ggml-org/ggml, docs/gguf.md. */
#ifndef GGUF_H
#define GGUF_H
#include "dtype.h"
#include "names.h"

typedef enum GgufType {
    GGUF_U8, GGUF_I8, GGUF_U16, GGUF_I16, GGUF_U32, GGUF_I32, GGUF_F32, GGUF_BOOL, GGUF_STRING, GGUF_ARRAY,
    GGUF_U64, GGUF_I64, GGUF_F64
} GgufType;

typedef struct GgufText { const char *data; size_t bytes; } GgufText; /* not NUL-terminated, in the mapped file */

typedef struct GgufValue {
    GgufText key;
    GgufType type;          /* GGUF_ARRAY: items below */
    GgufType item_type;     /* of an array; arrays of arrays are refused */
    uint64_t count;         /* items of an array, else 1 */
    const uint8_t *data;    /* numbers: unaligned little-endian; strings: length-prefixed, one after another */
    size_t bytes;           /* of data */
} GgufValue;

typedef struct GgufTensor {
    GgufText name;
    DType dtype;
    int rank;               /* 1..4 */
    int64_t dim[4];         /* outermost first (the file stores innermost first) */
    const uint8_t *data;
    size_t bytes;
} GgufTensor;

typedef struct Gguf {
    MappedFile file;
    uint32_t version;
    GgufValue *values;
    uint64_t value_count;
    GgufTensor *tensors;
    uint64_t tensor_count;
    Name *keys, *names;     /* indices of values and tensors, sorted */
    Arena arena;
} Gguf;

/* Everything is checked here, before use: counts and lengths against the file's size, no key or tensor twice, known
 * types, shapes that do not wrap and are whole blocks, data aligned, inside the file and without overlap. */
bool gguf_open(Gguf *gguf, const char *path, Err *err);
bool gguf_parse(Gguf *gguf, const uint8_t *data, size_t bytes, const char *path, Err *err); /* bytes outlive *gguf */
void gguf_close(Gguf *gguf);

const GgufValue *gguf_find(const Gguf *gguf, const char *key);              /* NULL if absent */
/* Typed reads: false and an error when the key is absent or of another type. _int takes any integer width, and an array
 * of integers that are all equal (values per layer); _float any number. */
bool gguf_int(const Gguf *gguf, const char *key, int64_t *out, Err *err);
bool gguf_float(const Gguf *gguf, const char *key, double *out, Err *err);
bool gguf_bool(const Gguf *gguf, const char *key, bool *out, Err *err);
bool gguf_text(const Gguf *gguf, const char *key, GgufText *out, Err *err);
/* Walks an array of strings: start with *cursor = value->data; false past the last. Lengths were checked at parse. */
bool gguf_next_text(const GgufValue *value, const uint8_t **cursor, GgufText *out);

const GgufTensor *gguf_tensor(const Gguf *gguf, const char *name);          /* NULL if absent */
/* The path of the only .gguf file of a folder, malloc'ed; NULL: there is none. Several are an error. */
bool gguf_in_folder(const char *folder, char **path, Err *err);

/* What configuration and tokenizer need of a GGUF file, as a GGUF file without the weights: the keys, and the vectors
 * of rotary divisors and of block 0, whose presence says which biases the model has. */
bool gguf_extract(const Gguf *gguf, Text *out, Err *err);
#endif
