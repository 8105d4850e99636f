/* eval_tasks.h: the tasks of `eval` beside GSM8K, and `bench --eval`. */
#ifndef EVAL_TASKS_H
#define EVAL_TASKS_H
#include "model_options.h"

int eval_perplexity(int argc, char **argv);
int eval_compare(int argc, char **argv);
int eval_choice(int argc, char **argv);

/* `bench --eval gsm8k`: the questions on every mesh of --mesh. */
typedef struct MeshEval { const char *task, *data, *protocol, *html; int64_t limit; } MeshEval;
#define MESH_EVAL_OPTIONS(e)                                                                                           \
    TEXT("eval", 0, &(e).task, "TASK", "gsm8k: ask the same questions on every mesh and compare answers"),             \
    INT("limit", 0, &(e).limit, 1, 1 << 20, "N", "with --eval: questions (default 50)"),                               \
    TEXT("protocol", 0, &(e).protocol, "NAME", "with --eval: as in eval gsm8k (default lm-eval-cot)"),                 \
    TEXT("data", 0, &(e).data, "DIR", "with --eval: folder of the data set"),                                          \
    INT("slots", 0, &m.engine.slots, 1, 1024, "N", "with --eval: questions at once (default 8)"),                             \
    TEXT("html", 0, &(e).html, "FILE", "with --eval: also a page with pictures")
int bench_meshes(const ModelOptions *m, const MeshEval *eval);
#endif
