/* attention_grad.h: the backward pass of causal attention of one sequence and one query head, without the square of its
 * length in memory (Dao 2023, "FlashAttention-2"): probabilities are computed anew from what attention left in
 * AttentionRow.stats. A plain function over kernels.
 */
#ifndef ATTENTION_GRAD_H
#define ATTENTION_GRAD_H
#include "kernels.h"

/* Rows of a sequence, of one head each: row t at x + t * stride. */
typedef struct HeadRows { const float *x; int64_t stride; } HeadRows;
typedef struct HeadGrad { float *x; int64_t stride; } HeadGrad;

/* Row t sees positions p = t - window + 1 .. t (window 0: 0 .. t). With s and P of kernels.h and the row's m and l,
 *     D[t] = sum of o * d_out (16 lanes, fmaf)          P[t][p] = exp_f32(s - m) / l
 *     dS[t][p] = P[t][p] * (sum over c of d_out[t][c] v[p][c] - D[t])     (c in order from 0, fmaf)
 *     dq[t] = scale * sum over p of dS[t][p] k[p]       dk[p] = scale * sum over t of dS[t][p] q[t]
 *     dv[p] = sum over t of P[t][p] d_out[t]            (all in order from 0, fmaf)
 * P and dS are 0 where p is not seen; such a p or t may be among the terms or not. dq, dk and dv are of this query head
 * alone; they may not be inputs. */
typedef struct AttentionGrad {
    HeadRows q, k, v, o, d_out;
    const float *stats; /* m and l of row t at stats[t * stats_step] */
    int64_t stats_step;
    int64_t rows, channels, window; /* rows >= 1, channels even, >= 2 */
    float scale;
    HeadGrad dq, dk, dv;
    float *scratch;     /* attention_grad_scratch floats, 64-byte aligned */
} AttentionGrad;

void attention_grad(const Kernels *k, const AttentionGrad *a);
int64_t attention_grad_scratch(int64_t rows, int64_t channels);
#endif
