/* fuzz_hub.c: the hub's answers as arbitrary bytes. Whatever is accepted must be a path below the folder. */
#include <stdlib.h>
#include <string.h>
#include "../../src/io/hub.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char *const globs[] = {"*", "*/*", "*/*/*"};
    const char *text = (const char *)data;
    HubFiles files = {0};
    char commit[HUB_COMMIT_TEXT];
    hub_files_add(&files, text, bytes, globs, 3, NULL);
    for (size_t i = 0; i < files.count; i++) {
        const HubFile *f = &files.file[i];
        if (f->path[0] == '/' || !strncmp(f->path, "../", 3) || strstr(f->path, "/../") || f->bytes < 0) abort();
        free(hub_file_url("https://h", "a/b", f->hash, f->path, NULL));
    }
    hub_files_free(&files);
    if (hub_commit(text, bytes, commit, NULL) && strlen(commit) != HUB_COMMIT_TEXT - 1) abort();
    char *line = strndup(text ? text : "", bytes);
    if (!line) return 0;
    free(hub_next_page(line, NULL));
    hub_repo_valid(line, NULL);
    free(hub_api_url("https://h", "a/b", "tree", line, NULL));
    free(line);
    return 0;
}
