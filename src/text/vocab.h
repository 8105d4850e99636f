/* vocab.h: the tokens of a byte-level BPE vocabulary, and its merges, both in hash tables that are built once.
 *
 * Vocabulary files spell bytes as printable characters (GPT-2's alphabet: space is U+0120). Here every piece is kept as
 * the bytes it stands for. The tables are seeded at random: a hostile file cannot aim at collisions.
 */
#ifndef VOCAB_H
#define VOCAB_H
#include <string.h>
#include "../base/base.h"

enum { VOCAB_MOST_IDS = 1 << 22 };

typedef enum PieceKind {
    PIECE_NONE, /* no token has this id                              */
    PIECE_WORD, /* spelled in the alphabet: reached by merges        */
    PIECE_RAW,  /* in the vocabulary but not spelled in the alphabet */
    PIECE_ADDED /* an added token outside it: its text as it stands  */
} PieceKind;

typedef struct Piece {
    uint32_t start, bytes; /* in Vocab.bytes */
    uint8_t kind;
    bool added, special; /* an added token; one of the vocabulary keeps its kind, so that merges still reach it */
} Piece;

typedef struct MergeRow { int32_t left, right, result; } MergeRow;                 /* in order of rank */
typedef struct MergeSlot { int32_t left, right; uint32_t rank; int32_t result; } MergeSlot; /* left -1: empty */
typedef struct WordSlot { uint32_t tag; int32_t id; } WordSlot;                    /* id -1: empty */

typedef struct Vocab {
    Text bytes;            /* all pieces, one after another */
    Piece *piece;          /* [count], capacity piece_room */
    size_t piece_room;
    int32_t count;         /* largest id + 1 */
    WordSlot *word;        /* [word_mask + 1] */
    size_t word_mask;
    MergeRow *row;         /* while loading */
    size_t row_count, row_room;
    MergeSlot *merge;      /* [merge_mask + 1] */
    size_t merge_mask;
    uint64_t seed[2];
    int32_t byte_id[256];  /* token of a single byte, or -1 */
    int32_t unknown;       /* token of a byte that has none; -1: such bytes are dropped, as Hugging Face does */
    bool whole_words;      /* "ignore_merges": a word that is a token is that token */
} Vocab;

/* Building, in this order: tokens; vocab_index; merges; added tokens; vocab_finish. All texts are well-formed UTF-8. */
void vocab_start(Vocab *vocab);
bool vocab_add(Vocab *vocab, int64_t id, const uint8_t *spelled, size_t bytes, Err *err);
bool vocab_index(Vocab *vocab, Err *err);
/* "left right", as merges are written in one string, or the two apart. */
bool vocab_merge_line(Vocab *vocab, const uint8_t *line, size_t bytes, Err *err);
bool vocab_merge(Vocab *vocab, const uint8_t *left, size_t left_bytes, const uint8_t *right, size_t right_bytes,
                 Err *err);
/* An added token; its id may be one of the vocabulary whose text it is. */
bool vocab_add_token(Vocab *vocab, int64_t id, const uint8_t *text, size_t bytes, bool special, Err *err);
/* Builds the table of merges. */
bool vocab_finish(Vocab *vocab, Err *err);
void vocab_free(Vocab *vocab);

/* Id of the word (kind PIECE_WORD or PIECE_RAW) with these bytes, or -1. */
int32_t vocab_find(const Vocab *vocab, const uint8_t *bytes, size_t count, PieceKind kind);
/* Id of the word or raw piece that a vocabulary file spells `text`, or -1. */
int32_t vocab_spelled(Vocab *vocab, const uint8_t *text, size_t bytes);
/* Appends a token as vocabulary files spell it. */
void vocab_spell(const Vocab *vocab, int32_t id, Text *out);
static inline const uint8_t *vocab_bytes(const Vocab *vocab, int32_t id) {
    return (const uint8_t *)vocab->bytes.data + vocab->piece[id].start;
}

/* ---- Hashing ------------------------------------------------------------------------------------------------- */

static inline uint64_t hash_mix(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_bytes(const uint8_t *p, size_t n, const uint64_t seed[2]) {
    uint64_t a = 0, b = 0, h = seed[0] ^ n;
    for (; n > 16; n -= 16, p += 16) {
        memcpy(&a, p, 8);
        memcpy(&b, p + 8, 8);
        h = hash_mix(h ^ a, seed[1] ^ b) ^ seed[0];
    }
    a = b = 0;
    if (n >= 8) {
        memcpy(&a, p, 8);
        memcpy(&b, p + n - 8, 8);
    } else if (n >= 4) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        a = low;
        b = high;
    } else if (n > 0) {
        a = (uint64_t)p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
    }
    return hash_mix(h ^ a, seed[1] ^ b);
}

/* The slot of merging `left` and `right`; NULL when they do not merge. */
static inline const MergeSlot *vocab_pair(const Vocab *vocab, int32_t left, int32_t right) {
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t i = hash_mix(key ^ vocab->seed[0], vocab->seed[1]);; i++) {
        const MergeSlot *slot = &vocab->merge[i & vocab->merge_mask];
        if (slot->left == left && slot->right == right) return slot;
        if (slot->left < 0) return NULL;
    }
}
#endif
