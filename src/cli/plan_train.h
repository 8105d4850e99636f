/* plan_train.h: what `plan --train` shows: memory of a training step on each device, by kind, and its collectives. */
#ifndef PLAN_TRAIN_H
#define PLAN_TRAIN_H
#include "../graph/program.h"
#include "../model/adapters.h"
#include "../model/family.h"
#include "../model/train_graph.h"

/* batch: rows of a step, of seq_len tokens; micro: of a pass, 0: as `train` chooses. memory: GiB of a device, 0: not
 * said. program: device 0's is printed, too. */
typedef struct PlanTrain {
    int64_t seq_len, batch, micro;
    int64_t lora_r;           /* 0: the model is trained; else an adapter of this rank on lora_targets (NULL: PEFT's) */
    const char *lora_targets, *modules_to_save;
    OptimizerKind optimizer;
    bool moments_8bit, ema, recompute, program;
    bool bf16;                /* linears take their operands so: beside what they read lies another copy of it */
    double memory;
} PlanTrain;

bool plan_optimizer(const char *name, OptimizerKind *out); /* false: there is none of this name */
/* The adapter that `train` would begin with, joined to the configuration; its tensors as those of a model that has nothing
 * else. NULL on error. */
Adapters *plan_adapter(const PlanTrain *o, ModelConfig *config, Weights **adapted, Err *err);
/* Prints it, from the configuration alone, which an adapter is added to. What is not trained is counted in bf16. */
bool plan_train(const PlanTrain *plan, ModelConfig *config, const Mesh *mesh, Err *err);
#endif
