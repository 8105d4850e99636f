/* kv.h: keys and values that the processes of one program share, over TCP: node 0 keeps them. A plugin whose devices
 * span processes (CUDA) finds its peers through it.
 *
 * A request without the store's secret is refused, so whoever reaches the port can neither read nor write. The secret
 * travels as it is: it keeps strangers out, not those who listen on the network. Sizes, connections, waiting and what
 * is on its way are bounded, so that a stranger cannot exhaust the process. */
#ifndef PJRT_KV_H
#define PJRT_KV_H
#include "../base/base.h"
#include "api.h"

enum { KV_SECRET = 32 };
typedef struct KvServer KvServer;
typedef struct KvClient KvClient;

/* Listens on "HOST:PORT" ("[HOST]:PORT" for IPv6; port 0: any free one) and serves in a thread of its own. */
KvServer *kv_server_start(const char *address, const uint8_t secret[KV_SECRET], Err *err);
int kv_server_port(const KvServer *server);
void kv_server_stop(KvServer *server); /* NULL is fine */

/* Safe to use from many threads at once: every request has a connection of its own. */
KvClient *kv_client_new(const char *address, const uint8_t secret[KV_SECRET], Err *err);
void kv_client_free(KvClient *client); /* NULL is fine */

/* Waits up to `timeout_ms` for the key; *value is malloc'ed. OK, DEADLINE_EXCEEDED, INVALID_ARGUMENT,
 * UNAUTHENTICATED, UNAVAILABLE (no server there within that time, or it broke off). With a timeout of 0 a missing
 * key is NOT_FOUND at once. */
PjrtCode kv_get(KvClient *client, const char *key, size_t key_bytes, int timeout_ms, char **value, size_t *value_bytes,
                Err *err);
/* OK, INVALID_ARGUMENT (too large), RESOURCE_EXHAUSTED (the store is full), UNAVAILABLE. Replaces an old value. */
PjrtCode kv_put(KvClient *client, const char *key, size_t key_bytes, const char *value, size_t value_bytes, Err *err);

/* The callbacks of PJRT_Client_Create; `user` is a KvClient. */
PjrtError *kv_pjrt_get(PjrtStoreGetArgs *args);
PjrtError *kv_pjrt_try_get(PjrtStoreTryGetArgs *args);
PjrtError *kv_pjrt_put(PjrtStorePutArgs *args);
#endif
