/* op.c: THE TABLE of operations. A new op is one row here and one region in one file of src/ops. */
#include <string.h>
#include "../ops/loss.h"

const OpRow *const op_table[] = {
    &embed_row, &rms_norm_row, &head_norm_row, &linear_row, &rope_table_row, &rope_row, &cache_update_row,
    &attention_row, &silu_mul_row, &add_row, &scale_row, &chosen_scale_row, &scale_columns_row, &select_rows_row, &argmax_row,
    &all_reduce_row, &reduce_argmax_row,
    /* Of programs that train alone: */
    &embed_part_row, &embed_grad_row, &rms_norm_grad_row, &norm_gain_grad_row, &head_norm_grad_row, &head_gain_grad_row,
    &head_gain_sum_row, &scale_columns_grad_row, &dropout_row, &adapter_norm_row, &linear_dx_row, &linear_dw_row,
    &sum_rows_row, &attention_backward_row, &sum_group_row,
    &silu_mul_grad_row, &clear_rows_row, &put_rows_row, &row_max_row, &exp_sum_row, &row_sum_row, &label_logit_row,
    &token_loss_row, &token_loss_grad_row, &span_loss_row, &span_loss_grad_row, &square_loss_row,
    &square_loss_grad_row, &sum_states_row, &row_squares_row, &squares_row, &adamw_row,
    &adamw_vector_row, &adamw8_row, &sgd_row, &sgd_vector_row, &muon_row, &reduce_max_row, &replica_sum_row, NULL,
};

bool op_trains(const OpRow *row) {
    int first = 0;
    while (op_table[first] != &embed_part_row) first++;
    for (int i = first; op_table[i]; i++)
        if (op_table[i] == row) return true;
    return false;
}

const char *const facet_names[FACETS] = {"shape", "units", "run", "reference", "gradient", "stablehlo", "cost",
                                         "finish"};

bool op_has(const OpRow *row, Facet facet) {
    switch (facet) {
    case FACET_SHAPE: return row->shape;
    case FACET_UNITS: return row->units;
    case FACET_RUN: return row->run;
    case FACET_REFERENCE: return row->reference;
    case FACET_GRADIENT: return row->gradient;
    case FACET_STABLEHLO: return row->stablehlo;
    case FACET_COST: return row->cost;
    default: return row->finish;
    }
}
