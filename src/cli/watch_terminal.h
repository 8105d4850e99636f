/* watch_terminal.h: what the library tells, on stderr. */
#ifndef WATCH_TERMINAL_H
#define WATCH_TERMINAL_H
#include "../base/base.h"

/* Messages of this level and graver ones from now on. Below QM_FATAL also a bar with the time left for long work, at a
 * terminal; plain where TERM=dumb. */
void watch_terminal(QmLevel least);
/* Whether progress is drawn as a bar: stderr is a terminal. After watch_terminal. */
bool watch_terminal_bar(void);
#endif
