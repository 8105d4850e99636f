/* spread.c: the mesh over ranks, and what they exchange. */
#include <stdlib.h>
#include <string.h>
#include "spread.h"

enum { GATHER_ROWS = 64 };

/* ---- Who has what ------------------------------------------------------------------------------------------------ */

Range spread_devices(const Spread *s, int rank, int replica) {
    return rank_devices(&s->partition->mesh, s->ranks, rank, replica);
}

static bool rank_holds(const Spread *s, int rank, int replica) {
    Range d = spread_devices(s, rank, replica);
    return d.first < d.last;
}

bool spread_holds(const Spread *s, int replica) { return rank_holds(s, s->rank, replica); }

int spread_first(const Spread *s) {
    for (int replica = 0; replica < s->partition->mesh.dp; replica++)
        if (spread_holds(s, replica)) return replica;
    return 0;
}

Range spread_ranks(const Spread *s, int replica) {
    Range r = {0, 0};
    for (int rank = 0; rank < s->ranks; rank++) {
        if (!rank_holds(s, rank, replica)) continue;
        if (r.first == r.last) r.first = rank;
        r.last = rank + 1;
    }
    return r;
}

const Sums *spread_sums(const Spread *s, int replica, const char *partial) {
    return &s->sums[replica][sum_of(partial)];
}

int64_t spread_most(const Spread *s, const char *partial) { return s->most_sums[sum_of(partial)]; }

Range spread_blocks(const Spread *s, const Sums *sums) {
    Range r = {0, 0};
    for (int i = 0; i < sums->count; i++) {
        if (s->ranks > 1 && sums->nodes[i].device != s->rank) continue;
        if (r.first == r.last) r.first = i;
        r.last = i + 1;
    }
    return r;
}

bool spread_kv_held(const Spread *s, int rank, int replica, int64_t head) {
    Range mine = spread_devices(s, rank, replica);
    for (int64_t d = mine.first; d < mine.last; d++) {
        Range kv = partition_range(s->partition, AXIS_KV_HEAD, (int)d);
        if (head >= kv.first && head < kv.last) return true;
    }
    return false;
}

int64_t spread_kv_heads(const Spread *s) {
    const Partition *p = s->partition;
    int64_t heads = 0, most = 0;
    for (int d = 0; d < p->mesh.tp; d++) {
        Range kv = partition_range(p, AXIS_KV_HEAD, d);
        if (kv.last > most) most = kv.last;
    }
    for (int64_t head = 0; head < most; head++) {
        bool held = false;
        for (int replica = 0; replica < p->mesh.dp; replica++) held |= spread_kv_held(s, s->rank, replica, head);
        heads += held;
    }
    return heads;
}

int64_t spread_sent(const Spread *s, const char *partial, int64_t width) {
    int64_t most = 0;
    for (int replica = 0; replica < s->partition->mesh.dp; replica++) {
        const Sums *sums = spread_sums(s, replica, partial);
        Range ranks = spread_ranks(s, replica);
        Range mine = spread_blocks(s, sums);
        int64_t sent = (mine.last - mine.first) * (ranks.last - ranks.first - 1) * width;
        if (sent > most) most = sent;
    }
    return most;
}

/* The subtrees of every rank of a replica; on one rank those of every device. */
static bool sums_new(const Spread *s, Sums *sums, int replica, const SumTree *of, Err *err) {
    size_t capacity = 0;
    int *owner = mem_new((size_t)1 << of->tree.levels, sizeof *owner, "owners of a sum", err), depth;
    bool ok = owner != NULL;
    for (int rank = 0; ok && rank < s->ranks; rank++) {
        Range d = spread_devices(s, rank, replica);
        for (int i = 0; i < of->count; i++)
            for (int64_t leaf = 0; leaf < (int64_t)1 << of->nodes[i].level; leaf++)
                if (of->nodes[i].device >= d.first && of->nodes[i].device < d.last)
                    owner[(of->nodes[i].index << of->nodes[i].level) + leaf] = rank;
    }
    if (ok && s->ranks > 1) ok = tree_cover(&of->tree, owner, &sums->nodes, &sums->count, &capacity, err);
    free(owner);
    if (ok && s->ranks == 1) {
        sums->nodes = mem_new((size_t)of->count + 1, sizeof *sums->nodes, "blocks of a sum", err);
        sums->count = of->count;
        if (sums->nodes) memcpy(sums->nodes, of->nodes, (size_t)of->count * sizeof *of->nodes);
    }
    sums->finish = mem_new((size_t)sums->count * 2 + 1, sizeof(int), "all-reduce steps", err);
    if (!ok || !sums->nodes || !sums->finish) return false;
    sums->finish_count = tree_finish(&of->tree, sums->nodes, sums->count, sums->finish, &depth);
    return true;
}

