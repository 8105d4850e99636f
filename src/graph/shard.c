/* shard.c: meshes read, and a model's heads, ffn and vocabulary split over them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "../ops/pack.h"
#include "shard.h"

const Rules rules_default = {
    .batch = RULE_DATA_PARALLEL,
    .hidden = RULE_REPLICATED,
    .kv = RULE_TENSOR_PARALLEL, .group = RULE_TENSOR_PARALLEL,
    .ffn = RULE_TENSOR_PARALLEL, .vocab = RULE_TENSOR_PARALLEL,
    .embedding = RULE_REPLICATED, /* rows are looked up by every device: a split would cost one more all-reduce */
};

AxisRule rules_of(const Rules *rules, char letter) {
    switch (letter) {
    case 'k': return rules->kv;
    case 'g': return rules->group;
    case 'f': return rules->ffn;
    case 'v': return rules->vocab;
    case 't': case 'r': return rules->batch;
    case 'd': return rules->hidden;
    default: return RULE_REPLICATED; /* c, s: a head is never cut, a slot's cache is whole */
    }
}

/* A number 1..MAX_DEVICES at *p, moved past it; 0 if there is none. */
static int mesh_number(const char **p) {
    int64_t n = 0;
    if (!isdigit((unsigned char)**p)) return 0;
    while (isdigit((unsigned char)**p) && n <= MAX_DEVICES) n = n * 10 + (*(*p)++ - '0');
    return n <= MAX_DEVICES ? (int)n : 0;
}

bool mesh_parse(Mesh *mesh, const char *text, Err *err) {
    *mesh = (Mesh){.rank = 1, .dim = {1, 1}, .dp = 1, .tp = 1};
    const char *p = text ? text : "1x1";
    snprintf(mesh->text, sizeof mesh->text, "%s", p);
    bool ok;
    if (!strncmp(p, "dp", 2) || !strncmp(p, "tp", 2)) {
        mesh->rank = 2;
        bool dp = false, tp = false;
        do {
            bool is_dp = *p == 'd';
            ok = (!strncmp(p, "dp", 2) && !dp) || (!strncmp(p, "tp", 2) && !tp);
            if (!ok) break;
            p += 2;
            int n = mesh_number(&p);
            *(is_dp ? &mesh->dp : &mesh->tp) = n;
            *(is_dp ? &dp : &tp) = true;
            ok = n > 0;
        } while (ok && *p == ',' && p++);
        mesh->dim[0] = mesh->dp;
        mesh->dim[1] = mesh->tp;
        ok = ok && !*p;
    } else {
        mesh->dim[0] = mesh_number(&p);
        if (*p == 'x') {
            p++;
            mesh->rank = 2;
            mesh->dim[1] = mesh_number(&p);
        }
        mesh->tp = mesh->dim[0] * mesh->dim[1];
        ok = !*p && mesh->tp > 0;
    }
    if (ok && strlen(text ? text : "") < sizeof mesh->text && (int64_t)mesh->dp * mesh->tp <= MAX_DEVICES) return true;
    return err_set(err, "bad mesh '%.40s': expected XxY, N or dpA,tpB with 1 to %d devices, as in 2x4, 8 or dp2,tp4",
                   text, MAX_DEVICES);
}

const Tree *partition_tree(const Partition *p, char partial) {
    return partial == 'h' ? &p->heads : partial == 'f' ? &p->ffn : NULL;
}

Range range_part(int64_t size, int parts, int part) {
    int64_t each = size / parts, more = size % parts;
    int64_t first = part * each + (part < more ? part : more);
    return (Range){first, first + each + (part < more)};
}

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
            p->kv_parts = a;
            p->group_parts = b;
        }
}

