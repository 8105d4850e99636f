/* output_folder.c: see output_folder.h. A folder that is being written is "NAME.PID-RANDOM.partial", or within a folder
 * that files are added to "save.PID-RANDOM.partial"; it is locked while its writer lives, so that one that can be
 * locked was left behind. Adding is done by a folder with the fixed name "save.complete", which holds the files and the
 * lists of what to do with them: from that rename on they are committed, and the next writer ends the moves that were
 * cut off. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "guard.h"
#include "output.h"
#include "output_folder.h"

enum { NAME_TRIES = 100, LIST_LIMIT = 1 << 20 };
static const char complete[] = "save.complete", list_name[] = "files.list";

/* ---- Trees ------------------------------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *place) {
    (void)type, (void)place;
    if (!S_ISREG(st->st_mode)) return remove(path);
    file_remove(path);
    return access(path, F_OK) == 0 ? -1 : 0;
}

static bool remove_tree(const char *path) { return nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0; }

static int sync_entry(const char *path, const struct stat *st, int type, struct FTW *place) {
    (void)place;
    if (type != FTW_DP && !S_ISREG(st->st_mode)) return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return -1;
    int result = fsync(fd) == 0 || errno == EINVAL ? 0 : -1, why = errno;
    close(fd);
    errno = why;
    return result;
}

static bool sync_tree(const char *path) { return nftw(path, sync_entry, 16, FTW_DEPTH | FTW_PHYS) == 0; }

static bool cannot(const char *what, const char *path, Err *err) {
    return err_as(err, QM_IO, "cannot %s %s: %s", what, path, strerror(errno));
}

bool folder_make(const char *path, Err *err) {
    char *copy = strdup(path);
    if (!copy) return err_as(err, QM_MEMORY, "out of memory: path %s", path);
    bool ok = true;
    for (char *slash = strchr(copy + 1, '/'); ok && slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        ok = mkdir(copy, 0777) == 0 || errno == EEXIST || cannot("make", copy, err);
        *slash = '/';
    }
    ok = ok && (mkdir(copy, 0777) == 0 || errno == EEXIST || cannot("make", copy, err));
    free(copy);
    return ok && (folder_exists(path) || err_as(err, QM_IO, "cannot make %s: a file has that name", path));
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

/* Where in a name ".digits-hex.partial" begins, which then ends it; NULL: it is no such name. */
static const char *partial_at(const char *name) {
    size_t n = strlen(name), end = strlen(".partial");
    if (n < end + 11 || strcmp(name + n - end, ".partial")) return NULL;
    const char *p = name + n - end - 9;
    for (int i = 1; i <= 8; i++)
        if (!isxdigit((unsigned char)p[i])) return NULL;
    if (*p != '-' || !isdigit((unsigned char)p[-1])) return NULL;
    while (p > name && isdigit((unsigned char)p[-1])) p--;
    return p > name + 1 && p[-1] == '.' ? p - 1 : NULL;
}

/* Folders of dead writers in `folder`, of the name `start`, or with `any` of all names that begin so. */
static void remove_dead(const char *folder, const char *start, bool any) {
    DIR *list = opendir(folder);
    size_t bytes = strlen(start);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        const char *at = partial_at(entry->d_name);
        if (!at || strncmp(entry->d_name, start, bytes) || (!any && at != entry->d_name + bytes)) continue;
        int fd = openat(dirfd(list), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        char *path = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 ? path_join(folder, entry->d_name, &(Err){0}) : NULL;
        if (path) remove_tree(path);
        free(path);
        if (fd >= 0) close(fd);
    }
    if (list) closedir(list);
}

void output_folder_sweep(const char *folder, const char *begin) { remove_dead(folder, begin, true); }

/* "FOLDER/START.PID-RANDOM.partial", malloc'ed; NULL: no memory. */
static char *partial_name(const char *folder, const char *start) {
    char *path = NULL;
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) < 0) random = (uint32_t)(clock_seconds() * 1e9);
    return asprintf(&path, "%s/%s.%d-%08x.partial", folder, start, (int)getpid(), (unsigned)random) < 0 ? NULL : path;
}

