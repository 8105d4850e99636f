/* train_run.c: see train_run.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "../base/output_folder.h"
#include "../base/watch.h"
#include "../model/family.h"
#include "begin.h"
#include "task_head.h"
#include "train_files.h"
#include "train_log.h"
#include "train_page.h"
#include "train_run.h"
#include "train_show.h"

struct TrainRun {
    TrainJob job;
    ModelConfig config;
    TrainData *data;
    TaskNames names;   /* of the classes that the model has     */
    TaskTally tally;   /* of the evaluation at hand             */
    TrainLength length;
    char *from;        /* the checkpoint that it goes on from, or NULL */
    char *begun;       /* begin.h; or NULL                      */
    QmSource *initial; /* the model there, with --init          */
    Trainer *trainer;
    TrainFiles files;
    TrainLog *log;
    TrainPage *page;
    Output samples;
    LoopState state;
    int64_t parameters, trained;
};

static const TrainOptions *options_of(const TrainRun *run) { return &run->job.options; }

/* ---- Data -------------------------------------------------------------------------------------------------------- */

static TrainTask task_of(const TrainRun *run) {
    return (TrainTask)train_option(train_task_names, options_of(run)->task);
}

static bool open_data(TrainRun *run, Err *err) {
    const TrainOptions *o = options_of(run);
    if (!task_names_read(&run->names, &run->config, run->job.source, task_of(run), err)) return false;
    TrainDataOptions d = {
        .files = o->data,
        .eval_files = o->eval_data,
        .file_count = o->data_count,
        .eval_file_count = o->eval_count,
        .task = task_of(run),
        .packing = (TrainPacking)train_option(train_packing_names, o->packing),
        .order = (TrainOrder)train_option(train_order_names, o->order),
        .mask = (TrainMask)train_option(train_mask_names, o->mask),
        .end = strcmp(o->end, "never") ? END_AUTO : END_NEVER,
        .seq_len = o->seq_len,
        .vocab = run->config.vocab,
        .eval_split = o->eval_split,
        .seed = (uint64_t)o->seed,
        .documents = o->documents,
        .control_tokens = o->control_tokens,
        .threads = (int)run->job.engine.threads,
        .cache = o->cache,
        .names = run->names.name,
        .name_count = run->names.count,
    };
    return (run->data = train_data_open(run->job.tokenizer, &d, err)) != NULL &&
           train_length(o, train_rows(run->data), &run->length, err);
}

static bool write_row(TrainRun *run, const TrainRow *row, Err *err) {
    Text line = {0};
    train_row_line(run->data, row, &line);
    bool ok =
        text_ok(&line, "a row", err) && file_put(run->samples.file, line.data, line.bytes, run->samples.path, err);
    text_free(&line);
    return ok;
}

/* Rows come from here; those that are asked for are written as they go. */
static const TrainRow *feed_row(void *owner, int64_t epoch, int64_t index, Err *err) {
    TrainRun *run = owner;
    const TrainRow *row = train_row(run->data, epoch, index);
    return !run->samples.file || write_row(run, row, err) ? row : NULL;
}

static const TrainRow *feed_eval_row(void *owner, int64_t index, Err *err) {
    (void)err;
    return train_eval_row(((TrainRun *)owner)->data, index);
}

/* ---- Where it goes on -------------------------------------------------------------------------------------------- */

/* A new run does not mix its checkpoints with those of another. */
static bool find_begin(TrainRun *run, Err *err) {
    const TrainOptions *o = options_of(run);
    Err none = {0};
    if (o->resume) return (run->from = checkpoint_find(o->resume, err)) != NULL;
    if (!o->out || !folder_exists(o->out)) return true;
    char *there = checkpoint_find(o->out, &none);
    if (there)
        err_set(err, "%s is there already: expected --resume %s, which goes on with it, or another -o DIR", there,
                o->out);
    free(there);
    return !err->kind;
}

/* A place where no model can be written is an error before the first step, not behind the last. */
static bool can_write(const TrainOptions *o, Err *err) {
    OutputFolder folder;
    if (!o->out || o->max_steps == 0) return true;
    if (!output_folder_open(&folder, o->out, FOLDER_ADD, err)) return false;
    output_folder_close(&folder);
    return true;
}

