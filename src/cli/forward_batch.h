/* forward_batch.h: what `forward` and `embed` read from a safetensors file. */
#ifndef FORWARD_BATCH_H
#define FORWARD_BATCH_H
#include "../base/base.h"

/* All malloc'ed; NULL: the file has none. Integers may be i32 or i64 in the file. */
typedef struct ForwardBatch {
    int64_t b, s;
    int32_t *ids, *mask, *positions;  /* [b, s]: input_ids, attention_mask, position_ids */
    int32_t *labels;                  /* [label_dim], whole numbers                       */
    float *label_values;              /* or f32 ones; one of the two is NULL              */
    int64_t label_rank, label_dim[2]; /* 0: there are no labels                           */
    int32_t *starts, *ends;           /* [b]: start_positions, end_positions              */
} ForwardBatch;

bool forward_batch_read(ForwardBatch *batch, const char *path, Err *err);
void forward_batch_free(ForwardBatch *batch);
/* Whether labels have the shape [rows, columns]; columns 0: [rows]. */
bool forward_labels(const ForwardBatch *batch, int64_t rows, int64_t columns);
#endif
