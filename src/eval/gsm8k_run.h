/* gsm8k_run.h: asks a model the questions of GSM8K by a protocol, all slots busy, every output on file as it comes. */
#ifndef GSM8K_RUN_H
#define GSM8K_RUN_H
#include "../base/watch.h"
#include "gsm8k.h"
#include "results.h"

typedef struct Gsm8kOptions {
    const Protocol *protocol;
    const char *data;          /* folder or file; NULL: known places                  */
    int64_t shots;             /* -1: the protocol's                                  */
    int64_t limit;             /* first questions only; 0: all                        */
    int64_t samples;           /* outputs per question, 1..MAX_SAMPLES                */
    int64_t max_new_tokens;    /* 0: the protocol's                                   */
    int64_t seed, fewshot_seed;
    double temperature;        /* 0: greedy                                           */
    double repetition_penalty; /* 0: the model's where the protocol leaves it, else 1 */
    PromptForm form;
} Gsm8kOptions;

enum { MAX_SAMPLES = 1024 };

typedef struct Gsm8kRun {
    Gsm8kOptions options;
    const QmTokenizer *tokenizer;
    QmParameters *parameters;
    Problems test, train;
    uint32_t *draws;           /* [limit][shots], or NULL                             */
    int64_t longest;           /* tokens of the longest prompt                        */
    /* of one go: */
    Results *results;
    int64_t next, judged;
    int64_t room;              /* tokens of a prompt that leave room for the new ones */
    double right;              /* by the first rule                                   */
    Progress progress;
    char label[64];
    Err why;                   /* ended the go                                        */
    bool ends;                 /* nothing is taken any more                           */
    double first;              /* sum of times to the first token                     */
    double seconds;            /* of all                                              */
} Gsm8kRun;

/* Reads the data, makes every prompt once. `source`: for the model's end-of-sequence ids. */
bool gsm8k_open(Gsm8kRun *run, const Gsm8kOptions *options, QmSource *source, const QmTokenizer *tokenizer,
                Err *err);
void gsm8k_close(Gsm8kRun *run);
/* Cache positions that every question needs at most. */
int64_t gsm8k_context(const Gsm8kRun *run);
/* What makes outputs comparable: the header of a results file. NULL on error; the caller's. */
json_t *gsm8k_header(const Gsm8kRun *run, const char *model, const QmModelInfo *info, Err *err);
/* Asks what the results do not hold yet. `stop` (or NULL): asked before each step. On an interrupt what is done
 * stays. */
bool gsm8k_go(Gsm8kRun *run, QmEngine *engine, Results *results, bool (*stop)(void), QmGeneratorStats *stats, Err *err);
#endif
