/* vocab.c: reading spelled tokens and merges into the tables of vocab.h. */
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include "../io/names.h"
#include "unicode.h"
#include "vocab.h"

/* ---- The alphabet (GPT-2's bytes_to_unicode): printable Latin-1 stands for itself, the other 68 bytes are U+0100.. */

static bool printable(int32_t code) {
    return (code >= 33 && code <= 126) || (code >= 161 && code <= 255 && code != 173);
}

/* The byte that U+0100 + i stands for: the i-th byte that is not printable. */
static int32_t hidden_byte(int32_t i) {
    return i <= 32 ? i : i <= 66 ? i + 94 : i == 67 ? 173 : -1;
}

static int32_t alphabet_byte(int32_t code) {
    return code < 256 ? (printable(code) ? code : -1) : hidden_byte(code - 256);
}

/* Appends the bytes that well-formed `spelled` stands for. False, nothing kept, when a character is not of the
 * alphabet. */
static bool alphabet_add(const uint8_t *spelled, size_t bytes, Text *out) {
    size_t before = out->bytes;
    uint8_t buffer[256];
    size_t used = 0;
    for (size_t i = 0; i < bytes;) {
        int32_t code, byte;
        i += (size_t)utf8_read_valid(spelled + i, &code);
        if ((byte = alphabet_byte(code)) < 0) return out->bytes = before, false;
        buffer[used++] = (uint8_t)byte;
        if (used < sizeof buffer && i < bytes) continue;
        text_add(out, (char *)buffer, used);
        used = 0;
    }
    return true;
}

void vocab_spell(const Vocab *vocab, int32_t id, Text *out) {
    const Piece *p = &vocab->piece[id];
    const uint8_t *bytes = vocab_bytes(vocab, id);
    if (p->kind != PIECE_WORD) {
        text_add(out, (const char *)bytes, p->bytes);
        return;
    }
    for (uint32_t i = 0; i < p->bytes; i++) {
        int32_t code = bytes[i];
        if (!printable(code)) {
            int32_t k = 0;
            while (hidden_byte(k) != code) k++;
            code = 256 + k;
        }
        const char two[] = {(char)(0xc0 | code >> 6), (char)(0x80 | (code & 0x3f))};
        if (code < 0x80) text_add(out, (const char[]){(char)code}, 1);
        else text_add(out, two, 2);
    }
}

/* ---- Tokens -------------------------------------------------------------------------------------------------- */

void vocab_start(Vocab *vocab) {
    *vocab = (Vocab){.unknown = -1};
    memset(vocab->byte_id, -1, sizeof vocab->byte_id);
    if (getrandom(vocab->seed, sizeof vocab->seed, GRND_NONBLOCK) != (ssize_t)sizeof vocab->seed) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        vocab->seed[0] = (uint64_t)now.tv_nsec * 0x9E3779B97F4A7C15u ^ (uintptr_t)vocab;
        vocab->seed[1] = hash_mix(vocab->seed[0], 0xD6E8FEB86659FD93u);
    }
    vocab->seed[1] |= 1;
}

/* Makes room for `id` and counts it. */
static bool reserve(Vocab *vocab, int64_t id, Err *err) {
    if (id < 0 || id >= VOCAB_MOST_IDS)
        return err_set(err, "token id %" PRId64 " is out of range: expected 0 to %d", id, VOCAB_MOST_IDS - 1);
    size_t old = vocab->piece_room;
    if (!mem_grow((void **)&vocab->piece, &vocab->piece_room, (size_t)id + 1, sizeof *vocab->piece, "vocabulary", err))
        return false;
    memset(vocab->piece + old, 0, (vocab->piece_room - old) * sizeof *vocab->piece);
    if (id >= vocab->count) vocab->count = (int32_t)id + 1;
    return true;
}

/* Ends a piece whose bytes were appended from `start` on. */
static bool place(Vocab *vocab, int64_t id, size_t start, PieceKind kind, bool special, Err *err) {
    if (!text_ok(&vocab->bytes, "vocabulary", err)) return false;
    if (vocab->bytes.bytes > UINT32_MAX) return err_as(err, QM_LIMIT,
                                                       "vocabulary is too large: more than 4 GiB of tokens");
    vocab->piece[id] = (Piece){.start = (uint32_t)start,
                               .bytes = (uint32_t)(vocab->bytes.bytes - start),
                               .kind = (uint8_t)kind,
                               .added = kind == PIECE_ADDED,
                               .special = special};
    return true;
}

