/* plan_serve.h: what `plan --serve` shows: slots, memory and machines for a load of requests. */
#ifndef PLAN_SERVE_H
#define PLAN_SERVE_H
#include "plan.h"

typedef struct PlanServe {
    double rate;                   /* requests a second                                                             */
    int64_t prompt, cached, fresh; /* tokens of a prompt; those of it that the prefix cache has; of an answer      */
    const char *decode;            /* "1:48,8:250": sequences and their tokens a second together; NULL: a guess from
                                     what this machine does                                                        */
    double prefill;                /* tokens of prompts a second; 0: as above                                       */
    double wait;                   /* seconds within which 99 of 100 requests shall have a slot                     */
    double busy;                   /* share of what a machine can do that may be asked of it, 0..1                  */
    double memory;                 /* GiB of a device; 0: not said                                                  */
} PlanServe;

/* Prints it; each machine is one mesh of `p`, whose slots are set. False and an error where no number of machines
 * does. */
bool plan_serve(const PlanServe *load, Plan *p, Err *err);
#endif
