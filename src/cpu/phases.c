/* phases.c: what phases are called, and what they took. */
#include <string.h>
#include "cpu_state.h"

/* "model.layers.0.self_attn.q_proj.weight": q_proj; what has no matrix by its operation. */
static void item_name(const Item *item, char *out, size_t size) {
    const Call *call = &item->call;
    const char *from = item->op->name;
    int length = (int)strlen(from);
    if (item->op->binds == BINDS_MATRIX && item->op == call->node->op) {
        const char *name = graph_node(call->graph, call->node->in[1])->name, *end = strrchr(name, '.');
        if (!end) end = name + strlen(name);
        for (from = end; from > name && from[-1] != '.';) from--;
        length = (int)(end - from);
    }
    snprintf(out, size, "%.*s", length, from);
}

static bool listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += length)
        if ((at == list || at[-1] == ' ') && (at[length] == ',' || !at[length])) return true;
    return false;
}

/* Its items' names, each once. */
static void phase_name(const Cpu *cpu, const Phase *phase, char *out, size_t size) {
    char name[96];
    size_t at = 0;
    out[0] = 0;
    for (int i = phase->first; i < phase->last; i++) {
        item_name(&cpu->plan.items[i], name, sizeof name);
        if (at < size && !listed(out, name)) at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "", name);
    }
}

int cpu_phases(void *backend, QmPhase *out, int most) {
    Cpu *cpu = backend;
    int count = 0;
    for (int p = 0; cpu->step.timed && p < cpu->plan.phase_count; p++) {
        QmPhase phase = {.seconds = cpu->step.timed[p].seconds, .weight_bytes = cpu->step.timed[p].weight_bytes};
        cpu->step.timed[p] = (struct Timed){0};
        phase_name(cpu, &cpu->plan.phases[p], phase.name, sizeof phase.name);
        int i = 0;
        while (i < count && strcmp(out[i].name, phase.name)) i++;
        if (i < count) {
            out[i].seconds += phase.seconds;
            out[i].weight_bytes += phase.weight_bytes;
        } else if (count < most) out[count++] = phase;
    }
    return count;
}
