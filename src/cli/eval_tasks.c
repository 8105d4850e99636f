/* eval_tasks.c: `eval perplexity`, `eval compare`, `eval choice`, and `bench --eval`. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include "../base/file_kind.h"
#include "../base/output.h"
#include "../eval/loglik.h"
#include "../eval/mesh_report.h"
#include "eval_tasks.h"

enum { MAX_TEXT = 256 << 20, DEFAULT_WINDOW = 512 };

static int end(bool ok, const Err *err) {
    if (interrupted()) return 128 + SIGINT;
    return ok ? EXIT_OK : fail(err);
}

/* A text file's ids, at most `limit` of them (0: all); -1 on error. */
static int64_t text_ids(const QmTokenizer *t, const char *path, int64_t limit, int32_t **ids, size_t *bytes, Err *err) {
    char *text = file_read(path, MAX_TEXT, bytes, err);
    if (text && file_is_pointer(text, *bytes, path, err)) return free(text), -1;
    int64_t n = text ? qm_tokenizer_encode(t, text, *bytes, false, ids, err) : -1;
    free(text);
    if (limit && n > limit) {
        size_t kept = 0; /* bytes per byte: of the tokens kept */
        for (int64_t i = 0; i < limit; i++) {
            size_t piece = 0;
            if (qm_tokenizer_piece(t, (*ids)[i], &piece, NULL)) kept += piece;
        }
        *bytes = kept;
        n = limit;
    }
    return n;
}

/* ---- Perplexity -------------------------------------------------------------------------------------------------- */

