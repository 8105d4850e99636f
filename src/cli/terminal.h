/* terminal.h: what people say to chat: a message at a time, edited at a terminal or read line by line from a pipe. */
#ifndef TERMINAL_H
#define TERMINAL_H
#include "../base/base.h"

typedef struct Terminal Terminal;

/* `edit`: standard input and output are a terminal: lines are edited there, in any Unicode, and kept in a file of
 * earlier ones. NULL and an error when memory is short, or standard input cannot be read. */
Terminal *terminal_open(bool edit, Err *err);
/* The next message, malloc'ed; NULL at the end of the input. A line that ends with a backslash goes on in the next;
 * lines between """ and """ are one message, as is what is pasted. Ctrl-C clears what was typed. Bytes that are no
 * UTF-8 are kept: the caller says so. */
char *terminal_read(Terminal *terminal, size_t *bytes, Err *err);
void terminal_close(Terminal *terminal);

/* ---- Messages of earlier chats: $XDG_STATE_HOME/qwenmesh/history, else ~/.local/state/qwenmesh/history ----------- */

enum { HISTORY_LINES = 1000, HISTORY_LINE_BYTES = 64 << 10 };

/* Calls `each` for the messages on file, the oldest first; a file of more than twice HISTORY_LINES is cut to the last
 * of them. What cannot be read is left out: a history is no reason not to talk. */
void history_read(void (*each)(void *context, const char *message), void *context);
/* Adds a message, as a line of JSON in a file that only its owner reads (0600). */
void history_write(const char *message);
#endif
