/* run_options.c: see run_options.h. */
#include <math.h>
#include <string.h>
#include "run_options.h"

TrainOptions train_options_new(void) {
    return (TrainOptions){
        .task = "clm",
        .packing = "auto",
        .order = "shuffle",
        .mask = "assistant",
        .end = "auto",
        .seq_len = 1024,
        .seed = 42,
        .max_steps = -1,
        .num_train_epochs = 3,
        .optim = "adamw",
        .scheduler = "linear",
        .learning_rate = 5e-5,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .max_grad_norm = 1,
        .moments = "f32",
        .muon_rate = -1,
        .muon_momentum = 0.95,
        .save_steps = 500,
    };
}

bool train_options_lora(const TrainOptions *o) { return o->lora_r > 0 || o->init_adapter; }

/* ---- Words ------------------------------------------------------------------------------------------------------- */

/* Whether a word is one of "a|b|c". */
static bool one_of(const char *option, const char *word, const char *words, Err *err) {
    size_t bytes = strlen(word);
    for (const char *w = words; bytes && w; w = strchr(w, '|')) {
        w += *w == '|';
        if (!strncmp(w, word, bytes) && (w[bytes] == '|' || !w[bytes])) return true;
    }
    return err_as(err, QM_USAGE, "--%s: expected %s, got '%s'", option, words, word);
}

static bool words_check(TrainOptions *o, Err *err) {
    if (!strcmp(o->optim, "adamw_torch") || !strcmp(o->optim, "adamw_torch_fused")) o->optim = "adamw";
    if (!one_of("task", o->task, "clm|seqcls|tokcls|qa", err) ||
        !one_of("packing", o->packing, "auto|none|bfd|bfd_split|wrapped|blocks", err) ||
        !one_of("data-order", o->order, "shuffle|file", err) || !one_of("mask", o->mask, "assistant|reply|last", err) ||
        !one_of("end", o->end, "auto|never", err) || (o->eval_task && !one_of("eval", o->eval_task, "gsm8k", err)) ||
        !one_of("optim", o->optim, "adamw|sgd|muon", err) || !one_of("moments", o->moments, "f32|8bit", err) ||
        (o->save_dtype && !one_of("save-dtype", o->save_dtype, "f32|bf16|f16", err)))
        return false;
    if (!schedule_named(o->scheduler, &o->schedule_kind))
        return err_as(err, QM_USAGE, "--lr-scheduler-type: expected constant|linear|cosine|wsd, got '%s'",
                      o->scheduler);
    for (int i = 0; optimizer_names[i]; i++)
        if (!strcmp(o->optim, optimizer_names[i])) o->optimizer = (OptimizerKind)i;
    o->moments_8bit = !strcmp(o->moments, "8bit");
    return true;
}

/* What is said of Muon alone. */
static bool muon_check(TrainOptions *o, Err *err) {
    const char *given = o->muon_rate >= 0 ? "muon-lr" : o->muon_adjust ? "muon-adjust-lr"
                        : o->muon_momentum != train_options_new().muon_momentum ? "muon-momentum" : NULL;
    if (given && o->optimizer != OPTIMIZER_MUON)
        return err_as(err, QM_USAGE, "--%s: expected --optim muon with it", given);
    o->muon_as_adamw = o->muon_adjust && !strcmp(o->muon_adjust, "match_rms_adamw");
    return !o->muon_adjust || one_of("muon-adjust-lr", o->muon_adjust, "original|match_rms_adamw", err);
}

/* ---- What does not go together ----------------------------------------------------------------------------------- */

static bool sources_check(const TrainOptions *o, Err *err) {
    if (!o->model == !o->init)
        return err_as(err, QM_USAGE,
                      o->model ? "--init: expected -m MODEL or --init CONFIG.json, got both"
                               : "no model: expected -m MODEL, or --init CONFIG.json");
    if (!o->data_count) return err_as(err, QM_USAGE, "no data: expected --data FILE");
    if (o->eval_count && o->eval_split > 0)
        return err_as(err, QM_USAGE, "--eval-split: expected --eval-data or --eval-split, got both");
    if (o->eval_limit && !o->eval_task) return err_as(err, QM_USAGE, "--limit: expected --eval gsm8k with it");
    bool evaluates = o->eval_count || o->eval_split > 0 || o->eval_task;
    if (!evaluates && (o->eval_steps || o->eval_on_start || o->load_best))
        return err_as(err, QM_USAGE, "--%s: expected --eval-data or --eval-split with it",
                      o->eval_steps      ? "eval-steps"
                      : o->eval_on_start ? "eval-on-start"
                                         : "load-best-model-at-end");
    if (o->init && train_options_lora(o))
        return err_as(err, QM_USAGE, "--init: expected a trained model, by -m, for an adapter");
    return true;
}

static bool files_check(const TrainOptions *o, Err *err) {
    if (!o->out && o->max_steps != 0) return err_as(err, QM_USAGE, "no folder for the model: expected -o DIR");
    if (o->load_best && !o->save_steps)
        return err_as(err, QM_USAGE, "--load-best-model-at-end: expected checkpoints, by --save-steps above 0");
    if (o->load_best && o->eval_steps && o->save_steps % o->eval_steps)
        return err_as(err, QM_USAGE,
                      "--save-steps: expected a multiple of --eval-steps %lld with "
                      "--load-best-model-at-end, got %lld",
                      (long long)o->eval_steps, (long long)o->save_steps);
    if (o->load_best && !o->eval_steps)
        return err_as(err, QM_USAGE, "--load-best-model-at-end: expected --eval-steps with it");
    return true;
}

