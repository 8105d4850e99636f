/* hub.h: what the Hugging Face hub says about a repository: its commit, its files with sizes and hashes, and their
 * URLs. Everything here reads text from a server that is not trusted; nothing here talks to it (http.h does). Source of
 * the format: https://huggingface.co/docs/hub/api, and the answers themselves. */
#ifndef HUB_H
#define HUB_H
#include "../base/base.h"

enum { HUB_HASH_TEXT = 65, HUB_COMMIT_TEXT = 41 };

/* Large files carry the SHA-256 of their bytes, small ones the SHA-1 git knows them by: of "blob <size>\0" and the
 * bytes. */
typedef enum HubHash { HUB_SHA256, HUB_GIT_SHA1 } HubHash;

typedef struct HubFile {
    const char *path;           /* safe below any folder: hub_path_safe */
    int64_t bytes;
    HubHash kind;
    char hash[HUB_HASH_TEXT];   /* lower-case hexadecimal */
} HubFile;

typedef struct HubFiles {
    HubFile *file;              /* those that were asked for */
    size_t count, capacity;
    size_t seen;                /* files in the repository */
    Arena arena;                /* paths */
} HubFiles;

/* "name" or "owner/name" of letters, digits, '-', '_' and '.'. */
bool hub_repo_valid(const char *repo, Err *err);
/* Relative, no empty, "." or ".." part, no control character or backslash, parts of at most 240 bytes, whole at most
 * 1024, and not ending in ".part", the name of an unfinished download. */
bool hub_path_safe(const char *path);

/* The commit in the answer of /api/models/REPO/revision/REV. */
bool hub_commit(const char *json, size_t bytes, char commit[HUB_COMMIT_TEXT], Err *err);
/* Adds the files of one page of /api/models/REPO/tree/COMMIT?recursive=true whose path matches one of `globs` (fnmatch;
 * '*' stops at '/'). A matching path that is not safe is an error. Free with hub_files_free, also after an error. */
bool hub_files_add(HubFiles *files, const char *json, size_t bytes, const char *const *globs, size_t glob_count,
                   Err *err);
/* Leaves the files that the loaders read: the small ones, and model.safetensors, else what the index names, else the
 * only *.gguf. `index`: the text of model.safetensors.index.json, which is there if hub_needs_index; NULL: none.
 * False and an error when the index names a file that is not there, or GGUF files are several. *has_weights: there
 * are any. */
bool hub_needs_index(const HubFiles *files);
bool hub_choose(HubFiles *files, const char *index, size_t bytes, bool *has_weights, Err *err);
void hub_files_free(HubFiles *files);

/* The URL that a Link header gives for rel="next", malloc'ed; NULL without error when it gives none. */
char *hub_next_page(const char *link, Err *err);
/* ENDPOINT/api/models/REPO/WHAT/REVISION and ENDPOINT/REPO/resolve/COMMIT/PATH, percent-encoded, malloc'ed. */
char *hub_api_url(const char *endpoint, const char *repo, const char *what, const char *revision, Err *err);
char *hub_file_url(const char *endpoint, const char *repo, const char *commit, const char *path, Err *err);
#endif
