/* generation_parameters.h: within src/infer: what the header's QmParameters hold. */
#ifndef GENERATION_PARAMETERS_H
#define GENERATION_PARAMETERS_H
#include "generation.h"

struct QmParameters { GenerationConfig config; };
#endif