/* What the trainer is told but for what the data says. */
static TrainerOptions trainer_options(const TrainRun *run) {
    const TrainOptions *o = options_of(run);
    return (TrainerOptions){.engine = run->job.engine, .seq_len = o->seq_len, .micro_batch = o->micro_batch,
                            .optimizer = o->optimizer, .recompute = o->recompute, .ema = o->ema > 0,
                            .moments_8bit = o->moments_8bit, .seed = (uint64_t)o->seed, .stop = run->job.stop};
}

TrainRun *train_run_open(const TrainJob *job, Err *err) {
    TrainRun *run = mem_new(1, sizeof *run, "a run", err);
    if (!run) return NULL;
    run->job = *job;
    run->state = loop_state_new();
    const TrainOptions *o = options_of(run);
    const TrainerOptions t = trainer_options(run);
    if ((o->max_steps == 0 || trainer_allows(&t, err)) && config_load(&run->config, job->source, err) &&
        (!o->out || model_folder_allowed(job->source, o->out, err)) && find_begin(run, err) && open_data(run, err) &&
        can_write(o, err))
        return run;
    train_run_close(run);
    return NULL;
}

void train_run_close(TrainRun *run) {
    if (!run) return;
    train_files_close(&run->files);
    trainer_close(run->trainer);
    source_close(run->initial);
    train_data_close(run->data);
    task_tally_free(&run->tally);
    task_names_free(&run->names);
    free(run->from), free(run->begun);
    free(run);
}

TrainData *train_run_data(TrainRun *run) { return run->data; }
int64_t train_run_steps(const TrainRun *run) { return run->length.steps; }

TrainOutcome train_run_outcome(const TrainRun *run) {
    return (TrainOutcome){
        .state = run->state, .steps = run->length.steps, .parameters = run->parameters, .trained = run->trained};
}

/* ---- The trainer ------------------------------------------------------------------------------------------------- */

static void count_parameters(TrainRun *run) {
    for (int i = 0; i < trainer_tensors(run->trainer); i++) {
        const TrainTensor *t = trainer_tensor(run->trainer, i);
        int64_t numbers = t->dim[0] * (t->rank > 1 ? t->dim[1] : 1);
        run->parameters += numbers;
        if (t->trained) run->trained += numbers;
    }
}

/* Labels of the head: of numbers one; as many as the data names, unless the model has more that have no names. */
static int64_t labels_of(const TrainRun *run) {
    TrainTask task = task_of(run);
    int64_t named = train_name_count(run->data);
    bool has = run->config.head == task_head(task), plain = named && !strncmp(train_name(run->data, 0), "LABEL_", 6);
    if (task != TASK_SEQCLS && task != TASK_TOKCLS) return 0;
    if (train_is_regression(run->data)) return 1;
    return has && plain && (run->config.labels == 1 || named < run->config.labels) ? run->config.labels : named;
}

/* Sets *adapter, the folder of the one that is trained; NULL: none is. */
static bool begin(TrainRun *run, const char **adapter, Err *err) {
    const TrainOptions *o = options_of(run);
    run->begun = begin_folder(o, task_of(run), labels_of(run), run->job.source, run->job.tokenizer_source,
                              run->from != NULL, err);
    *adapter = o->lora_r ? run->begun : o->init_adapter;
    if (err->kind || !o->init) return !err->kind;
    return (run->job.source = run->initial = source_open(run->begun, err)) != NULL;
}

/* What evaluations count with; and what config.json says of classes that the model had no names for. */
static bool name_classes(TrainRun *run, Err *err) {
    TrainTask task = task_of(run);
    TaskNames *names = &run->names;
    int64_t labels = trainer_info(run->trainer)->labels;
    run->tally = (TaskTally){.task = task, .tokenizer = run->job.tokenizer};
    if (task != TASK_SEQCLS && task != TASK_TOKCLS) return true;
    if (!names->count) {
        int count = labels > 1 ? train_name_count(run->data) : 0;
        task_names_free(names);
        if (!(names->name = mem_new((size_t)count + 1, sizeof *names->name, "names of classes", err))) return false;
        while (names->count < count) names->name[names->count] = train_name(run->data, names->count), names->count++;
        if (!(run->files.changes = task_changes(labels, names->name, count, err))) return false;
    }
    run->tally.names = names->name;
    run->tally.name_count = names->count;
    return true;
}

