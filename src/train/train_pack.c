/* train_pack.c: see train_pack.h. */
#include <stdlib.h>
#include "train_pack.h"

static bool plan_new(PackPlan *p, int64_t pieces, int64_t rows, Err *err) {
    *p = (PackPlan){0};
    p->piece = mem_new((size_t)pieces + 1, sizeof *p->piece, "a packing plan", err);
    p->row = mem_new((size_t)rows + 1, sizeof *p->row, "a packing plan", err);
    if (p->piece && p->row) return true;
    pack_free(p);
    return false;
}

void pack_free(PackPlan *p) {
    free(p->piece);
    free(p->row);
    *p = (PackPlan){0};
}

bool pack_none(const int64_t *lengths, int64_t count, int64_t capacity, PackPlan *p, Err *err) {
    if (!plan_new(p, count, count, err)) return false;
    for (int64_t i = 0; i < count; i++) {
        p->piece[i] = (PackPiece){i, 0, lengths[i] < capacity ? lengths[i] : capacity};
        p->row[i + 1] = i + 1;
    }
    p->pieces = p->rows = count;
    return true;
}

/* ---- Joined ------------------------------------------------------------------------------------------------------ */

bool pack_joined(const int64_t *lengths, int64_t count, int64_t capacity, int64_t group, bool keep_rest, PackPlan *p,
                 Err *err) {
    int64_t room = count, full = 0; /* a piece ends with its sample or with its row */
    for (int64_t i = 0; i < count; i++) room += lengths[i] / capacity + 1;
    if (!plan_new(p, room, room, err)) return false;
    for (int64_t i = 0; i < count; i++) {
        for (int64_t first = 0; first < lengths[i];) {
            int64_t n = lengths[i] - first < capacity - full ? lengths[i] - first : capacity - full;
            p->piece[p->pieces++] = (PackPiece){i, first, n};
            first += n;
            full += n;
            if (full == capacity) p->row[++p->rows] = p->pieces, full = 0;
        }
        if (full == 0 || (i + 1 < count && (group == 0 || (i + 1) % group != 0))) continue;
        if (keep_rest) p->row[++p->rows] = p->pieces;
        else p->pieces = p->row[p->rows];
        full = 0;
    }
    return true;
}

/* ---- Best-fit decreasing ----------------------------------------------------------------------------------------- */

/* Open rows by the room they have: a queue for every room, and bits that say which queues hold any. A set bit of
 * `group` stands for a word of `word` that is not 0. */
typedef struct Rooms {
    int64_t *head, *tail; /* [capacity + 1] rows, or -1 */
    int64_t *next;        /* [rows] in a queue          */
    uint64_t *word, *group;
    int64_t capacity;
} Rooms;

static void rooms_free(Rooms *r) {
    free(r->head);
    free(r->tail);
    free(r->next);
    free(r->word);
    free(r->group);
}

static bool rooms_new(Rooms *r, int64_t capacity, int64_t rows, Err *err) {
    size_t n = (size_t)capacity + 1;
    *r = (Rooms){.capacity = capacity};
    r->head = mem_new(n, sizeof *r->head, "a packing plan", err);
    r->tail = mem_new(n, sizeof *r->tail, "a packing plan", err);
    r->next = mem_new((size_t)rows + 1, sizeof *r->next, "a packing plan", err);
    r->word = mem_new(n / 64 + 1, sizeof *r->word, "a packing plan", err);
    r->group = mem_new(n / 4096 + 1, sizeof *r->group, "a packing plan", err);
    for (size_t i = 0; r->head && i < n; i++) r->head[i] = -1;
    if (r->head && r->tail && r->next && r->word && r->group) return true;
    rooms_free(r);
    return false;
}