/* A new locked folder. */
static bool make_partial(OutputFolder *o, const char *folder, const char *start, Err *err) {
    for (int i = 0; i < NAME_TRIES; i++) {
        struct stat here, there;
        o->path = partial_name(folder, start);
        if (!o->path) return err_as(err, QM_MEMORY, "out of memory: path %s", folder);
        bool made = mkdir(o->path, 0777) == 0;
        if (!made && errno != EEXIST) return cannot("make", o->path, err);
        o->lock = made ? open(o->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
        bool ours = o->lock >= 0 && (flock(o->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) &&
                    fstat(o->lock, &here) == 0 && stat(o->path, &there) == 0 && here.st_ino == there.st_ino;
        if (ours) return true; /* else a cleaner was faster */
        if (o->lock >= 0) close(o->lock);
        else if (made) rmdir(o->path);
        o->lock = -1;
        free(o->path);
        o->path = NULL;
    }
    return err_as(err, QM_IO, "cannot make a folder in %s", folder);
}

/* The folder of a path and its name there, both malloc'ed. */
static bool split_path(const char *path, char **folder, char **name, Err *err) {
    size_t bytes = strlen(path);
    while (bytes > 1 && path[bytes - 1] == '/') bytes--;
    size_t slash = bytes;
    while (slash > 0 && path[slash - 1] != '/') slash--;
    *folder = slash == 0 ? strdup(".") : strndup(path, slash == 1 ? 1 : slash - 1);
    *name = strndup(path + slash, bytes - slash);
    if (*folder && *name && **name && strcmp(*name, ".") && strcmp(*name, "..")) return true;
    bool memory = !*folder || !*name;
    free(*folder);
    free(*name);
    *folder = *name = NULL;
    return memory ? err_as(err, QM_MEMORY, "out of memory: path %s", path)
                  : err_as(err, QM_USAGE, "expected the name of a folder, got '%s'", path);
}

/* ---- Files that are added ---------------------------------------------------------------------------------------- */

/* files.list: "key NAME", then "gone NAME" and "new NAME", a line each. */
static bool write_list(const OutputFolder *o, const char *key, FolderStale *stale, Err *err) {
    Text text = {0};
    struct stat st;
    text_line(&text, "key %s\n", key);
    DIR *list = opendir(o->target);
    for (struct dirent *entry; list && (entry = readdir(list));) {
        char *new = path_join(o->path, entry->d_name, err), *old = path_join(o->target, entry->d_name, err);
        bool replaced = new && lstat(new, &st) == 0 && entry->d_name[0] != '.', known = false;
        if (old && (replaced || (stale && stale(entry->d_name)))) {
            known = stat(old, &st) == 0 && S_ISREG(st.st_mode);
            if (known && file_was_read(&st))
                err_set(err, "%s: expected another file to write than one that is read", old);
            if (!replaced && known) text_line(&text, "gone %s\n", entry->d_name);
        }
        free(new);
        free(old);
    }
    if (!list) cannot("read", o->target, err);
    if (list) closedir(list);
    list = opendir(o->path);
    for (struct dirent *entry; list && (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && strcmp(entry->d_name, key))
            text_line(&text, "new %s\n", entry->d_name);
    if (!list) cannot("read", o->path, err);
    if (list) closedir(list);
    bool ok = !err->kind && text_ok(&text, list_name, err) &&
              output_write(o->path, list_name, text.data, text.bytes, err);
    text_free(&text);
    return ok;
}

/* Whether a name of a list is that of an entry of the folder itself. */
static bool plain_name(const char *name) { return *name && name[0] != '.' && !strchr(name, '/'); }

/* Moves FROM/name to TARGET/name; what is not there was moved before. */
static bool move_one(const char *target, const char *from, const char *name, Err *err) {
    char *old = path_join(target, name, err), *new = path_join(from, name, err);
    struct stat st;
    bool ok = old && new;
    if (ok && lstat(new, &st) == 0) {
        if (lstat(old, &st) == 0 && S_ISDIR(st.st_mode)) remove_tree(old);
        ok = rename(new, old) == 0 || cannot("write", old, err);
    }
    free(old);
    free(new);
    return ok;
}

static bool remove_one(const char *target, const char *name, Err *err) {
    char *path = path_join(target, name, err);
    bool ok = path && (unlink(path) == 0 || errno == ENOENT || cannot("remove", path, err));
    free(path);
    return ok;
}

static bool sync_folder(const char *path, Err *err) {
    return sync_entry(path, NULL, FTW_DP, NULL) == 0 || cannot("write", path, err);
}

/* Does what the list in TARGET/save.complete says, as far as it is not done. */
static bool finish_moves(const char *target, const char *from, char *list, Err *err) {
    char *rest = NULL, *key = NULL;
    bool ok = true;
    for (char *line = strtok_r(list, "\n", &rest); ok && line; line = strtok_r(NULL, "\n", &rest)) {
        char *name = strchr(line, ' ');
        if (name) *name++ = 0;
        ok = name && plain_name(name) && (!strcmp(line, "key") || !strcmp(line, "gone") || !strcmp(line, "new"));
        if (!ok) err_set(err, "%s/%s: a line is not '(key|gone|new) NAME'", from, list_name);
        else if (!strcmp(line, "new")) ok = move_one(target, from, name, err);
        else if (!strcmp(line, "gone")) ok = remove_one(target, name, err);
        else {
            char *new = path_join(from, name, err);
            key = name;
            /* Where it is moved already all else was moved before. */
            ok = new && (!file_exists(new) || (remove_one(target, name, err) && sync_folder(target, err)));
            free(new);
        }
    }
    return ok && sync_folder(target, err) && (!key || move_one(target, from, key, err)) && sync_folder(target, err) &&
           (remove_tree(from) || cannot("remove", from, err));
}

/* The moves of a writer that was killed between its commit and its end. */
static bool recover(const char *target, Err *err) {
    char *from = path_join(target, complete, err), *path = from ? path_join(from, list_name, err) : NULL, *list = NULL;
    bool ok = path != NULL, there = ok && folder_exists(from);
    if (there && !file_exists(path)) remove_tree(from); /* all was done but this */
    else if (there) ok = (list = file_read(path, LIST_LIMIT, NULL, err)) && finish_moves(target, from, list, err);
    free(list);
    free(path);
    free(from);
    return ok;
}

/* ---- The folder -------------------------------------------------------------------------------------------------- */

/* A link's own folder is the one that is written. */
static bool follow_link(OutputFolder *o, char **folder, char **name, Err *err) {
    char *real = realpath(o->target, NULL);
    if (!real) return cannot("write", o->target, err);
    free(o->target);
    free(*folder);
    free(*name);
    o->target = real;
    return split_path(real, folder, name, err);
}

bool output_folder_open(OutputFolder *o, const char *target, FolderWay way, Err *err) {
    char *folder = NULL, *name = NULL;
    *o = (OutputFolder){.way = way, .lock = -1};
    bool ok = split_path(target, &folder, &name, err) && folder_make(folder, err) &&
              ((o->target = path_join(folder, name, err)) != NULL);
    struct stat st;
    bool there = ok && stat(o->target, &st) == 0;
    if (there && !S_ISDIR(st.st_mode))
        ok = err_as(err, QM_IO, "cannot write %s: expected a folder, got a file", target);
    if (ok && there) ok = follow_link(o, &folder, &name, err);
    if (ok) remove_dead(folder, name, false);
    if (ok && there && way == FOLDER_ADD) {
        remove_dead(o->target, "save", false);
        ok = recover(o->target, err) && make_partial(o, o->target, "save", err);
    } else {
        o->way = FOLDER_REPLACE;
        ok = ok && make_partial(o, folder, name, err);
    }
    free(folder);
    free(name);
    if (ok) o->place = guard_temporary(o->path);
    else output_folder_close(o);
    return ok;
}

/* renameat2's exchange, where the file system has it; else the old one stands aside for a moment. */
static bool take_place(OutputFolder *o, Err *err) {
    struct stat st;
    if (lstat(o->target, &st) != 0) return rename(o->path, o->target) == 0 || cannot("write", o->target, err);
    if (renameat2(AT_FDCWD, o->path, AT_FDCWD, o->target, RENAME_EXCHANGE) == 0) return true;
    if (errno != EINVAL && errno != ENOSYS) return cannot("write", o->target, err);
    char *aside = NULL;
    if (asprintf(&aside, "%s.old", o->path) < 0) return err_as(err, QM_MEMORY, "out of memory: path %s", o->path);
    bool ok = (rename(o->target, aside) == 0 && rename(o->path, o->target) == 0) || cannot("write", o->target, err);
    if (!ok && folder_exists(aside)) (void)!rename(aside, o->target);
    else if (ok) ok = rename(aside, o->path) == 0 || cannot("remove", aside, err);
    free(aside);
    return ok;
}

static bool commit_add(OutputFolder *o, const char *key, FolderStale *stale, Err *err) {
    if (!write_list(o, key, stale, err) || (!sync_tree(o->path) && !cannot("write", o->path, err))) return false;
    char *from = path_join(o->target, complete, err);
    bool ok = from && (rename(o->path, from) == 0 || cannot("write", from, err)) && sync_folder(o->target, err);
    free(from);
    return ok && recover(o->target, err);
}

bool output_folder_commit(OutputFolder *o, const char *key, FolderStale *stale, Err *err) {
    if (o->way == FOLDER_ADD) return commit_add(o, key, stale, err);
    bool ok = (sync_tree(o->path) || cannot("write", o->path, err)) && take_place(o, err);
    return ok && (folder_sync(o->target) || cannot("write", o->target, err));
}

void output_folder_close(OutputFolder *o) {
    if (o->path && folder_exists(o->path)) remove_tree(o->path); /* not committed, or what it took the place of */
    if (o->target && o->lock >= 0) close(o->lock);
    guard_release(o->place);
    free(o->path);
    free(o->target);
    *o = (OutputFolder){.lock = -1};
}

bool output_folder_end(OutputFolder *o, bool ok, const char *key, FolderStale *stale, Err *err) {
    if (!o->path) return ok;
    ok = ok && output_folder_commit(o, key, stale, err);
    output_folder_close(o);
    return ok;
}

bool output_folder_remove(const char *path, Err *err) {
    char *folder = NULL, *name = NULL, *away = NULL;
    bool ok = split_path(path, &folder, &name, err) && (away = partial_name(folder, name));
    ok = ok && (rename(path, away) == 0 || cannot("remove", path, err));
    ok = ok && (remove_tree(away) || cannot("remove", away, err));
    if (!ok && !err->kind) err_as(err, QM_MEMORY, "out of memory: path %s", path);
    free(folder);
    free(name);
    free(away);
    return ok;
}
