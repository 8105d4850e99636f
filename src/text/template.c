/* template.c: telling chat templates apart. A template is brought to a form in which spacing, quoting and the ways to
 * join strings no longer differ, and that is compared with the templates we can render. */
#include <stdlib.h>
#include <string.h>
#include "../base/file_kind.h"
#include "chat.h"
#include "unicode.h"

/* The form: a literal is LITERAL text LITERAL, an expression EXPRESSION text EXPRESSION, a statement STATEMENT text
 * STATEMENT. Text outside tags and string constants are both literals; neighbours are joined. */
enum { LITERAL = 1, EXPRESSION = 2, STATEMENT = 3, MOST_BYTES = 1 << 20 };

typedef struct Lexer {
    const char *start, *at, *end;
    Text out;
    bool trim;         /* the last tag takes the white space after it */
    bool block;        /* the last tag was a statement or comment: it takes one line end after it */
} Lexer;

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static void add_literal(Text *out, const char *text, size_t bytes) {
    if (bytes == 0) return;
    if (out->bytes && out->data[out->bytes - 1] == LITERAL) out->data[--out->bytes] = 0; /* go on with the one before */
    else text_add(out, "\1", 1);
    text_add(out, text, bytes);
    text_add(out, "\1", 1);
}

/* Text up to a tag that starts at `end` with `kind` after its brace, as Jinja with trim_blocks and lstrip_blocks leaves
 * it. */
static void take_text(Lexer *x, const char *end, char kind, bool strip) {
    const char *p = x->at;
    if (x->trim) while (p < end && is_space(*p)) p++;
    else if (x->block && p < end && *p == '\n') p++;
    const char *q = end;
    if (strip) while (q > p && is_space(q[-1])) q--;
    else if (kind == '%' || kind == '#') {
        const char *line = end;
        while (line > p && (line[-1] == ' ' || line[-1] == '\t')) line--;
        if (line == x->start || line[-1] == '\n') q = line;
    }
    add_literal(&x->out, p, (size_t)(q - p));
}

/* A part of an expression between two +, or a whole statement. */
typedef struct Term {
    Text code;
    Text constant;     /* all there is so far, when `is_constant` */
    bool is_constant;
    int depth;         /* open brackets */
} Term;

static void add_code(Term *t, const char *text, size_t bytes) {
    if (t->is_constant) text_line(&t->code, "'%s'", t->constant.data);
    t->is_constant = false;
    text_add(&t->code, text, bytes);
}

static bool end_term(Term *t, char kind, Text *out) {
    if (t->is_constant && kind == EXPRESSION) add_literal(out, t->constant.data, t->constant.bytes);
    else {
        add_code(t, "", 0);
        if (t->code.bytes == 0) return false;
        text_line(out, "%c%s%c", kind, t->code.data, kind);
    }
    t->is_constant = false;
    t->code.bytes = 0;
    return true;
}

/* Takes the string constant at p. NULL: it never ends, or has an escape we do not know. */
static const char *take_constant(Term *t, const char *p, const char *end) {
    bool alone = t->code.bytes == 0 && !t->is_constant;
    add_code(t, "", 0);
    t->constant.bytes = 0;
    text_add(&t->constant, "", 0);
    char quote = *p++;
    for (; p < end && *p != quote; p++) {
        static const char names[] = "nrt\\'\"", values[] = "\n\r\t\\'\"";
        const char *found = NULL;
        if (*p == '\\' && (++p == end || !(found = strchr(names, *p)))) return NULL;
        text_add(&t->constant, found ? values + (found - names) : p, 1);
    }
    if (p++ >= end) return NULL;
    const char *next = p;
    while (next < end && is_space(*next)) next++;
    if (t->code.bytes && t->code.data[t->code.bytes - 1] == '[' && next < end && *next == ']') { /* a['b'] is a.b */
        t->code.data[t->code.bytes - 1] = '.';
        text_add(&t->code, t->constant.data, t->constant.bytes);
        t->depth--;
        return next + 1;
    }
    t->is_constant = true;
    if (!alone) add_code(t, "", 0);
    return p;
}

/* Appends an expression or statement: one space between names, none elsewhere, strings in single quotes, a['b'] as a.b.
 * Terms of an expression that are joined by + become outputs of their own. */
