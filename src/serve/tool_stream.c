/* tool_stream.c: a machine that reads bytes. Text that is told at once is told in runs; all else waits in `held`. */
#include "tool_stream.h"
#include <string.h>

typedef enum Place {
    AT_START, /* before anything but space: <think> may come */
    AT_TEXT,  /* content or reasoning                        */
    AT_SPACE, /* behind a tag or a call, where space says nothing */
    AT_HEAD,  /* after <tool_call>: space, {, "name", its value, "arguments", up to the value's first byte */
    AT_VALUE, /* in the arguments */
    AT_TAIL   /* space, }, space, </tool_call> */
} Place;

enum { MAX_SPACE = 64 };

static const char tool_tag[] = "<tool_call>", tool_end[] = "</tool_call>", think_tag[] = "<think>",
                  think_end[] = "</think>";

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\t' || c == '\r'; }

static bool tell(ToolStream *s, ToolEventKind kind, const char *text, size_t bytes) {
    ToolEvent e = {kind, s->calls ? s->calls - 1 : 0, text, bytes};
    if (!s->stopped && (bytes || kind == TOOL_END || kind == TOOL_BEGIN) && !s->tell(s->owner, &e)) s->stopped = true;
    return !s->stopped;
}

static void hold(ToolStream *s, char c) { text_add(&s->held, &c, 1); }
static void forget(ToolStream *s) { s->held.bytes = 0; }

/* What was held back is text after all. */
static void release(ToolStream *s) {
    tell(s, s->kind, s->held.data, s->held.bytes);
    forget(s);
}

static void go(ToolStream *s, Place to) {
    s->state = to;
    s->matched = 0;
}

void tool_stream_start(ToolStream *s, bool tools, bool thinking, bool open, ToolTell *to, void *owner) {
    *s = (ToolStream){.tools = tools, .thinks = thinking, .tell = to, .owner = owner};
    s->kind = open ? TOOL_REASONING : TOOL_CONTENT;
    go(s, open ? AT_SPACE : thinking ? AT_START : AT_TEXT);
}

/* ---- Text -------------------------------------------------------------------------------------------------------- */

/* The tag that may come here; NULL: none. */
static const char *awaited(const ToolStream *s) {
    if (s->state == AT_START) return think_tag;
    if (s->kind == TOOL_REASONING) return think_end;
    return s->tools ? tool_tag : NULL;
}

static void tag_read(ToolStream *s) {
    const char *tag = awaited(s);
    if (tag != tool_tag) {
        s->kind = tag == think_tag ? TOOL_REASONING : TOOL_CONTENT;
        forget(s);
        go(s, AT_SPACE);
    } else go(s, AT_HEAD); /* held stays, with the space before: a call that is none is given back */
}

static bool text_byte(ToolStream *s, char c);

/* What was held for <think> is read again as text, which may be the beginning of a call. */
static void think_not(ToolStream *s) {
    char again[MAX_SPACE + sizeof think_tag];
    size_t n = s->held.bytes;
    memcpy(again, s->held.data, n);
    forget(s);
    go(s, AT_TEXT);
    for (size_t i = 0; i < n; i++)
        if (text_byte(s, again[i])) tell(s, s->kind, again + i, 1);
}

