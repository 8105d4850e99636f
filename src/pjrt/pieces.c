/* pieces.c: where a step's program is cut.
 *
 * XLA unrolls nothing and recognises nothing: it compiles every layer of a program anew, nearly all of the time a first
 * start takes. So on XLA CPU a few layers are one program, executed again and again with other weights and caches, and
 * what follows the last layer another. Executions cost tens of microseconds each, so there are a few layers to one.
 *
 * Law: a device of XLA CPU never has 32 executions begun when one more is asked for. XLA starts the executions of a
 * program's devices on threads of a pool, as many as devices, which also run them. At the 33rd such a thread sleeps
 * until the device's first has ended; those that are left are fewer than the devices, whose collectives need them all:
 * all stand still for ever. So a run has at most PIECES + 1 executions and waits for its last (wave.c), a copy of a
 * session too. The order is no danger: Execute returns when all devices have the piece in their queues, and a piece
 * takes what the one before left on its device, so no device is in two at a time.
 */
#include <stdlib.h>
#include <string.h>
#include "pjrt_state.h"

/* A layer more takes 0.06 s on two cores. IN_FLIGHT is XLA's limit; SPARE is for executions whose results are there but
 * which XLA still counts, while their threads tidy up. */
enum { PIECE_LAYERS = 4, PIECES = 16, IN_FLIGHT = 32, SPARE = 8 };
_Static_assert(PIECES + 1 + SPARE < IN_FLIGHT, "executions of a run");

int pieces_layers(int layers) {
    int best = 1, most = (layers + PIECES - 1) / PIECES;
    for (int n = 2; n <= (most > PIECE_LAYERS ? most : PIECE_LAYERS) && n < layers; n++)
        if (layers % n == 0) best = n;
    return layers / best <= PIECES ? best : layers;
}

bool pieces_cut(Pjrt *p, Err *err) {
    const Graph *g = &p->program->graph;
    int layers = 0, given = 0;
    for (int id = 1; id < g->count; id++) {
        layers += g->nodes[id].cut;
        if (g->nodes[id].kind == NODE_OP && g->nodes[id].op->on_host) given = id;
    }
    p->programs.cut = mem_new((size_t)layers + 2, sizeof *p->programs.cut, "program", err);
    if (!p->programs.cut) return false;
    bool whole = strcmp(pjrt_info(p->client)->platform, "cpu") != 0 || p->nodes > 1 || layers == 0;
    int each = pieces_layers(layers), at = 0;
    p->programs.cut[0] = whole ? 1 : given + 1; /* the host's values come from outside */
    for (int id = 1, layer = 0; !whole && id < g->count; id++)
        if (g->nodes[id].cut && ++layer % each == 0) p->programs.cut[++at] = id + 1;
    p->programs.cut[++at] = g->count;
    p->programs.pieces = at;
    return true;
}

static bool is_kept(const Pjrt *p, const LowerArgument *a) {
    for (int i = 0; i < p->programs.kept_count; i++) {
        const LowerArgument *old = &p->programs.kept[i];
        if (old->role == a->role && old->state == a->state && old->node == a->node &&
            !strcmp(old->weight_split, a->weight_split))
            return true;
    }
    return false;
}

bool pieces_kept(Pjrt *p, const Compiled *c, Err *err) {
    for (int i = 0; i < c->pieces; i++) {
        const Lower *l = &c->piece[i].lower;
        for (int j = 0; j < l->argument_count; j++) {
            const LowerArgument *a = &l->arguments[j];
            bool state = a->role == ROLE_STATE && !p->program->graph.trains; /* else stage_states.c has them */
            if ((a->role != ROLE_WEIGHT && !state) || is_kept(p, a)) continue;
            PjrtPrograms *of = &p->programs;
            if (!mem_grow((void **)&of->kept, &of->kept_capacity, (size_t)of->kept_count + 1, sizeof *of->kept,
                          "weights", err))
                return false;
            of->kept[of->kept_count++] = *a;
        }
    }
    return true;
}
