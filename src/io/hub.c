/* hub.c: reads the hub's answers, which may be hostile: every name is checked before it can become a path. */
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include "hub.h"
#include "json.h"

enum { PATH_LIMIT = 1024, PART_LIMIT = 240, FILES_LIMIT = 100000 };

static bool is_hex(const char *text, size_t length) {
    return strlen(text) == length && strspn(text, "0123456789abcdef") == length;
}

static bool name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
}

bool hub_repo_valid(const char *repo, Err *err) {
    size_t slashes = 0, length = strlen(repo);
    bool ok = length > 0 && length <= 200 && !strstr(repo, "..");
    for (size_t i = 0; ok && i < length; i++) {
        bool starts = i == 0 || repo[i - 1] == '/'; /* of "owner" or "name" */
        if (repo[i] == '/') ok = !starts && ++slashes == 1 && i + 1 < length;
        else ok = name_char(repo[i]) && !(starts && (repo[i] == '.' || repo[i] == '-'));
    }
    return ok ||
           err_set(err, "repository: expected OWNER/NAME of letters, digits, '-', '_' and '.', got '%.100s'", repo);
}

bool hub_path_safe(const char *path) {
    size_t length = strlen(path);
    if (length == 0 || length > PATH_LIMIT) return false;
    if (length >= 5 && !strcmp(path + length - 5, ".part")) return false;
    for (const char *part = path;; part++) {
        size_t bytes = strcspn(part, "/");
        if (bytes == 0 || bytes > PART_LIMIT) return false;
        if (part[0] == '.' && (bytes == 1 || (bytes == 2 && part[1] == '.'))) return false;
        for (size_t i = 0; i < bytes; i++)
            if ((unsigned char)part[i] < 0x20 || part[i] == 0x7f || part[i] == '\\') return false;
        part += bytes;
        if (!*part) return true;
    }
}

bool hub_commit(const char *json, size_t bytes, char commit[HUB_COMMIT_TEXT], Err *err) {
    const char *where = "the hub's answer on the revision", *sha = NULL;
    json_t *answer = json_text(json, bytes, where, err);
    bool ok = answer && json_get_text(answer, "sha", where, &sha, err);
    if (ok && (!sha || !is_hex(sha, HUB_COMMIT_TEXT - 1)))
        ok = err_set(err, "%s: sha: expected 40 hexadecimal digits, got %s", where, sha ? "something else" : "nothing");
    if (ok) memcpy(commit, sha, HUB_COMMIT_TEXT);
    json_decref(answer);
    return ok;
}

static bool matches(const char *path, const char *const *globs, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!fnmatch(globs[i], path, FNM_PATHNAME)) return true;
    return false;
}

/* Size and hash of one entry: those of "lfs" where it is there, for "oid" is then only that of a pointer. */
static bool file_facts(const json_t *entry, HubFile *file, Err *err) {
    const json_t *lfs = json_object_get(entry, "lfs"), *from = json_is_object(lfs) ? lfs : entry;
    const char *hash = NULL;
    file->kind = from == lfs ? HUB_SHA256 : HUB_GIT_SHA1;
    file->bytes = -1;
    if (!json_get_int(from, "size", file->path, 0, INT64_C(1) << 50, &file->bytes, err)) return false;
    if (!json_get_text(from, "oid", file->path, &hash, err)) return false;
    if (file->bytes < 0) return err_set(err, "%s: expected its size, got nothing", file->path);
    size_t digits = file->kind == HUB_SHA256 ? 64 : 40;
    if (!hash || !is_hex(hash, digits))
        return err_set(err, "%s: expected a hash of %zu hexadecimal digits, got %s", file->path, digits,
                       hash ? "something else" : "nothing");
    memcpy(file->hash, hash, digits + 1);
    return true;
}

static bool file_add(HubFiles *files, const json_t *entry, const char *path, Err *err) {
    if (!hub_path_safe(path)) {
        char shown[64];
        snprintf(shown, sizeof shown, "%s", path);
        for (char *c = shown; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
        return err_set(err, "refused: the repository names a file that is not below its folder, or not plain: '%s'",
                       shown);
    }
    if (files->count >= FILES_LIMIT) return err_as(err, QM_LIMIT, "expected at most %d files in a repository",
                                                   FILES_LIMIT);
    if (!mem_grow((void **)&files->file, &files->capacity, files->count + 1, sizeof *files->file, "files", err))
        return false;
    HubFile file = {.path = arena_text(&files->arena, path, strlen(path), err)};
    if (!file.path || !file_facts(entry, &file, err)) return false;
    files->file[files->count++] = file;
    return true;
}

bool hub_files_add(HubFiles *files, const char *json, size_t bytes, const char *const *globs, size_t glob_count,
                   Err *err) {
    const char *where = "the hub's list of files";
    json_t *list = json_text(json, bytes, where, err), *entry;
    size_t i;
    bool ok = list && (json_is_array(list) || err_set(err, "%s: expected an array", where));
    json_array_foreach(list, i, entry) {
        const char *type = NULL, *path = NULL;
        ok = ok && json_get_text(entry, "type", where, &type, err) && json_get_text(entry, "path", where, &path, err);
        if (!ok) break;
        if (!type || !path) {
            ok = err_set(err, "%s: entry %zu: expected a type and a path", where, i);
            break;
        }
        if (strcmp(type, "file") != 0) continue;
        files->seen++;
        if (matches(path, globs, glob_count)) ok = file_add(files, entry, path, err);
    }
    json_decref(list);
    return ok;
}

void hub_files_free(HubFiles *files) {
    free(files->file);
    arena_free(&files->arena);
    *files = (HubFiles){0};
}

/* ---- URLs -------------------------------------------------------------------------------------------------------- */

/* Link: <URL>; rel="next", <URL>; rel="last" (RFC 8288; parameters hold no '<' or ',' here). */
char *hub_next_page(const char *link, Err *err) {
    for (const char *open; (open = strchr(link, '<'));) {
        const char *close = strchr(open, '>');
        if (!close) return NULL;
        size_t parameters = strcspn(close, ",");
        const char *rel = strstr(close, "rel=\"next\"");
        if (rel && rel < close + parameters) {
            char *url = strndup(open + 1, (size_t)(close - open - 1));
            if (!url) err_as(err, QM_MEMORY, "out of memory: next page");
            return url;
        }
        link = close + parameters;
    }
    return NULL;
}

/* Percent-encodes all but the unreserved characters of RFC 3986, and '/' where it divides a path. */
static void url_add(Text *url, const char *text, bool keep_slash) {
    for (; *text; text++) {
        if (name_char(*text) || *text == '~' || (keep_slash && *text == '/')) text_add(url, text, 1);
        else text_line(url, "%%%02X", (unsigned char)*text);
    }
}

static char *url_done(Text *url, Err *err) {
    if (text_ok(url, "URL", err)) return url->data;
    text_free(url);
    return NULL;
}

char *hub_api_url(const char *endpoint, const char *repo, const char *what, const char *revision, Err *err) {
    Text url = {0};
    text_line(&url, "%s/api/models/%s/%s/", endpoint, repo, what);
    url_add(&url, revision, false);
    return url_done(&url, err);
}

char *hub_file_url(const char *endpoint, const char *repo, const char *commit, const char *path, Err *err) {
    Text url = {0};
    text_line(&url, "%s/%s/resolve/%s/", endpoint, repo, commit);
    url_add(&url, path, true);
    return url_done(&url, err);
}