/* The least room of an open row that is at least `room`; -1: there is none. */
static int64_t rooms_find(const Rooms *r, int64_t room) {
    int64_t w = room / 64, last = r->capacity / 64;
    uint64_t bits = r->word[w] & ~(uint64_t)0 << room % 64;
    if (bits) return w * 64 + __builtin_ctzll(bits);
    if (++w > last) return -1;
    int64_t g = w / 64;
    bits = r->group[g] & ~(uint64_t)0 << w % 64;
    while (!bits && ++g <= last / 64) bits = r->group[g];
    if (!bits) return -1;
    w = g * 64 + __builtin_ctzll(bits);
    return w * 64 + __builtin_ctzll(r->word[w]);
}

static int64_t rooms_take(Rooms *r, int64_t room) {
    int64_t row = r->head[room], w = room / 64;
    r->head[room] = r->next[row];
    if (r->head[room] >= 0) return row;
    r->word[w] &= ~((uint64_t)1 << room % 64);
    if (!r->word[w]) r->group[w / 64] &= ~((uint64_t)1 << w % 64);
    return row;
}

static void rooms_put(Rooms *r, int64_t room, int64_t row) {
    r->next[row] = -1;
    if (r->head[room] < 0) r->head[room] = row;
    else r->next[r->tail[room]] = row;
    r->tail[room] = row;
    r->word[room / 64] |= (uint64_t)1 << room % 64;
    r->group[room / 4096] |= (uint64_t)1 << room / 64 % 64;
}

static int64_t pieces_of(int64_t length, int64_t capacity, bool split) {
    return split && length > capacity ? (length - 1) / capacity + 1 : 1;
}

/* All pieces, longest first, those of a length in order: a counting sort. */
static bool sorted_pieces(const int64_t *lengths, int64_t count, int64_t capacity, bool split, PackPiece *out,
                          Err *err) {
    int64_t *at = mem_new((size_t)capacity + 2, sizeof *at, "a packing plan", err);
    if (!at) return false;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < count; i++) {
            for (int64_t k = 0; k < pieces_of(lengths[i], capacity, split); k++) {
                int64_t rest = lengths[i] - k * capacity, n = rest < capacity ? rest : capacity;
                if (pass == 0) at[capacity - n + 1]++;
                else out[at[capacity - n]++] = (PackPiece){i, k * capacity, n};
            }
        }
        for (int64_t n = 0; pass == 0 && n < capacity; n++) at[n + 1] += at[n];
    }
    free(at);
    return true;
}

bool pack_bfd(const int64_t *lengths, int64_t count, int64_t capacity, bool split, PackPlan *p, Err *err) {
    int64_t total = 0;
    Rooms rooms = {0};
    *p = (PackPlan){0};
    for (int64_t i = 0; i < count; i++) total += pieces_of(lengths[i], capacity, split);
    PackPiece *piece = mem_new((size_t)total + 1, sizeof *piece, "a packing plan", err);
    int64_t *row_of = mem_new((size_t)total + 1, sizeof *row_of, "a packing plan", err);
    bool ok = piece && row_of && plan_new(p, total, total, err);
    ok = ok && sorted_pieces(lengths, count, capacity, split, piece, err) && rooms_new(&rooms, capacity, total, err);
    for (int64_t i = 0; ok && i < total; i++) {
        int64_t room = rooms_find(&rooms, piece[i].count);
        int64_t row = room < 0 ? p->rows++ : rooms_take(&rooms, room);
        int64_t left = (room < 0 ? capacity : room) - piece[i].count;
        row_of[i] = row;
        p->row[row + 1]++;
        if (left > 0) rooms_put(&rooms, left, row);
    }
    for (int64_t r = 0; ok && r < p->rows; r++) p->row[r + 1] += p->row[r];
    for (int64_t i = total - 1; ok && i >= 0; i--) p->piece[--p->row[row_of[i] + 1]] = piece[i];
    /* Each end went down to its row's start. */
    for (int64_t r = 0; ok && r < p->rows; r++) p->row[r] = p->row[r + 1];
    if (ok) p->row[p->rows] = p->pieces = total;
    else pack_free(p);
    rooms_free(&rooms);
    free(piece);
    free(row_of);
    return ok;
}
