/* pjrt.h: the backend that runs programs on the devices of a PJRT plugin. */
#ifndef PJRT_H
#define PJRT_H
#include "../graph/backend.h"

extern const Backend backend_pjrt;
extern const Backend backend_pjrt_train; /* of programs that train */
#endif
