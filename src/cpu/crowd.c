/* crowd.c: see crowd.h. */
#include "crowd.h"

enum { WINDOW_STEPS = 3, LATE_WINDOWS = 2 /* in a row: a pause of the machine is not another program */ };
static const double WINDOW_SECONDS = 0.03;       /* some rounds of the scheduler */
static const double LATE = 0.1;                  /* part of their time that workers sleep in a late window */
static const double GAIN = 0.97;                 /* of the pace, that a trial with more workers must reach */
static const double WAIT_LEAST = 0.1, WAIT_MOST = 2;
static const double TRIAL_SHARE = 0.04;          /* of all time, that trials without success may cost */

void crowd_init(Crowd *c, int most) { *c = (Crowd){.most = most, .active = most, .wait = WAIT_LEAST}; }

int crowd_workers(const Crowd *c) { return c->trial ? c->trial : c->active; }

static void window_begin(Crowd *c, int64_t rows) {
    c->rows = rows;
    c->steps = 0;
    c->seconds = c->slept = 0;
}

static bool window_full(const Crowd *c) { return c->steps >= WINDOW_STEPS && c->seconds >= WINDOW_SECONDS; }

/* A quarter of the workers less or more, one at least. */
static int fewer(const Crowd *c) { return c->active - (c->active + 3) / 4; }
static int more(const Crowd *c) {
    int n = c->active + (c->active + 2) / 3;
    return n < c->most ? n : c->most;
}

static void trial_end(Crowd *c, bool better, double pace, double now) {
    double lost = c->seconds - c->steps * c->pace;
    if (better) {
        c->active = c->trial;
        c->pace = c->last = pace;
        c->wait = WAIT_LEAST;
        c->late = 0;
    } else {
        c->wait = c->wait < WAIT_MOST / 2 ? 2 * c->wait : WAIT_MOST;
        if (c->wait < lost / TRIAL_SHARE) c->wait = lost / TRIAL_SHARE;
    }
    c->trial = 0;
    c->next = now + c->wait;
    window_begin(c, c->rows);
}

/* Fewer workers stay where they are no slower: they leave a core to others. */
static void trial_look(Crowd *c, double now) {
    double pace = c->seconds / c->steps;
    if (c->seconds > WINDOW_STEPS * c->pace && pace > 2 * c->pace) trial_end(c, false, pace, now);
    else if (window_full(c)) trial_end(c, pace < (c->trial > c->active ? GAIN : 1) * c->pace, pace, now);
}

void crowd_learn(Crowd *c, int64_t rows, double seconds, double slept, double now) {
    if (c->most < 2) return;
    if (rows != c->rows) {
        c->trial = c->late = 0;
        c->pace = c->last = 0;
        window_begin(c, rows);
    }
    c->steps++;
    c->seconds += seconds;
    c->slept += slept;
    if (c->trial) {
        trial_look(c, now);
        return;
    }
    if (!window_full(c)) return;
    double pace = c->seconds / c->steps;
    c->pace = c->last > 0 && c->last < pace ? c->last : pace;
    c->last = pace;
    bool waited = c->active > 1 && c->slept > LATE * c->seconds * (c->active - 1);
    c->late = waited ? c->late + 1 : 0;
    bool late = c->late >= LATE_WINDOWS;
    if (now >= c->next && (late || (!waited && c->active < c->most))) c->trial = late ? fewer(c) : more(c);
    window_begin(c, rows);
}
