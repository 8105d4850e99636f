/* terminal.c: messages as they are typed, pasted or piped. */
#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../base/lines.h"
#include "model_options.h"
#include "terminal.h"

static const char PASTE_ON[] = "\033[?2004h", PASTE_OFF[] = "\033[?2004l", QUOTES[] = "\"\"\"";

struct Terminal {
    EditLine *edit;     /* NULL: lines come as they are */
    Lines lines;        /* then                         */
    History *history;
    const char *prompt;
    Text message;       /* so far                       */
};

/* ---- At a terminal ----------------------------------------------------------------------------------------------- */

static char *prompt_of(EditLine *edit) {
    Terminal *t = NULL;
    el_get(edit, EL_CLIENTDATA, &t);
    return (char *)(uintptr_t)t->prompt;
}

static void insert(EditLine *edit, Text *text) {
    if (text->bytes && text->data) el_insertstr(edit, text->data);
    text_free(text);
}

/* A character as UTF-8; of control characters only those that are text. */
static void add_character(Text *text, wchar_t c) {
    char bytes[MB_LEN_MAX];
    mbstate_t state = {0};
    if (c == '\r') c = '\n';
    if ((c < ' ' && c != '\n' && c != '\t') || c == 127) return;
    size_t n = wcrtomb(bytes, c, &state);
    if (n != (size_t)-1) text_add(text, bytes, n);
}

/* What the terminal puts between ESC [200~ and ESC [201~ was pasted: line ends in it send nothing. */
static unsigned char paste(EditLine *edit, int key) {
    static const wchar_t end[] = L"\033[201~";
    Text text = {0};
    size_t same = 0;
    wchar_t c;
    (void)key;
    while (end[same]) {
        if (el_wgetc(edit, &c) != 1) {
            text_free(&text);
            return CC_ERROR;
        }
        if (c == end[same]) {
            same++;
            continue;
        }
        for (size_t i = 0; i < same; i++) add_character(&text, end[i]);
        same = c == end[0];
        if (!same) add_character(&text, c);
    }
    /* The end of a line that was copied with its text is not meant. */
    while (text.bytes && text.data[text.bytes - 1] == '\n') text.data[--text.bytes] = 0;
    insert(edit, &text);
    return CC_REFRESH;
}

static unsigned char new_line(EditLine *edit, int key) {
    (void)key;
    el_insertstr(edit, "\n");
    return CC_REFRESH;
}

/* libedit reads and shows characters in the locale's encoding; where that is not UTF-8 (no locale set, or one that is
 * not installed), C.UTF-8, which the C library always has. */