bool vocab_add(Vocab *vocab, int64_t id, const uint8_t *spelled, size_t bytes, Err *err) {
    if (bytes == 0) return err_set(err, "token %" PRId64 " is empty", id);
    if (!reserve(vocab, id, err)) return false;
    if (vocab->piece[id].kind != PIECE_NONE)
        return err_set(err, "token id %" PRId64 " is given twice, again for '%s'", id,
                       name_text((const char *)spelled, bytes).text);
    size_t start = vocab->bytes.bytes;
    bool word = alphabet_add(spelled, bytes, &vocab->bytes);
    if (!word) text_add(&vocab->bytes, (const char *)spelled, bytes);
    if (!place(vocab, id, start, word ? PIECE_WORD : PIECE_RAW, false, err)) return false;
    if (word && vocab->bytes.bytes - start == 1) vocab->byte_id[(uint8_t)vocab->bytes.data[start]] = (int32_t)id;
    return true;
}

/* A power of two that keeps `count` entries under three quarters full, as a mask. */
static size_t table_mask(size_t count) {
    size_t size = 16;
    while (size / 4 * 3 <= count) size *= 2;
    return size - 1;
}

int32_t vocab_find(const Vocab *vocab, const uint8_t *bytes, size_t count, PieceKind kind) {
    uint64_t hash = hash_bytes(bytes, count, vocab->seed);
    for (size_t i = hash;; i++) {
        WordSlot slot = vocab->word[i & vocab->word_mask];
        if (slot.id < 0) return -1;
        const Piece *p = &vocab->piece[slot.id];
        if (slot.tag == (uint32_t)(hash >> 32) && p->kind == kind && p->bytes == count &&
            !memcmp(vocab_bytes(vocab, slot.id), bytes, count))
            return slot.id;
    }
}

bool vocab_index(Vocab *vocab, Err *err) {
    if (vocab->count == 0) return err_set(err, "vocabulary is empty");
    vocab->word_mask = table_mask((size_t)vocab->count);
    vocab->word = mem_new(vocab->word_mask + 1, sizeof *vocab->word, "vocabulary", err);
    if (!vocab->word) return false;
    for (size_t i = 0; i <= vocab->word_mask; i++) vocab->word[i].id = -1;
    for (int32_t id = 0; id < vocab->count; id++) {
        const Piece *p = &vocab->piece[id];
        if (p->kind == PIECE_NONE) continue;
        int32_t other = vocab_find(vocab, vocab_bytes(vocab, id), p->bytes, p->kind);
        if (other >= 0) return err_set(err, "tokens %d and %d are the same text", (int)other, (int)id);
        uint64_t hash = hash_bytes(vocab_bytes(vocab, id), p->bytes, vocab->seed);
        size_t i = hash;
        while (vocab->word[i & vocab->word_mask].id >= 0) i++;
        vocab->word[i & vocab->word_mask] = (WordSlot){(uint32_t)(hash >> 32), id};
    }
    return true;
}

int32_t vocab_spelled(Vocab *vocab, const uint8_t *text, size_t bytes) {
    size_t start = vocab->bytes.bytes;
    bool word = alphabet_add(text, bytes, &vocab->bytes);
    if (!word) text_add(&vocab->bytes, (const char *)text, bytes);
    if (vocab->bytes.failed) return -1;
    int32_t id = vocab_find(vocab, (const uint8_t *)vocab->bytes.data + start, vocab->bytes.bytes - start,
                            word ? PIECE_WORD : PIECE_RAW);
    vocab->bytes.bytes = start;
    return id;
}

bool vocab_add_token(Vocab *vocab, int64_t id, const uint8_t *text, size_t bytes, bool special, Err *err) {
    if (bytes == 0) return err_set(err, "added token %" PRId64 " is empty", id);
    if (!reserve(vocab, id, err)) return false;
    PieceKind old = vocab->piece[id].kind;
    if (vocab->piece[id].added) return err_set(err, "added token id %" PRId64 " is given twice", id);
    int32_t same = vocab_spelled(vocab, text, bytes);
    if (!text_ok(&vocab->bytes, "added token", err)) return false;
    size_t start = vocab->bytes.bytes;
    if (same >= 0 ? same != id : old != PIECE_NONE)
        return err_set(err, "added token '%s' has id %" PRId64 ", but the vocabulary %s",
                       name_text((const char *)text, bytes).text, id,
                       same >= 0 ? "has that text under another id" : "has another token there");
    if (same >= 0) { /* the model's own token stays what it is to the model */
        vocab->piece[id].added = true;
        vocab->piece[id].special = special;
        return true;
    }
    text_add(&vocab->bytes, (const char *)text, bytes);
    return place(vocab, id, start, PIECE_ADDED, special, err);
}

