/* quant.h: the readers of GGUF's block formats, entries of the table in dtype.c. */
#ifndef QUANT_H
#define QUANT_H
#include "dtype.h"

DTypeRead read_q4_0, read_q4_1, read_q5_0, read_q5_1, read_q8_0, read_q4_k, read_q5_k, read_q6_k;
#endif
