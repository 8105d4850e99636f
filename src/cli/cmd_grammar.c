/* cmd_grammar.c: texts tried by a grammar, without a model: what `run`, `generate` and others would let through. */
#include <stdlib.h>
#include <string.h>
#include "../base/file_kind.h"
#include "../base/lines.h"
#include "../infer/grammar.h"
#include "cli.h"
#include "json_lines.h"

enum { MAX_TEXT_BYTES = 1 << 28 };

typedef struct GrammarCommand { const char *schema, *gbnf, *regex; bool jsonl; } GrammarCommand;

static Grammar *grammar_of(const GrammarCommand *o, Err *err) {
    const char *file = o->schema ? o->schema : o->gbnf;
    size_t bytes = 0;
    if (o->regex) return grammar_regex(o->regex, strlen(o->regex), err);
    char *text = file_read(file, MAX_GRAMMAR_BYTES, &bytes, err);
    json_t *schema = text && o->schema ? json_text(text, bytes, file, err) : NULL;
    if (text && o->gbnf) file_is_other(text, bytes, file, err);
    Grammar *g = err->kind ? NULL : o->schema ? grammar_json_schema(schema, err) : grammar_gbnf(text, bytes, err);
    if (!g && o->gbnf) err_prefix(err, "%s", file);
    json_decref(schema);
    free(text);
    return g;
}

/* Reads one text and prints what became of it. `at` counts the bytes that can begin a text of the grammar. */
static bool judge(Matcher *m, const char *text, size_t bytes, bool jsonl, Err *err) {
    int32_t state = 0;
    size_t at = 0;
    for (int32_t next; at < bytes; at++, state = next)
        if ((next = matcher_read(m, state, (const uint8_t *)text + at, 1, err)) < 0) {
            if (next != MATCH_DEAD) return false;
            break;
        }
    const char *result = at < bytes ? "refused" : matcher_accepts(m, state) ? "accepted" : "incomplete";
    if (jsonl) printf("{\"result\": \"%s\", \"at\": %zu}\n", result, at);
    else if (at < bytes) printf("refused at %zu\n", at);
    else puts(result);
    return !ferror(stdout) || err_as(err, QM_IO, "cannot write standard output");
}

static bool judge_whole(Matcher *m, Err *err) {
    Text text = {0};
    bool ok = lines_all("-", MAX_TEXT_BYTES, &text, err) && judge(m, text.data, text.bytes, false, err);
    text_free(&text);
    return ok;
}

static bool judge_line(void *matcher, const json_t *value, Err *err) {
    if (!json_is_text(value)) return err_set(err, "expected a JSON string");
    return judge(matcher, json_string_value(value), json_string_length(value), true, err);
}

static const char notes[] =
    "Standard input is one text, to its last byte, or with --jsonl a JSON string a line. Each is answered by a line:\n"
    "accepted, incomplete (more may follow) or refused at BYTE; with --jsonl {\"result\": ..., \"at\": BYTE}. A "
    "schema\n"
    "that cannot be kept is an error that names keyword and place. Example:\n"
    "  printf '{\"a\": 1}' | qwenmesh grammar --json-schema schema.json";

int cmd_grammar(int argc, char **argv) {
    GrammarCommand o = {0};
    Err err = {0};
    const Option options[] = {
        TEXT("json-schema", 0, &o.schema, "FILE", "a JSON schema"),
        TEXT("gbnf", 0, &o.gbnf, "FILE", "a grammar as llama.cpp writes it"),
        TEXT("regex", 0, &o.regex, "TEXT", "a regular expression for the whole text"),
        FLAG("jsonl", 0, &o.jsonl, "texts are JSON strings, one a line"),
    };
    int code = options_parse(argc, argv, "grammar --json-schema FILE | --gbnf FILE | --regex TEXT [--jsonl]", notes,
                             options, sizeof options / sizeof *options, NULL);
    if (code >= 0) return code;
    if (!!o.schema + !!o.gbnf + !!o.regex != 1)
        return usage_error(argv[0], "expected one of --json-schema, --gbnf and --regex");
    Grammar *g = grammar_of(&o, &err);
    Matcher *m = g ? matcher_new(g, NULL, &err) : NULL;
    bool ok = m && (o.jsonl ? json_lines_answer(judge_line, m, &err) : judge_whole(m, &err));
    matcher_release(m);
    grammar_release(g);
    Err written = {0}; /* what was written before an error is flushed too */
    bool flushed = file_finish(stdout, "standard output", &written);
    if (!ok) return fail(&err);
    return flushed ? EXIT_OK : fail(&written);
}
