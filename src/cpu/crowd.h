/* crowd.h: how many workers decode while other programs hold cores. Workers that share a step wait for the slowest, so
 * beside a busy program two can be slower than one. A step's bits do not depend on how many run it: where they keep
 * sleeping long for each other, a few steps are tried with fewer, later with more again, and what is faster stays. A
 * machine without other programs never gets there. One caller at a time. */
#ifndef CROWD_H
#define CROWD_H
#include "../base/base.h"

/* A window is some steps of equally many rows and workers. All times in seconds. */
typedef struct Crowd {
    int most, active;      /* workers there are, and that run steps now */
    int trial;             /* workers of a trial in hand; 0: none       */
    double pace;           /* a step of `active`, in the faster of the last two full windows; 0: not known yet */
    double last;           /* the same of the last one */
    int late;              /* windows in a row in which workers slept long */
    double wait, next;     /* between trials, and when the next may begin */
    int64_t rows;          /* of the window's steps */
    int steps;             /* of the window, and what they took */
    double seconds, slept;
} Crowd;

void crowd_init(Crowd *c, int most);
int crowd_workers(const Crowd *c); /* for the next step */
/* A step of `rows` rows took `seconds`, for `slept` of which its workers slept for each other, in all; it ended at
 * `now`, a clock. */
void crowd_learn(Crowd *c, int64_t rows, double seconds, double slept, double now);
#endif