bool spread_new(Spread *s, const Partition *partition, int rank, int ranks, bool trains, Err *err) {
    *s = (Spread){.partition = partition, .rank = rank, .ranks = ranks, .groups = {.groups = 1, .parts = 1}};
    if (trains && !rank_groups(&s->groups, &partition->mesh, rank, ranks, err)) return false;
    int dp = partition->mesh.dp, most = 0;
    s->sums = mem_new((size_t)dp, sizeof *s->sums, "sums", err);
    for (int at = 0; s->sums && at < dp * SUMS; at++) {
        int i = at % SUMS, replica = at / SUMS;
        Sums *sums = &s->sums[replica][i];
        if (!partition->sum[i].count || (axis_is_rows(sum_table[i].letters[0]) && ranks > 1)) continue;
        if (!sums_new(s, sums, replica, &partition->sum[i], err)) return false;
        if (sums->count > s->most_sums[i]) s->most_sums[i] = sums->count;
        if (sums->count > most) most = sums->count;
    }
    s->message_capacity = ranks * (most + GATHER_ROWS);
    s->message = mem_new((size_t)s->message_capacity, sizeof *s->message, "messages", err);
    bool packs = s->groups.parts > 1;
    s->packed = packs ? mem_new(PACKED_FLOATS, sizeof *s->packed, "messages", err) : NULL;
    return s->sums && s->message && (s->packed || !packs);
}

void spread_free(Spread *s) {
    for (int i = 0; s->sums && i < SUMS * s->partition->mesh.dp; i++) {
        free(s->sums[i / SUMS][i % SUMS].nodes);
        free(s->sums[i / SUMS][i % SUMS].finish);
    }
    free(s->sums);
    free(s->message);
    free(s->packed);
    *s = (Spread){0};
}

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

static void hull(Range *r, int64_t first, int64_t last) {
    if (first >= last) return;
    if (r->first == r->last) *r = (Range){first, last};
    if (first < r->first) r->first = first;
    if (last > r->last) r->last = last;
}

void spread_weight(const Spread *s, const Graph *g, const Node *user, Range *rows, Range *k) {
    const Node *weight = graph_node(g, user->in[1]);
    Range all_rows = {0, weight->shape.dim[0].size}, all_k = {0, weight->shape.dim[1].size};
    const SumTree *sum = partition_sum(s->partition, user->partial);
    const Tree *tree = sum ? &sum->tree : NULL;
    if (s->ranks == 1 || (!tree && !user->split[0])) {
        *rows = all_rows;
        *k = all_k;
        return;
    }
    for (int replica = 0; replica < s->partition->mesh.dp; replica++) {
        const Sums *sums = tree ? spread_sums(s, replica, user->partial) : NULL;
        Range d = spread_devices(s, s->rank, replica);
        for (int64_t i = d.first; !tree && i < d.last; i++) {
            Range mine = partition_hull(s->partition, weight->shape.dim[0].letters, user->split, (int)i);
            hull(rows, mine.first, mine.last);
        }
        for (int i = 0; tree && i < sums->count; i++) {
            const TreeNode *n = &sums->nodes[i];
            for (int64_t leaf = n->index << n->level; n->device == s->rank && leaf < (n->index + 1) << n->level; leaf++)
                hull(k, tree->first[leaf], tree->last[leaf]);
        }
    }
    if (tree) *rows = k->first < k->last ? all_rows : (Range){0, 0};
    else *k = all_k;
}

/* ---- Exchanges --------------------------------------------------------------------------------------------------- */

void spread_flush(Spread *s, const char *what) {
    if (s->message_count) transport_exchange(s->message, s->message_count, PATIENCE_STEP, what);
    s->message_count = 0;
}

/* All ranks say what they say in one order, so flushing when there is no room left cannot make two wait for each
 * other. */
void spread_say(Spread *s, int peer, bool send, void *data, size_t bytes) {
    if (s->message_count == s->message_capacity) spread_flush(s, "messages");
    s->message[s->message_count++] = (Message){peer, send, data, bytes};
}

static void say(Spread *s, int64_t peer, bool send, float *data, int64_t floats) {
    spread_say(s, (int)peer, send, data, (size_t)floats * sizeof(float));
}

void spread_reduce(Spread *s, int replica, const char *partial, float *value, int64_t stride, int64_t width,
                   Range rows) {
    const Sums *sums = spread_sums(s, replica, partial);
    Range ranks = spread_ranks(s, replica);
    if (!spread_holds(s, replica)) return;
    for (int i = 0; i < sums->count; i++) {
        float *block = value + i * stride + rows.first * width;
        int64_t floats = (rows.last - rows.first) * width, from = sums->nodes[i].device;
        if (from != s->rank) say(s, from, false, block, floats);
        for (int64_t to = ranks.first; from == s->rank && to < ranks.last; to++)
            if (to != from) say(s, to, true, block, floats);
    }
    spread_flush(s, "all_reduce");
}

