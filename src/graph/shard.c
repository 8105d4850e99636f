/* shard.c: a model's axes dealt to the devices of a mesh, and its sums to their subtrees. */
#include <stdlib.h>
#include <string.h>
#include "../ops/lanes.h"
#include "rank_groups.h"
#include "shard.h"

static int64_t part_ceil(int64_t size, int64_t parts) { return (size + parts - 1) / parts; }

/* The head grid for n devices. */
static void choose_grid(Partition *p, int64_t kv_heads, int64_t group, int n) {
    int64_t best = INT64_MAX;
    for (int a = 1; a <= n && (p->uniform || a <= kv_heads); a++)
        for (int b = 1; a * b <= n && (p->uniform || b <= group); b++) {
            int64_t heads = part_ceil(kv_heads, a) * part_ceil(group, b);
            int64_t cost = heads * (MAX_DEVICES + 1) + b;
            if (cost >= best || (p->uniform && a * b != n)) continue;
            best = cost;
            p->grid.kv_parts = a;
            p->grid.group_parts = b;
        }
}

static int axis_at(char letter) {
    const AxisRow *row = axis_row(letter);
    return row ? (int)(row - axis_table) : 0;
}

/* The first device from `from` on that has an index of these letters; the last letter is the innermost. */
static int owner_of(const Partition *p, const char *letters, int64_t index, int from) {
    for (int i = 0; i < p->mesh.tp; i++) {
        int d = (from + i) % p->mesh.tp;
        int64_t rest = index;
        bool has = true;
        for (size_t at = strlen(letters); at-- > 0;) {
            int64_t size = p->size[axis_at(letters[at])];
            Range r = partition_range(p, letters[at], d);
            has &= rest % size >= r.first && rest % size < r.last;
            rest /= size;
        }
        if (has) return d;
    }
    return 0;
}

/* Owners of leaves, then the subtrees of every owner. */
static bool sum_cover(const Partition *p, const char *letters, int64_t each, SumTree *sum, Err *err) {
    int64_t leaves = (int64_t)1 << sum->tree.levels;
    int *owner = mem_new((size_t)leaves, sizeof *owner, "owners of a sum", err);
    size_t capacity = 0;
    sum->count = 0;
    free(sum->nodes);
    sum->nodes = NULL;
    for (int64_t i = 0, last = 0; owner && i < leaves; i++)
        if (sum->tree.first[i] < sum->tree.last[i])
            last = owner[i] = owner_of(p, letters, sum->tree.first[i] / each, (int)last);
    bool ok = owner && tree_cover(&sum->tree, owner, &sum->nodes, &sum->count, &capacity, err);
    free(owner);
    return ok;
}

bool partition_new(Partition *p, const ModelConfig *c, const Mesh *mesh, bool uniform, Err *err) {
    *p = (Partition){.mesh = *mesh, .uniform = uniform, .grid.devices = mesh->tp};
    choose_grid(p, c->kv_heads, c->heads / c->kv_heads, mesh->tp);
    p->held = mem_new((size_t)mesh->tp, sizeof *p->held, "partition", err);
    for (int a = 0; p->held && a < AXES; a++) {
        const AxisRow *row = &axis_table[a];
        p->size[a] = row->size ? row->size(c) : 0;
        for (int d = 0; d < mesh->tp; d++) {
            Range r = axis_is_split(row->letter) ? row->deal(&p->grid, p->size[a], d) : (Range){0, p->size[a]};
            p->held[d][a] = r;
            if (r.last - r.first > p->most[a]) p->most[a] = r.last - r.first;
        }
    }
    bool ok = p->held != NULL;
    for (int i = 0; ok && i < SUMS; i++) {
        const SumRow *row = &sum_table[i];
        if (row->tree)
            ok = row->tree(&p->sum[i].tree, c, err) &&
                 sum_cover(p, row->letters, row->each ? row->each(c) : 1, &p->sum[i], err);
    }
    if (!ok) partition_free(p);
    return ok;
}

int64_t partition_slot(const Partition *p, int64_t sequence, int64_t count, int64_t held) {
    return held * p->mesh.dp + mesh_lane_replica(&p->mesh, lane_of(sequence, count));
}

void partition_free(Partition *p) {
    free(p->held);
    for (int i = 0; i < SUMS; i++) {
        tree_free(&p->sum[i].tree);
        free(p->sum[i].nodes);
    }
    *p = (Partition){0};
}

/* ---- Questions --------------------------------------------------------------------------------------------------- */

Range partition_range(const Partition *p, char letter, int device) {
    return p->held[device][axis_at(letter)];
}

bool partition_shared(const Partition *p, char letter) {
    if (axis_is_rows(letter)) return p->mesh.dp > 1;
    int64_t size = p->size[axis_at(letter)];
    for (int d = 0; axis_is_split(letter) && d < p->mesh.tp; d++) {
        Range r = partition_range(p, letter, d);
        if (r.first > 0 || r.last < size) return true;
    }
    return false;
}

int64_t partition_local(const Partition *p, char letter, bool split, int64_t whole) {
    return split ? p->most[axis_at(letter)] : whole;
}

const SumTree *partition_sum(const Partition *p, const char *partial) {
    int i = sum_of(partial);
    return i < 0 || !p->sum[i].count ? NULL : &p->sum[i];
}

typedef struct Cut {
    const Partition *p;
    const char *letters, *split;
    int device;
    Segments *out;
    Err *err;
} Cut;

/* Letters from `at` on, the outermost first. */
static bool cut(Cut *c, int at, int64_t from, int64_t to) {
    char letter = c->letters[at];
    Range r = {0, c->p->size[axis_at(letter)]};
    if (strchr(c->split, letter)) r = partition_range(c->p, letter, c->device);
    int64_t inner = 1, local = 1;
    bool split_inside = false;
    for (const char *l = c->letters + at + 1; *l; l++) {
        int64_t whole = c->p->size[axis_at(*l)];
        bool is = strchr(c->split, *l) != NULL;
        inner *= whole;
        local *= partition_local(c->p, *l, is, whole);
        split_inside |= is;
    }
    if (r.first >= r.last) return true;
    if (!split_inside) {
        Segments *out = c->out;
        if (!mem_grow((void **)&out->list, &out->capacity, (size_t)out->count + 1, sizeof *out->list, "shard", c->err))
            return false;
        out->list[out->count++] = (Segment){from + r.first * inner, to, (r.last - r.first) * inner};
        return true;
    }
    if (at == 0) c->out->apart = inner;
    for (int64_t i = r.first; i < r.last; i++)
        if (!cut(c, at + 1, from + i * inner, to + (i - r.first) * local)) return false;
    return true;
}

bool partition_segments(const Partition *p, const char *letters, const char *split, int device, Segments *out,
                        Err *err) {
    return cut(&(Cut){p, letters, split, device, out, err}, 0, 0, 0);
}

Range partition_hull(const Partition *p, const char *letters, const char *split, int device) {
    Range hull = {0, 1};
    for (const char *l = letters; *l; l++) {
        int64_t size = p->size[axis_at(*l)];
        Range r = strchr(split, *l) ? partition_range(p, *l, device) : (Range){0, size};
        if (r.first >= r.last) return (Range){0, 0};
        hull = (Range){hull.first * size + r.first, (hull.last - 1) * size + r.last};
    }
    return hull;
}
