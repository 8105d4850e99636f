/* half.c: see half.h. */
#include "dtype.h"
#include "half.h"

float f16_to_f32(uint16_t h) { return half_to_float(h); }