static void use_utf8(void) {
    if (!setlocale(LC_CTYPE, "") || strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

/* Waits for a key or Ctrl-C, which may come at any time, even just before the wait. 1: a byte is there to be read;
 * 0: end of input, -1: errno says why (EINTR: Ctrl-C). */
static int wait_key(EditLine *edit) {
    struct pollfd wait[] = {{STDIN_FILENO, POLLIN, 0}, {interrupt_event(), POLLIN, 0}};
    for (;;) {
        int n = poll(wait, 2, -1);
        if (n < 0 && errno != EINTR) return -1;
        if (n < 0) el_set(edit, EL_REFRESH); /* the window's size changed, or the program was stopped and goes on */
        if (n > 0 && wait[1].revents) {
            errno = EINTR;
            return -1;
        }
        if (n > 0 && wait[0].revents) return 1;
    }
}

/* libedit's reader of keys: 1 and a character of the locale's encoding; 0 at the end, -1: errno. Bytes that are no
 * character are left out. */
static int get_key(EditLine *edit, wchar_t *c) {
    mbstate_t state = {0};
    for (;;) {
        char byte;
        int got = wait_key(edit);
        if (got <= 0) return got;
        ssize_t n = read(STDIN_FILENO, &byte, 1);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) return (int)n;
        size_t used = mbrtowc(c, &byte, 1, &state);
        if (used == (size_t)-1) state = (mbstate_t){0};
        else if (used != (size_t)-2) return 1;
    }
}

static void remember(void *context, const char *message) {
    Terminal *t = context;
    HistEvent event;
    history(t->history, &event, H_ENTER, message);
}

static bool edit_open(Terminal *t) {
    use_utf8();
    t->edit = el_init("qwenmesh", stdin, stdout, stderr);
    t->history = history_init();
    if (!t->edit || !t->history) return false;
    HistEvent event;
    history(t->history, &event, H_SETSIZE, HISTORY_LINES);
    history(t->history, &event, H_SETUNIQUE, 1);
    el_set(t->edit, EL_CLIENTDATA, t);
    el_set(t->edit, EL_PROMPT, prompt_of);
    el_set(t->edit, EL_EDITOR, "emacs");
    el_set(t->edit, EL_HIST, history, t->history);
    el_set(t->edit, EL_SIGNAL, 1);
    el_set(t->edit, EL_GETCFN, get_key);
    el_set(t->edit, EL_ADDFN, "qm-paste", "takes pasted text", paste);
    el_set(t->edit, EL_ADDFN, "qm-new-line", "begins a new line", new_line);
    el_set(t->edit, EL_BIND, "\033[200~", "qm-paste", NULL);
    el_set(t->edit, EL_BIND, "\033\r", "qm-new-line", NULL);
    el_set(t->edit, EL_BIND, "\033\n", "qm-new-line", NULL);
    el_set(t->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_source(t->edit, NULL); /* the user's own ~/.editrc */
    /* Codes 128 to 255 are letters here, not keys held with Meta, which arrive as ESC and the key. */
    for (int c = 0xa0; c <= 0xff; c++) {
        const wchar_t letter[] = {(wchar_t)c, 0};
        el_wset(t->edit, EL_BIND, letter, L"ed-insert", NULL);
    }
    history_read(remember, t);
    return true;
}

typedef enum Got { GOT_LINE, GOT_CLEARED, GOT_END, GOT_FAILED } Got;

/* A line, without its end, onto the message. */
static Got edit_line(Terminal *t) {
    int n = 0;
    el_set(t->edit, EL_PREP_TERM, 1); /* keys are read one by one before the prompt is there to be answered */
    fputs(PASTE_ON, stdout);
    fflush(stdout);
    errno = 0;
    const char *line = el_gets(t->edit, &n);
    bool cleared = !line && n < 0 && errno == EINTR;
    fputs(PASTE_OFF, stdout);
    if (!line) putchar('\n'); /* the cursor stands behind what was typed */
    fflush(stdout);
    if (cleared) {
        el_reset(t->edit);
        interrupt_clear(); /* one that comes later is for the answer */
    }
    if (!line) return cleared ? GOT_CLEARED : GOT_END;
    size_t bytes = strlen(line);
    text_add(&t->message, line, bytes - (bytes && line[bytes - 1] == '\n'));
    return GOT_LINE;
}

/* ---- From a pipe ------------------------------------------------------------------------------------------------- */

static Got plain_line(Terminal *t, Err *err) {
    Line line;
    if (!lines_read(&t->lines, &line, err)) return err->kind ? GOT_FAILED : GOT_END;
    text_add(&t->message, line.data, line.bytes);
    return GOT_LINE;
}

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

/* Whether the message, to which a line from byte `from` on was just added, goes on. Takes away what says so. */
static bool goes_on(Text *m, size_t from, bool *quoted) {
    size_t quotes = strlen(QUOTES);
    if (!m->data) return *quoted;
    if (!*quoted && memchr(m->data + from, '\n', m->bytes - from)) return false; /* pasted: whole as it is */
    if (!*quoted && from == 0 && m->bytes >= quotes && !memcmp(m->data, QUOTES, quotes)) {
        memmove(m->data, m->data + quotes, m->bytes - quotes + 1);
        m->bytes -= quotes;
        *quoted = true;
    }
    if (*quoted) {
        if (m->bytes < from + quotes || memcmp(m->data + m->bytes - quotes, QUOTES, quotes)) return true;
        m->data[m->bytes -= quotes] = 0;
        if (m->bytes == from && from) m->data[--m->bytes] = 0; /* the end of the line before """ */
        return *quoted = false;
    }
    if (m->bytes == from || m->data[m->bytes - 1] != '\\') return false;
    m->data[--m->bytes] = 0;
    return true;
}

char *terminal_read(Terminal *t, size_t *bytes, Err *err) {
    bool quoted = false, any = false;
    t->prompt = "> ";
    t->message.bytes = 0;
    for (;;) {
        size_t from = t->message.bytes;
        Got got = t->edit ? edit_line(t) : plain_line(t, err);
        if (got == GOT_FAILED || (got == GOT_END && !any)) return NULL;
        if (got == GOT_CLEARED) {
            t->message.bytes = 0;
            quoted = any = false;
            t->prompt = "> ";
            continue;
        }
        if (!text_ok(&t->message, "a message", err)) return NULL;
        if (t->message.bytes > MAX_LINE_BYTES) {
            err_as(err, QM_LIMIT, "a message is too long: expected at most %d bytes", MAX_LINE_BYTES);
            return NULL;
        }
        if (got == GOT_END || !goes_on(&t->message, from, &quoted)) break;
        /* After the first line of """ alone nothing was said yet. */
        if (!quoted || t->message.bytes || any) text_add(&t->message, "\n", 1);
        any = true;
        t->prompt = ". ";
    }
    char *message = mem_new(t->message.bytes + 1, 1, "a message", err);
    if (!message) return NULL;
    if (t->message.bytes) memcpy(message, t->message.data, t->message.bytes);
    *bytes = t->message.bytes;
    if (t->edit && *bytes) {
        remember(t, message);
        history_write(message);
    }
    return message;
}

Terminal *terminal_open(bool edit, Err *err) {
    Terminal *t = mem_new(1, sizeof *t, "terminal", err);
    if (t && edit && !edit_open(t)) {
        err_as(err, QM_MEMORY, "out of memory: line editing");
        terminal_close(t);
        return NULL;
    }
    if (t && !edit && !lines_open(&t->lines, "-", err)) {
        terminal_close(t);
        return NULL;
    }
    return t;
}

void terminal_close(Terminal *t) {
    if (!t) return;
    if (t->edit) el_end(t->edit);
    if (t->history) history_end(t->history);
    lines_close(&t->lines);
    text_free(&t->message);
    free(t);
}
