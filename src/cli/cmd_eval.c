/* cmd_eval.c: `eval`: how good a model is: the table of tasks, and GSM8K by its published protocols. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "../eval/gsm8k_run.h"
#include "../eval/report.h"
#include "eval_tasks.h"
#include "model_options.h"

typedef struct Gsm8kCommand {
    ModelOptions m;
    Gsm8kOptions o;
    const char *protocol, *out, *html, *rescore;
    bool resume, has_temperature;
} Gsm8kCommand;

/* The report of a results file: the table, and the page if asked for. */
static bool report_of(const Protocol *p, FILE *file, const char *name, int64_t questions, const char *html, FILE *out,
                      Err *err) {
    Lines lines;
    Report report;
    bool ok = file ? lines_of(&lines, file, name, err) : lines_open(&lines, name, err);
    if (!ok) return false;
    ok = report_read(&report, p, &lines, questions, err);
    lines_close(&lines);
    if (!ok) return false;
    report_print(&report, out);
    if (!html) return true;
    if (!output_apart(name, html, err)) return false;
    ok = file ? lines_of(&lines, file, name, err) : lines_open(&lines, name, err);
    ok = ok && report_html(&report, &lines, html, err);
    lines_close(&lines);
    return ok;
}

static int rescore(const Gsm8kCommand *c, Err *err) {
    bool console = !strcmp(c->out, "-"); /* then the report must not mix with the lines */
    bool ok = results_rescore(c->o.protocol, c->rescore, c->out, err) &&
              (console || report_of(c->o.protocol, NULL, c->out, 0, c->html, stdout, err)) &&
              file_finish(stdout, "standard output", err);
    return ok ? EXIT_OK : fail(err);
}

/* The context every question fits in, unless one is given. */
static bool context_for(Gsm8kCommand *c, const Gsm8kRun *run, Err *err) {
    QmModelInfo info;
    QmSource *source = model_source(c->m.engine.model, err);
    if (!source || !qm_source_info(source, &info, err)) return false;
    int64_t need = gsm8k_context(run);
    if (c->m.engine.context == 0) c->m.engine.context = need < info.max_positions ? need : info.max_positions;
    return true;
}

static void print_speed(const QmGeneratorStats *s, const Gsm8kRun *run) {
    double seconds = run->seconds > 0 ? run->seconds : 1e-9;
    printf("this run: %lld outputs in %.1f s, %.1f a minute; %lld prompt tokens fed and %lld reused, %lld new: %.1f "
           "tokens/s\n",
           (long long)run->judged, run->seconds, 60 * (double)run->judged / seconds, (long long)s->prompt,
           (long long)s->reused, (long long)s->decoded, (double)(s->prompt + s->decoded) / seconds);
}

static int run_gsm8k(Gsm8kCommand *c, Err *err) {
    int code = EXIT_FAILED;
    Gsm8kRun run = {0};
    Results results = {0};
    QmGeneratorStats stats = {0};
    json_t *header = NULL;
    QmEngine *e = NULL;
    QmTokenizer *t = model_tokenizer(&c->m, err);
    bool ok = t && gsm8k_open(&run, &c->o, model_source(c->m.engine.model, err), t, err) && context_for(c, &run, err);
    if (ok && !(e = model_open("eval", &c->m, false, &code))) ok = false;
    ok = ok && (header = gsm8k_header(&run, c->m.engine.model, qm_engine_info(e), err)) &&
         results_open(&results, c->out, c->resume, header, run.options.limit, run.options.samples, err);
    if (ok) {
        interrupt_stops(e);
        ok = gsm8k_go(&run, e, &results, interrupted, &stats, err);
        interrupt_stops(NULL);
        if (ok) ok = report_of(c->o.protocol, results.file, c->out ? c->out : "the results", run.options.limit, c->html,
                               stdout, err);
        if (ok && run.judged) print_speed(&stats, &run);
        ok = ok && file_finish(stdout, "standard output", err);
        if (interrupted() && c->out) fprintf(stderr, "qwenmesh: %lld outputs are in %s; --resume goes on\n",
                                             (long long)(results.found + run.judged), c->out);
    }
    if (!results_close(&results, err)) ok = false;
    json_decref(header);
    gsm8k_close(&run);
    qm_engine_close(e);
    qm_tokenizer_close(t);
    if (interrupted()) return 128 + SIGINT;
    if (ok) return EXIT_OK;
    return err->kind ? fail(err) : code;
}