/* A flag of the engine that decides numbers, among those that a checkpoint keeps; not where it is the default. */
static bool number_add(json_t *numbers, const char *name, const char *value, const char *usual, Err *err) {
    return !value || !strcmp(value, usual) || json_object_set_new(numbers, name, json_string(value)) == 0 ||
           err_as(err, QM_MEMORY, "out of memory: options");
}

static bool open_trainer(TrainRun *run, Err *err) {
    const TrainOptions *o = options_of(run);
    const TrainCounts *counts = train_counts(run->data);
    TrainerOptions t = trainer_options(run);
    t.task = task_of(run), t.labels = labels_of(run);
    if (!begin(run, &t.adapter, err) || !(run->trainer = trainer_open(run->job.source, &t, err))) return false;
    count_parameters(run);
    json_t *numbers = train_options_json(o, run->length.steps, counts->rows, counts->tokens, counts->labels, err);
    const QmEngineOptions *e = &run->job.engine;
    if (numbers && (!number_add(numbers, "act", e->act, act_names[ACT_F32], err) ||
                    !number_add(numbers, "weights", e->weights, "file", err))) {
        json_decref(numbers);
        return false;
    }
    return numbers && train_files_open(&run->files, o, run->trainer, run->job.source, run->job.tokenizer_source,
                                       t.adapter, numbers, err) &&
           name_classes(run, err);
}

static bool run_step(void *owner, const TrainRow *rows, int64_t count, const StepNumbers *n, StepResult *r, Err *err) {
    TrainRun *run = owner;
    const char *gradients = options_of(run)->gradients;
    return trainer_step(run->trainer, rows, count, n, r, err) &&
           (n->step != 1 || !gradients || train_files_gradients(&run->files, gradients, err));
}

static bool run_evaluate(void *owner, const TrainRow *rows, int64_t count, double *loss, int64_t *labels, Err *err) {
    TrainRun *run = owner;
    if (!trainer_evaluate(run->trainer, rows, count, loss, labels, err)) return false;
    TaskScores scores = trainer_scores(run->trainer);
    return task_of(run) == TASK_CLM || task_tally_add(&run->tally, rows, count, &scores, err);
}

static bool run_metrics(void *owner, TaskMetric *out, int *count, Err *err) {
    return task_tally_end(&((TrainRun *)owner)->tally, out, count, err);
}

/* What is learnt so far goes through a folder that lives as long as it is asked. */
static bool run_score(void *owner, double *score, Err *err) {
    TrainRun *run = owner;
    const TrainOptions *o = options_of(run);
    Err more = {0};
    char *folder = folder_make(o->out, err) ? path_join(o->out, "scored", err) : NULL;
    bool adapter = run->files.adapter != NULL;
    bool ok = folder && train_files_model(&run->files, PART_VALUE, folder, err) &&
              run->job.score(run->job.score_owner, adapter ? o->model : folder, adapter ? folder : NULL, score, err);
    if (folder && folder_exists(folder) && !output_folder_remove(folder, &more)) ok = ok && err_from(err, &more);
    free(folder);
    return ok;
}

/* The log reaches the disk before a checkpoint says that it goes on from there. */
static bool run_save(void *owner, const LoopState *state, Err *err) {
    TrainRun *run = owner;
    int64_t every = run->length.steps_of_epoch;
    run->files.state.epoch = state->step / every;
    run->files.state.position = state->step % every * options_of(run)->batch;
    return (!run->log || train_log_sync(run->log, err)) && train_files_save(&run->files, state, err);
}

static bool run_tell(void *owner, const TrainEvent *event, Err *err) {
    TrainRun *run = owner;
    if (!train_files_note(&run->files, event, err) || (run->log && !train_log_add(run->log, event, err))) return false;
    if (run->page) train_page_tell(run->page, event);
    return !run->job.ear.tell || run->job.ear.tell(run->job.ear.owner, event, err);
}

