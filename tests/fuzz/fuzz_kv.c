/* fuzz_kv.c: requests to the key-value store as arbitrary bytes, in pieces, on two connections at once. The first byte
 * picks the pieces' size. Whatever comes, memory is bounded, a reply is a reply, and the store's bytes add up. */
#include <stdlib.h>
#include <string.h>
#include "../../src/pjrt/kv_store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_reply(const KvPeer *peer) {
    PjrtCode status;
    uint32_t value_bytes;
    if (peer->state != KV_REPLYING) return;
    size_t n;
    const uint8_t *body = peer->value ? kv_peer_out(peer, KV_REPLY_HEAD, &n) : (n = 0, NULL);
    if (peer->out_bytes != KV_REPLY_HEAD + n || (n && (!peer->value || body != peer->value->data))) abort();
    if (peer->out_bytes < KV_REPLY_HEAD || !kv_reply_read(peer->out, &status, &value_bytes) ||
        peer->out_bytes != KV_REPLY_HEAD + (size_t)value_bytes)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 2) return 0;
    size_t piece = data[0] % 67 + 1u, at = 1;
    double now = 1;
    KvStore store = {0};
    KvPeer peer[2];
    for (int i = 0; i < 2; i++) kv_peer_start(&peer[i], now);
    for (int turn = 0; at < bytes; turn ^= data[at - 1] & 1) {
        size_t n = bytes - at < piece ? bytes - at : piece;
        KvPeer *p = &peer[turn];
        kv_peer_feed(p, &store, data + at, n, now);
        at += n;
        now += 0.01;
        for (int i = 0; i < 2; i++) kv_peer_check(&peer[i], &store, now);
        check_reply(p);
        if (p->state == KV_REPLYING || p->state == KV_BROKEN) { /* the next connection */
            kv_peer_free(p, &store);
            kv_peer_start(p, now);
        }
        if (store.bytes > KV_STORE_MAX) abort();
    }
    for (int i = 0; i < 2; i++) {
        kv_peer_check(&peer[i], &store, now + KV_TIMEOUT_MAX);
        check_reply(&peer[i]);
        if (peer[i].state == KV_READING || peer[i].state == KV_WAITING) abort(); /* would wait for ever */
        kv_peer_free(&peer[i], &store);
    }
    size_t held = 0;
    for (size_t i = 0; i < store.count; i++) held += store.entry[i].key_bytes + store.entry[i].value->bytes;
    if (held != store.bytes) abort();
    kv_store_free(&store);
    return 0;
}
