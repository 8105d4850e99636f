/* cpu_engine.h: the CPU engine: devices as lists of work, run phase by phase by workers. */
#ifndef CPU_ENGINE_H
#define CPU_ENGINE_H
#include "../graph/backend.h"

extern const Backend backend_cpu;
#endif
