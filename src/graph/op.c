/* op.c: THE TABLE of operations. A new op is one row here and one region in one file of src/ops. */
#include "graph.h"

const OpRow *const op_table[] = {
    &embed_row, &rms_norm_row, &linear_row, &rope_table_row, &rope_row, &cache_update_row, &attention_row,
    &silu_mul_row, &add_row, &select_rows_row, &argmax_row, &all_reduce_row, &reduce_argmax_row, NULL,
};
