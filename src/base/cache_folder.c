/* cache_folder.c: see cache_folder.h. */
#include "cache_folder.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool cache_folder(const char *below, char *out, size_t size) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool is_xdg = xdg && *xdg == '/';
    if (!is_xdg && (!home || *home != '/')) return false;
    return snprintf(out, size, "%s/%sqwenmesh%s%s", is_xdg ? xdg : home, is_xdg ? "" : ".cache/", *below ? "/" : "",
                    below) < (int)size;
}

bool cache_folder_make(const char *folder) {
    char *path = strdup(folder);
    for (char *p = path ? path + 1 : NULL; p && *p; p++) {
        if (*p != '/') continue;
        *p = 0;
        mkdir(path, 0700); /* the last one tells */
        *p = '/';
    }
    bool ok = path && (mkdir(path, 0700) == 0 || errno == EEXIST) && folder_exists(folder);
    free(path);
    return ok;
}
