/* gguf_save.h: a model saved as one GGUF file that llama.cpp opens. */
#ifndef GGUF_SAVE_H
#define GGUF_SAVE_H
#include "model_folder.h"

/* save->dtype: f32, f16, bf16, q8_0 or q4_0, of matrices: vectors are f32; a matrix whose rows are no whole blocks is
 * f16; with q4_0 the embedding and the head are q8_0. Keys and tokenizer are the source's. save->changes is not looked
 * at. An error names what GGUF, or llama.cpp, has no place for: windows of some layers, dynamic rope, heads with
 * labels. */
bool gguf_save(const ModelSave *save, const char *path, Err *err);
#endif