static bool lora_check(const TrainOptions *o, Err *err) {
    const struct {
        const char *option;
        bool given;
    } needs[] = {
        {"lora-alpha", o->lora_alpha > 0},
        {"lora-dropout", o->lora_dropout > 0},
        {"lora-targets", o->lora_targets},
        {"modules-to-save", o->modules_to_save},
        {"rslora", o->rslora},
        {"dora", o->dora},
    };
    for (size_t i = 0; i < sizeof needs / sizeof *needs && !o->lora_r; i++)
        if (needs[i].given)
            return err_as(err, QM_USAGE,
                          o->init_adapter ? "--%s: --init-adapter says it: expected one of the two"
                                          : "--%s: expected --lora-r with it",
                          needs[i].option);
    if (o->lora_r && o->init_adapter)
        return err_as(err, QM_USAGE, "--lora-r: --init-adapter says it: expected one of the two");
    return true;
}

/* The product of Trainer's two is the batch, whatever the devices. */
static bool batch_check(TrainOptions *o, Err *err) {
    int64_t product = (o->device_batch ? o->device_batch : 8) * (o->accumulation ? o->accumulation : 1);
    bool theirs = o->device_batch || o->accumulation;
    if (theirs && o->batch && o->batch != product)
        return err_as(err, QM_USAGE,
                      "--batch-size: expected %lld, as --per-device-train-batch-size times "
                      "--gradient-accumulation-steps says, or one of the two ways, got %lld",
                      (long long)product, (long long)o->batch);
    if (product > MOST_ROWS_OF_STEP)
        return err_as(err, QM_USAGE, "--gradient-accumulation-steps: expected a step of at most %d rows, got %lld",
                      MOST_ROWS_OF_STEP, (long long)product);
    if (theirs || !o->batch) o->batch = product;
    if (!o->micro_batch) o->micro_batch = o->device_batch;
    /* 2048 tokens at once fill the kernels; more only take memory. */
    if (!o->micro_batch) o->micro_batch = o->seq_len < 2048 ? 2048 / o->seq_len : 1;
    if (o->micro_batch > o->batch) o->micro_batch = o->batch;
    return true;
}

static bool decay_check(TrainOptions *o, Err *err) {
    const char *given = o->decay_steps > 0  ? "decay-steps"
                        : o->decay          ? "decay-type"
                        : o->least_rate > 0 ? "min-lr-ratio"
                                            : NULL;
    if (given && o->schedule_kind != SCHEDULE_WSD)
        return err_as(err, QM_USAGE, "--%s: expected --lr-scheduler-type wsd with it", given);
    if (o->decay_steps == 0) o->decay_steps = 0.1;
    return !o->decay || decay_named(o->decay, &o->decay_kind) ||
           err_as(err, QM_USAGE, "--decay-type: expected cosine|linear|1-sqrt, got '%s'", o->decay);
}

bool train_options_check(TrainOptions *o, Err *err) {
    return words_check(o, err) && muon_check(o, err) && sources_check(o, err) && files_check(o, err) && lora_check(o, err) &&
           batch_check(o, err) && decay_check(o, err);
}

/* ---- Numbers of a run -------------------------------------------------------------------------------------------- */

bool train_length(const TrainOptions *o, int64_t rows, TrainLength *length, Err *err) {
    int64_t whole = rows / o->batch;
    *length = (TrainLength){.steps_of_epoch = whole + (!o->drop_last && rows % o->batch)};
    if (length->steps_of_epoch == 0)
        return err_as(err, QM_INPUT,
                      "an epoch has %lld rows: expected at least %lld, the batch (--dataloader-drop-last)",
                      (long long)rows, (long long)(rows ? o->batch : 1));
    double steps = ceil(o->num_train_epochs * (double)length->steps_of_epoch);
    if (o->max_steps < 0 && steps > 9e15) return err_as(err, QM_USAGE, "--num-train-epochs: too many steps");
    length->steps = o->max_steps >= 0 ? o->max_steps : (int64_t)steps;
    return true;
}

/* Steps, or below 1 a part of all, rounded up. */
static int64_t steps_of(double given, int64_t steps) {
    return given >= 1 ? (int64_t)given : (int64_t)ceil(given * (double)steps);
}

Schedule train_schedule(const TrainOptions *o, int64_t steps) {
    return (Schedule){.kind = o->schedule_kind,
                      .peak = o->learning_rate,
                      .warmup = steps_of(o->warmup_steps, steps),
                      .steps = steps,
                      .decay_steps = steps_of(o->decay_steps, steps),
                      .decay = o->decay_kind,
                      .least = o->least_rate};
}

StepNumbers train_step_numbers(const TrainOptions *o, const Schedule *schedule, int64_t step) {
    Schedule of_muon = *schedule; /* the same curve, to another height */
    if (o->muon_rate >= 0) of_muon.peak = o->muon_rate;
    return (StepNumbers){.step = step,
                         .learning_rate = schedule_rate(schedule, step),
                         .beta1 = o->beta1,
                         .beta2 = o->beta2,
                         .epsilon = o->epsilon,
                         .weight_decay = o->weight_decay,
                         .max_grad_norm = o->max_grad_norm,
                         .label_smoothing = o->label_smoothing,
                         .z_loss = o->z_loss,
                         .ema_decay = o->ema,
                         .muon_rate = schedule_rate(&of_muon, step),
                         .muon_momentum = o->muon_momentum,
                         .muon_as_adamw = o->muon_as_adamw};
}
