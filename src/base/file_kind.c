/* file_kind.c: see file_kind.h. */
#include <string.h>
#include <strings.h>
#include "file_kind.h"

static const char pointer[] = "version https://git-lfs.github.com/spec/";

bool file_is_pointer(const void *data, size_t bytes, const char *path, Err *err) {
    return bytes >= sizeof pointer - 1 && !memcmp(data, pointer, sizeof pointer - 1) &&
           !err_set(err, "%s is a Git LFS pointer, not the file itself: git lfs pull brings it, or qwenmesh pull",
                    path);
}

bool file_is_other(const void *data, size_t bytes, const char *path, Err *err) {
    static const struct {
        const char *start, *what;
        bool text;
    } kinds[] = {
        {"<!doctype html",
         "a web page (HTML), not the file itself: was a login or an address missing when it was fetched?", true},
        {"<html", "a web page (HTML), not the file itself: was a login or an address missing when it was fetched?",
         true},
        {"PK\3\4", "a zip archive: pickled weights of PyTorch are not read, safetensors and GGUF are", false},
        {"\x1f\x8b", "compressed by gzip: unpack it first", false},
    };
    const char *p = data, *end = p + bytes;
    if (file_is_pointer(data, bytes, path, err)) return true;
    while (p < end && strchr(" \t\r\n\xEF\xBB\xBF", *p) && *p) p++; /* white space and the byte order mark */
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t n = strlen(kinds[i].start);
        const char *at = kinds[i].text ? p : data;
        if ((size_t)(end - at) >= n && !strncasecmp(at, kinds[i].start, n))
            return !err_set(err, "%s is %s", path, kinds[i].what);
    }
    return false;
}
