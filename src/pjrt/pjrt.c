/* pjrt.c: the PJRT backend: a step's rows cut into waves, each one execution of a bucket.
 *
 * Single rows of all slots go together in the decode bucket; longer pieces run one slot a replica in the smallest
 * prefill bucket that holds them. Rows of a bucket that carry no token write to the slot's scratch position and are not
 * read. */
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "pjrt.h"
#include "pjrt_state.h"

/* Candidates that each device tells of a row: more than the top_k of a model's generation_config.json (Qwen2.5: 20) and
 * of Hugging Face (50); 512 bytes a row. */
enum { CANDIDATES = 64 };

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

/* A piece: rows [first, last) of the step, of one slot. */
static int64_t piece_end(const StepRows *s, int64_t first) {
    int64_t last = first + 1;
    while (last < s->rows && s->slot[last] == s->slot[first]) last++;
    return last;
}

static bool decode_wave(Pjrt *p, Err *err) {
    const StepRows *s = &p->step.given;
    Wave *w = NULL;
    for (int64_t r = 0, end; r < s->rows; r = end) {
        end = piece_end(s, r);
        if (end - r != 1) continue;
        if (!w && !(w = wave_new(p, 0, err))) return false;
        int64_t at = s->slot[r] % p->dp * p->slots + s->slot[r] / p->dp;
        w->row[at] = (int32_t)r;
        w->logit[at] = p->step.row_logit[r];
    }
    return true;
}

static int64_t piece_logits(const Pjrt *p, int64_t first, int64_t last) {
    int64_t count = 0;
    for (int64_t r = first; r < last; r++) count += p->step.row_logit[r] >= 0;
    return count;
}

/* The next piece of each replica, if it has one left, side by side. */
static bool prefill_wave(Pjrt *p, Err *err) {
    int64_t most = 0, end = 0, (*piece)[2] = p->step.piece;
    bool all = false;
    for (int r = 0; r < p->dp; r++) {
        int64_t rows = piece[r][1] - piece[r][0];
        if (rows > most) most = rows;
        if (rows && p->step.given.index[piece[r][1] - 1] + 1 > end) end = p->step.given.index[piece[r][1] - 1] + 1;
        all |= piece_logits(p, piece[r][0], piece[r][1]) > 1;
    }
    Wave *w = wave_new(p, bucket_prefill(p->programs.bucket, p->programs.buckets, most, end, all), err);
    if (!w) return false;
    const Bucket *b = &p->programs.bucket[w->bucket];
    for (int r = 0; r < p->dp; r++)
        for (int64_t row = piece[r][0]; row < piece[r][1]; row++) {
            int64_t i = row - piece[r][0];
            w->row[r * b->rows + i] = (int32_t)row;
            int32_t logit = p->step.row_logit[row];
            if (logit >= 0) w->logit[r * b->logit_rows + (b->all_logits ? i : 0)] = logit;
        }
    return true;
}

static bool prefill_waves(Pjrt *p, Err *err) {
    const StepRows *s = &p->step.given;
    for (int replica = 0; replica < p->dp; replica++) p->step.piece_at[replica] = 0;
    for (bool more = true; more;) {
        more = false;
        for (int replica = 0; replica < p->dp; replica++) { /* rows stand replica after replica */
            int64_t *at = &p->step.piece_at[replica], *piece = p->step.piece[replica];
            piece[0] = piece[1] = 0;
            while (*at < s->rows) {
                int64_t first = *at, last = piece_end(s, first);
                *at = last;
                if (s->slot[first] % p->dp != replica || last - first == 1) continue;
                piece[0] = first, piece[1] = last;
                more = true;
                break;
            }
        }
        if (more && !prefill_wave(p, err)) return false;
    }
    return true;
}

static bool pjrt_run(void *backend, Err *err) {
    Pjrt *p = backend;
    StepRows *s = &p->step.given;
    if (p->step.lost) return err_as(err, QM_DEVICE, LOST);
    if (s->rows > p->options.rows || s->logit_rows > p->options.rows)
        return err_as(err, QM_LIMIT, "step of %lld rows: expected at most %lld", (long long)s->rows,
                      (long long)p->options.rows);
    waves_clear(p);
    p->top.read = false;
    for (int64_t r = 0; r < s->rows; r++) p->step.row_logit[r] = -1;
    for (int64_t i = 0; i < s->logit_rows; i++) p->step.row_logit[s->logit_row[i]] = (int32_t)i;
    pjrt_host_run(p);
    bool ok = decode_wave(p, err) && prefill_waves(p, err);
    for (int i = 0; ok && i < p->step.wave_count; i++) ok = wave_run(p, &p->step.waves[i], err);
    return ok || nodes_failed(p, err);
}

