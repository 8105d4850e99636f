/* train_pack.h: which pieces of which samples make which row. Plans are lengths in, numbers out. */
#ifndef TRAIN_PACK_H
#define TRAIN_PACK_H
#include "../base/base.h"

typedef struct PackPiece { int64_t sample, first, count; } PackPiece;

/* Row r holds piece[row[r]] .. piece[row[r + 1] - 1], in that order. Owned arrays. */
typedef struct PackPlan { PackPiece *piece; int64_t *row; int64_t pieces, rows; } PackPlan;

/* Lengths are >= 1. Each row holds at most `capacity` tokens; false only where memory ends.
 * none: a sample a row, cut. bfd: best-fit decreasing as TRL has it: samples (cut, or in pieces of `capacity`), longest
 * first, those of a length in order; each goes into the row with the least room that takes it, of equal ones into the
 * one that has had that room longest, else opens a row. */
bool pack_none(const int64_t *lengths, int64_t count, int64_t capacity, PackPlan *out, Err *err);
bool pack_bfd(const int64_t *lengths, int64_t count, int64_t capacity, bool split, PackPlan *out, Err *err);
/* Joined and cut: every row full; of each `group` samples (0: all) the rest is a short row, or, !keep_rest, left
 * out. */
bool pack_joined(const int64_t *lengths, int64_t count, int64_t capacity, int64_t group, bool keep_rest, PackPlan *out,
                 Err *err);
void pack_free(PackPlan *plan);
#endif
