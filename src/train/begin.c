/* begin.c: see begin.h. */
#include <stdlib.h>
#include "../base/output_folder.h"
#include "../model/adapter_fresh.h"
#include "../model/adapter_write.h"
#include "begin.h"
#include "initial.h"
#include "task_head.h"

static bool fresh_adapter(const TrainOptions *o, TrainTask task, int64_t labels, Source *source, const char *folder,
                          Err *err) {
    const AdapterInit init = {.rank = o->lora_r,
                              .alpha = o->lora_alpha,
                              .dropout = o->lora_dropout,
                              .targets = o->lora_targets,
                              .saved = o->modules_to_save,
                              .rslora = o->rslora,
                              .dora = o->dora,
                              .seed = (uint64_t)o->seed,
                              .base = o->model};
    ModelConfig *config = mem_new(1, sizeof *config, "configuration", err);
    Adapters *adapters = NULL;
    Weights *weights = NULL;
    float *head = NULL;
    bool missing = false;
    bool ok = config && config_load(config, source, err) &&
              task_head_configure(config, task, task == TASK_QA ? 2 : labels, &missing, err) &&
              (adapters = adapters_fresh(&init, config, err)) &&
              adapters_configure(adapters, config, err) && (weights = model_weights(config, source, err)) &&
              (!missing || task_head_begin(config, source, (uint64_t)o->seed, weights, &head, err)) &&
              (config_untie(config, weights), true) && /* magnitudes are norms of the rows */
              adapters_join(adapters, config, weights, err) &&
              adapter_save(adapters, config, folder, DTYPE_F32, NULL, NULL, err);
    weights_close(weights);
    free(head);
    adapters_free(adapters);
    free(config);
    return ok;
}

char *begin_folder(const TrainOptions *o, TrainTask task, int64_t labels, Source *source, Source *tokenizer, bool made,
                   Err *err) {
    if (!o->init && !o->lora_r) return NULL;
    char *folder = path_join(o->out, "initial", err);
    if (!folder || made) return folder;
    bool ok = folder_make(o->out, err) && (o->init ? initial_model(source, tokenizer, (uint64_t)o->seed, folder, err)
                                                   : fresh_adapter(o, task, labels, source, folder, err));
    if (ok) return folder;
    free(folder);
    return NULL;
}
