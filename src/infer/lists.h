/* lists.h: the lists of ids that generation parameters name. Built once from JSON, then immutable and shared. */
#ifndef LISTS_H
#define LISTS_H
#include <stdatomic.h>
#include "generation.h"

enum { MAX_LIST_IDS = 1 << 20 }; /* of all lists together */

struct TokenLists {
    atomic_int users;
    IdList suppress, begin_suppress, forced_eos;
    BiasList sequence_bias, bad_words;  /* bad words: a bias of -inf */
    BiasList logit_bias;                /* OpenAI: single ids        */
    int64_t total;                      /* ids in all lists          */
    int32_t least, most;                /* of all ids; most -1: none */
    Arena arena;
};

/* Whether the object has any list. */
bool lists_in_json(const json_t *object);
/* `base` (or nothing, when NULL) with the lists of the object on top: a new one with one user, or NULL and an error. */
TokenLists *lists_from_json(const TokenLists *base, const json_t *object, const char *where, Err *err);
TokenLists *lists_share(TokenLists *lists); /* one user more; NULL stays NULL */
void lists_release(TokenLists *lists);
#endif