/* ---- A run ------------------------------------------------------------------------------------------------------- */

/* What a page tells of steps that an earlier run did. */
static void earlier_steps(TrainRun *run) {
    const TrainState *s = &run->files.state;
    for (size_t i = 0; i < s->line_count; i++) {
        const TrainLine *l = &s->lines[i];
        train_page_earlier(run->page, &(TrainEvent){.kind = TRAIN_STEPPED,
                                                    .step = l->step,
                                                    .steps = run->length.steps,
                                                    .loss = l->loss,
                                                    .grad_norm = l->grad_norm,
                                                    .labels = l->labels,
                                                    .learning_rate = l->learning_rate,
                                                    .tokens = l->tokens,
                                                    .seconds = l->seconds});
    }
    for (size_t i = 0; i < s->score_count; i++)
        if (!strcmp(s->scores[i].name, "eval_loss"))
            train_page_earlier(run->page, &(TrainEvent){.kind = TRAIN_EVALUATED,
                                                        .step = s->scores[i].step,
                                                        .loss = s->scores[i].value,
                                                        .perplexity = exp(s->scores[i].value)});
}

/* Files that grow with the run; all are opened before the first step. */
static bool open_files(TrainRun *run, Err *err) {
    const TrainOptions *o = options_of(run);
    if (o->log && !(run->log = train_log_open(o->log, run->from ? &run->state : NULL, err))) return false;
    if (o->samples && !output_open(&run->samples, o->samples, err)) return false;
    if (!o->page) return true;
    Text settings = {0};
    train_options_text(run->files.state.options, &settings);
    if (text_ok(&settings, "settings", err))
        run->page = train_page_open(o->page, o->model ? o->model : o->init, settings.data ? settings.data : "", err);
    text_free(&settings);
    if (run->page) earlier_steps(run);
    return run->page != NULL;
}

static bool steps(TrainRun *run, Err *err) {
    const TrainOptions *o = options_of(run);
    TrainLoop loop = {
        .options = o,
        .length = run->length,
        .schedule = train_schedule(o, run->length.steps),
        .model = {run, run_step, run_evaluate, o->eval_task ? run_score : NULL, run_metrics},
        .saver = {run, run_save},
        .ear = {run, run_tell},
        .stop = run->job.stop,
        .feed = {run, train_rows(run->data), train_eval_rows(run->data), feed_row, feed_eval_row},
        .state = run->state,
    };
    bool ok = train_loop(&loop, err);
    run->state = loop.state;
    return ok;
}

/* The model at the root of options.out: the last step's, or the best checkpoint's; its averages in "ema" below. */
static bool save_model(TrainRun *run, Err *err) {
    const TrainOptions *o = options_of(run);
    const LoopState *s = &run->state;
    char *ema = o->ema > 0 ? path_join(o->out, "ema", err) : NULL;
    bool ok = folder_make(o->out, err) && (o->ema == 0 || (ema && train_files_model(&run->files, PART_EMA, ema, err)));
    if (ok && o->load_best && s->kept_step && s->kept_step != s->step)
        ok = train_files_take(&run->files, s->kept_step, err);
    free(ema);
    return ok && train_files_model(&run->files, PART_VALUE, o->out, err);
}

bool train_run_go(TrainRun *run, Err *err) {
    const TrainOptions *o = options_of(run);
    if (run->length.steps == 0) return !o->samples || train_write_samples(run->data, 1, o->samples, err);
    bool ok = open_trainer(run, err) && (!run->from || train_files_load(&run->files, run->from, &run->state, err)) &&
              open_files(run, err);
    if (ok && run->state.step > 0 && o->gradients)
        watch_say(QM_WARNING, "--gradients: not written: the first step was done before %s", run->from);
    ok = ok && steps(run, err) && save_model(run, err);
    train_page_close(run->page, ok ? "done" : err->kind == QM_INTERRUPTED ? "interrupted" : err->text);
    Err more = {0};
    if (!output_end(&run->samples, true, &more) || !train_log_close(run->log, &more)) ok = false;
    run->page = NULL, run->log = NULL;
    return ok || (more.kind && !err->kind ? err_from(err, &more) : false);
}