int eval_perplexity(int argc, char **argv) {
    ModelOptions m = {0};
    const char *file = NULL;
    int64_t window = 0, stride = 0, limit = 0;
    const Option options[] = {
        TEXT("file", 'f', &file, "FILE", "the text"),
        INT("window", 0, &window, 2, 1 << 24, "N", "tokens of a window (default: the context, 512 at most)"),
        INT("stride", 0, &stride, 1, 1 << 24, "N", "tokens from window to window (default: the window)"),
        INT("limit", 0, &limit, 2, 1 << 30, "N", "the first N tokens only"),
        MODEL_OPTIONS(m),
    };
    int code = options_parse(argc, argv, "eval perplexity -m MODEL -f FILE [--window N] [--stride N]", NULL, options,
                             (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    if (!file) return usage_error(argv[0], "no text: expected -f FILE");
    if (m.engine.context == 0) m.engine.context = window ? window : DEFAULT_WINDOW;
    if (window == 0) window = m.engine.context < DEFAULT_WINDOW ? m.engine.context : DEFAULT_WINDOW;
    if (stride == 0) stride = window;
    Err err = {0};
    if (!can_read(file, &err)) return fail(&err);
    int32_t *ids = NULL;
    size_t bytes = 0;
    Perplexity p;
    QmEngine *e = model_open(argv[0], &m, false, &code);
    if (!e) return code;
    QmTokenizer *t = model_tokenizer(&m, &err);
    int64_t n = t ? text_ids(t, file, limit, &ids, &bytes, &err) : -1;
    interrupt_stops(e);
    bool ok = n >= 0 && perplexity(e, ids, n, window, stride, bytes, interrupted, &p, &err);
    interrupt_stops(NULL);
    if (ok) {
        printf(
            "perplexity %.6f (Hugging Face's sliding-window recipe), %.6f over every scored token, %.4f bits per byte\n"
            "%lld tokens, %lld scored, %lld windows of %lld, stride %lld\n",
            p.recipe, p.mean, p.bits_per_byte, (long long)p.tokens, (long long)p.scored, (long long)p.windows,
            (long long)window, (long long)stride);
        ok = file_finish(stdout, "standard output", &err);
    }
    free(ids);
    qm_tokenizer_close(t);
    qm_engine_close(e);
    return end(ok, &err);
}

/* ---- Compare ----------------------------------------------------------------------------------------------------- */

static void print_piece(const QmTokenizer *t, int32_t id) {
    size_t bytes = 0;
    const char *piece = qm_tokenizer_piece(t, id, &bytes, NULL);
    printf("%d '", id);
    for (size_t i = 0; piece && i < bytes; i++) {
        unsigned char c = (unsigned char)piece[i];
        if (c < 32 || c == 127) printf("\\x%02x", c);
        else putchar(c);
    }
    printf("'");
}

static void print_comparison(const Comparison *c, const QmTokenizer *t) {
    double n = (double)(c->tokens ? c->tokens : 1);
    printf("%lld positions: same bits at %lld (%.2f %%), same likeliest token at %lld (%.2f %%)\n",
           (long long)c->tokens, (long long)c->same_bits, 100 * (double)c->same_bits / n, (long long)c->same_top,
           100 * (double)c->same_top / n);
    printf("KL(A||B): mean %.3e, most %.3e nats; largest difference of a logit %.3e", c->kl_mean, c->kl_most,
           c->difference);
    if (c->difference > 0) printf(" at token %lld", (long long)c->difference_at);
    printf("\nperplexity: A %.6f, B %.6f\n", c->perplexity_a, c->perplexity_b);
    if (c->first_bits >= 0) printf("first differing bits: logits of token %lld\n", (long long)c->first_bits);
    if (c->first_top >= 0) {
        printf("first differing token: %lld: A ", (long long)c->first_top);
        print_piece(t, c->top_a);
        printf(", B ");
        print_piece(t, c->top_b);
        printf("\n");
    } else printf("no differing token\n");
}

int eval_compare(int argc, char **argv) {
    ModelOptions a = {0}, b = {0};
    const char *file = NULL;
    int64_t window = 0, from = 1, limit = 0;
    const Option options[] = {
        TEXT("file", 'f', &file, "FILE", "the text"),
        INT("window", 0, &window, 2, 1 << 20, "N", "tokens of a window (default: the context, 512 at most)"),
        INT("from", 0, &from, 1, 1 << 20, "N",
            "first token of a window that is compared (default 1; llama-perplexity's: half the window + 1)"),
        INT("limit", 0, &limit, 2, 1 << 30, "N", "the first N tokens only"),
        MODEL_OPTIONS(a),
        TWIN_OPTIONS(b)
    };
    int first = 0, code = options_parse(argc, argv, "eval compare A [B] -f FILE [options]",
                                        "A and B: models; or -m and --model-b.", options,
                                        (int)(sizeof options / sizeof *options), &first);
    if (code >= 0) return code;
    if (first < argc && !a.engine.model) a.engine.model = argv[first++];
    if (first < argc && !b.engine.model) b.engine.model = argv[first++];
    if (first < argc) return usage_error(argv[0], "unexpected argument '%s'", argv[first]);
    if (!file) return usage_error(argv[0], "no text: expected -f FILE");
    if (a.engine.context == 0) a.engine.context = window ? window : DEFAULT_WINDOW;
    if (window == 0) window = a.engine.context < DEFAULT_WINDOW ? a.engine.context : DEFAULT_WINDOW;
    engine_options_inherit(&b.engine, &a.engine);
    b.verbose = a.verbose;
    Err err = {0};
    if (!can_read(file, &err)) return fail(&err);
    int32_t *ids = NULL;
    size_t bytes;
    Comparison c;
    QmEngine *ea = model_open(argv[0], &a, false, &code), *eb = ea ? model_open(argv[0], &b, false, &code) : NULL;
    if (!eb) return qm_engine_close(ea), code;
    QmTokenizer *t = model_tokenizer(&a, &err);
    int64_t n = t ? text_ids(t, file, limit, &ids, &bytes, &err) : -1;
    interrupt_stops(ea);
    bool ok = n >= 0 && compare_engines(ea, eb, ids, n, window, from, interrupted, &c, &err);
    interrupt_stops(NULL);
    if (ok) print_comparison(&c, t), ok = file_finish(stdout, "standard output", &err);
    free(ids);
    qm_tokenizer_close(t);
    qm_engine_close(ea);
    qm_engine_close(eb);
    return end(ok, &err);
}

/* ---- Choice ------------------------------------------------------------------------------------------------------ */

int eval_choice(int argc, char **argv) {
    ModelOptions m = {0};
    const char *in = NULL, *out = NULL;
    int64_t limit = 0;
    const Option options[] = {
        TEXT("in", 'i', &in, "FILE", "questions, JSON lines"),
        TEXT("out", 'o', &out, "FILE", "the questions with log-likelihoods and verdicts"),
        INT("limit", 0, &limit, 1, 1 << 30, "N", "the first N questions only"),
        MODEL_OPTIONS(m),
    };
    int code = options_parse(
        argc, argv, "eval choice -m MODEL --in FILE [--out FILE]",
        "A question: {\"context\": \"...\", \"choices\": [\"...\", ...], \"gold\": 0}. As in lm-eval, a choice "
        "follows the context after a space;\nacc goes by the sum of log-probabilities, acc_norm by the sum "
        "per character.",
        options, (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    if (!in) return usage_error(argv[0], "no questions: expected --in FILE");
    Err err = {0};
    ChoiceTally c;
    Output to = {0};
    if (out && (!output_apart(in, out, &err) || !output_open(&to, out, &err))) return fail(&err);
    QmEngine *e = model_open(argv[0], &m, false, &code);
    if (!e) return output_close(&to), code;
    QmTokenizer *t = model_tokenizer(&m, &err);
    interrupt_stops(e);
    bool console = to.file == stdout, ok = t && (!out || output_allowed(&to, &err)) &&
                                           choice_run(e, t, in, to.file, out, limit, interrupted, &c, &err);
    interrupt_stops(NULL);
    ok = output_end(&to, ok, &err);
    if (ok) {
        FILE *table = console ? stderr : stdout;
        fprintf(table,
                "|Tasks |Version|Filter|n-shot| Metric |   |Value |   "
                "|Stderr|\n|------|------:|------|-----:|--------|---|-----:|"
                "---|-----:|\n|choice|      -|none  |     0|acc     |↑  |%.4f|±  |%.4f|\n|      |       |none  |     "
                "0|acc_norm|↑  "
                "|%.4f|±  |%.4f|\n\n%lld questions\n",
                c.acc, c.acc_error, c.norm, c.norm_error, (long long)c.questions);
        ok = file_finish(stdout, "standard output", &err);
    }
    qm_tokenizer_close(t);
    qm_engine_close(e);
    return end(ok, &err);
}

/* ---- bench --eval ------------------------------------------------------------------------------------------------ */

int bench_meshes(const ModelOptions *m, const MeshEval *eval) {
    Err err = {0};
    if (!can_write(eval->html, &err)) return fail(&err);
    bool same = false;
    const Protocol *p = protocol_find(eval->protocol ? eval->protocol : "lm-eval-cot", &err);
    if (strcmp(eval->task, "gsm8k")) return usage_error("bench", "--eval: expected gsm8k, got '%.40s'", eval->task);
    if (!p) return usage_error("bench", "%s", err.text);
    if (!m->engine.model) return usage_error("bench", "no model: expected -m DIR or -m FILE.gguf");
    char folder[FOLDER_BYTES];
    MeshReport report = {.engine = model_engine_options(m, folder),
                         .chat_template = m->chat_template,
                         .chat_arguments = m->template_args.item,
                         .chat_argument_count = m->template_args.count,
                         .gsm8k = {.protocol = p,
                                   .data = eval->data,
                                   .shots = -1,
                                   .limit = eval->limit,
                                   .samples = 1,
                                   .fewshot_seed = FEWSHOT_SEED},
                         .meshes = m->engine.mesh ? m->engine.mesh : "1x1",
                         .html = eval->html};
    if (!report.engine.slots) report.engine.slots = 8;
    bool ok = mesh_report(&report, stdout, &same, &err) && file_finish(stdout, "standard output", &err);
    if (ok && !same) ok = err_set(&err, "meshes differ in their answers");
    return ok ? EXIT_OK : fail(&err);
}
