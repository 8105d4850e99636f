/* cmd_embed.c: `embed`: a vector for each text, as qm_embed makes it. */
#include <stdlib.h>
#include <string.h>
#include "../base/lines.h"
#include "../base/output.h"
#include "../io/json.h"
#include "../io/safetensors.h"
#include "forward_batch.h"
#include "model_options.h"

enum { SLOTS = 8 }; /* texts in one step */

typedef struct Embedder {
    ModelOptions m;
    const char *in, *file, *out, *text, *pooling, *prompt, *prompt_name;
    bool jsonl, no_normalize;
    QmPooling how;
    char *before;           /* the prompt's text */
    QmTokenizer *tokenizer;
    QmEngine *engine;
    int64_t columns, written;
    Output to;              /* JSON lines */
    float *vectors;         /* or all of them, for a safetensors file */
    size_t vector_capacity;
} Embedder;

/* ---- Texts to vectors -------------------------------------------------------------------------------------------- */

/* Texts waiting to be fed together. */
typedef struct Batch {
    int32_t *ids[SLOTS];
    int64_t count[SLOTS];
    int texts;
} Batch;

static void batch_clear(Batch *b) {
    for (int i = 0; i < b->texts; i++) free(b->ids[i]);
    *b = (Batch){0};
}

static bool write_line(Embedder *e, const float *vector, Err *err) {
    FILE *f = e->to.file;
    fprintf(f, "{\"index\":%lld,\"embedding\":[", (long long)e->written);
    for (int64_t c = 0; c < e->columns; c++) fprintf(f, "%s%.9g", c ? "," : "", (double)vector[c]);
    fputs("]}\n", f);
    return !ferror(f) || err_as(err, QM_IO, "cannot write %s", e->out);
}

static bool keep_vector(Embedder *e, const float *vector, Err *err) {
    if (!mem_grow((void **)&e->vectors, &e->vector_capacity, (size_t)((e->written + 1) * e->columns), sizeof(float),
                  "embeddings", err))
        return false;
    memcpy(e->vectors + e->written * e->columns, vector, (size_t)e->columns * sizeof(float));
    return true;
}

/* Runs what waits and gives its vectors out, in order. */
static bool batch_run(Embedder *e, Batch *b, Err *err) {
    float *vectors = mem_new(SLOTS, (size_t)e->columns * sizeof *vectors, "vectors", err);
    const int32_t *ids[SLOTS];
    for (int i = 0; i < b->texts; i++) ids[i] = b->ids[i];
    int64_t done = vectors ? qm_embed(e->engine, &e->how, ids, b->count, b->texts, vectors, err) : 0;
    bool whole = vectors && done == b->texts, ok = true;
    for (int64_t i = 0; ok && i < done; i++, e->written += ok)
        ok = (e->to.file ? write_line : keep_vector)(e, vectors + i * e->columns, err);
    if (!whole) err_prefix(err, "text %lld", (long long)e->written);
    free(vectors);
    batch_clear(b);
    return ok && whole;
}

/* Takes `ids`, malloc'ed. */
static bool batch_add(Embedder *e, Batch *b, int32_t *ids, int64_t count, Err *err) {
    if (count < 1) {
        free(ids);
        return err_set(err, "no tokens");
    }
    b->ids[b->texts] = ids;
    b->count[b->texts++] = count;
    return b->texts < SLOTS || batch_run(e, b, err);
}

/* ---- What comes in ----------------------------------------------------------------------------------------------- */

