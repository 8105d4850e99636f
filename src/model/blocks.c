/* blocks.c: see blocks.h. */
#include "adapters.h"
#include "blocks.h"

static bool is_shared(const char *axes) {
    for (; *axes; axes++)
        if (axis_is_split(*axes)) return true;
    return false;
}

/* A weight of an adapter, in the file's name. */
static Tensor part(Graph *g, const char *module, const char *name, const char *rows, const char *columns) {
    char axes[2 * MAX_LETTERS + 4];
    snprintf(axes, sizeof axes, "%s%s", rows, columns);
    return weight(g, axes, ADAPTER_PREFIX "%s%s", module, name);
}

/* scale * (x A^T) B^T: the factor goes to the few numbers between. */
static Tensor low_rank(Graph *g, const LinearAdapter *a, Tensor x, const char *out, const char *in) {
    static const char rank[] = {AXIS_ADAPTER, 0};
    if (g->trains && a->dropout > 0) x = dropout(g, x, a->dropout, (uint32_t)g->count);
    Tensor h = linear(g, x, part(g, a->module, ADAPTER_A, rank, in), NO_TENSOR);
    if (a->chosen) h = chosen_scale(g, h, input(g, "adapters", "t"), a->chosen);
    else if (a->scale != 1) h = scale(g, h, a->scale);
    return linear(g, h, part(g, a->module, ADAPTER_B, out, rank), NO_TENSOR);
}

/* `bias`: MODULE.bias is added after all else. */
static Tensor joined(Graph *g, const LinearAdapter *a, Tensor x, Tensor w, Tensor b, const char *out, const char *in,
                     bool bias, const char *module) {
    Tensor y = linear(g, x, w, b);
    if (a) y = add(g, y, low_rank(g, a, x, out, in));
    if (a && a->dora) {
        Tensor norms = part(g, module, ADAPTER_NORM, out, "");
        static const char rank[] = {AXIS_ADAPTER, 0};
        if (g->trains)
            norms = adapter_norm(g, w, part(g, module, ADAPTER_A, rank, in), part(g, module, ADAPTER_B, out, rank),
                                 norms, a->scale);
        y = scale_columns(g, y, norms);
        y = scale_columns(g, y, part(g, module, ADAPTER_MAGNITUDE, out, ""));
    }
    return bias ? add(g, y, weight(g, out, "%s.bias", module)) : y;
}

Tensor dense_with(Graph *g, const ModelConfig *c, Tensor x, Tensor w, const char *out, const char *in,
                  const char *module) {
    return joined(g, adapters_linear(c->adapters, module), x, w, NO_TENSOR, out, in, false, module);
}

/* The bias waits for a sum over devices, and of DoRA for the scaling, which is of the weights alone. */
Tensor dense(Graph *g, const ModelConfig *c, Tensor x, const char *out, const char *in, bool bias, const char *module,
             ...) {
    char name[MODULE_NAME], axes[2 * MAX_LETTERS + 4];
    va_list values;
    va_start(values, module);
    vsnprintf(name, sizeof name, module, values);
    va_end(values);
    snprintf(axes, sizeof axes, "%s%s", out, in);
    const LinearAdapter *a = adapters_linear(c->adapters, name);
    bool after = is_shared(in) || (a && a->dora);
    Tensor b = bias && !after ? weight(g, out, "%s.bias", name) : NO_TENSOR;
    return joined(g, a, x, weight(g, axes, "%s.weight", name), b, out, in, bias && after, name);
}
