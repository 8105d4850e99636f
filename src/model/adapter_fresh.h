/* adapter_fresh.h: an adapter that has learned nothing yet, for training. */
#ifndef ADAPTER_FRESH_H
#define ADAPTER_FRESH_H
#include "adapters.h"

typedef struct AdapterInit {
    int64_t rank;        /* 0: 8, as PEFT's */
    double alpha;        /* 0: 8 */
    double dropout;      /* AdapterConfig.dropout */
    const char *targets; /* "q_proj,v_proj", "all-linear"; NULL: q_proj and v_proj, as PEFT's for these families */
    const char *saved;   /* "lm_head,norm": modules trained whole beside it, by the ends of their names; NULL: none.
                            No target where it is named here too */
    bool rslora, dora;
    uint64_t seed;
    const char *task;    /* "CAUSAL_LM", "SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"; NULL: by the model's head */
    const char *base;    /* what the file says of the base: a repository or a path, of which only the last name stays */
} AdapterInit;

/* Weights that `saved` names, and those of a head that is learnt for labels, are the adapter's own (PEFT's
 * modules_to_save): they get the model's numbers when it is joined. A is uniform in +-1 / sqrt(in), as nn.Linear begins (Kaiming with a = sqrt(5)), each number a function of (seed,
 * name, index); B is zero, so the model is what it was; magnitudes become the norms of the rows when it is joined. A
 * target that names no linear of the model, or a saved name no module, is an error. NULL on error. */
Adapters *adapters_fresh(const AdapterInit *init, const ModelConfig *config, Err *err);
#endif