static const float *pjrt_read(void *backend, Tensor t, Err *err) {
    Pjrt *p = backend;
    if (p->step.host[t.id]) return p->step.host[t.id];
    return waves_read(p, graph_node(&p->program->graph, t), err) ? p->step.value[t.id] : NULL;
}

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

/* XLA's CPU kernels are several times faster on f32 than on bf16; accelerators are made for bf16. */
static bool type_choose(Pjrt *p, Err *err) {
    const char *asked = p->options.weights;
    bool cpu = !strcmp(pjrt_info(p->client)->platform, "cpu");
    if (p->options.act != ACT_F32)
        return err_as(err, QM_USAGE, "activations on a PJRT device: expected f32 or auto, got '%s'",
                      act_names[p->options.act]);
    if (asked && strcmp(asked, "f32") && strcmp(asked, "bf16"))
        return err_as(err, QM_USAGE, "weights on a PJRT device: expected f32 or bf16, got '%.20s'", asked);
    snprintf(p->type, sizeof p->type, "%s", asked ? asked : cpu ? "f32" : "bf16");
    if (p->options.cache != CACHE_F32 && strcmp(p->type, cache_names[p->options.cache]))
        return err_as(err, QM_USAGE, "cache type on a PJRT device: expected that of its weights, %s, got %s", p->type,
                      cache_names[p->options.cache]);
    return true;
}

/* XLA CPU's devices share the host's memory: whole rows cost little there. On Tenstorrent nobody has seen candidates
 * run: its compiler takes them. */
static void candidates_choose(Pjrt *p) {
    const char *platform = pjrt_info(p->client)->platform;
    bool whole = !strcmp(platform, "cpu") || !strcmp(platform, "tt");
    p->top.count = p->options.candidates >= 0 ? p->options.candidates : whole ? 0 : CANDIDATES;
    p->info.candidates = p->top.count;
}

/* Tenstorrent's compiler takes minutes for a program, so there are few of them. */
static void buckets_choose(Pjrt *p) {
    bool few = !strcmp(pjrt_info(p->client)->platform, "tt");
    p->programs.buckets = bucket_list(p->slots, p->options.rows, few ? 0 : p->positions, p->programs.bucket);
    for (int i = 0; i < p->programs.buckets; i++) {
        const Bucket *b = &p->programs.bucket[i];
        size_t rows = (size_t)(p->dp * b->slots * b->rows), logits = (size_t)(p->dp * b->logit_rows);
        if (rows > p->step.wave_rows) p->step.wave_rows = rows;
        if (logits > p->step.wave_logits) p->step.wave_logits = logits;
    }
}

static void *pjrt_open_backend(const Program *program, Weights *weights, const BackendOptions *options, Err *err) {
    if (weights_packed(weights)) {
        err_set(err, "a packed file holds panels of the CPU engine: a PJRT backend needs the model it was packed from");
        return NULL;
    }
    Pjrt *p = mem_new(1, sizeof *p, "PJRT backend", err);
    if (!p) return NULL;
    const Mesh *mesh = &program->partition->mesh;
    p->program = program;
    p->options = *options;
    p->dp = mesh->dp, p->tp = mesh->tp, p->devices = mesh->dp * mesh->tp;
    p->slots = bucket_slots(program->partition, options->slots);
    p->positions = bucket_positions(options->context);
    PjrtOptions o = {.plugin = options->plugin, .cache = options->program_cache};
    bool ok = nodes_deal(p, err) && nodes_meet(p, &o, err);
    if (ok) {
        o.devices = p->own;
        p->client = pjrt_open(&o, err);
        if (p->client) buckets_choose(p), candidates_choose(p);
        ok = nodes_same(p, p->client && type_choose(p, err) && pjrt_step_new(p, err) && pieces_cut(p, err), err);
    }
    if (ok && pjrt_place(p, weights, err)) {
        /* XLA CPU's devices share the threads of one pool, a core each */
        p->info.workers = strcmp(pjrt_info(p->client)->platform, "cpu") ? p->devices : cpu_cores_usable();
        p->info.isa = pjrt_info(p->client)->platform;
        p->info.cache = p->info.act = p->type;
        snprintf(p->info.act_why, sizeof p->info.act_why, "the type of everything on a PJRT device, as --weights says");
        snprintf(p->info.packed_parts, sizeof p->info.packed_parts, "%s %.1f MiB", p->type,
                 (double)p->info.weight_bytes / 1048576);
        return p;
    }
    pjrt_close_backend(p);
    return NULL;
}

const Backend backend_pjrt = {
    .name = "pjrt",
    .uniform = true,
    .reads_together = true,
    .open = pjrt_open_backend,
    .close = pjrt_close_backend,
    .rows = pjrt_rows,
    .run = pjrt_run,
    .read = pjrt_read,
    .info = pjrt_backend_info,
    .copy = pjrt_copy,
    .candidates = pjrt_candidates,
};
