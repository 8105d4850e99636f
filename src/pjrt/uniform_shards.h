/* uniform_shards.h: a device's part of a weight, cut straight from the file, padded with zeros to the uniform local shape. */
#ifndef UNIFORM_SHARDS_H
#define UNIFORM_SHARDS_H
#include "../graph/lower.h"
#include "../io/weights.h"

/* Writes the local value of a weight argument, row-major in its type (f32 or bf16), to out, lower_argument_bytes
 * long and zero: what is padding is left alone. */
bool shard_fill(const Program *program, const LowerArgument *argument, const WeightTensor *tensor, int device,
                void *out, Err *err);
/* The file's own bytes when they are just what the device needs; else NULL. */
const void *shard_in_file(const Program *program, const LowerArgument *argument, const WeightTensor *tensor,
                          int device);
/* Whether two devices need the same bytes of a weight. */
bool shard_same(const Program *program, const LowerArgument *argument, int device, int other);
#endif
