/* train_files.c: see train_files.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "../base/output_folder.h"
#include "../base/watch.h"
#include "../io/safetensors.h"
#include "../model/adapter_write.h"
#include "train_files.h"

#define ADAPTER_CONFIG "adapter_config.json"

static const TensorPart parts[CHECKPOINT_PARTS] = {PART_VALUE, PART_FIRST, PART_SECOND, PART_EMA};

static bool read_part(void *owner, int64_t tensor, CheckpointPart part, float *out, Err *err) {
    TrainFiles *f = owner;
    return trainer_read(f->trainer, f->place[tensor], parts[part], out, err);
}

static bool write_part(void *owner, int64_t tensor, CheckpointPart part, const float *in, Err *err) {
    TrainFiles *f = owner;
    return trainer_write(f->trainer, f->place[tensor], parts[part], in, err);
}

static int64_t block_end(void *owner, int64_t tensor, int64_t column) {
    const TrainFiles *f = owner;
    return trainer_block_end(f->trainer, f->place[tensor], column);
}

/* ---- The small files --------------------------------------------------------------------------------------------- */

/* An adapter has the configuration that it began with. */
static bool copy_adapter_config(const TrainFiles *f, const char *folder, Err *err) {
    char *from = path_join(f->adapter, ADAPTER_CONFIG, err);
    size_t bytes = 0;
    char *text = from ? file_read(from, 1 << 24, &bytes, err) : NULL;
    bool ok = text && output_write(folder, ADAPTER_CONFIG, text, bytes, err);
    free(from), free(text);
    return ok;
}

/* What of the model is saved and how; the tensors are the caller's. */
static ModelSave save_of(const TrainFiles *f, const SaveTensor *tensors, int64_t count, DType dtype) {
    return (ModelSave){.source = f->source,
                       .tokenizer = f->tokenizer,
                       .config = &f->config,
                       .tensors = tensors,
                       .count = count,
                       .dtype = dtype,
                       .changes = f->changes};
}

static bool small_files(void *owner, const char *folder, Err *err) {
    const TrainFiles *f = owner;
    if (f->adapter) return copy_adapter_config(f, folder, err);
    ModelSave save = save_of(f, NULL, 0, DTYPE_F32);
    return model_folder_write_small(&save, folder, err);
}