/* ---- Merges -------------------------------------------------------------------------------------------------- */

static bool merge_fail(const Vocab *vocab, const char *why, const uint8_t *text, size_t bytes, Err *err) {
    return err_set(err, "merge %zu: %s: '%s'", vocab->row_count, why, name_text((const char *)text, bytes).text);
}

bool vocab_merge(Vocab *vocab, const uint8_t *left, size_t left_bytes, const uint8_t *right, size_t right_bytes,
                 Err *err) {
    Text *bytes = &vocab->bytes; /* the two sides are decoded behind the last piece, side by side, and dropped again */
    size_t start = bytes->bytes, middle;
    bool ok = alphabet_add(left, left_bytes, bytes);
    if (!ok || bytes->bytes == start) return merge_fail(vocab, "left side is not a token", left, left_bytes, err);
    middle = bytes->bytes;
    ok = alphabet_add(right, right_bytes, bytes) && text_ok(bytes, "merges", NULL);
    if (!ok || bytes->bytes == middle) return merge_fail(vocab, "right side is not a token", right, right_bytes, err);
    const uint8_t *p = (const uint8_t *)bytes->data + start;
    size_t a = middle - start, b = bytes->bytes - middle;
    bytes->bytes = start;
    MergeRow row = {vocab_find(vocab, p, a, PIECE_WORD), vocab_find(vocab, p + a, b, PIECE_WORD),
                    vocab_find(vocab, p, a + b, PIECE_WORD)};
    if (row.left < 0) return merge_fail(vocab, "left side is not in the vocabulary", left, left_bytes, err);
    if (row.right < 0) return merge_fail(vocab, "right side is not in the vocabulary", right, right_bytes, err);
    if (row.result < 0)
        return merge_fail(vocab, "the merged token is not in the vocabulary; right side", right, right_bytes, err);
    if (!mem_grow((void **)&vocab->row, &vocab->row_room, vocab->row_count + 1, sizeof row, "merges", err))
        return false;
    vocab->row[vocab->row_count++] = row;
    return true;
}

bool vocab_merge_line(Vocab *vocab, const uint8_t *line, size_t bytes, Err *err) {
    const uint8_t *space = memchr(line, ' ', bytes);
    if (!space || memchr(space + 1, ' ', (size_t)(line + bytes - space - 1)))
        return merge_fail(vocab, "expected two tokens and one space between", line, bytes, err);
    return vocab_merge(vocab, line, (size_t)(space - line), space + 1, (size_t)(line + bytes - space - 1), err);
}

bool vocab_finish(Vocab *vocab, Err *err) {
    vocab->merge_mask = table_mask(vocab->row_count);
    vocab->merge = mem_new(vocab->merge_mask + 1, sizeof *vocab->merge, "merges", err);
    if (!vocab->merge) return false;
    for (size_t i = 0; i <= vocab->merge_mask; i++) vocab->merge[i].left = -1;
    for (size_t rank = 0; rank < vocab->row_count; rank++) {
        MergeRow row = vocab->row[rank];
        const MergeSlot *same = vocab_pair(vocab, row.left, row.right);
        if (same) return err_set(err, "merges %u and %zu are the same", (unsigned)same->rank, rank);
        uint64_t key = (uint64_t)(uint32_t)row.left << 32 | (uint32_t)row.right;
        size_t i = hash_mix(key ^ vocab->seed[0], vocab->seed[1]);
        while (vocab->merge[i & vocab->merge_mask].left >= 0) i++;
        vocab->merge[i & vocab->merge_mask] = (MergeSlot){row.left, row.right, (uint32_t)rank, row.result};
    }
    free(vocab->row);
    vocab->row = NULL;
    vocab->row_count = vocab->row_room = 0;
    return true;
}

void vocab_free(Vocab *vocab) {
    text_free(&vocab->bytes);
    free(vocab->piece);
    free(vocab->word);
    free(vocab->row);
    free(vocab->merge);
    *vocab = (Vocab){0};
}
