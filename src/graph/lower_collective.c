/* lower_collective.c: collectives of StableHLO text. Each is over whole axes of the mesh, one after the other: groups
 * within an axis, and groups over both at once, are what Tenstorrent's compiler refuses. */
#include <string.h>
#include "lower.h"

/* "[[0, 1], [2, 3]]": the devices that differ along one mesh axis only, row-major ids. */
static void groups_text(const Lower *l, int axis, Text *out) {
    int x = l->mesh[0], y = l->mesh[1], groups = axis ? x : y, size = axis ? y : x;
    text_line(out, "dense<[");
    for (int g = 0; g < groups; g++) {
        text_line(out, "%s[", g ? ", " : "");
        for (int i = 0; i < size; i++) text_line(out, "%s%d", i ? ", " : "", axis ? g * y + i : i * y + g);
        text_line(out, "]");
    }
    text_line(out, "]> : tensor<%dx%dxi64>", groups, size);
}

/* Whether devices along an axis of the mesh share a replica, or are replicas, and there are several. */
static bool mesh_reduces(const Lower *l, int axis, bool replicas) {
    return l->mesh[axis] > 1 && (axis == 0 && l->program->partition->mesh.dp > 1) == replicas;
}

void lower_reduce(Lower *l, int axis, const char *op, const char *from, const char *to, const char *element,
                  const char *type) {
    Text groups = {0};
    groups_text(l, axis, &groups);
    text_line(&l->body,
              "%s = \"stablehlo.all_reduce\"(%s) ({\n^bb0(%%a: tensor<%s>, %%b: tensor<%s>):\n"
              "  %%c = stablehlo.%s %%a, %%b : tensor<%s>\n  stablehlo.return %%c : tensor<%s>\n"
              "}) {replica_groups = %s, channel_handle = #stablehlo.channel_handle<handle = %d, type = 1>, "
              "use_global_device_ids} : (%s) -> %s\n",
              to, from, element, element, op, element, element, groups.data ? groups.data : "", ++l->channel, type,
              type);
    text_free(&groups);
}

const char *lower_all_reduce(Lower *l, const char *op, const char *value, const char *out, bool replicas,
                             const char *element, const char *type) {
    const char *from = value;
    int last = mesh_reduces(l, 0, replicas) ? 0 : 1;
    for (int axis = 1; axis >= 0; axis--) {
        if (!mesh_reduces(l, axis, replicas)) continue;
        const char *to = axis == last ? out : lower_word(l, "%s_y", out);
        lower_reduce(l, axis, op, from, to, element, type);
        from = to;
    }
    return from;
}

const char *lower_all_gather(Lower *l, const char *value, const char *out, int64_t rows, int64_t *columns,
                             const char *type) {
    const char *from = value;
    int last = mesh_reduces(l, 0, false) ? 0 : 1;
    for (int axis = 1; axis >= 0; axis--) {
        if (!mesh_reduces(l, axis, false)) continue;
        Text groups = {0};
        groups_text(l, axis, &groups);
        const char *to = axis == last ? out : lower_word(l, "%s_y", out);
        const char *before = lower_type(l, type, 2, rows, *columns);
        *columns *= l->mesh[axis];
        text_line(&l->body,
                  "%s = \"stablehlo.all_gather\"(%s) {all_gather_dim = 1 : i64, replica_groups = %s, channel_handle = "
                  "#stablehlo.channel_handle<handle = %d, type = 1>, use_global_device_ids} : (%s) -> %s\n",
                  to, from, groups.data ? groups.data : "", ++l->channel, before,
                  lower_type(l, type, 2, rows, *columns));
        text_free(&groups);
        from = to;
    }
    return from;
}

/* ---- Over the devices that hold the same key/value heads --------------------------------------------------------- */

/* Runs of `each` devices along an axis of `size` have the same heads: the sum of each run. A run's part goes into its
 * slot of all runs' before the sum over the axis, and is taken back after. */