/* A weight's name in the file of an adapter. */
static const char *adapter_name(TrainFiles *f, const char *name, Err *err) {
    char text[256];
    adapter_file_name(trainer_adapters(f->trainer), &f->config, name, text, sizeof text);
    return arena_text(&f->names, text, strlen(text), err);
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static bool list_tensors(TrainFiles *f, Err *err) {
    int count = trainer_tensors(f->trainer);
    f->tensors = mem_new((size_t)count + 1, sizeof *f->tensors, "tensors", err);
    f->place = f->tensors ? mem_new((size_t)count + 1, sizeof *f->place, "tensors", err) : NULL;
    for (int i = 0; f->place && i < count; i++) {
        const TrainTensor *t = trainer_tensor(f->trainer, i);
        if (f->adapter && !t->trained) continue; /* the base stays where it is */
        CheckpointTensor *to = &f->tensors[f->model.count];
        const char *name = f->adapter ? adapter_name(f, t->name, err) : t->name;
        if (!name) return false;
        *to = (CheckpointTensor){.name = name, .rank = t->rank, .dim = {t->dim[0], t->dim[1]}};
        for (int part = 0; part < CHECKPOINT_PARTS; part++) to->has[part] = trainer_has(f->trainer, i, parts[part]);
        to->coded = trainer_coded(f->trainer, i, PART_FIRST);
        f->place[f->model.count++] = i;
    }
    return f->place != NULL;
}

bool train_files_open(TrainFiles *f, const TrainOptions *options, Trainer *trainer, Source *source, Source *tokenizer,
                      const char *adapter, json_t *numbers, Err *err) {
    *f = (TrainFiles){.options = options,
                      .trainer = trainer,
                      .source = source,
                      .tokenizer = tokenizer,
                      .adapter = adapter,
                      .state.seed = options->seed,
                      .state.options = numbers};
    bool ok = config_load(&f->config, source, err);
    f->config.head = head_named(trainer_info(trainer)->head); /* which the model may not have had */
    f->config.labels = trainer_info(trainer)->labels;
    if (ok && list_tensors(f, err)) {
        f->model.tensors = f->tensors;
        f->model.read = read_part, f->model.write = write_part, f->model.block_end = block_end, f->model.small = small_files;
        f->model.owner = f;
        f->model.weights = adapter ? "adapter_model" : "model";
        if (!adapter) f->model.prefix = head_table[f->config.head].below;
        return true;
    }
    train_files_close(f);
    return false;
}

void train_files_close(TrainFiles *f) {
    free(f->tensors), free(f->place);
    arena_free(&f->names);
    json_decref(f->changes);
    train_state_free(&f->state);
    *f = (TrainFiles){0};
}

/* ---- Checkpoints ------------------------------------------------------------------------------------------------- */

bool train_files_note(TrainFiles *f, const TrainEvent *e, Err *err) {
    if (e->kind == TRAIN_EVALUATED) {
        bool ok = train_state_score(&f->state, e->step, "eval_loss", e->loss, err) &&
                  (!e->scored || train_state_score(&f->state, e->step, f->options->eval_task, e->score, err));
        for (int i = 0; ok && i < e->metric_count; i++) {
            char name[48];
            snprintf(name, sizeof name, "eval_%s", e->metrics[i].name);
            ok = train_state_score(&f->state, e->step, name, e->metrics[i].value, err);
        }
        return ok;
    }
    if (e->kind != TRAIN_STEPPED) return true;
    const TrainLine line = {.step = e->step,
                            .labels = e->labels,
                            .tokens = e->tokens,
                            .loss = e->loss,
                            .grad_norm = e->grad_norm,
                            .learning_rate = e->learning_rate,
                            .seconds = e->seconds,
                            .skipped = e->skipped != NULL};
    return train_state_line(&f->state, &line, err);
}

bool train_files_save(TrainFiles *f, const LoopState *s, Err *err) {
    json_decref(f->state.more);
    f->state.more = loop_state_json(s, err);
    f->state.step = s->step;
    f->state.best_step = s->kept_step;
    f->state.best_value = s->kept_loss;
    return f->state.more && folder_make(f->options->out, err) &&
           checkpoint_save(f->options->out, &f->model, &f->state, err) &&
           checkpoint_keep(f->options->out, f->options->keep, s->step, s->kept_step, err);
}

static void warn_of_changes(const TrainFiles *f, const char *folder, const json_t *there) {
    Text text = {0};
    train_options_differ(there, f->state.options, &text);
    for (char *line = text.data; line && *line;) {
        size_t bytes = strcspn(line, "\n");
        watch_say(QM_WARNING, "%s is of a run with other numbers: %.*s", folder, (int)bytes, line);
        line += bytes + (line[bytes] == '\n');
    }
    text_free(&text);
}

bool train_files_load(TrainFiles *f, const char *folder, LoopState *s, Err *err) {
    TrainState found;
    if (!checkpoint_load(folder, &f->model, &found, err)) return false;
    bool ok =
        loop_state_read(s, found.more, folder, err) &&
        (s->step == found.step || err_set(err, "%s: trainer_state.json: expected one step in it, got %lld and %lld",
                                          folder, (long long)found.step, (long long)s->step));
    if (ok) {
        warn_of_changes(f, folder, found.options);
        json_decref(found.options);
        found.options = json_incref(f->state.options);
        found.seed = f->options->seed;
        train_state_cut(&found, found.step);
        train_state_free(&f->state);
        f->state = found;
    } else train_state_free(&found);
    return ok;
}

bool train_files_take(TrainFiles *f, int64_t step, Err *err) {
    char name[64];
    TrainState found;
    snprintf(name, sizeof name, "checkpoint-%lld", (long long)step);
    char *folder = path_join(f->options->out, name, err);
    bool ok = folder && checkpoint_load(folder, &f->model, &found, err);
    if (ok) train_state_free(&found);
    free(folder);
    return ok;
}

/* ---- The model, the adapter -------------------------------------------------------------------------------------- */

/* A tensor of the trainer as one to save. */
typedef struct Saved {
    TrainFiles *files;
    int place;
    TensorPart part;
} Saved;

static bool read_saved(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    const Saved *s = owner;
    (void)first, (void)rows; /* all: SaveTensor.whole */
    return trainer_read(s->files->trainer, s->place, s->part, out, err);
}

/* That of the largest matrices in the model's files, if it is one of the three; f32 of what is quantised. */
static DType dtype_of_source(const TrainFiles *f) {
    Err ignored = {0};
    DType dtype = DTYPE_F32;
    Weights *weights = source_has_weights(f->source) ? model_weights(&f->config, f->source, &ignored) : NULL;
    const WeightTensor *t = weights ? weights_find(weights, family_of(&f->config)->typical) : NULL;
    if (t && !t->panels && (t->dtype == DTYPE_BF16 || t->dtype == DTYPE_F16)) dtype = t->dtype;
    if (t && t->panels && !strcmp(t->panel_type, "bf16")) dtype = DTYPE_BF16;
    weights_close(weights);
    return dtype;
}

static DType dtype_asked(const TrainFiles *f) {
    const char *asked = f->options->save_dtype;
    if (!asked) return f->adapter ? DTYPE_F32 : dtype_of_source(f);
    return !strcmp(asked, "bf16") ? DTYPE_BF16 : !strcmp(asked, "f16") ? DTYPE_F16 : DTYPE_F32;
}

static bool adapter_folder(const TrainFiles *f, const SaveTensor *tensors, DType dtype, const char *folder, Err *err) {
    OutputFolder out = {.lock = -1};
    bool ok = output_folder_open(&out, folder, FOLDER_ADD, err) && copy_adapter_config(f, out.path, err) &&
              safetensors_save(out.path, "adapter_model", tensors, f->model.count, dtype, INT64_MAX, err);
    return output_folder_end(&out, ok, ADAPTER_CONFIG, NULL, err) && ok;
}

bool train_files_model(TrainFiles *f, TensorPart part, const char *folder, Err *err) {
    size_t count = (size_t)f->model.count;
    SaveTensor *tensors = mem_new(count + 1, sizeof *tensors, "tensors", err);
    Saved *saved = tensors ? mem_new(count + 1, sizeof *saved, "tensors", err) : NULL;
    DType dtype = dtype_asked(f);
    for (size_t i = 0; saved && i < count; i++) {
        const TrainTensor *t = trainer_tensor(f->trainer, f->place[i]);
        bool has = part == PART_VALUE || trainer_has(f->trainer, f->place[i], part);
        saved[i] = (Saved){f, f->place[i], has ? part : PART_VALUE};
        tensors[i] = (SaveTensor){.name = f->tensors[i].name,
                                  .rank = t->rank,
                                  .dim = {t->dim[0], t->dim[1]},
                                  .whole = true,
                                  .read = read_saved,
                                  .owner = &saved[i]};
    }
    ModelSave save = save_of(f, tensors, f->model.count, dtype);
    bool ok =
        saved && (f->adapter ? adapter_folder(f, tensors, dtype, folder, err) : model_folder_save(&save, folder, err));
    free(tensors), free(saved);
    return ok;
}

/* ---- Gradients --------------------------------------------------------------------------------------------------- */

bool train_files_gradients(TrainFiles *f, const char *path, Err *err) {
    int all = trainer_tensors(f->trainer);
    int64_t count = 0;
    size_t most = 0;
    SafeTensor *list = mem_new((size_t)all + 1, sizeof *list, "gradients", err);
    for (int i = 0; list && i < all; i++) {
        const TrainTensor *t = trainer_tensor(f->trainer, i);
        if (!trainer_has(f->trainer, i, PART_GRADIENT)) continue;
        size_t numbers = (size_t)(t->dim[0] * (t->rank > 1 ? t->dim[1] : 1));
        list[count++] =
            (SafeTensor){.name = t->name, .dtype = DTYPE_F32, .rank = t->rank, .dim = {t->dim[0], t->dim[1]}};
        if (numbers > most) most = numbers;
    }
    float *values = list ? mem_new(most + 1, sizeof *values, "gradients", err) : NULL;
    SafeWriter *out = values ? safewriter_open(path, list, count, err) : NULL;
    bool ok = out != NULL;
    for (int i = 0; ok && i < all; i++) {
        const TrainTensor *t = trainer_tensor(f->trainer, i);
        size_t numbers = (size_t)(t->dim[0] * (t->rank > 1 ? t->dim[1] : 1));
        if (!trainer_has(f->trainer, i, PART_GRADIENT)) continue;
        ok = trainer_read(f->trainer, i, PART_GRADIENT, values, err) &&
             safewriter_data(out, values, numbers * sizeof *values, err);
    }
    if (out) ok = safewriter_close(out, err) && ok;
    free(list), free(values);
    return ok;
}
