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
    {"eval", 0, OPTION_TEXT, &(e).task, 0, 0, "TASK",                                                                  \
     "gsm8k: ask the same questions on every mesh and compare answers", NULL},                                         \
    {"limit", 0, OPTION_INT, &(e).limit, 1, 1 << 20, "N", "with --eval: questions (default 50)", NULL},                \
    {"protocol", 0, OPTION_TEXT, &(e).protocol, 0, 0, "NAME",                                                          \
     "with --eval: as in eval gsm8k (default lm-eval-cot)", NULL},                                                     \
    {"data", 0, OPTION_TEXT, &(e).data, 0, 0, "DIR", "with --eval: folder of the data set", NULL},                     \
    {"slots", 0, OPTION_INT, &m.slots, 1, 1024, "N", "with --eval: questions at once (default 8)", NULL},              \
    {"html", 0, OPTION_TEXT, &(e).html, 0, 0, "FILE", "with --eval: also a page with pictures", NULL}
int bench_meshes(const ModelOptions *m, const MeshEval *eval);
#endif
