/* kv_store.c: requests of strangers, bounded in every size. */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include "kv_store.h"

/* ---- Wire -------------------------------------------------------------------------------------------------------- */

static const uint8_t magic[4] = {'Q', 'M', 'K', 'V'};

static void put_u32(uint8_t *out, uint32_t value) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> 8 * i);
}
static uint32_t get_u32(const uint8_t *data) {
    return data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
}

static void start(uint8_t *out, int code) {
    memcpy(out, magic, sizeof magic);
    out[4] = (uint8_t)code;
    out[5] = out[6] = out[7] = 0;
}
static bool starts(const uint8_t *data) { return !memcmp(data, magic, sizeof magic) && !(data[5] | data[6] | data[7]); }

void kv_head_write(uint8_t out[KV_REQUEST_HEAD], const KvHead *head) {
    start(out, head->op);
    put_u32(out + 8, head->key_bytes);
    put_u32(out + 12, head->value_bytes);
    put_u32(out + 16, head->timeout_ms);
    memcpy(out + 20, head->secret, KV_SECRET);
}

bool kv_head_read(const uint8_t data[KV_REQUEST_HEAD], KvHead *out) {
    *out = (KvHead){data[4], get_u32(data + 8), get_u32(data + 12), get_u32(data + 16), {0}};
    memcpy(out->secret, data + 20, KV_SECRET);
    if (!starts(data) || out->key_bytes > KV_KEY_MAX || out->timeout_ms > KV_TIMEOUT_MAX) return false;
    return (out->op == KV_GET && out->value_bytes == 0) ||
           (out->op == KV_PUT && out->value_bytes <= KV_VALUE_MAX && out->timeout_ms == 0);
}

void kv_reply_write(uint8_t out[KV_REPLY_HEAD], PjrtCode status, uint32_t value_bytes) {
    start(out, (int)status);
    put_u32(out + 8, value_bytes);
}

bool kv_reply_read(const uint8_t data[KV_REPLY_HEAD], PjrtCode *status, uint32_t *value_bytes) {
    *status = (PjrtCode)data[4];
    *value_bytes = get_u32(data + 8);
    return starts(data) && data[4] <= PJRT_UNAUTHENTICATED && *value_bytes <= KV_VALUE_MAX &&
           (!*status || !*value_bytes);
}

/* ---- Store ------------------------------------------------------------------------------------------------------- */

static void let_go(KvStore *store, KvValue *value) {
    if (!value || --value->holders) return;
    store->bytes -= value->bytes;
    free(value);
}

void kv_store_free(KvStore *store) {
    for (size_t i = 0; i < store->count; i++) {
        free(store->entry[i].key);
        let_go(store, store->entry[i].value);
    }
    free(store->entry);
    *store = (KvStore){0};
}

static KvEntry *find(const KvStore *store, const uint8_t *key, size_t bytes) {
    for (size_t i = 0; i < store->count; i++)
        if (store->entry[i].key_bytes == bytes && !memcmp(store->entry[i].key, key, bytes)) return &store->entry[i];
    return NULL;
}

const KvEntry *kv_store_get(const KvStore *store, const uint8_t *key, size_t key_bytes) {
    return find(store, key, key_bytes);
}

PjrtCode kv_store_put(KvStore *store, const uint8_t *key, size_t key_bytes, const uint8_t *value, size_t value_bytes) {
    KvEntry *entry = find(store, key, key_bytes);
    size_t added = value_bytes + (entry ? 0 : key_bytes);
    size_t freed = entry && entry->value->holders == 1 ? entry->value->bytes : 0; /* else a reply still holds it */
    if (store->bytes - freed + added > KV_STORE_MAX || (!entry && store->count >= KV_ENTRIES_MAX))
        return PJRT_RESOURCE_EXHAUSTED;
    KvValue *new = malloc(sizeof *new + value_bytes);
    uint8_t *new_key = entry ? NULL : malloc(key_bytes + 1);
    bool ok = new && (entry || (new_key && mem_grow((void **)&store->entry, &store->capacity, store->count + 1,
                                                    sizeof *store->entry, "keys", NULL)));
    if (!ok) {
        free(new);
        free(new_key);
        return PJRT_RESOURCE_EXHAUSTED;
    }
    *new = (KvValue){.bytes = value_bytes, .holders = 1};
    if (value_bytes) memcpy(new->data, value, value_bytes);
    if (entry) {
        let_go(store, entry->value);
    } else {
        if (key_bytes) memcpy(new_key, key, key_bytes);
        entry = &store->entry[store->count++];
        *entry = (KvEntry){.key = new_key, .key_bytes = key_bytes};
    }
    entry->value = new;
    store->bytes += added;
    return PJRT_OK;
}