/* The prompt and a text as ids, cut as the folder says, and ended as the tokenizer says. */
static bool add_text(Embedder *e, Batch *b, const char *text, size_t bytes, Err *err) {
    Text whole = {0};
    int32_t *ids = NULL, end = qm_tokenizer_end(e->tokenizer);
    text_add(&whole, e->before, strlen(e->before));
    text_add(&whole, text, bytes);
    const char *bytes_of = whole.data ? whole.data : "";
    int64_t n = -1;
    if (text_ok(&whole, "a text", err)) n = qm_tokenizer_encode(e->tokenizer, bytes_of, whole.bytes, true, &ids, err);
    text_free(&whole);
    if (n < 0) return false;
    int64_t most = e->how.max_tokens;
    if (most && n > most - (end >= 0)) n = most - (end >= 0);
    if (end >= 0) {
        int32_t *more = realloc(ids, (size_t)(n + 1) * sizeof *ids);
        if (!more) {
            free(ids);
            return err_as(err, QM_MEMORY, "out of memory: ids");
        }
        ids = more;
        ids[n++] = end;
    }
    return batch_add(e, b, ids, n, err);
}

/* A line of JSON: a text, or an object with one. */
static bool add_json(Embedder *e, Batch *b, const Line *line, Err *err) {
    json_t *root = json_text(line->data, line->bytes, line->where, err);
    const json_t *text = json_is_object(root) ? json_object_get(root, "text") : root;
    bool ok = root != NULL;
    if (ok && !json_is_text(text)) ok = err_set(err, "%s: expected a text, or an object with \"text\"", line->where);
    ok = ok && add_text(e, b, json_string_value(text), json_string_length(text), err);
    json_decref(root);
    return ok;
}

static bool texts_run(Embedder *e, Err *err) {
    Batch b = {0};
    Lines lines;
    Line line;
    bool ok = true;
    if (e->text) ok = add_text(e, &b, e->text, strlen(e->text), err);
    else {
        ok = lines_open(&lines, e->file ? e->file : "-", err);
        if (!ok) return false;
        while (ok && lines_read(&lines, &line, err)) {
            ok = (e->jsonl ? add_json(e, &b, &line, err) : add_text(e, &b, line.data, line.bytes, err));
            if (!ok && !e->jsonl) err_prefix(err, "%s", line.where);
        }
        lines_close(&lines);
        ok = ok && !err->kind;
    }
    ok = ok && batch_run(e, &b, err);
    batch_clear(&b);
    return ok;
}

static bool ids_run(Embedder *e, const ForwardBatch *in, Err *err) {
    Batch b = {0};
    bool ok = true;
    for (int64_t row = 0; ok && row < in->b; row++) {
        int32_t *ids = mem_new((size_t)in->s, sizeof *ids, "ids", err);
        int64_t n = 0;
        for (int64_t t = row * in->s; ids && t < (row + 1) * in->s; t++)
            if (!in->mask || in->mask[t]) ids[n++] = in->ids[t];
        ok = ids && batch_add(e, &b, ids, n, err);
        if (!ok) err_prefix(err, "%s: row %lld", e->in, (long long)row);
    }
    ok = ok && batch_run(e, &b, err);
    batch_clear(&b);
    return ok;
}

/* ---- What goes out ----------------------------------------------------------------------------------------------- */

static bool to_tensors(const Embedder *e) {
    size_t n = e->out ? strlen(e->out) : 0, s = strlen(".safetensors");
    return n > s && !strcmp(e->out + n - s, ".safetensors");
}

static bool write_tensors(const Embedder *e, Err *err) {
    SafeTensor t = {.name = "embeddings", .dtype = DTYPE_F32, .rank = 2, .dim = {e->written, e->columns},
                    .bytes = (size_t)(e->written * e->columns) * sizeof(float)};
    SafeWriter *w = safewriter_open(e->out, &t, 1, err);
    bool ok = w && safewriter_data(w, e->vectors, t.bytes, err);
    return w && safewriter_close(w, err) && ok;
}

