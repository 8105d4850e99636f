/* compile_train.h: what `compile --train` does: the two programs of a training step through a plugin's compiler, from
 * config.json alone, and what they need of a chip. */
#ifndef COMPILE_TRAIN_H
#define COMPILE_TRAIN_H
#include "../pjrt/client.h"
#include "plan_train.h"

/* type: of activations and of weights in products; what is trained is held in f32. */
typedef struct CompileTrain {
    PlanTrain plan;
    const char *model, *type, *desc; /* desc: NULL without a system description */
    const char *act;                 /* NULL: `type` is the plugin's choice      */
    bool json;
} CompileTrain;

/* False, with an error, where the compiler refuses a program, where one would wait for the host, and where a chip's memory
 * is exceeded: what was found out is printed before. Joins an adapter to the configuration. */
bool compile_train(const CompileTrain *o, ModelConfig *config, const Mesh *mesh, PjrtClient *client, Err *err);
#endif