/* A byte of text. Held are space and then the beginning of a tag. True: it may be told at once. */
static bool text_byte(ToolStream *s, char c) {
    const char *tag = awaited(s);
    if (tag && c == tag[s->matched]) {
        hold(s, c);
        if (!tag[++s->matched]) tag_read(s);
        return false;
    }
    if (s->matched) { /* no tag; only its first byte is '<', so another may begin here and nowhere before */
        if (s->state == AT_START) think_not(s);
        else {
            release(s);
            go(s, AT_TEXT);
        }
        return text_byte(s, c);
    }
    if (s->state == AT_SPACE && is_space(c)) return false;
    if (tag && is_space(c) && s->held.bytes < MAX_SPACE) {
        hold(s, c);
        return false;
    }
    release(s);
    go(s, AT_TEXT);
    return true;
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

/* The head, pieces in order; `"` stands for a string, which is the name, a blank for space. */
static const char head[] = " { 'name' : \" , 'arguments' : ";

/* It was no call: content, and nothing more is looked for in what was held. */
static void no_call(ToolStream *s) {
    s->kind = TOOL_CONTENT;
    release(s);
    go(s, AT_TEXT);
}

static void name_tell(ToolStream *s) {
    Text name = {0};
    const char *p = s->held.data + s->name_start, *end = s->held.data + s->name_end;
    for (; p < end; p++) { /* names have no escapes but those of any text */
        if (*p == '\\' && p + 1 < end) p++;
        text_add(&name, p, 1);
    }
    s->calls++;
    if (name.failed) s->held.failed = true;
    else tell(s, TOOL_BEGIN, name.data ? name.data : "", name.bytes);
    text_free(&name);
}

/* A byte of the head. False: it does not belong there. */
static bool head_byte(ToolStream *s, char c) {
    const char *at = head + s->matched;
    if (s->in_string) { /* within the name */
        if ((unsigned char)c < 32) return false;
        if (s->escaped) s->escaped = false;
        else if (c == '\\') s->escaped = true;
        else if (c == '"') {
            s->in_string = false;
            s->name_end = s->held.bytes;
            s->matched++;
            return s->name_end > s->name_start;
        }
        return true;
    }
    if (*at == ' ') {
        if (is_space(c)) return true;
        s->matched++, at++;
    }
    if (!*at) return false; /* the caller looks for the value's first byte */
    if (*at == '"' && c == '"') {
        s->in_string = true;
        s->name_start = s->name_end = s->held.bytes + 1;
        return true;
    }
    if (c != (*at == '\'' ? '"' : *at) || *at == '"') return false;
    s->matched++;
    return true;
}

static void value_begins(ToolStream *s) {
    name_tell(s);
    forget(s);
    s->depth = 0;
    s->in_string = s->escaped = false;
    go(s, AT_VALUE);
}

/* A byte after <tool_call>. True: it is the first of the arguments. */
static bool call_byte(ToolStream *s, char c) {
    bool before_value = s->matched + 1 >= (int)sizeof head - 1 && !s->in_string;
    if (before_value && c == '{') {
        value_begins(s);
        return true;
    }
    if (s->held.bytes < MAX_CALL_HEAD && head_byte(s, c)) {
        hold(s, c);
        return false;
    }
    s->in_string = s->escaped = false;
    no_call(s);
    return false;
}

/* A byte of the arguments. True: it is the last. */
static bool value_byte(ToolStream *s, char c) {
    if (s->in_string) {
        if (s->escaped) s->escaped = false;
        else if (c == '\\') s->escaped = true;
        else if (c == '"') s->in_string = false;
        return false;
    }
    if (c == '"') s->in_string = true;
    else if (c == '{' || c == '[') s->depth++;
    else if (c == '}' || c == ']') return --s->depth == 0;
    return false;
}

/* A byte between the arguments and </tool_call>. What does not belong there is text again. */
static bool tail_byte(ToolStream *s, char c) {
    if (s->matched == 0 && (is_space(c) || c == '}')) {
        if (c == '}') s->matched = 1;
        return false;
    }
    if (s->matched == 1 && is_space(c)) return false;
    if (s->matched && c == tool_end[s->matched - 1]) {
        hold(s, c);
        if (!tool_end[s->matched++]) {
            forget(s);
            go(s, AT_SPACE);
        }
        return false;
    }
    release(s);
    go(s, AT_TEXT);
    return true;
}

/* ---- Bytes ------------------------------------------------------------------------------------------------------- */

bool tool_stream_push(ToolStream *s, const char *text, size_t bytes) {
    size_t from = 0, i = 0; /* [from, i): to be told at once */
    while (i < bytes && !s->stopped && !s->held.failed) {
        char c = text[i];
        switch ((Place)s->state) {
        case AT_START:
        case AT_TEXT:
        case AT_SPACE: {
            ToolEventKind kind = s->kind;
            if (s->state == AT_TEXT && !s->matched && s->held.bytes == 0 && !is_space(c) && c != '<') {
                i++;
                continue;
            }
            if (i > from) tell(s, kind, text + from, i - from);
            from = i + !text_byte(s, c);
            i++;
            break;
        }
        case AT_HEAD: {
            int calls = s->calls;
            if (!call_byte(s, c) && s->state == AT_TEXT) { /* no call: this byte is text like others */
                from = i;
                continue;
            }
            from = i + (s->calls == calls);
            if (s->calls > calls) value_byte(s, c);
            i++;
            break;
        }
        case AT_VALUE:
            i++;
            if (!value_byte(s, c)) continue;
            tell(s, TOOL_ARGUMENTS, text + from, i - from);
            tell(s, TOOL_END, "", 0);
            from = i;
            go(s, AT_TAIL);
            break;
        case AT_TAIL:
            if (tail_byte(s, c)) { /* text: looked at again */
                from = i;
                continue;
            }
            from = ++i;
            break;
        }
    }
    if (i > from) tell(s, s->state == AT_VALUE ? TOOL_ARGUMENTS : s->kind, text + from, i - from);
    return !s->stopped && !s->held.failed;
}

bool tool_stream_end(ToolStream *s) {
    s->cut_off = s->state == AT_VALUE;
    if (s->state == AT_HEAD) s->kind = TOOL_CONTENT;
    if (s->state != AT_VALUE && s->state != AT_TAIL) release(s);
    return !s->stopped && !s->held.failed;
}

void tool_stream_free(ToolStream *s) { text_free(&s->held); }