/* What the folder says, with what was asked for on top. */
static bool settle(Embedder *e, Err *err) {
    QmSource *source = model_source(e->m.engine.model, err);
    if (!source || !qm_source_pooling(source, &e->how, err)) return false;
    if (e->no_normalize) e->how.normalize = false;
    if (e->pooling) {
        e->how.mean = !strcmp(e->pooling, "mean");
        if (!e->how.mean && strcmp(e->pooling, "last"))
            return err_as(err, QM_USAGE, "--pooling: expected last or mean, got '%.20s'", e->pooling);
    }
    if (e->prompt && e->prompt_name) return err_as(err, QM_USAGE, "expected one of --prompt and --prompt-name");
    if (e->in && (e->prompt || e->prompt_name))
        return err_as(err, QM_USAGE, "--in has ids, before which no prompt goes");
    if (!!e->in + !!e->file + !!e->text > 1) return err_as(err, QM_USAGE, "expected one of --in, --file and --text");
    e->before = e->prompt || e->in ? strdup(e->prompt ? e->prompt : "") : qm_source_prompt(source, e->prompt_name, err);
    if (!e->before) return err_as(err, QM_MEMORY, "out of memory: a prompt");
    if (!e->out) return true;
    const char *from = e->file ? e->file : e->in;
    return can_write(e->out, err) && (!from || output_apart(from, e->out, err));
}

static bool embed_run(Embedder *e, const ForwardBatch *in, Err *err) {
    bool tensors = to_tensors(e);
    if (!e->out) e->out = "-";
    e->columns = qm_engine_output(e->engine, "states");
    if (!e->in && !(e->tokenizer = model_tokenizer(&e->m, err))) return false;
    if (!tensors && !output_open(&e->to, e->out, err)) return false;
    bool ok = e->in ? ids_run(e, in, err) : texts_run(e, err);
    return tensors ? ok && write_tensors(e, err) : output_end(&e->to, ok, err);
}

static const char notes[] =
    "Texts come as lines of FILE or of standard input; with --jsonl each line is a JSON text or an object with\n"
    "\"text\". Pooling, normalising, prompts and the longest text are what the folder's sentence-transformers files\n"
    "say (modules.json, 1_Pooling, config_sentence_transformers.json), else the last token, normalised. A causal\n"
    "model's head is left out.";

int cmd_embed(int argc, char **argv) {
    Embedder e = {0};
    const Option options[] = {
        TEXT("text", 'p', &e.text, "TEXT", "one text"),
        TEXT("file", 'f', &e.file, "FILE", "texts, a line each (default: standard input)"),
        FLAG("jsonl", 0, &e.jsonl, "lines are JSON"),
        TEXT("in", 'i', &e.in, "FILE", "safetensors instead: input_ids [B,S]; attention_mask if there"),
        TEXT("out", 'o', &e.out, "FILE", "JSON lines (default: standard output); a .safetensors file gets embeddings [B,D]"),
        TEXT("pooling", 0, &e.pooling, "last|mean", "which tokens' states stand for a text"),
        FLAG("no-normalize", 0, &e.no_normalize, "vectors as long as they are"),
        TEXT("prompt", 0, &e.prompt, "TEXT", "goes before every text"),
        TEXT("prompt-name", 0, &e.prompt_name, "NAME", "a prompt of the model's own"),
        MODEL_OPTIONS(e.m),
    };
    int code = options_parse(argc, argv, "embed -m MODEL [-p TEXT | -f FILE | --in FILE] [options]", notes, options,
                             (int)(sizeof options / sizeof *options), NULL);
    if (code >= 0) return code;
    if (!e.m.engine.model) return usage_error("embed", "no model: expected -m DIR or -m FILE.gguf");
    Err err = {0};
    ForwardBatch in = {0};
    bool ok = settle(&e, &err) && (!e.in || forward_batch_read(&in, e.in, &err));
    e.m.engine.slots = SLOTS;
    e.m.engine.head = "none";
    e.engine = ok ? model_open("embed", &e.m, false, &code) : NULL;
    if (ok && !e.engine) return free(e.before), forward_batch_free(&in), code;
    ok = ok && embed_run(&e, &in, &err);
    output_close(&e.to);
    free(e.vectors);
    forward_batch_free(&in);
    free(e.before);
    qm_tokenizer_close(e.tokenizer);
    qm_engine_close(e.engine);
    return ok ? EXIT_OK : fail(&err);
}
