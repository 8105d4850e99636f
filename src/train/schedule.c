/* schedule.c: see schedule.h. */
#include <math.h>
#include <string.h>
#include "plain_math.h"
#include "schedule.h"

bool schedule_named(const char *name, ScheduleKind *kind) {
    static const struct {
        const char *name;
        ScheduleKind kind;
    } names[] = {
        {"constant", SCHEDULE_CONSTANT}, {"constant_with_warmup", SCHEDULE_CONSTANT},
        {"linear", SCHEDULE_LINEAR},     {"cosine", SCHEDULE_COSINE},
        {"wsd", SCHEDULE_WSD},           {"warmup_stable_decay", SCHEDULE_WSD},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i].name)) return *kind = names[i].kind, true;
    return false;
}

bool decay_named(const char *name, DecayKind *kind) {
    static const char *const names[DECAYS] = {"cosine", "linear", "1-sqrt"};
    for (int i = 0; i < DECAYS; i++)
        if (!strcmp(name, names[i])) return *kind = (DecayKind)i, true;
    return false;
}

/* (1 + cos(pi x)) / 2 for x of 0 to 1. */
static double half_cosine(double x) { return 0.5 * (1 - plain_sin_pi(x - 0.5)); }

static double decayed(const Schedule *s, double progress) {
    double factor = s->decay == DECAY_COSINE   ? half_cosine(progress)
                    : s->decay == DECAY_LINEAR ? 1 - progress
                                               : 1 - sqrt(progress);
    return factor * (1 - s->least) + s->least;
}

static int64_t at_least_one(int64_t n) { return n > 1 ? n : 1; }

double schedule_rate(const Schedule *s, int64_t step) {
    int64_t at = step - 1, rest = at_least_one(s->steps - s->warmup), stable = s->steps - s->decay_steps;
    double factor = 1, progress;
    if (at < s->warmup) {
        factor = (double)at / (double)at_least_one(s->warmup);
        if (s->kind == SCHEDULE_WSD) factor = factor * (1 - s->least) + s->least;
        return s->peak * factor;
    }
    switch (s->kind) {
    case SCHEDULE_LINEAR: factor = (double)(s->steps - at) / (double)rest; break;
    case SCHEDULE_COSINE: factor = half_cosine(fmin((double)(at - s->warmup) / (double)rest, 1)); break;
    case SCHEDULE_WSD:
        if (at < stable) break;
        progress = (double)(at - stable) / (double)at_least_one(s->decay_steps);
        factor = progress < 1 ? decayed(s, progress) : s->least;
        break;
    default: break;
    }
    return s->peak * fmax(factor, 0);
}