static const char *slots_reduce(Lower *l, int axis, int each, const char *from, const char *out, int64_t rows,
                                int64_t columns) {
    int64_t parts = l->mesh[axis] / each;
    const char *type = lower_type(l, NULL, 2, rows, columns), *all = lower_type(l, NULL, 3, parts, rows, columns);
    const char *own = lower_word(l, "%%slot_%d_%lld_%lldx%lld", axis, (long long)parts, (long long)rows,
                                 (long long)columns);
    const char *bits = lower_type(l, "i1", 3, parts, rows, columns),
               *ids = lower_type(l, "i32", 3, parts, rows, columns);
    if (lower_once(l, "%s", own + 1)) {
        /* The number of the run along this axis: that of all, less those of other rows of the mesh. */
        const char *part = lower_place(l, PLACE_KV_PART);
        lower_line(l, "%s_n = stablehlo.constant dense<%lld> : tensor<i32>", own, (long long)parts);
        lower_line(l, "%s_r = stablehlo.remainder %s, %s_n : tensor<i32>", own, part, own);
        lower_line(l, "%s_b = stablehlo.broadcast_in_dim %s_r, dims = [] : (tensor<i32>) -> %s", own, own, ids);
        lower_line(l, "%s_i = stablehlo.iota dim = 0 : %s", own, ids);
        lower_line(l, "%s = stablehlo.compare EQ, %s_i, %s_b, SIGNED : (%s, %s) -> %s", own, own, own, ids, ids, bits);
        lower_line(l, "%s_0 = stablehlo.constant dense<0.0> : %s", own, all);
    }
    lower_line(l, "%s_s = stablehlo.broadcast_in_dim %s, dims = [1, 2] : (%s) -> %s", out, from, type, all);
    lower_line(l, "%s_t = stablehlo.select %s, %s_s, %s_0 : %s, %s", out, own, out, own, bits, all);
    lower_reduce(l, axis, "add", lower_word(l, "%s_t", out), lower_word(l, "%s_u", out), l->type, all);
    lower_line(l, "%s_v = stablehlo.select %s, %s_u, %s_0 : %s, %s", out, own, out, own, bits, all);
    lower_line(l, "%s_z = stablehlo.constant dense<0.0> : tensor<%s>", out, l->type);
    lower_line(l, "%s = stablehlo.reduce(%s_v init: %s_z) applies stablehlo.add across dimensions = [0] : (%s, "
                  "tensor<%s>) -> %s", out, out, out, all, l->type, type);
    return out;
}

const char *lower_group_reduce(Lower *l, const char *value, const char *out, int64_t rows, int64_t columns) {
    const Partition *p = l->program->partition;
    int each = p->grid.group_parts, x = p->mesh.dp > 1 ? 1 : l->mesh[0], y = l->mesh[1];
    const char *from = value, *type = lower_type(l, NULL, 2, rows, columns);
    if (each == 1) return value;
    if (each % y && y % each) {
        err_as(&l->err, QM_USAGE, "mesh %s: %d devices share key/value heads, which is no part of its axes",
               p->mesh.text, each);
        return value;
    }
    int along_y = each < y ? each : y, along_x = each / along_y;
    if (along_x > 1 && x % along_x) {
        err_as(&l->err, QM_USAGE, "mesh %s: %d devices share key/value heads, which is no part of its axes",
               p->mesh.text, each);
        return value;
    }
    if (along_y > 1) {
        const char *to = along_x > 1 ? lower_word(l, "%s_y", out) : out;
        if (along_y < y) slots_reduce(l, 1, along_y, from, to, rows, columns);
        else lower_reduce(l, 1, "add", from, to, l->type, type);
        from = to;
    }
    if (along_x > 1 && along_x < x) slots_reduce(l, 0, along_x, from, out, rows, columns);
    else if (along_x > 1) lower_reduce(l, 0, "add", from, out, l->type, type);
    return out;
}