static int eval_gsm8k(int argc, char **argv) {
    Gsm8kCommand c = {
        .m = {.engine.slots = 8}, .o = {.shots = -1, .samples = 1, .fewshot_seed = FEWSHOT_SEED}, .protocol = "lm-eval"};
    bool chat = false, turns = false;
    const Option options[] = {
        TEXT("protocol", 0, &c.protocol, "NAME", "one of those below (default lm-eval)"),
        TEXT("data", 0, &c.o.data, "DIR", "folder of test.jsonl and train.jsonl (default: data/gsm8k)"),
        INT("shots", 0, &c.o.shots, 0, MAX_SHOTS, "N", "examples in the prompt (default: the protocol's)"),
        INT("limit", 0, &c.o.limit, 1, 1 << 20, "N", "the first N questions only"),
        INT("samples", 0, &c.o.samples, 1, MAX_SAMPLES, "K", "outputs per question, and their majority"),
        FLOAT("temp", 0, &c.o.temperature, 0, 1e6, "T",
              "temperature (default 0, greedy; with --samples 0.2)", &c.has_temperature),
        FLOAT("repeat-penalty", 0, &c.o.repetition_penalty, 1e-6, 1e6, "R",
              "penalty of ids already there (default: the model's with lm-eval's protocols, else 1)"),
        INT("seed", 's', &c.o.seed, 0, 9e18, "N", "seed of the draws of tokens (default 0)"),
        INT("fewshot-seed", 0, &c.o.fewshot_seed, 0, 9e18, "N", "seed of the draws of examples (default 1234)"),
        INT("n-predict", 'n', &c.o.max_new_tokens, 1, 1 << 20, "N", "new tokens at most (default: the protocol's)"),
        FLAG("chat", 0, &chat, "a plain prompt as one user message (lm-eval's --apply_chat_template)"),
        FLAG("multiturn", 0, &turns, "with --chat: examples as turns of the conversation (its --fewshot_as_multiturn)"),
        INT("slots", 0, &c.m.engine.slots, 1, 1024, "N", "questions at once (default 8)"),
        TEXT("out", 'o', &c.out, "FILE", "every prompt, output and verdict, JSON lines"),
        FLAG("resume", 0, &c.resume, "go on with FILE, whatever stopped it"),
        TEXT("rescore", 0, &c.rescore, "FILE", "score these outputs into --out, with no model"),
        TEXT("html", 0, &c.html, "FILE", "also a page to browse the answers"),
        MODEL_OPTIONS(c.m),
        CHAT_TEMPLATE_OPTION(c.m),
    };
    Text notes = {0};
    Err err = {0};
    text_line(&notes, "Protocols:\n");
    for (const Protocol *p = protocols; p->name; p++)
        text_line(&notes, "  %-12s %s (at most %lld new tokens)\n", p->name, p->summary, (long long)p->max_new_tokens);
    text_line(&notes, "\nFILE for --rescore: JSON lines with \"gold\", the data set's answer, and \"output\".");
    int code = options_parse(argc, argv, "eval gsm8k -m MODEL [--protocol NAME] [-o FILE] [options]",
                             text_ok(&notes, "help", NULL) ? notes.data : NULL, options,
                             (int)(sizeof options / sizeof *options), NULL);
    text_free(&notes);
    if (code >= 0) return code;
    if (!(c.o.protocol = protocol_find(c.protocol, &err))) return usage_error(argv[0], "%s", err.text);
    if (turns && !chat) return usage_error(argv[0], "--multiturn: expected --chat with it");
    c.o.form = turns ? FORM_TURNS : chat ? FORM_CHAT : FORM_PLAIN;
    if (c.rescore && (!c.out || c.m.engine.model)) return usage_error(argv[0],
                                                                      "--rescore: expected --out FILE, and no model");
    if (c.resume && !c.out) return usage_error(argv[0], "--resume: expected the file as --out FILE");
    if (!can_read(c.rescore, &err) || !can_write(c.out, &err) || !can_write(c.html, &err)) return fail(&err);
    if (c.rescore) return rescore(&c, &err);
    if (!c.m.engine.model) return usage_error(argv[0], "no model: expected -m DIR or -m FILE.gguf");
    if (c.o.samples > 1 && !c.has_temperature) c.o.temperature = 0.2; /* lm-eval's gsm8k-cot-self-consistency */
    return run_gsm8k(&c, &err);
}

const Command eval_tasks[] = {
    {"eval gsm8k", eval_gsm8k, "grade school math, by one of five published protocols"},
    {"eval perplexity", eval_perplexity, "of a text file, in sliding windows"},
    {"eval compare", eval_compare, "two models, meshes, caches or kernels on the same text"},
    {"eval choice", eval_choice, "multiple choice by log-likelihood, from JSON lines"},
    {NULL, NULL, NULL},
};

static int help(FILE *out) {
    fprintf(out, "Usage: qwenmesh eval TASK [options]    (qwenmesh eval TASK --help lists them)\n\nTasks:\n");
    for (const Command *c = eval_tasks; c->name; c++) fprintf(out, "  %-10s %s\n", c->name + 5, c->summary);
    return out == stdout ? EXIT_OK : EXIT_USAGE;
}

int cmd_eval(int argc, char **argv) {
    if (argc < 2) return help(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) return help(stdout);
    for (const Command *c = eval_tasks; c->name; c++)
        if (!strcmp(argv[1], c->name + 5)) {
            argv[1] = (char *)(uintptr_t)c->name; /* the command's name in messages */
            return c->run(argc - 1, argv + 1);
        }
    for (const Command *c = eval_tasks; c->name; c++)
        if (word_distance(argv[1], c->name + 5) < WORD_FAR)
            return usage_error("eval", "unknown task '%s': did you mean %s?", argv[1], c->name + 5);
    return usage_error("eval", "unknown task '%s'", argv[1]);
}
