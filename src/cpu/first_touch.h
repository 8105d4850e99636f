/* first_touch.h: which worker reads which weights in a decode step, and where their memory is. */
#ifndef FIRST_TOUCH_H
#define FIRST_TOUCH_H
#include "cpu_state.h"

/* Calls visit(context, bytes from, bytes) for every piece of a weight matrix that a worker reads in a step of one row;
 * together the workers' pieces cover every matrix. After cpu_plan; not while a step runs. */
void owner_pieces(Cpu *cpu, int worker, void (*visit)(void *context, uint8_t *from, size_t bytes), void *context);
/* The system places a page at the memory of the CPU that touches it first: every worker touches its own pieces of the
 * packed weights, which nothing has been written to yet. */
void first_touch(Cpu *cpu);
#endif
