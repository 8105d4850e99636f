/* gguf_writer.h: one GGUF file of version 3 written: keys and tensors are told first, then data comes in pieces, so
 * that no checkpoint need lie in memory. The file appears under its name only when it is whole and on disk. */
#ifndef GGUF_WRITER_H
#define GGUF_WRITER_H
#include "gguf.h"

enum { GGUF_WRITER_ALIGN = 32 };

typedef struct GgufOutput GgufOutput;

GgufOutput *gguf_writer_new(Err *err); /* freed by gguf_writer_end */

/* Keys. A failure of memory shows in gguf_writer_begin. */
void gguf_writer_u32(GgufOutput *w, const char *key, uint32_t value);
void gguf_writer_f32(GgufOutput *w, const char *key, float value);
void gguf_writer_bool(GgufOutput *w, const char *key, bool value);
void gguf_writer_text(GgufOutput *w, const char *key, const char *data, size_t bytes);
/* `items`: as they stand in the file: of texts each behind its length (gguf_writer_item). */
void gguf_writer_array(GgufOutput *w, const char *key, GgufType item, uint64_t count, const Text *items);
void gguf_writer_item(Text *items, const char *data, size_t bytes);
void gguf_writer_value(GgufOutput *w, const GgufValue *value); /* of another file, as it is */

/* A tensor, in the order of the data; dim: outermost first. False: its rows are no whole blocks of the type. */
bool gguf_writer_tensor(GgufOutput *w, const char *name, DType type, int rank, const int64_t *dim, Err *err);

/* Writes what was told so far. */
bool gguf_writer_begin(GgufOutput *w, const char *path, Err *err);
/* Data of the tensors in order, in pieces that end where a tensor does, or before. */
bool gguf_writer_data(GgufOutput *w, const void *data, size_t bytes, Err *err);
/* Error if ok and not all data came; frees w, which may be NULL. */
bool gguf_writer_end(GgufOutput *w, bool ok, Err *err);
#endif
