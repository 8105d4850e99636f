/* history.c: the messages of earlier chats, a JSON string a line, so that a message of several lines stays one. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "terminal.h"

enum { PATH_BYTES = 1024 };

/* Makes the folders on the way to `path`, for the owner alone; those that exist stay as they are. */
static void make_folders(char *path) {
    for (char *slash = path + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
}

/* False where no home is known. */
static bool history_path(char out[PATH_BYTES]) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n = -1;
    if (state && state[0] == '/') n = snprintf(out, PATH_BYTES, "%s/qwenmesh/history", state);
    else if (home && home[0] == '/') n = snprintf(out, PATH_BYTES, "%s/.local/state/qwenmesh/history", home);
    return n > 0 && n < PATH_BYTES - 16;
}

/* An unfinished last line, of a program that was killed, must not swallow the next. */
static bool ends_inside_line(int file) {
    char last = '\n';
    off_t size = lseek(file, 0, SEEK_END);
    return size > 0 && pread(file, &last, 1, size - 1) == 1 && last != '\n';
}

/* One write of whole lines: what two chats add at a time does not mix. */
static bool put_line(int file, const char *message) {
    json_t *text = json_string(message);
    char *json = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL, *line = NULL;
    int n = json ? asprintf(&line, "%s%s\n", ends_inside_line(file) ? "\n" : "", json) : -1;
    bool ok = n > 0 && write(file, line, (size_t)n) == n;
    if (n > 0) free(line);
    free(json);
    json_decref(text);
    return ok;
}

void history_write(const char *message) {
    char path[PATH_BYTES];
    if (strlen(message) > HISTORY_LINE_BYTES || !history_path(path)) return;
    make_folders(path);
    int file = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) return;
    struct stat st;
    if (fstat(file, &st) == 0 && S_ISREG(st.st_mode) && fchmod(file, 0600) == 0) put_line(file, message);
    close(file);
}

/* Writes the last messages of a list anew. */
static void cut(const char *path, const json_t *list) {
    char partial[PATH_BYTES + 8];
    snprintf(partial, sizeof partial, "%s.XXXXXX", path);
    int file = mkstemp(partial); /* 0600 */
    bool ok = file >= 0;
    for (size_t i = json_array_size(list) - HISTORY_LINES; ok && i < json_array_size(list); i++)
        ok = put_line(file, json_string_value(json_array_get(list, i)));
    if (file < 0) return;
    ok = fsync(file) == 0 && ok;
    if (close(file) != 0 || !ok || rename(partial, path) != 0) unlink(partial);
}

void history_read(void (*each)(void *context, const char *message), void *context) {
    char path[PATH_BYTES], *line = NULL;
    size_t capacity = 0;
    int descriptor = history_path(path) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    struct stat st;
    if (descriptor < 0) return;
    FILE *file = fstat(descriptor, &st) == 0 && S_ISREG(st.st_mode) ? fdopen(descriptor, "r") : NULL;
    if (!file) {
        close(descriptor);
        return;
    }
    json_t *list = json_array();
    for (ssize_t n; (n = getline(&line, &capacity, file)) > 0;) {
        json_t *text = n <= 6 * HISTORY_LINE_BYTES ? json_loadb(line, (size_t)n, JSON_DECODE_ANY, NULL) : NULL;
        if (json_is_string(text)) json_array_append(list, text);
        json_decref(text);
    }
    fclose(file);
    free(line);
    size_t count = json_array_size(list);
    if (count > 2 * HISTORY_LINES) cut(path, list);
    for (size_t i = count > HISTORY_LINES ? count - HISTORY_LINES : 0; i < count; i++)
        each(context, json_string_value(json_array_get(list, i)));
    json_decref(list);
}
