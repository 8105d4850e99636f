/* adapter_merge.h: a model's weights with its adapters worked in: W + scale B A, of DoRA times magnitude over norm. */
#ifndef ADAPTER_MERGE_H
#define ADAPTER_MERGE_H
#include "../io/safewriter_sharded.h"
#include "adapters.h"

/* Every weight of the model as a tensor to save (by names of the graph, in the order of a state dict), f32: those that
 * no adapter touches as they are, those that it replaces as it has them, quantised ones at their own values. The base's
 * head is untied where an adapter stands beside it: *config then says so. Called after adapters_join; adapters and
 * weights outlive the list. False on error, and nothing is to be freed. */
typedef struct MergedWeights { SaveTensor *tensors; int64_t count; Arena arena; } MergedWeights;
bool merged_weights(MergedWeights *merged, const Adapters *adapters, ModelConfig *config, Weights *weights, Err *err);
void merged_weights_free(MergedWeights *merged);
#endif
