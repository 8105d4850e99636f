/* schedule.h: the learning rate of each step. */
#ifndef SCHEDULE_H
#define SCHEDULE_H
#include "../base/base.h"

typedef enum ScheduleKind { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULE_WSD, SCHEDULES } ScheduleKind;
/* How the last part of warm-up-stable-decay falls: half a cosine, a line, or one minus the square root. */
typedef enum DecayKind { DECAY_COSINE, DECAY_LINEAR, DECAY_SQRT, DECAYS } DecayKind;

/* decay_steps: of SCHEDULE_WSD alone, the last ones. least: what the decay of SCHEDULE_WSD ends at, a part of peak. */
typedef struct Schedule {
    ScheduleKind kind;
    double peak;
    int64_t warmup, steps, decay_steps;
    DecayKind decay;
    double least;
} Schedule;

/* By a name of --lr-scheduler-type: "constant", "linear", "cosine", "wsd", and the longer ones that transformers has
 * for the same; by a name of --decay-type: "cosine", "linear", "1-sqrt". False: neither. */
bool schedule_named(const char *name, ScheduleKind *kind);
bool decay_named(const char *name, DecayKind *kind);

/* The rate in force in step `step`, counted from 1: transformers' get_*_schedule, whose LambdaLR counts from 0, so that
 * with a warm-up the first step's rate is 0. The same bits on every machine. */
double schedule_rate(const Schedule *schedule, int64_t step);
#endif
