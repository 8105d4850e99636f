/* kernels_select.h: which table of kernels this CPU runs. Tables, weakest first: reference (plain C), avx2 (with FMA
 * and F16C), avx512 (F, BW, VL, DQ), avx512vnni (and VNNI), avx512bf16 (and BF16). All give the same bits; a weaker one
 * is asked for by tests and bug hunts. */
#ifndef KERNELS_SELECT_H
#define KERNELS_SELECT_H
#include "../ops/kernels.h"

/* Name of table i, weakest first; NULL past the last one. Names not on this CPU are listed too. */
const char *kernels_name(int i);
/* The best table of this CPU (limit NULL), or the table called `limit`. NULL and an error when there is no such name or
 * this CPU or build lacks it. */
const Kernels *kernels_select(const char *limit, Err *err);
/* Whether dot_pairs gives the bits that ops/kernels.h asks for, on some hundred pairs chosen to be hard. Asked of this
 * CPU's vdpbf16ps before it is used. */
bool kernels_pairs_conform(const Kernels *k);
#endif