/* ---- Connections ------------------------------------------------------------------------------------------------- */

void kv_peer_start(KvPeer *peer, double now) { *peer = (KvPeer){.state = KV_READING, .deadline = now + KV_PATIENCE}; }

static void free_in(KvPeer *peer, KvStore *store) {
    store->bytes -= peer->in_capacity;
    free(peer->in);
    peer->in = NULL;
    peer->in_capacity = 0;
}

void kv_peer_free(KvPeer *peer, KvStore *store) {
    free_in(peer, store);
    let_go(store, peer->value);
    *peer = (KvPeer){.state = KV_BROKEN};
}

/* Room for what has come, not for what was announced; it counts against the store's bound. */
static bool reserve(KvPeer *peer, KvStore *store, size_t need) {
    if (need <= peer->in_capacity) return true;
    size_t old = peer->in_capacity;
    if (store->bytes + 2 * need > KV_STORE_MAX) return false;
    bool ok = mem_grow((void **)&peer->in, &peer->in_capacity, need, 1, "request", NULL);
    store->bytes += peer->in_capacity - old;
    return ok;
}

static void reply(KvPeer *peer, KvStore *store, PjrtCode status, KvValue *value, double now) {
    free_in(peer, store);
    if (value) value->holders++;
    peer->value = value;
    peer->out_bytes = KV_REPLY_HEAD + (value ? value->bytes : 0);
    peer->state = KV_REPLYING;
    peer->deadline = now + KV_PATIENCE;
    kv_reply_write(peer->out, status, value ? (uint32_t)value->bytes : 0);
}

const uint8_t *kv_peer_out(const KvPeer *peer, size_t sent, size_t *bytes) {
    *bytes = (sent < KV_REPLY_HEAD ? KV_REPLY_HEAD : peer->out_bytes) - sent;
    return sent < KV_REPLY_HEAD ? peer->out + sent : peer->value->data + (sent - KV_REPLY_HEAD);
}

void kv_peer_check(KvPeer *peer, KvStore *store, double now) {
    if (peer->state == KV_WAITING) {
        const KvEntry *entry = kv_store_get(store, peer->in + KV_REQUEST_HEAD, peer->head.key_bytes);
        if (entry) reply(peer, store, PJRT_OK, entry->value, now);
        else if (now >= peer->deadline)
            reply(peer, store, peer->head.timeout_ms ? PJRT_DEADLINE_EXCEEDED : PJRT_NOT_FOUND, NULL, now);
    } else if (now >= peer->deadline) {
        peer->state = KV_BROKEN;
    }
}

void kv_peer_feed(KvPeer *peer, KvStore *store, const uint8_t *data, size_t bytes, double now) {
    if (bytes == 0) return;
    if (peer->state != KV_READING || bytes > KV_VALUE_MAX + KV_KEY_MAX + KV_REQUEST_HEAD ||
        !reserve(peer, store, peer->in_bytes + bytes)) {
        peer->state = KV_BROKEN;
        return;
    }
    memcpy(peer->in + peer->in_bytes, data, bytes);
    peer->in_bytes += bytes;
    if (memcmp(peer->in, magic, peer->in_bytes < sizeof magic ? peer->in_bytes : sizeof magic) != 0) {
        peer->state = KV_BROKEN;
        return;
    }
    if (peer->in_bytes < KV_REQUEST_HEAD) return;
    KvHead *head = &peer->head;
    size_t whole = KV_REQUEST_HEAD;
    bool is_head = kv_head_read(peer->in, head);
    if (is_head && CRYPTO_memcmp(head->secret, store->secret, KV_SECRET) != 0)
        reply(peer, store, PJRT_UNAUTHENTICATED, NULL, now);
    else if (!is_head || peer->in_bytes > (whole += head->key_bytes + (size_t)head->value_bytes)) {
        peer->state = KV_BROKEN;
    } else if (peer->in_bytes == whole && head->op == KV_PUT) {
        const uint8_t *key = peer->in + KV_REQUEST_HEAD;
        reply(peer, store, kv_store_put(store, key, head->key_bytes, key + head->key_bytes, head->value_bytes), NULL,
              now);
    } else if (peer->in_bytes == whole) {
        peer->state = KV_WAITING;
        peer->deadline = now + head->timeout_ms / 1000.0;
        kv_peer_check(peer, store, now);
    }
}
