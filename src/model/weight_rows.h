/* weight_rows.h: rows of a stored matrix as plain f32, whatever type and layout it is stored in. */
#ifndef WEIGHT_ROWS_H
#define WEIGHT_ROWS_H
#include "../io/weights.h"

/* Rows [first, first + count) of a matrix, or of a vector (a row is one number), to out [count, columns]: the exact
 * values. Of a packed file whose rows were not kept they come out of its panels: those of the weights as packed. */
bool weight_rows(const WeightTensor *tensor, int64_t first, int64_t count, float *out, Err *err);
/* Columns of a row; 1 of a vector. */
static inline int64_t weight_columns(const WeightTensor *t) { return t->rank > 1 ? t->dim[1] : 1; }
#endif