static bool take_code(const char *p, const char *end, char kind, Text *out) {
    Term t = {0};
    bool ok = true;
    while (ok && p < end) {
        if (*p == '\'' || *p == '"') {
            ok = (p = take_constant(&t, p, end)) != NULL;
        } else if (is_space(*p)) {
            while (p < end && is_space(*p)) p++;
            if (p < end && is_name(*p) && t.code.bytes && is_name(t.code.data[t.code.bytes - 1])) add_code(&t, " ", 1);
        } else if (*p == '+' && t.depth == 0 && kind == EXPRESSION) {
            ok = end_term(&t, kind, out);
            p++;
        } else {
            t.depth += *p == '(' || *p == '[' || *p == '{';
            t.depth -= *p == ')' || *p == ']' || *p == '}';
            add_code(&t, p++, 1);
        }
    }
    ok = ok && end_term(&t, kind, out) && !t.code.failed && !t.constant.failed;
    text_free(&t.code);
    text_free(&t.constant);
    return ok;
}

/* The end of a tag's inside, where its closing "%}" starts; NULL if it never closes. */
static const char *tag_end(const char *p, const char *end, char close) {
    for (char quote = 0; p + 1 < end; p++) {
        if (quote) {
            if (*p == '\\') p++;
            else if (*p == quote) quote = 0;
        } else if (close != '#' && (*p == '\'' || *p == '"')) quote = *p;
        else if (*p == close && p[1] == '}') return p;
    }
    return NULL;
}

/* Brings a template to its form. False: not one we can read. */
static bool canonical(const char *text, size_t bytes, Text *out) {
    Lexer x = {.start = text, .at = text, .end = text + bytes};
    if (bytes && text[bytes - 1] == '\n') x.end--; /* Jinja drops one line end at the end */
    bool ok = true;
    for (size_t i = 0; i < bytes; i++) ok = ok && (uint8_t)text[i] > STATEMENT;
    while (ok && x.at < x.end) {
        const char *tag = x.at;
        while (tag + 1 < x.end && !(tag[0] == '{' && (tag[1] == '{' || tag[1] == '%' || tag[1] == '#'))) tag++;
        if (tag + 1 >= x.end) {
            take_text(&x, x.end, 0, false);
            break;
        }
        char kind = tag[1];
        const char *inside = tag + 2, *close = tag_end(inside, x.end, kind == '{' ? '}' : kind);
        if (!close) return *out = x.out, false;
        bool strip = inside < close && *inside == '-';
        take_text(&x, tag, kind, strip);
        inside += strip;
        x.trim = close > inside && close[-1] == '-';
        x.block = kind != '{';
        if (x.block && close > inside && (*inside == '+' || close[-1] == '+'))
            return *out = x.out, false; /* no trimming */
        if (kind != '#') ok = take_code(inside, close - x.trim, kind == '{' ? EXPRESSION : STATEMENT, &x.out);
        x.at = close + 2;
    }
    *out = x.out;
    return ok && !out->failed;
}

/* ---- The templates we know ----------------------------------------------------------------------------------- */

#define S(text) "\3" text "\3" /* statement  */
#define E(text) "\2" text "\2" /* expression */
#define T(text) "\1" text "\1" /* literal    */

static const char turn[] = T("<|im_start|>") E("message.role") T("\n") E("message.content") T("<|im_end|>\n")
    S("endfor") S("if add_generation_prompt") T("<|im_start|>assistant\n") S("endif");
static const char loop[] = S("for message in messages");
static const char defaults[] =
    S("if not add_generation_prompt is defined") S("set add_generation_prompt=false") S("endif");
static const char system_open[] = S("if loop.first and messages[0].role!='system'") "\1<|im_start|>system\n";
static const char system_close[] = "<|im_end|>\n\1" S("endif");

static bool starts(const Text *text, size_t at, const char *with) {
    size_t n = strlen(with);
    return text->bytes - at >= n && !memcmp(text->data + at, with, n);
}

static bool keep_system(ChatTemplate *chat, ChatKind kind, const char *system, size_t bytes, Err *err) {
    chat->kind = kind;
    chat->system = strndup(system, bytes);
    return chat->system || err_as(err, QM_MEMORY, "out of memory: chat template");
}

