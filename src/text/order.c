/* order.c: tokens sorted by their bytes. */
#include "order.h"
#include <stdlib.h>
#include <string.h>
#include "tokenizer.h"

static int by_bytes(const void *a, const void *b) {
    const OrderedToken *x = a, *y = b;
    int c = memcmp(x->data, y->data, x->bytes < y->bytes ? x->bytes : y->bytes);
    return c ? c : x->bytes != y->bytes ? (x->bytes < y->bytes ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

static TokenOrder *order_new(const QmTokenizer *t, Err *err) {
    int32_t vocab = qm_tokenizer_vocab(t);
    TokenOrder *o = mem_new(1, sizeof *o, "order of tokens", err);
    if (!o || !(o->token = mem_new((size_t)vocab, sizeof *o->token, "order of tokens", err))) {
        token_order_free(o);
        return NULL;
    }
    for (int32_t id = 0; id < vocab; id++) {
        size_t bytes;
        bool special;
        const char *piece = qm_tokenizer_piece(t, id, &bytes, &special);
        if (!piece || special || bytes == 0) continue;
        o->token[o->count++] = (OrderedToken){(const uint8_t *)piece, (uint32_t)bytes, 0, id};
        if (bytes > o->longest) o->longest = bytes;
    }
    if (o->count) qsort(o->token, o->count, sizeof *o->token, by_bytes);
    for (size_t i = 1; i < o->count; i++) {
        const OrderedToken *a = &o->token[i - 1];
        OrderedToken *b = &o->token[i];
        while (b->common < a->bytes && b->common < b->bytes && a->data[b->common] == b->data[b->common]) b->common++;
    }
    return o;
}

const TokenOrder *tokenizer_order(const QmTokenizer *t, Err *err) {
    TokenOrder *known = atomic_load(&t->spare->order), *made;
    if (known || !(made = order_new(t, err))) return known;
    if (atomic_compare_exchange_strong(&t->spare->order, &known, made)) return made;
    token_order_free(made); /* another thread was first */
    return known;
}
