/* loglik.h: a model's log-probabilities of given tokens, and what is made of them: perplexity, multiple choice,
 * comparison. */
#ifndef LOGLIK_H
#define LOGLIK_H
#include "../io/json.h"

/* Whether a row of logits or states can be used: no NaN, no +infinity, and some number. */
bool row_sound(const float *row, int64_t columns);

enum { LOGLIK_ROWS = 64 }; /* rows of logits held at once */

/* Called for token t of `ids` with the logits that predict it [vocab]. */
typedef bool TokenSink(void *context, int64_t t, const float *row, Err *err);
/* Appends ids [count] to the session, whose length is `held` of them, and calls `sink` for every token from `from` >=
 * held+1 on. `logits`: work of [LOGLIK_ROWS][vocab]. */
bool loglik_feed(QmEngine *e, QmSession *s, const int32_t *ids, int64_t count, int64_t from, float *logits,
                 TokenSink *sink, void *context, Err *err);
/* Natural log of softmax(row)[id], summed in double. */
double loglik_of(const float *row, int64_t vocab, int32_t id);

/* ---- Perplexity -------------------------------------------------------------------------------------------------- */

/* The sliding windows of Hugging Face's guide ("Perplexity of fixed-length models"): windows of `window` tokens that
 * begin `stride` apart, each scoring what the one before did not. Its mean of a window counts one token fewer than the
 * window scores, in every window; `recipe` is that number, `mean` counts each token once. */
typedef struct Perplexity { double recipe, mean, bits_per_byte; int64_t tokens, scored, windows; } Perplexity;
bool perplexity(QmEngine *e, const int32_t *ids, int64_t count, int64_t window, int64_t stride, size_t text_bytes,
                bool (*stop)(void), Perplexity *out, Err *err);

/* ---- Comparison of two engines on one text ----------------------------------------------------------------------- */

typedef struct Comparison {
    int64_t tokens;             /* positions compared                                             */
    int64_t same_bits;          /* positions whose logits are the same, bit for bit               */
    int64_t same_top;           /* positions whose likeliest token is the same                    */
    int64_t first_top, first_bits; /* first position where they are not, -1: none                 */
    int32_t top_a, top_b;       /* the likeliest tokens there                                     */
    double kl_mean, kl_most;    /* KL(A || B) in nats                                             */
    double difference;          /* largest |logit A - logit B|                                    */
    int64_t difference_at;
    double perplexity_a, perplexity_b;
} Comparison;
/* Windows of `window` tokens, each from an empty cache; of each, what is said of tokens `from` (1: all but the first)
 * to the last. The models must share their vocabulary. */
bool compare_engines(QmEngine *a, QmEngine *b, const int32_t *ids, int64_t count, int64_t window, int64_t from,
                     bool (*stop)(void), Comparison *out, Err *err);

/* ---- Multiple choice --------------------------------------------------------------------------------------------- */

/* lm-eval's multiple_choice: " " + choice after the context; acc by the sum of log-probabilities, acc_norm by that sum
 * per character of the choice. Lines: {"context", "choices": [...], "gold": index}; each comes out with
 * "loglikelihoods", "acc" and "acc_norm" added, to `out` unless NULL. */
typedef struct ChoiceTally { int64_t questions; double acc, acc_error, norm, norm_error; } ChoiceTally;
bool choice_run(QmEngine *e, const QmTokenizer *t, const char *in, FILE *out, const char *out_path, int64_t limit,
                bool (*stop)(void), ChoiceTally *tally, Err *err);
#endif