/* Owners of leaves, then the subtrees of every device. */
static bool cover_heads(Partition *p, const ModelConfig *c, Err *err) {
    int64_t group = c->heads / c->kv_heads, width = (int64_t)1 << p->heads.levels;
    int *owner = mem_new((size_t)width, sizeof *owner, "head owners", err);
    size_t capacity = 0;
    bool ok = owner != NULL;
    for (int64_t leaf = 0; ok && leaf < width; leaf++) {
        if (p->heads.first[leaf] == p->heads.last[leaf]) continue;
        int64_t head = p->heads.first[leaf] / c->head_dim, k = head / group, g = head % group;
        for (int d = 0; d < p->mesh.tp; d++) {
            const DeviceShard *s = &p->device[d];
            if (k >= s->kv.first && k < s->kv.last && g >= s->group.first && g < s->group.last) owner[leaf] = d;
        }
    }
    for (int d = 0; ok && d < p->mesh.tp; d++)
        ok = tree_cover(&p->heads, owner, d, &p->head_nodes, &p->head_count, &capacity, err);
    free(owner);
    return ok;
}

static bool cover_ffn(Partition *p, Err *err) {
    int owner[FFN_LEAVES];
    size_t capacity = 0;
    for (int d = 0; d < p->mesh.tp; d++) {
        Range leaves = range_part(FFN_LEAVES, p->mesh.tp, d);
        for (int64_t i = leaves.first; i < leaves.last; i++) owner[i] = d;
        p->device[d].ffn = leaves.first < leaves.last
                               ? (Range){p->ffn.first[leaves.first], p->ffn.last[leaves.last - 1]}
                               : (Range){0, 0};
    }
    for (int d = 0; d < p->mesh.tp; d++)
        if (!tree_cover(&p->ffn, owner, d, &p->ffn_nodes, &p->ffn_count, &capacity, err)) return false;
    return true;
}

int64_t partition_local(const Partition *p, char letter, bool split, int64_t whole) {
    if (!split) return whole;
    return letter == 'k' ? p->kv : letter == 'g' ? p->group : letter == 'f' ? p->ffn_columns : p->vocab_columns;
}

static void local_sizes(Partition *p) {
    for (int d = 0; d < p->mesh.tp; d++) {
        const DeviceShard *s = &p->device[d];
        int64_t size[] = {s->kv.last - s->kv.first, s->group.last - s->group.first, s->ffn.last - s->ffn.first,
                          s->vocab.last - s->vocab.first};
        int64_t *most[] = {&p->kv, &p->group, &p->ffn_columns, &p->vocab_columns};
        for (int i = 0; i < 4; i++)
            if (size[i] > *most[i]) *most[i] = size[i];
    }
}

bool partition_new(Partition *p, const ModelConfig *c, const Mesh *mesh, bool uniform, Err *err) {
    *p = (Partition){.mesh = *mesh, .rules = rules_default, .uniform = uniform};
    int64_t group = c->heads / c->kv_heads, panels = (c->vocab + PANEL - 1) / PANEL;
    p->device = mem_new((size_t)mesh->tp, sizeof *p->device, "partition", err);
    if (!p->device || !tree_heads(&p->heads, c->kv_heads, group, c->head_dim, err) || !tree_ffn(&p->ffn, c->ffn, err))
        goto failed;
    choose_grid(p, c->kv_heads, group, mesh->tp);
    for (int d = 0; d < mesh->tp; d++) {
        DeviceShard *s = &p->device[d];
        if (d < p->kv_parts * p->group_parts) {
            s->kv = range_part(c->kv_heads, p->kv_parts, d / p->group_parts);
            s->group = range_part(group, p->group_parts, d % p->group_parts);
        }
        Range v = range_part(panels, mesh->tp, d);
        s->vocab = (Range){v.first * PANEL, v.last * PANEL < c->vocab ? v.last * PANEL : c->vocab};
        if (s->vocab.first > s->vocab.last) s->vocab.first = s->vocab.last;
    }
    if (cover_heads(p, c, err) && cover_ffn(p, err)) {
        local_sizes(p);
        return true;
    }
failed:
    partition_free(p);
    return false;
}

void partition_free(Partition *p) {
    free(p->device);
    tree_free(&p->heads);
    tree_free(&p->ffn);
    free(p->head_nodes);
    free(p->ffn_nodes);
    *p = (Partition){0};
}
