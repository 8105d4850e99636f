/* first_touch.c: see first_touch.h. The shares are those of step_job in cpu_step.c; a linear's units are panels, of
 * which a part of a split sum reads some columns only. */
#include <string.h>
#include "first_touch.h"

enum { PAGE = 4096 };

/* Columns of the weight that a call reads. */
static Range call_columns(const Call *c) {
    Range r = {0, c->matrix.weight->k};
    if (!c->matrix.tree) return r;
    r = (Range){c->matrix.weight->k, 0};
    for (int n = c->matrix.node_first; n < c->matrix.node_last; n++) {
        const TreeNode *node = &c->matrix.nodes[n];
        for (int64_t i = node->index << node->level; i < (node->index + 1) << node->level; i++) {
            if (c->matrix.tree->first[i] == c->matrix.tree->last[i]) continue;
            if (c->matrix.tree->first[i] < r.first) r.first = c->matrix.tree->first[i];
            if (c->matrix.tree->last[i] > r.last) r.last = c->matrix.tree->last[i];
        }
    }
    return r;
}

void owner_pieces(Cpu *cpu, int worker, void (*visit)(void *, uint8_t *, size_t), void *context) {
    int workers = workers_count(cpu->workers);
    for (int p = 0; p < cpu->plan.phase_count; p++) {
        const Phase *phase = &cpu->plan.phases[p];
        SharePart share = share_part(phase->cost, workers, worker, 1, 0);
        double at = 0;
        for (int i = phase->first; i < phase->last && at < share.end; i++) {
            const Item *item = &cpu->plan.items[i];
            const PackedWeight *w = cpu_matrix(item);
            int64_t first, last;
            share_units(at, item->unit_cost, item->units, share.begin, share.end, &first, &last);
            at += (double)item->units * item->unit_cost;
            if (!w || first >= last) continue;
            Range k = call_columns(&item->call);
            int64_t panel0 = item->call.columns.first / PANEL - w->first_panel,
                    begin = w->panel_bytes * (k.first - w->first_k) / w->columns,
                    end = w->panel_bytes * (k.last - w->first_k) / w->columns;
            for (int64_t u = panel0 + first; u < panel0 + last; u++)
                visit(context, (uint8_t *)(uintptr_t)w->data + u * w->panel_bytes + begin, (size_t)(end - begin));
        }
    }
}

static void touch(void *context, uint8_t *from, size_t bytes) {
    (void)context;
    uint8_t *page = from + (-(uintptr_t)from & (PAGE - 1));
    for (; page < from + bytes; page += PAGE) __atomic_store_n(page, 0, __ATOMIC_RELAXED);
}

static void touch_job(void *argument, int worker) { owner_pieces(argument, worker, touch, NULL); }

/* Every replica as if it had rows up to row `last`. */
static void rows_set(Cpu *cpu, int64_t last) {
    for (int kind = STEP_ROWS; kind < ROW_KINDS; kind++)
        for (int i = 1; i <= cpu->program->partition->mesh.dp; i++) cpu->step.first_row[kind][i] = last;
    cpu_step_count(cpu);
}

void first_touch(Cpu *cpu) {
    rows_set(cpu, 1);
    workers_run(cpu->workers, touch_job, cpu);
    rows_set(cpu, 0);
}
