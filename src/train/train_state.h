/* train_state.h: how far a training run has come: trainer_state.json of its checkpoints. */
#ifndef TRAIN_STATE_H
#define TRAIN_STATE_H
#include "../io/json.h"

/* A step as it was told. NaN: there is no such number. */
typedef struct TrainLine {
    int64_t step, labels, tokens;
    double loss, grad_norm, learning_rate, seconds;
    bool skipped;
} TrainLine;
/* An evaluation after a step; `name` as in the log: "eval_loss", "gsm8k". */
typedef struct TrainScore { int64_t step; char name[32]; double value; } TrainScore;

typedef struct TrainState {
    int64_t step;             /* steps done                                                                          */
    int64_t epoch, position;  /* whole epochs done; rows of the next one's order that were taken                     */
    int64_t seed;
    json_t *options;          /* what decides the numbers of the run, readable, owned; NULL: nothing                 */
    json_t *more;             /* what else the run wants to find again, owned; NULL: nothing                         */
    int64_t best_step;        /* of the best evaluation so far; 0: none                                              */
    double best_value;
    TrainLine *lines;         /* in order of steps, owned                                                            */
    size_t line_count, line_room;
    TrainScore *scores;
    size_t score_count, score_room;
} TrainState;

bool train_state_line(TrainState *s, const TrainLine *line, Err *err);
bool train_state_score(TrainState *s, int64_t step, const char *name, double value, Err *err);
void train_state_free(TrainState *s);

/* Lines after `step` are left out: those of a run that went on from an earlier checkpoint. */
void train_state_cut(TrainState *s, int64_t step);

/* SHA-256 of the options with keys in order, in hexadecimal. */
bool train_options_digest(const json_t *options, char hex[65], Err *err);
/* Appends "seed: 1 there, 2 here", a line for each member that differs; an equal one appends nothing. */
void train_options_differ(const json_t *there, const json_t *here, Text *out);

/* As JSON, with `files` ({name: bytes}) if not NULL. Free with json_decref. */
json_t *train_state_to_json(const TrainState *s, json_t *files, Err *err);
/* Everything is checked; `where` is for messages. On error nothing is to be freed. */
bool train_state_from_json(TrainState *s, const json_t *root, const char *where, Err *err);
#endif
