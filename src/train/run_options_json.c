/* run_options_json.c: what decides the numbers of a run, for checkpoints to compare and people to read. */
#include "../io/json.h"
#include "run_options.h"

json_t *train_options_json(const TrainOptions *o, int64_t steps, int64_t rows, int64_t tokens, int64_t labels,
                           Err *err) {
    json_t *j =
        json_pack("{s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:b,s:I}", "task", o->task, "packing", o->packing, "data_order",
                  o->order, "mask", o->mask, "seq_len", (json_int_t)o->seq_len, "seed", (json_int_t)o->seed,
                  "batch_size", (json_int_t)o->batch, "dataloader_drop_last", o->drop_last, "steps", (json_int_t)steps);
    json_t *more = json_pack("{s:I,s:I,s:I,s:s,s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "rows", (json_int_t)rows, "tokens",
                             (json_int_t)tokens, "labels", (json_int_t)labels, "optim", o->optim, "lr_scheduler_type",
                             o->scheduler, "learning_rate", o->learning_rate, "warmup_steps", o->warmup_steps,
                             "weight_decay", o->weight_decay, "adam_beta1", o->beta1, "adam_beta2", o->beta2,
                             "adam_epsilon", o->epsilon, "max_grad_norm", o->max_grad_norm);
    json_t *last = json_pack("{s:s,s:f,s:f,s:f,s:f}", "moments", o->moments, "label_smoothing_factor",
                             o->label_smoothing, "z_loss", o->z_loss, "ema", o->ema, "skip_outliers", o->skip_outliers);
    bool ok = j && more && last && json_object_update(j, more) == 0 && json_object_update(j, last) == 0;
    if (ok && o->schedule_kind == SCHEDULE_WSD)
        ok = json_object_set_new(j, "decay_steps", json_real(o->decay_steps)) == 0 &&
             json_object_set_new(j, "decay_type", json_string(o->decay ? o->decay : "cosine")) == 0 &&
             json_object_set_new(j, "min_lr_ratio", json_real(o->least_rate)) == 0;
    if (ok && o->optimizer == OPTIMIZER_MUON)
        ok = json_object_set_new(j, "muon_lr", json_real(o->muon_rate >= 0 ? o->muon_rate : o->learning_rate)) == 0 &&
             json_object_set_new(j, "muon_momentum", json_real(o->muon_momentum)) == 0 &&
             json_object_set_new(j, "muon_adjust_lr", json_string(o->muon_adjust ? o->muon_adjust : "original")) == 0;
    if (ok && o->lora_r)
        ok = json_object_set_new(j, "lora_r", json_integer(o->lora_r)) == 0 &&
             json_object_set_new(j, "lora_alpha", json_real(o->lora_alpha > 0 ? o->lora_alpha : 8)) == 0 &&
             json_object_set_new(j, "lora_dropout", json_real(o->lora_dropout)) == 0 &&
             json_object_set_new(j, "lora_targets", json_string(o->lora_targets ? o->lora_targets : "q_proj,v_proj")) ==
                 0 &&
             (!o->modules_to_save ||
              json_object_set_new(j, "modules_to_save", json_string(o->modules_to_save)) == 0) &&
             json_object_set_new(j, "rslora", json_boolean(o->rslora)) == 0 &&
             json_object_set_new(j, "dora", json_boolean(o->dora)) == 0;
    json_decref(more), json_decref(last);
    if (ok) return j;
    json_decref(j);
    err_as(err, QM_MEMORY, "out of memory: options");
    return NULL;
}

void train_options_text(const json_t *options, Text *out) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)options, key, value) {
        text_line(out, "%s=", key);
        if (json_is_string(value)) text_line(out, "%s", json_string_value(value));
        else if (json_is_integer(value)) text_line(out, "%lld", (long long)json_integer_value(value));
        else if (json_is_real(value)) text_line(out, "%.15g", json_real_value(value));
        else text_line(out, "%s", json_is_true(value) ? "true" : "false");
        text_line(out, "\n");
    }
}
