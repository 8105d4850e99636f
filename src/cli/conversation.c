/* conversation.c: messages said, saved and loaded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../io/json.h"
#include "conversation.h"

enum { MAX_CONVERSATION = 64 << 20 };

bool conversation_add(Conversation *c, const char *role, const char *text, size_t bytes, Err *err) {
    json_t *content = json_stringn(text, bytes);
    if (!content) return err_set(err, "a message is not valid UTF-8");
    json_t *message = json_pack("{s:s,s:o}", "role", role, "content", content);
    return (message && json_array_append_new(c->messages, message) == 0) || err_as(err, QM_MEMORY,
                                                                                   "out of memory: a message");
}

bool conversation_clear(Conversation *c, Err *err) {
    json_decref(c->messages);
    if (!(c->messages = json_array())) return err_as(err, QM_MEMORY, "out of memory: messages");
    return !c->system || conversation_add(c, "system", c->system, strlen(c->system), err);
}

static bool is_role(const json_t *message, const char *role) {
    const char *is = json_string_value(json_object_get(message, "role"));
    return is && !strcmp(is, role);
}

bool conversation_system(Conversation *c, const char *text, Err *err) {
    json_t *message = text ? json_pack("{s:s,s:s}", "role", "system", "content", text) : NULL;
    char *copy = text ? strdup(text) : NULL;
    if (text && (!message || !copy)) {
        json_decref(message);
        free(copy);
        return err_set(err, "the system message is not valid UTF-8");
    }
    if (is_role(json_array_get(c->messages, 0), "system")) json_array_remove(c->messages, 0);
    if (message && c->messages) json_array_insert(c->messages, 0, message);
    json_decref(message);
    free(c->system);
    c->system = copy;
    return true;
}

json_t *conversation_take_answer(Conversation *c) {
    size_t count = json_array_size(c->messages);
    json_t *last = count > 1 ? json_array_get(c->messages, count - 1) : NULL;
    if (!is_role(last, "assistant") || !is_role(json_array_get(c->messages, count - 2), "user")) return NULL;
    json_incref(last);
    json_array_remove(c->messages, count - 1);
    return last;
}

/* A path as people type it, malloc'ed: "~/" is their home. */
static char *typed_path(const char *path, Err *err) {
    const char *home = getenv("HOME");
    if (!strncmp(path, "~/", 2) && home) return path_join(home, path + 2, err);
    char *copy = strdup(path);
    if (!copy) err_as(err, QM_MEMORY, "out of memory: path %s", path);
    return copy;
}

static void keep_file(Conversation *c, char *path) {
    free(c->file);
    c->file = path;
}

/* The whole text under a name of its own, then under its name: link fails where that is taken, rename does not. */
static bool put_file(const char *path, bool over, const char *text, Err *err) {
    char *partial = NULL;
    if (asprintf(&partial, "%s.XXXXXX", path) < 0) return err_as(err, QM_MEMORY, "out of memory: path %s", path);
    int descriptor = mkstemp(partial);
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "w") : NULL;
    bool ok = file != NULL;
    if (!ok) err_as(err, QM_IO, "cannot write %s: %s", path, strerror(errno));
    if (ok) ok = file_put(file, text, strlen(text), path, err);
    if (ok && fsync(descriptor) != 0) ok = err_as(err, QM_IO, "cannot write %s: %s", path, strerror(errno));
    if (file) ok = file_finish(file, path, err) && ok;
    if (ok && (over ? rename(partial, path) : link(partial, path)) != 0)
        ok = err_as(err, QM_IO,
                    errno == EEXIST ? "%s exists: expected a new file, or the one that this conversation is from"
                                          : "cannot write %s: %m", path);
    if (descriptor >= 0 && !(ok && over)) unlink(partial);
    free(partial);
    return ok;
}

bool conversation_save(Conversation *c, const char *path, Err *err) {
    char *to = typed_path(path, err), *json = NULL, *line = NULL;
    json_t *object = to ? json_pack("{s:O}", "messages", c->messages) : NULL;
    bool ok = object && (json = json_dump(object, JSON_COMPACT, "messages", err)) && asprintf(&line, "%s\n", json) > 0;
    if (!ok) err_as(err, QM_MEMORY, "out of memory: messages");
    ok = ok && put_file(to, c->file && !strcmp(c->file, to), line, err);
    if (ok) keep_file(c, to);
    else free(to);
    free(json);
    free(line);
    json_decref(object);
    return ok;
}

bool conversation_load(Conversation *c, const char *path, Err *err) {
    char *from = typed_path(path, err);
    json_t *file = from ? json_file(from, MAX_CONVERSATION, err) : NULL;
    json_t *messages = json_is_object(file) ? json_object_get(file, "messages") : file;
    const char *system = NULL;
    size_t i;
    json_t *m;
    if (file && !json_is_array(messages)) err_set(err, "%s: expected {\"messages\": [...]} or a list of messages",
                                                  from);
    json_array_foreach(messages, i, m) {
        const char *content = json_string_value(json_object_get(m, "content"));
        if (!json_is_string(json_object_get(m, "role")) || !content)
            err_set(err, "%s: message %zu: expected \"role\" and \"content\", two strings", from, i + 1);
        else if (i == 0 && is_role(m, "system")) system = content;
    }
    json_t *copy = err->kind ? NULL : json_deep_copy(messages);
    bool ok = copy && conversation_system(c, system, err);
    if (ok) {
        json_decref(c->messages);
        c->messages = copy;
        keep_file(c, from);
    } else {
        err_as(err, QM_MEMORY, "out of memory: messages");
        json_decref(copy);
        free(from);
    }
    json_decref(file);
    return ok;
}

void conversation_free(Conversation *c) {
    json_decref(c->messages);
    free(c->system);
    free(c->file);
    *c = (Conversation){0};
}
