/* processors.h: what changes the scores of the next token between the model and the choice: one table, in the order of
 * Hugging Face's generate(). */
#ifndef PROCESSORS_H
#define PROCESSORS_H
#include "generation.h"

typedef struct ProcessorCall {
    const GenerationConfig *config;
    const int32_t *ids;        /* [count] prompt and new: the history                             */
    int64_t count, prompt;     /* prompt: how many of them were given                             */
    const int32_t *rivals;     /* ids that earlier groups of beams chose at this step             */
    int64_t rival_count;
    Matcher *matcher;          /* of the text's grammar, or NULL                                  */
    int32_t state;
    MatchFault *fault;         /* out: what the matcher failed of; nothing is allowed then        */
    Scores *scores;
    SampleWork *work;
} ProcessorCall;

typedef struct ProcessorRow {
    const char *name;          /* the class in Hugging Face's logits_process.py, or the parameter */
    bool sampling;             /* only where a draw is made                                       */
    bool (*applies)(const ProcessorCall *call);
    void (*apply)(ProcessorCall *call);
    bool (*lowers)(const ProcessorCall *call); /* it raises no score; NULL: it may */
} ProcessorRow;

extern const ProcessorRow processor_rows[];
extern const int processor_count;

/* Every processor that applies, in order. */
void processors_run(ProcessorCall *call, bool sampling);

/* Whether the choice is the same from a row of the largest logits, of which the others are -INFINITY and in truth at
 * most `floor`, as from the whole row: processors that raise no score leave top_k (greedy: one) above the floor, so
 * that the first filter keeps none of the others. Asked of a row before processors; it is left alone. */
bool processors_enough(const ProcessorCall *call, const float *logits, float floor, bool sampling);

/* sampling_filters.c: the filters of samples, and renormalisation. Each sees scores that others may have thinned out. */
void temperature_apply(ProcessorCall *c);
void top_k_apply(ProcessorCall *c);
void top_p_apply(ProcessorCall *c);
void min_p_apply(ProcessorCall *c);
void typical_apply(ProcessorCall *c);
void epsilon_apply(ProcessorCall *c);
void eta_apply(ProcessorCall *c);
void renormalize_apply(ProcessorCall *c);
#endif
