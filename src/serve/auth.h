/* auth.h: API keys. Only their SHA-256 is kept, and compared in constant time. */
#ifndef AUTH_H
#define AUTH_H
#include "../base/base.h"

enum { KEY_NAME_BYTES = 32 };
typedef struct Keys Keys;

Keys *keys_new(Err *err);
void keys_free(Keys *k);
/* A key; `name` stands for it in logs and queues. NULL: "key1", "key2", ... */
bool keys_add(Keys *k, const char *name, const char *key, size_t bytes, Err *err);
/* One a line, "NAME=KEY" or "KEY"; empty lines and those that begin with # are left out. */
bool keys_read(Keys *k, const char *path, Err *err);
int keys_count(const Keys *k);

/* The one decision, whatever header a key came in. `authorization` ("Bearer KEY") and `x_api_key` are the headers, or
 * NULL. Returns the key's name, owned by Keys; "" where no key is needed; NULL: refused. Where both are given, both must
 * be the same key's. */
const char *keys_check(const Keys *k, const char *authorization, const char *x_api_key);
uint64_t keys_number(const Keys *k, const char *name); /* from 1 on; keys of one name have one number; 0: no such name */
#endif
