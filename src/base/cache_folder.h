/* cache_folder.h: where this user keeps what can be made again. */
#ifndef CACHE_FOLDER_H
#define CACHE_FOLDER_H
#include "base.h"

/* "$XDG_CACHE_HOME/qwenmesh/BELOW", or "$HOME/.cache/..."; below "": the folder itself. Relative paths are none. False:
 * there is none, or it is too long. Nothing is made. */
bool cache_folder(const char *below, char *out, size_t size);
/* It and all above it are there, for this user alone. */
bool cache_folder_make(const char *folder);
#endif
