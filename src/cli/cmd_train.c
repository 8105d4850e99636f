/* cmd_train.c: `train`: a model, or an adapter of it, trained on files. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../base/transport.h"
#include "../eval/gsm8k.h"
#include "../io/source.h"
#include "../train/train_run.h"
#include "../train/train_show.h"
#include "model_options.h"
#include "train_progress.h"
#include "train_score.h"
#include "watch_terminal.h"

/* ---- Interrupts -------------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t signalled;
static EndSignals before; /* how signals were handled */

/* The first one ends the run as soon as the pass under way is through; the next one at once. */
static void on_stop(int number) {
    static const char said[] = "\nqwenmesh: leaves this step, saves the one before, then ends; once more ends now\n";
    signalled = number;
    end_signals_back(&before);
    if (write(STDERR_FILENO, said, sizeof said - 1) < 0) signalled = number; /* nothing more can be done here */
}

static bool stop(void) { return signalled != 0; }

static void catch_stops(void) {
    end_signals_take(&before, on_stop, true);
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

typedef struct TrainCommand {
    TrainOptions o;
    ModelOptions m;
    Texts data, eval_data;
    int64_t show, logging_steps;
    const char *task_data;
} TrainCommand;

enum { MOST_TRAIN_OPTIONS = 112 };

/* Engine options that say nothing to training, or another thing: it has no key/value cache, its rows are the
 * micro-batch's, its adapter and its activations have options of their own. */
static bool of_training(const char *name) {
    static const char *const others[] = {"ctx", "rows", "cache-type", "candidates", "lora", "act"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (!strcmp(name, others[i])) return false;
    return true;
}

#define DATA_OPTIONS                                                                                                   \
    TEXTS("data", 'd', &c->data, "FILE", "what it is trained on: JSON lines or text (below); may be given again"),     \
    TEXTS("eval-data", 0, &c->eval_data, "FILE", "what it is evaluated on; may be given again"),                       \
    FLOAT("eval-split", 0, &o->eval_split, 0, 0.99, "P", "this part of the data is for evaluation instead"),           \
    TEXT("task", 0, &o->task, "clm|seqcls|tokcls|qa", "tokens (default), classes of texts, of words, or answers"),     \
    INT("seq-len", 0, &o->seq_len, 2, 1 << 20, "N", "most tokens of a row (default 1024)"),                            \
    TEXT("packing", 0, &o->packing, "KIND",                                                                            \
         "auto (default: blocks of text files, else none), none, bfd, bfd_split, wrapped, blocks"),                    \
    TEXT("data-order", 0, &o->order, "shuffle|file", "rows of an epoch: by the seed (default), or as they come"),   \
    TEXT("mask", 0, &o->mask, "assistant|reply|last",                                                                  \
         "labels of conversations: all of the assistant's turns (default), what it writes alone, its last turn"),      \
    TEXT("end", 0, &o->end, "auto|never", "whether the end of a document gets the end-of-text token"),                 \
    FLAG("documents", 0, &o->documents, "text files are documents, parted by the end-of-text token's text"),           \
    FLAG("control-tokens", 0, &o->control_tokens, "control tokens that messages spell are such, not text"),            \
    TEXT("tokenizer", 0, &o->tokenizer, "DIR|FILE", "whose tokenizer (default: the model's)"),                         \
    TEXT("data-cache", 0, &o->cache, "DIR", "keeps the tokens of the data"),                                           \
    INT("show", 0, &c->show, 1, 1 << 20, "N", "print the first N rows with their labels coloured"),                    \
    TEXT("write-samples", 0, &o->samples, "F.jsonl", "ids, labels and lengths of each row as it is trained")

#define LENGTH_OPTIONS                                                                                                 \
    FLOAT("num-train-epochs", 0, &o->num_train_epochs, 0, 1e9, "E", "how often the data is gone through (default 3)"), \
    INT("max-steps", 0, &o->max_steps, 0, 1e15, "N", "steps in all, whatever the epochs; 0: read the data only"),      \
    INT("batch-size", 'b', &o->batch, 1, MOST_ROWS_OF_STEP, "N", "rows of a whole step (default 8)"),                  \
    INT("micro-batch", 0, &o->micro_batch, 1, MOST_ROWS_OF_STEP, "N",                                                  \
        "rows that pass at once: decides memory and speed, no number"),                                                \
    INT("per-device-train-batch-size", 0, &o->device_batch, 1, MOST_ROWS_OF_STEP, "N",                                 \
        "with the next one Trainer's way to say --batch-size: their product, whatever the mesh"),                      \
    INT("gradient-accumulation-steps", 0, &o->accumulation, 1, MOST_ROWS_OF_STEP, "N", "see there (default 1)"),       \
    FLAG("dataloader-drop-last", 0, &o->drop_last, "an epoch's last rows are left out where they fill no step"),       \
    INT("seed", 's', &o->seed, 0, 9e18, "N", "of the order, of new weights, of dropout (default 42)")

#define OPTIMIZER_OPTIONS                                                                                              \
    TEXT("optim", 0, &o->optim, "adamw|sgd|muon", "adamw (default), sgd, or muon for matrices of layers, adamw else"), \
    FLOAT("learning-rate", 0, &o->learning_rate, 0, 1e3, "LR", "the largest of the schedule (default 5e-5)"),          \
    TEXT("lr-scheduler-type", 0, &o->scheduler, "KIND", "linear (default), constant, cosine, wsd"),                    \
    FLOAT("warmup-steps", 0, &o->warmup_steps, 0, 1e15, "N", "from 0 up to it; below 1: a part of all (default 0)"),   \
    FLOAT("decay-steps", 0, &o->decay_steps, 0, 1e15, "N", "of wsd; below 1: a part of all (default 0.1)"),            \
    TEXT("decay-type", 0, &o->decay, "cosine|linear|1-sqrt", "of wsd (default cosine)"),                               \
    FLOAT("min-lr-ratio", 0, &o->least_rate, 0, 1, "P", "of wsd: the part of the rate it ends at (default 0)"),        \
    FLOAT("weight-decay", 0, &o->weight_decay, 0, 1e3, "W", "of matrices, not of biases and norms (default 0)"),       \
    FLOAT("adam-beta1", 0, &o->beta1, 0, 0.999999, "B", "(default 0.9); of sgd its momentum"),                         \
    FLOAT("adam-beta2", 0, &o->beta2, 0, 0.99999999, "B", "(default 0.999)"),                                          \
    FLOAT("adam-epsilon", 0, &o->epsilon, 0, 1, "E", "(default 1e-8)"),                                                \
    FLOAT("muon-lr", 0, &o->muon_rate, 0, 1e3, "LR", "the rate of what muon updates (default: --learning-rate)"),      \
    FLOAT("muon-momentum", 0, &o->muon_momentum, 0, 0.999999, "B", "(default 0.95)"),                                  \
    TEXT("muon-adjust-lr", 0, &o->muon_adjust, "KIND",                                                                 \
         "original (default): rates of sqrt(max(1, rows/columns)); match_rms_adamw: AdamW's"),                         \
    FLOAT("max-grad-norm", 0, &o->max_grad_norm, 0, 1e30, "N", "clip the gradients' norm; 0: never (default 1)"),      \
    TEXT("moments", 0, &o->moments, "f32|8bit", "adamw's: f32 (default), or 8bit, each with a scale for 256"),          \
    FLOAT("label-smoothing-factor", 0, &o->label_smoothing, 0, 0.99, "P", "(default 0)"),                              \
    FLOAT("z-loss", 0, &o->z_loss, 0, 1e3, "W", "weight of the squared log of the softmax's sum (default 0)"),         \
    FLOAT("ema", 0, &o->ema, 0, 0.9999999, "D", "keep averages of the weights with this decay (default 0: none)"),     \
    FLOAT("skip-outliers", 0, &o->skip_outliers, 0, 1e6, "Z",                                                          \
          "leave out updates whose loss or norm is Z deviations above the last 128 (default 0: none)"),                \
    TEXT("act", 0, &c->m.engine.act, "f32|bf16",                                                                       \
         "operands of linears, forward and backward: f32 (default) or bf16, summed in f32; masters are f32"),          \
    FLAG("recompute", 0, &o->recompute, "keep only the inputs of layers for the backward pass: less memory")

#define LORA_OPTIONS                                                                                                   \
    INT("lora-r", 0, &o->lora_r, 1, 1 << 12, "R", "train an adapter of this rank, not the model"),                     \
    FLOAT("lora-alpha", 0, &o->lora_alpha, 1e-6, 1e6, "A", "its scale is A/R (default 8, as PEFT's)"),                 \
    FLOAT("lora-dropout", 0, &o->lora_dropout, 0, 0.99, "P", "of what goes into an adapter (default 0)"),              \
    TEXT("lora-targets", 0, &o->lora_targets, "NAMES", "linears that get one, or all-linear (default q_proj,v_proj)"), \
    TEXT("modules-to-save", 0, &o->modules_to_save, "NAMES", "modules trained whole beside it, as lm_head,norm"),      \
    FLAG("rslora", 0, &o->rslora, "scale by A/sqrt(R)"),                                                               \
    FLAG("dora", 0, &o->dora, "magnitudes apart from directions"),                                                     \
    TEXT("init-adapter", 0, &o->init_adapter, "DIR", "go on from this PEFT adapter; it says rank and targets")

#define FILE_OPTIONS                                                                                                   \
    TEXT("out", 'o', &o->out, "DIR", "the model, or adapter, at its root, checkpoint-N below"),                        \
    TEXT("init", 0, &o->init, "CONFIG", "instead of -m: random weights of this config.json, or folder"),               \
    TEXT("save-dtype", 0, &o->save_dtype, "f32|bf16|f16", "of the model saved (default: the source's, else f32)"),     \
    INT("eval-steps", 0, &o->eval_steps, 1, 1e15, "N", "steps from evaluation to evaluation (default: an epoch)"),     \
    FLAG("eval-on-start", 0, &o->eval_on_start, "also before the first step"),                                         \
    TEXT("eval", 0, &o->eval_task, "gsm8k", "also score this task at every evaluation"),                               \
    INT("limit", 0, &o->eval_limit, 1, 1 << 20, "N", "its first N questions only"),                                    \
    TEXT("task-data", 0, &c->task_data, "DIR", "where its test.jsonl is (default: data/gsm8k)"),                       \
    INT("save-steps", 0, &o->save_steps, 0, 1e15, "N", "steps from checkpoint to checkpoint; 0: none (default 500)"),  \
    INT("keep", 0, &o->keep, 1, 1 << 20, "N", "checkpoints that are kept, the best one always (default: all)"),        \
    FLAG("load-best-model-at-end", 0, &o->load_best, "the model is that of the best evaluation, not the last"),      \
    TEXT("resume", 0, &o->resume, "DIR", "go on from this checkpoint, or the last one in DIR"),                        \
    TEXT("log", 0, &o->log, "F.jsonl", "a line a step: loss, norm, rate, labels, tokens, seconds"),                    \
    TEXT("gradients", 0, &o->gradients, "F.safetensors", "those of the first step, before the clip"),                  \
    TEXT("html", 0, &o->page, "FILE", "a page with curves that grow while it runs"),                                   \
    INT("logging-steps", 0, &c->logging_steps, 1, 1e15, "N", "steps from line to line without a terminal (default 10)")

static const char notes[] =
    "Names are those of Hugging Face's Trainer; underscores do as well. What comes out is the same to the last bit on "
    "every --mesh, --threads and --micro-batch, and after --resume.\n\n"
    "A line of --data is {\"text\"}, {\"prompt\",\"completion\"}, {\"messages\"}, {\"ids\",\"labels\"} or what "
    "ShareGPT and Alpaca write; a file named *.txt is text. Ctrl-C saves a checkpoint and leaves.";

/* Options have Trainer's names with underscores too. The words are copies: the caller's argv stays. */
static bool underscores(int argc, char **argv, const Option *options, int count, char **out, Arena *arena, Err *err) {
    for (int i = 0; i < argc; i++) {
        size_t name = strcspn(argv[i], "=");
        out[i] = arena_text(arena, argv[i], strlen(argv[i]), err);
        if (!out[i]) return false;
        if (i == 0 || strncmp(argv[i], "--", 2) || !memchr(argv[i], '_', name)) continue;
        for (size_t k = 0; k < name; k++)
            if (out[i][k] == '_') out[i][k] = '-';
        bool known = false;
        for (int k = 0; k < count; k++)
            known = known || (!strncmp(out[i] + 2, options[k].name, name - 2) && strlen(options[k].name) == name - 2);
        if (!known) memcpy(out[i], argv[i], name); /* what was written is what a message shows */
    }
    out[argc] = NULL;
    return true;
}

static int parse(TrainCommand *c, int argc, char **argv, Arena *arena, Err *err) {
    TrainOptions *o = &c->o;
    const Option own[] = {DATA_OPTIONS, LENGTH_OPTIONS, OPTIMIZER_OPTIONS, LORA_OPTIONS, FILE_OPTIONS};
    const Option engine[] = {MODEL_OPTIONS(c->m), CHAT_TEMPLATE_OPTION(c->m)};
    Option options[MOST_TRAIN_OPTIONS];
    int count = 0;
    for (size_t i = 0; i < sizeof engine / sizeof *engine; i++)
        if (of_training(engine[i].name)) options[count++] = engine[i];
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) options[count++] = own[i];
    char **words = arena_new(arena, (size_t)argc + 1, sizeof *words, "arguments", err);
    if (!words || !underscores(argc, argv, options, count, words, arena, err)) return fail(err);
    int code = options_parse(argc, words, "train -m MODEL --data FILE -o DIR [options]", notes, options, count, NULL);
    if (code >= 0) return code;
    o->model = c->m.engine.model;
    o->data = c->data.item, o->data_count = c->data.count;
    o->eval_data = c->eval_data.item, o->eval_count = c->eval_data.count;
    return train_options_check(o, err) ? -1 : usage_error(argv[0], "%s", err->text);
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static void print_counts(const char *what, const TrainCounts *n) {
    if (!n->rows) return;
    fprintf(stderr, "%s: %lld samples, %lld rows an epoch, %lld tokens, %lld labels", what, (long long)n->samples,
            (long long)n->rows, (long long)n->tokens, (long long)n->labels);
    if (n->cut) fprintf(stderr, "; %lld cut to --seq-len", (long long)n->cut);
    if (n->dropped) fprintf(stderr, "; %lld dropped, no label left", (long long)n->dropped);
    if (n->rest) fprintf(stderr, "; %lld tokens in no row", (long long)n->rest);
    fprintf(stderr, "\n");
}

static void print_outcome(const TrainCommand *c, const TrainOutcome *r, const TrainProgress *s) {
    printf("%lld steps, %lld labels, %lld tokens", (long long)r->state.step, (long long)r->state.labels,
           (long long)r->state.tokens);
    if (r->state.skipped) printf(", %lld updates skipped", (long long)r->state.skipped);
    if (s->busy > 0) printf("; %.1f tokens/s", (double)s->all_tokens / s->busy);
    bool evaluated = r->state.evaluated >= 0 && !isnan(r->state.eval_loss); /* there is data for it, not a task alone */
    if (evaluated) printf("; evaluation loss %.6f", r->state.eval_loss);
    if (evaluated && !strcmp(c->o.task, "clm")) printf(", perplexity %.6g", exp(r->state.eval_loss));
    if (r->state.best_step) printf("; best %.6f at step %lld", r->state.best_loss, (long long)r->state.best_step);
    printf("\n%s is in %s\n", train_options_lora(&c->o) ? "the adapter" : "the model", c->o.out);
}

/* The tokenizer of --tokenizer, else of the model; NULL without an error: there is none, and data has to be ids. */
static QmTokenizer *tokenizer_of(const TrainCommand *c, const char *model, Err *err) {
    ModelOptions m = c->m;
    m.engine.model = c->o.tokenizer ? c->o.tokenizer : model;
    QmSource *source = model_source(m.engine.model, err);
    if (!source || !source_has_tokenizer(source)) return NULL;
    return model_tokenizer(&m, err);
}

static bool train(TrainCommand *c, const QmTokenizer *tokenizer, Err *err) {
    char folder[FOLDER_BYTES], found[FOLDER_BYTES];
    if (c->o.eval_task && !gsm8k_find(c->task_data, "test.jsonl", found, sizeof found, err)) return false;
    TrainProgress progress = {.every = c->logging_steps};
    const char *model = c->o.model ? c->o.model : c->o.init;
    TrainJob job = {.options = c->o, .engine = model_engine_options(&c->m, folder), .tokenizer = tokenizer,
                    .source = model_source(model, err), .ear = {&progress, train_progress_tell}, .stop = stop};
    TrainScorer scorer = {&c->m, c->task_data, c->o.eval_limit, stop};
    job.engine.model = model;
    job.score = train_score, job.score_owner = &scorer;
    if (c->o.tokenizer && !(job.tokenizer_source = model_source(c->o.tokenizer, err))) return false;
    TrainRun *run = job.source ? train_run_open(&job, err) : NULL;
    if (!run) return false;
    TrainData *data = train_run_data(run);
    print_counts("data", train_counts(data));
    print_counts("evaluation", train_eval_counts(data));
    catch_stops();
    bool ok = (!c->show || train_show(data, tokenizer, c->show, isatty(STDOUT_FILENO), stdout, err)) &&
              file_finish(stdout, "standard output", err) && train_run_go(run, err);
    train_progress_end(&progress);
    TrainOutcome outcome = train_run_outcome(run);
    if (ok && outcome.steps) print_outcome(c, &outcome, &progress);
    train_run_close(run);
    return ok && file_finish(stdout, "standard output", err);
}

int cmd_train(int argc, char **argv) {
    Err err = {0};
    Arena arena = {0};
    TrainCommand c = {.o = train_options_new(), .logging_steps = 10};
    int code = parse(&c, argc, argv, &arena, &err);
    if (code < 0) {
        if (c.m.verbose) watch_terminal(QM_DETAIL);
        QmTokenizer *tokenizer = tokenizer_of(&c, c.o.model ? c.o.model : c.o.init, &err);
        bool ok = !err.kind && train(&c, tokenizer, &err);
        qm_tokenizer_close(tokenizer);
        if (err.kind == QM_INTERRUPTED) fprintf(stderr, "qwenmesh: %s; --resume %s goes on\n", err.text, c.o.out);
        code = ok ? EXIT_OK : err.kind == QM_INTERRUPTED && signalled ? 128 + signalled : fail(&err);
    }
    arena_free(&arena);
    return code;
}
