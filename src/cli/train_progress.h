/* train_progress.h: a run of training at the terminal. */
#ifndef TRAIN_PROGRESS_H
#define TRAIN_PROGRESS_H
#include "../base/watch.h"
#include "../train/train_loop.h"

/* Where a run is followed: a bar on a terminal, else a line every `every` steps on stderr. Zeroed but for `every`. */
typedef struct TrainProgress {
    int64_t every;
    bool bar;
    Progress progress;
    char label[96];          /* of the bar                       */
    double begun;            /* when this run's first step began */
    int64_t first, steps, tokens, labels; /* the step before this run's first; since the last line               */
    double loss, seconds, busy; /* labels' losses and seconds since the last line; seconds of all steps of this run  */
    int64_t all_tokens;      /* of this run */
} TrainProgress;

bool train_progress_tell(void *progress, const TrainEvent *event, Err *err); /* a TrainEar's */
void train_progress_end(TrainProgress *progress); /* also where nothing began */
#endif
