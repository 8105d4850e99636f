/* training_cases.h: the ops that only training has, with the numbers of a step: for tests of the CPU engine and of lowered
 * programs. */
#ifndef TRAINING_CASES_H
#define TRAINING_CASES_H
#include "rule_cases.h"

/* build: NULL: the case of a rule. labels: of a head that has some. longest: of the first sequence, in place of what it
 * is below. */
typedef struct Case {
    const char *name;
    void (*build)(Graph *g);
    StepScalars scalars;
    const RuleCase *rule;
    bool recompute;
    int64_t labels;
    int64_t longest;
    bool only_cpu; /* an op in it has no lowering */
    /* Of the largest; 0: that of all. A code moves by one where a gradient differs by rounding from the reference's: by up
     * to 2 / 127 of the block's largest (ops/codes8.h). */
    double tolerance;
} Case;

/* AdamW's epsilon is large: where a gradient is rounding alone, a small one would make a step of it. */
#define LOSS .loss_weight = 0.0625, .clip = 1
#define STEP .loss_weight = 1, .clip = 0.375, .learning_rate = 0.03, .beta2 = 0.95, .epsilon = 0.5,                    \
             .weight_decay = 0.2, .average_decay = 0.75, .step = 1
static const Case cases[] = {
    {"embed_part", of_embed_part, .scalars = {LOSS}},
    {"embed_grad", of_embed_grad, .scalars = {LOSS}},
    {"rms_norm_grad, norm_gain_grad", of_rms_norm_grad, .scalars = {LOSS}},
    {"head_norm_grad, head_gain_grad, head_gain_sum", of_head_norm_grad, .scalars = {LOSS}},
    {"linear_dx", of_linear_dx, .scalars = {LOSS}},
    {"linear_dx over the vocabulary", of_vocabulary_dx, .scalars = {LOSS}},
    {"linear_dw", of_linear_dw, .scalars = {LOSS}},
    {"sum_rows", of_sum_rows, .scalars = {LOSS}},
    {"scale_columns_grad", of_scale_columns_grad, .scalars = {LOSS}},
    {"adapter_norm", of_adapter_norm, .scalars = {LOSS}},
    {"attention_backward, sum_group", of_attention_backward, .scalars = {LOSS}, .longest = 140},
    {"attention_backward in a window", of_window_backward, .scalars = {LOSS}, .longest = 140},
    {"silu_mul_grad", of_silu_mul_grad, .scalars = {LOSS}},
    {"dropout", of_dropout, .scalars = {LOSS, .step = 3, .seed = 7}},
    {"clear_rows, put_rows", of_put_rows, .scalars = {LOSS}},
    {"loss", of_loss, .scalars = {LOSS}},
    {"loss with label smoothing", of_loss, .scalars = {LOSS, .label_smoothing = 0.2}},
    {"loss with z-loss", of_loss, .scalars = {LOSS, .z_loss = 0.05}},
    {"loss with both", of_loss, .scalars = {LOSS, .label_smoothing = 0.1, .z_loss = 0.02}},
    {"span_loss, span_loss_grad", of_span_loss, .scalars = {LOSS}, .labels = 2},
    {"square_loss, square_loss_grad", of_square_loss, .scalars = {LOSS}, .labels = 1},
    {"loss of classes with label smoothing", of_class_loss, .scalars = {LOSS, .label_smoothing = 0.2}, .labels = 5},
    {"adamw", of_adamw, .scalars = {STEP, .beta1 = 0.8}},
    {"adamw with averages", of_adamw_average, .scalars = {STEP, .beta1 = 0.8}},
    {"sgd", of_sgd, .scalars = {STEP}},
    {"sgd with momentum", of_sgd, .scalars = {STEP, .beta1 = 0.8}},
    {"sgd with averages", of_sgd_average, .scalars = {STEP, .beta1 = 0.8}},
    {"adamw8", of_adamw8, .only_cpu = true, .tolerance = 2.0 / 127, .scalars = {STEP, .beta1 = 0.8}},
    {"adamw8 with averages", of_adamw8_average, .only_cpu = true, .tolerance = 2.0 / 127, .scalars = {STEP, .beta1 = 0.8}},
    {"muon", of_muon, .only_cpu = true, .scalars = {STEP, .beta1 = 0.8, .muon_rate = 0.02, .muon_momentum = 0.9}},
    {"muon with averages", of_muon_average, .only_cpu = true,
     .scalars = {STEP, .beta1 = 0.8, .muon_rate = 0.02, .muon_momentum = 0.5, .muon_as_adamw = true}},
};
enum { CASES = sizeof cases / sizeof *cases };

#endif
