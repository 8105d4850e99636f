/* trainer_state.h: within src/train: an open trainer. */
#ifndef TRAINER_STATE_H
#define TRAINER_STATE_H
#include "../graph/rank_groups.h"
#include "../model/adapters.h"
#include "../model/train_graph.h"
#include "trainer.h"

enum { HEAD_ROWS = 256, UNIFORM_HEAD_ROWS = 512, MOST_SEGMENTS = 1024 };

struct Trainer {
    ModelConfig config;
    TrainGraph train;
    Partition partition;
    Program program;
    Weights *weights;
    Adapters *adapters;         /* NULL: none */
    const Backend *backend;
    void *state;
    TrainTask task;
    float *head;                /* values of one that the model lacked; or NULL */
    RankGroups groups;              /* of processes; alone: one of them                                    */
    int64_t rows, context, slots;   /* of a pass: rows, tokens of a sequence, places of segments           */
    int64_t pass_sequences;         /* most of a pass                                                      */
    int64_t head_rows;              /* logit rows of each group, or replica, that pass the head at once    */
    uint64_t seed;
    bool (*stop)(void);             /* or NULL                                                             */
    int32_t *logit_row, *label;     /* [rows] of a pass                                                    */
    int64_t *sequence;              /* [pass_sequences] of the step: those of a pass                       */
    int64_t *begins, *logit_begins; /* [pass_sequences + 1] where their rows begin                         */
    float *loss;                    /* of every label of a step                                            */
    size_t loss_capacity;
    float *scores;              /* [logit rows of an evaluation][labels], of a head with labels */
    size_t scores_capacity;
    int64_t score_rows;
    TrainTensor *tensors;
    TrainedWeight *tensor_trained; /* [tensor] in the program; .weight NO_TENSOR: it is not trained */
    int tensor_count;
    QmModelInfo info;
};
#endif