Range spread_columns(const Spread *s, const Node *n, int rank, int replica) {
    Range d = spread_devices(s, rank, replica), r = {0, 0};
    for (int64_t i = d.first; i < d.last; i++) {
        Range mine = partition_hull(s->partition, n->shape.dim[n->shape.rank - 1].letters, n->split, (int)i);
        hull(&r, mine.first, mine.last);
    }
    return r;
}

/* Columns [first, last) of a row that a rank's devices hold. */
static Range rank_columns(const Spread *s, const Node *n, int rank, int replica, int64_t each) {
    Range d = spread_devices(s, rank, replica);
    return each ? (Range){d.first * each, d.last * each} : spread_columns(s, n, rank, replica);
}

void spread_gather(Spread *s, const Node *n, int replica, int to, float *value, int64_t width, int64_t each,
                   Range rows) {
    Range ranks = spread_ranks(s, replica);
    if (s->rank != to && !spread_holds(s, replica)) return;
    for (int64_t at = rows.first; at < rows.last; at += GATHER_ROWS) {
        for (int64_t r = at; r < at + GATHER_ROWS && r < rows.last; r++)
            for (int64_t from = ranks.first; from < ranks.last; from++) {
                Range c = rank_columns(s, n, (int)from, replica, each);
                if (from == to || (s->rank != to && s->rank != from)) continue;
                say(s, s->rank == to ? from : to, s->rank != to, value + r * width + c.first, c.last - c.first);
            }
        spread_flush(s, "results of devices");
    }
}

void spread_home(Spread *s, int replica, float *value, int64_t width, Range rows) {
    int64_t from = spread_ranks(s, replica).first;
    if (from == 0 || (s->rank != 0 && s->rank != from)) return;
    say(s, s->rank == 0 ? from : 0, s->rank != 0, value + rows.first * width, (rows.last - rows.first) * width);
    spread_flush(s, "results of a replica");
}

/* Columns of rows from one rank to another, behind each other. */
static void columns_move(Spread *s, int from, int to, float *value, int64_t width, Range columns, Range rows) {
    int64_t n = columns.last - columns.first, most = PACKED_FLOATS / n;
    for (int64_t at = rows.first, end; at < rows.last; at = end) {
        end = at + most < rows.last ? at + most : rows.last;
        for (int64_t r = at; r < end && s->rank == from; r++)
            memcpy(s->packed + (r - at) * n, value + r * width + columns.first, (size_t)n * sizeof *value);
        say(s, s->rank == from ? to : from, s->rank == from, s->packed, (end - at) * n);
        spread_flush(s, "columns of other ranks");
        for (int64_t r = at; r < end && s->rank == to; r++)
            memcpy(value + r * width + columns.first, s->packed + (r - at) * n, (size_t)n * sizeof *value);
    }
}

static Range overlap(Range a, Range b) {
    Range r = {a.first > b.first ? a.first : b.first, a.last < b.last ? a.last : b.last};
    return r.first < r.last ? r : (Range){0, 0};
}

/* A device has the columns of each key/value head that it has query heads of, in one run a head. */
void spread_columns_to(Spread *s, const Node *n, int replica, int to, Range wanted, float *value, int64_t width,
                       Range rows) {
    Range ranks = spread_ranks(s, replica);
    for (int64_t from = ranks.first; from < ranks.last; from++) {
        Range devices = spread_devices(s, (int)from, replica);
        for (int64_t d = devices.first; d < devices.last && from != to && (s->rank == from || s->rank == to); d++) {
            Segments mine = {0};
            Err err = {0};
            if (!partition_segments(s->partition, n->shape.dim[1].letters, n->split, (int)d, &mine, &err))
                transport_fail("%s", err.text);
            for (int i = 0; i < mine.count; i++) {
                Range has = overlap((Range){mine.list[i].from, mine.list[i].from + mine.list[i].count}, wanted);
                if (has.first < has.last) columns_move(s, (int)from, to, value, width, has, rows);
            }
            free(mine.list);
        }
    }
}

void spread_vector(Spread *s, const Node *n, float *value) {
    for (int from = 1; from < s->groups.parts; from++) {
        Range devices = spread_devices(s, from, 0);
        for (int64_t d = devices.first; d < devices.last && (s->rank == from || s->rank == 0); d++) {
            Segments mine = {0};
            Err err = {0};
            if (!partition_segments(s->partition, n->shape.dim[0].letters, n->split, (int)d, &mine, &err))
                transport_fail("%s", err.text);
            for (int i = 0; i < mine.count; i++)
                say(s, s->rank ? 0 : from, s->rank != 0, value + mine.list[i].from, mine.list[i].count);
            spread_flush(s, "numbers of other ranks");
            free(mine.list);
        }
    }
}
