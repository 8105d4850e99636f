/* tt_desc.h: what goes with Tenstorrent's plugin on a machine: descriptions of boxes, and one process loading it at a
 * time. */
#ifndef PJRT_TT_DESC_H
#define PJRT_TT_DESC_H
#include "../base/base.h"

/* The file of a system description: a path (it holds a '/' or a '.'), or a name such as n150, n300, n300-llmbox, p150,
 * galaxy-32: NAME.ttsys in tests/data/tt beside the program (a clone), in the current folder's tests/data/tt, or in
 * ../share/qwenmesh/tt beside the program's folder (installed). */
bool tt_desc_find(const char *name, char *out, size_t size, Err *err);

/* libtt.so unpacks its runtime while it is loaded, and ends the process when another one does so at the same moment. To
 * be held while loading; waits for a minute at most. The descriptor to close, or -1. */
int tt_load_lock(void);
#endif
