/* kv_store.h: the store behind kv.h without its sockets: what a request is, what is answered. One thread uses it.
 *
 * One request a connection. Numbers are little-endian.
 *   request: "QMKV", op (1 get, 2 put), 3 zeros, u32 key bytes, u32 value bytes, u32 timeout in ms, 32 bytes secret,
 *            key, value
 *   reply:   "QMKV", status (PjrtCode), 3 zeros, u32 value bytes, value */
#ifndef PJRT_KV_STORE_H
#define PJRT_KV_STORE_H
#include "../base/base.h"
#include "api.h"
#include "kv.h"

enum { KV_REQUEST_HEAD = 20 + KV_SECRET, KV_REPLY_HEAD = 12, KV_GET = 1, KV_PUT = 2 };
enum { KV_KEY_MAX = 4096, KV_VALUE_MAX = 16 << 20, KV_TIMEOUT_MAX = 3600 * 1000, KV_ENTRIES_MAX = 16384 };
enum { KV_STORE_MAX = 256 << 20 }; /* bytes of all keys, values and requests under way */

typedef struct KvHead { int op; uint32_t key_bytes, value_bytes, timeout_ms; uint8_t secret[KV_SECRET]; } KvHead;
void kv_head_write(uint8_t out[KV_REQUEST_HEAD], const KvHead *head);
bool kv_head_read(const uint8_t data[KV_REQUEST_HEAD], KvHead *out); /* false: not a request, or too large a one */
void kv_reply_write(uint8_t out[KV_REPLY_HEAD], PjrtCode status, uint32_t value_bytes);
bool kv_reply_read(const uint8_t data[KV_REPLY_HEAD], PjrtCode *status, uint32_t *value_bytes);

/* A value is held by its entry and by every reply that is on its way: however many wait for it, it is there once. */
typedef struct KvValue { size_t bytes, holders; uint8_t data[]; } KvValue;
typedef struct KvEntry { uint8_t *key; size_t key_bytes; KvValue *value; } KvEntry;
/* bytes: of keys, of values while anyone holds them, and of requests that arrive. */
typedef struct KvStore { KvEntry *entry; size_t count, capacity, bytes; uint8_t secret[KV_SECRET]; } KvStore;
void kv_store_free(KvStore *store);
/* Copies key and value in; RESOURCE_EXHAUSTED when there is no room. */
PjrtCode kv_store_put(KvStore *store, const uint8_t *key, size_t key_bytes, const uint8_t *value, size_t value_bytes);
const KvEntry *kv_store_get(const KvStore *store, const uint8_t *key, size_t key_bytes); /* NULL: not there */

/* One connection's request and reply. */
typedef enum KvState { KV_READING, KV_WAITING, KV_REPLYING, KV_BROKEN } KvState;
typedef struct KvPeer {
    KvState state;
    uint8_t *in, out[KV_REPLY_HEAD];
    KvValue *value; /* of the reply, behind its head; NULL: none */
    size_t in_bytes, in_capacity, out_bytes;
    KvHead head;
    double deadline; /* of the request's arrival, of waiting, of the reply's departure; clock_seconds */
} KvPeer;
enum { KV_PATIENCE = 20 }; /* seconds for a request to arrive and a reply to leave */
void kv_peer_start(KvPeer *peer, double now);
void kv_peer_free(KvPeer *peer, KvStore *store);
/* What of the reply comes after `sent` bytes, in one piece. */
const uint8_t *kv_peer_out(const KvPeer *peer, size_t sent, size_t *bytes);
/* Bytes came in. Without the store's secret the answer is UNAUTHENTICATED, before key and value. A request cannot be
 * pipelined: anything after it breaks the connection. */
void kv_peer_feed(KvPeer *peer, KvStore *store, const uint8_t *data, size_t bytes, double now);
/* Time passed, or the store changed: answers a waiting get whose key is there now or whose time is up. */
void kv_peer_check(KvPeer *peer, KvStore *store, double now);
#endif
