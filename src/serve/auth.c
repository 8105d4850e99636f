/* auth.c: see auth.h. */
#include "auth.h"
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include "../base/guard.h"

enum { MOST_KEYS = 1024, MAX_KEY_FILE = 1 << 20, MAX_KEY_BYTES = 4096 };

typedef struct Key { char name[KEY_NAME_BYTES]; uint8_t hash[SHA256_DIGEST_LENGTH]; } Key;
struct Keys { Key *list; size_t capacity; int count; };

Keys *keys_new(Err *err) { return mem_new(1, sizeof(Keys), "keys", err); }

void keys_free(Keys *k) {
    if (k) free(k->list);
    free(k);
}

int keys_count(const Keys *k) { return k ? k->count : 0; }

/* False where memory ends. */
static bool hash_of(const char *key, size_t bytes, uint8_t out[SHA256_DIGEST_LENGTH]) {
    return SHA256((const uint8_t *)key, bytes, out) != NULL;
}

/* Which key it is, or -1. All are looked at, whichever it is. */
static int find(const Keys *k, const char *key, size_t bytes) {
    uint8_t hash[SHA256_DIGEST_LENGTH];
    int found = -1;
    if (!hash_of(key, bytes, hash)) return guard_miss(), -1;
    for (int i = 0; i < k->count; i++)
        if (CRYPTO_memcmp(hash, k->list[i].hash, sizeof hash) == 0) found = i;
    return found;
}

/* A header can carry visible ASCII only. */
static bool is_sendable(const char *key, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (key[i] <= ' ' || key[i] > '~') return false;
    return true;
}

bool keys_add(Keys *k, const char *name, const char *key, size_t bytes, Err *err) {
    if (!bytes || bytes > MAX_KEY_BYTES || !is_sendable(key, bytes))
        return err_set(err, "API key %d: expected 1 to %d characters of visible ASCII", k->count + 1, MAX_KEY_BYTES);
    if (k->count == MOST_KEYS) return err_as(err, QM_LIMIT, "more than %d API keys", MOST_KEYS);
    if (find(k, key, bytes) >= 0) return err_set(err, "API key %d is the same as another", k->count + 1);
    if (!mem_grow((void **)&k->list, &k->capacity, (size_t)k->count + 1, sizeof *k->list, "keys", err)) return false;
    Key *new = &k->list[k->count++];
    if (name) snprintf(new->name, sizeof new->name, "%s", name);
    else snprintf(new->name, sizeof new->name, "key%d", k->count);
    return hash_of(key, bytes, new->hash) || err_as(err, QM_MEMORY, "out of memory: API keys");
}

/* The name in "NAME=KEY", cut off; NULL: the line is a key. Names are short words, so that a key with '=' in it, as
 * base64 ends, is not taken apart. */
static const char *cut_name(char **line) {
    static const char word[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.@-";
    size_t n = strspn(*line, word);
    char *name = *line;
    if (!n || n >= KEY_NAME_BYTES || name[n] != '=' || !name[n + 1] || name[n + 1] == '=') return NULL;
    name[n] = '\0';
    *line = name + n + 1;
    return name;
}

bool keys_read(Keys *k, const char *path, Err *err) {
    size_t bytes;
    char *text = file_read(path, MAX_KEY_FILE, &bytes, err), *rest = text, *line;
    int before = k->count;
    bool ok = text != NULL;
    while (ok && (line = strsep(&rest, "\n"))) {
        line += strspn(line, " \t\r");
        size_t n = strlen(line);
        while (n && strchr(" \t\r", line[n - 1])) line[--n] = '\0';
        if (!n || *line == '#') continue;
        const char *name = cut_name(&line);
        ok = keys_add(k, name, line, strlen(line), err);
    }
    if (text) explicit_bzero(text, bytes);
    free(text);
    if (ok && k->count == before) ok = err_set(err, "no key in it");
    if (!ok && text) err_prefix(err, "%s", path);
    return ok;
}

const char *keys_check(const Keys *k, const char *authorization, const char *x_api_key) {
    static const char scheme[] = "Bearer ";
    if (!keys_count(k)) return "";
    int first = -1, second = -1;
    if (authorization) {
        if (strncasecmp(authorization, scheme, strlen(scheme))) return NULL;
        authorization += strlen(scheme);
        authorization += strspn(authorization, " ");
        if ((first = find(k, authorization, strlen(authorization))) < 0) return NULL;
    }
    if (x_api_key && (second = find(k, x_api_key, strlen(x_api_key))) < 0) return NULL;
    if (first < 0 && second < 0) return NULL;
    if (first >= 0 && second >= 0 && first != second) return NULL;
    return k->list[first >= 0 ? first : second].name;
}

uint64_t keys_number(const Keys *k, const char *name) {
    for (int i = 0; i < keys_count(k); i++)
        if (!strcmp(k->list[i].name, name)) return (uint64_t)i + 1;
    return 0;
}