/* Plain ChatML: every message as a turn, with or without a system message for those who give none. */
static bool recognise_chatml(ChatTemplate *chat, const Text *form, Err *err) {
    size_t at = starts(form, 0, defaults) ? strlen(defaults) : 0;
    if (!starts(form, at, loop)) return true;
    at += strlen(loop);
    if (form->bytes - at == strlen(turn) && starts(form, at, turn)) {
        chat->kind = CHAT_CHATML;
        return true;
    }
    if (!starts(form, at, system_open)) return true;
    at += strlen(system_open);
    size_t end = at;
    while (end < form->bytes && (uint8_t)form->data[end] > STATEMENT && !starts(form, end, "<|im_end|>")) end++;
    if (!starts(form, end, system_close)) return true;
    size_t rest = end + strlen(system_close);
    if (form->bytes - rest != strlen(turn) || !starts(form, rest, turn)) return true;
    return keep_system(chat, CHAT_CHATML, form->data + at, end - at, err);
}

enum { QWEN25_BYTES = 1541 };
static const uint64_t qwen25_hash = 0x61CD07CF7CCFB55Eu;

static uint64_t fnv1a(uint64_t hash, const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) hash = (hash ^ (uint8_t)p[i]) * 0x100000001B3u;
    return hash;
}

/* Qwen2.5's template with any system message: its form with that text cut out has one known hash (FNV-1a). */
static bool recognise_qwen25(ChatTemplate *chat, const Text *form, Err *err) {
    static const char open[] = "\1<|im_start|>system\n", close[] = "<|im_end|>\n\1";
    const char *p = form->data, *start = NULL, *end = form->data + form->bytes, *stop = NULL;
    while (!stop && (p = memmem(p, (size_t)(end - p), open, strlen(open)))) {
        start = p += strlen(open);
        while (p < end && (uint8_t)*p > STATEMENT && *p != '<') p++;
        if ((size_t)(end - p) >= strlen(close) && !memcmp(p, close, strlen(close))) stop = p;
    }
    if (!stop || stop == start) return true;
    uint64_t hash = 0xCBF29CE484222325u;
    size_t bytes = (size_t)(stop - start), kept = 0;
    for (p = form->data; p < end;) {
        const char *hole = memmem(p, (size_t)(end - p), start, bytes);
        size_t n = (size_t)((hole ? hole : end) - p);
        hash = fnv1a(hash, p, n);
        kept += n;
        p = hole ? hole + bytes : end;
    }
    return kept != QWEN25_BYTES || hash != qwen25_hash || keep_system(chat, CHAT_QWEN25, start, bytes, err);
}

bool chat_recognise(ChatTemplate *chat, const char *text, size_t bytes, Err *err) {
    Text form = {0};
    *chat = (ChatTemplate){.kind = CHAT_UNKNOWN};
    if (bytes > MOST_BYTES || !utf8_valid((const uint8_t *)text, bytes)) return true;
    bool ok = true;
    if (canonical(text, bytes, &form) && form.bytes > 0) {
        ok = recognise_chatml(chat, &form, err);
        if (ok && chat->kind == CHAT_UNKNOWN) ok = recognise_qwen25(chat, &form, err);
    }
    ok = ok && text_ok(&form, "chat template", err);
    text_free(&form);
    return ok;
}

static bool choose_file(ChatTemplate *chat, const char *path, Err *err) {
    size_t bytes;
    ChatTemplate read = {0};
    char *text = file_read(path, MOST_BYTES, &bytes, err);
    bool ok = text && !file_is_other(text, bytes, path, err) && chat_recognise(&read, text, bytes, err);
    free(text);
    if (ok && read.kind == CHAT_UNKNOWN)
        ok = err_set(err, "chat template: %s is none we know: expected Qwen2.5's or plain ChatML", path);
    if (!ok) return false;
    chat_free(chat);
    *chat = read;
    return true;
}

bool chat_choose(ChatTemplate *chat, const char *name, Err *err) {
    size_t n = strlen(name);
    if (strchr(name, '/') || (n >= 6 && !strcmp(name + n - 6, ".jinja"))) return choose_file(chat, name, err);
    static const char qwen[] = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.";
    bool is_qwen = !strcmp(name, "qwen2.5");
    if (!is_qwen && strcmp(name, "chatml"))
        return err_set(err, "chat template: expected qwen2.5, chatml or a .jinja file, got '%s'", name);
    chat_free(chat);
    chat->kind = CHAT_CHATML;
    return !is_qwen || keep_system(chat, CHAT_QWEN25, qwen, strlen(qwen), err);
}

void chat_free(ChatTemplate *chat) {
    free(chat->system);
    *chat = (ChatTemplate){0};
}
