/* adapter_write.h: adapters as PEFT's files. */
#ifndef ADAPTER_WRITE_H
#define ADAPTER_WRITE_H
#include "../io/safewriter_sharded.h"
#include "adapters.h"

/* adapter_config.json into `folder`, which is there: of tensors as the graph has them, all of the largest rank, with
 * what scales them. Several adapters are one. The members are those that every version of PEFT since DoRA knows. */
bool adapter_config_write(const Adapters *adapters, const char *folder, Err *err);

/* Both files into `folder`, which is there; `config` is the model's. The tensors are those that the graph has and
 * PEFT's files do, in f32, bf16 or f16; `read` gives the numbers of one by its name in the graph, all of them in f32;
 * NULL: those that the adapters were opened or made with. */
typedef bool AdapterRead(void *owner, const char *name, float *out, Err *err);
bool adapter_write(const Adapters *adapters, const ModelConfig *config, const char *folder, DType dtype,
                   AdapterRead *read, void *owner, Err *err);

/* The same as the folder `path`, made or added to: it is complete, or as it was (base/output_folder.h). */
bool adapter_save(const Adapters *adapters, const ModelConfig *config, const char *path, DType dtype,
                  AdapterRead *read, void *owner, Err *err);

/* The name in PEFT's files of a weight of the graph: a class of transformers, by the head, may call the layers
 * otherwise, and a weight or bias that an adapter stands beside lies in a base_layer. */
void adapter_file_name(const Adapters *adapters, const ModelConfig *config, const char *name, char *out, size_t size);
#endif
