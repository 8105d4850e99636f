/* plan.c: `plan`: who holds what on a mesh, from config.json alone: memory, heads, collectives, and whether it fits. */
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "../cpu/spread.h"
#include "../model/qwen2.h"
#include "../graph/program.h"
#include "cli.h"

typedef struct Plan {
    ModelConfig config;
    ModelGraph model;
    Partition partition;
    Program program;
    double weight_bits;
    int64_t context, slots, rows, ranks;
} Plan;

typedef struct DeviceBytes { double weights, cache, activations; } DeviceBytes;

static double local_elements(const Plan *p, const Node *n, const char *split, int device) {
    Node as_used = *n;
    snprintf(as_used.split, sizeof as_used.split, "%s", split);
    double size = 1;
    for (int d = 0; d < n->shape.rank; d++) size *= (double)program_local(&p->program, &as_used, d, device);
    return size;
}

/* Weights by use: a tied table that is looked up whole and multiplied in shards is held twice. */
static double device_weights(const Plan *p, int device) {
    const Graph *g = &p->program.graph;
    double bytes = 0;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        for (int i = 0; n->kind == NODE_OP && i < n->inputs; i++) {
            const Node *in = graph_node(g, n->in[i]);
            char split[MAX_LETTERS + 1];
            if (in->kind != NODE_WEIGHT || !program_weight_split(&p->program, n, i, split, NULL)) continue;
            bool table = n->op->table;
            if (table && p->config.tied && p->partition.mesh.tp == 1) continue;
            bytes += local_elements(p, in, split, device) * (in->shape.rank == 1 || table ? 16 : p->weight_bits) / 8;
        }
    }
    return bytes;
}

static DeviceBytes device_bytes(const Plan *p, int device) {
    const DeviceShard *s = &p->partition.device[device];
    int64_t kv = s->kv.last - s->kv.first;
    double widest = 0;
    for (int id = 1; id < p->program.graph.count; id++) {
        const Node *n = &p->program.graph.nodes[id];
        if (n->kind != NODE_OP || n->op->in_cache || n->shape.rank < 2) continue;
        double w = (double)program_local(&p->program, n, 1, device);
        if (w > widest) widest = w;
    }
    int64_t replica_slots = (p->slots + p->partition.mesh.dp - 1) / p->partition.mesh.dp;
    return (DeviceBytes){.weights = device_weights(p, device),
                         .cache = 2.0 * 2 *
                                  (double)(p->config.layers * kv * p->config.head_dim * p->context * replica_slots),
                         .activations = 4 * (double)p->rows * (3 * (double)p->config.hidden + 3 * widest)};
}

#define GIB (1024.0 * 1024 * 1024)

/* Arithmetic and memory traffic of a full step, all devices together, by the cost of each op's row. */
static Cost step_cost(const Plan *p) {
    const Graph *g = &p->program.graph;
    Cost sum = {0, 0};
    for (int id = 1; id < g->count; id++) {
        if (g->nodes[id].kind != NODE_OP) continue;
        Cost c = g->nodes[id].op->cost(g, &g->nodes[id]);
        sum.flops += c.flops;
        sum.bytes += c.bytes;
    }
    return sum;
}

static void print_totals(const Plan *p, double memory, double most, int idle) {
    int reduces = program_collectives(&p->program, "all_reduce"),
        greedy = program_collectives(&p->program, "reduce_argmax");
    double bytes = 4.0 * (double)p->config.hidden;
    printf("\ncollectives per token: %d all_reduce (%d per layer) of %.0f bytes f32, %d reduce_argmax of 8 bytes = "
           "%.1f KiB handed over per device\n",
           reduces, (int)(reduces / p->config.layers), bytes, greedy, (reduces * bytes + 8 * greedy) / 1024);
    Cost cost = step_cost(p);
    printf("work of a step of %lld rows at full context: %.1f GFLOP, %.2f GiB read and written (bf16 weights, f32 "
           "activations and cache)\n",
           (long long)p->rows, cost.flops / 1e9, cost.bytes / GIB);
    printf("key/value heads: %d parts of %lld, query groups: %d parts of %lld; each key/value head is held by %d "
           "devices; %d devices have no heads\n",
           p->partition.kv_parts, (long long)p->config.kv_heads, p->partition.group_parts,
           (long long)config_group(&p->config), p->partition.group_parts, idle);
    printf(
        "padding on a backend with uniform shards: %lld query heads for %lld\n",
        (long long)((p->config.kv_heads + p->partition.kv_parts - 1) / p->partition.kv_parts * p->partition.kv_parts *
                    ((config_group(&p->config) + p->partition.group_parts - 1) / p->partition.group_parts *
                     p->partition.group_parts)),
        (long long)p->config.heads);
    if (memory > 0)
        printf("memory: the fullest device needs %.2f GiB of %.2f GiB: %s\n", most / GIB, memory,
               most / GIB <= memory ? "fits" : "DOES NOT FIT");
    else printf("memory: the fullest device needs %.2f GiB\n", most / GIB);
}

static bool print_plan(const Plan *p, double memory) {
    const ModelConfig *c = &p->config;
    double most = 0;
    int idle = 0;
    printf("%s, %lld layers, hidden %lld, %lld query / %lld key/value heads of %lld, ffn %lld, vocabulary %lld%s: %.3f "
           "B parameters\n",
           c->architecture, (long long)c->layers, (long long)c->hidden, (long long)c->heads, (long long)c->kv_heads,
           (long long)c->head_dim, (long long)c->ffn, (long long)c->vocab, c->tied ? " (tied)" : "",
           (double)config_parameters(c) / 1e9);
    printf("mesh %s: %d devices (dp %d x tp %d); weights %.3g bits, cache bf16, context %lld, slots %lld, %lld rows a "
           "step\n\n",
           p->partition.mesh.text, p->partition.mesh.dp * p->partition.mesh.tp, p->partition.mesh.dp,
           p->partition.mesh.tp, p->weight_bits, (long long)p->context, (long long)p->slots, (long long)p->rows);
    printf("device   kv heads  groups  q heads  ffn             vocabulary        weights MiB  cache MiB  activations "
           "MiB\n");
    for (int d = 0; d < p->partition.mesh.tp; d++) {
        const DeviceShard *s = &p->partition.device[d];
        DeviceBytes b = device_bytes(p, d);
        int64_t kv = s->kv.last - s->kv.first, group = s->group.last - s->group.first;
        char k[24] = "-", g[24] = "-";
        if (kv) snprintf(k, sizeof k, "%lld..%lld", (long long)s->kv.first, (long long)s->kv.last - 1);
        if (group) snprintf(g, sizeof g, "%lld..%lld", (long long)s->group.first, (long long)s->group.last - 1);
        printf("%6d  %9s %7s  %7lld  %6lld..%-7lld %7lld..%-8lld %11.1f %10.1f %16.1f%s\n", d, k, g,
               (long long)(kv * group), (long long)s->ffn.first, (long long)s->ffn.last, (long long)s->vocab.first,
               (long long)s->vocab.last, b.weights / 1048576, b.cache / 1048576, b.activations / 1048576,
               kv ? "" : "  no heads");
        idle += kv == 0;
        double all = b.weights + b.cache + b.activations;
        if (all > most) most = all;
    }
    print_totals(p, memory, most, idle);
    return true;
}

/* Weights of one process: matrices by the columns and rows that its devices use, the rest whole, each once. */
static double rank_weights(const Plan *p, const Spread *s) {
    const Graph *g = &p->program.graph;
    double bytes = 0;
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        for (int i = 0; n->kind == NODE_OP && i < n->inputs; i++) {
            const Node *in = graph_node(g, n->in[i]);
            if (in->kind != NODE_WEIGHT) continue;
            Range rows = {0, in->shape.dim[0].size}, k = {0, in->shape.rank > 1 ? in->shape.dim[1].size : 1};
            bool matrix = i == 1 && in->shape.rank == 2 && !n->op->table;
            if (matrix) rows = k = (Range){0, 0}, spread_weight(s, g, n, &rows, &k);
            bytes += (double)(rows.last - rows.first) * (double)(k.last - k.first) * (matrix ? p->weight_bits : 16) / 8;
        }
    }
    return bytes;
}

/* Which process holds what of the mesh, and what it sends to the others for one decoded token. */
static bool print_ranks(const Plan *p, Err *err) {
    int layers = (int)p->config.layers;
    int64_t devices = (int64_t)p->partition.mesh.tp * p->partition.mesh.dp;
    printf("\nunder mpirun -n %lld: devices are dealt to ranks in order, one exchange per all_reduce\n"
           "  rank     devices  kv heads  weights MiB  sent per token KiB\n", (long long)p->ranks);
    for (int rank = 0; rank < p->ranks; rank++) {
        Spread s;
        bool ok = spread_new(&s, &p->partition, rank, (int)p->ranks, err);
        Range r = range_part(devices, (int)p->ranks, rank);
        int64_t hidden = p->config.hidden;
        double floats = ok ? (double)(spread_sent(&s, 'h', hidden) + spread_sent(&s, 'f', hidden)) : 0;
        char text[48] = "-";
        if (r.first < r.last) snprintf(text, sizeof text, "%lld..%lld", (long long)r.first, (long long)r.last - 1);
        if (ok) printf("%6d  %10s  %8lld  %11.1f  %18.1f\n", rank, text, (long long)spread_kv_heads(&s),
                       rank_weights(p, &s) / 1048576, 4 * layers * floats / 1024);
        spread_free(&s);
        if (!ok) return false;
    }
    return true;
}

/* A picture of who holds what: one column a device, one row each for query heads, ffn, vocabulary and memory. */
static bool write_svg(const Plan *p, const char *path, Err *err) {
    Output out;
    if (!output_open(&out, path, err)) return false;
    FILE *f = out.file;
    int n = p->partition.mesh.tp, w = n > 16 ? 36 : 72, left = 150, height = 330;
    static const char *const colours[] = {"#4e79a7", "#f28e2b", "#59a14f", "#e15759",
                                          "#76b7b2", "#edc948", "#b07aa1", "#9c755f"};
    double most = 1;
    for (int d = 0; d < n; d++) {
        DeviceBytes b = device_bytes(p, d);
        if (b.weights + b.cache + b.activations > most) most = b.weights + b.cache + b.activations;
    }
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"11\">\n",
            left + n * w + 20, height);
    fprintf(f,
            "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/><text x=\"10\" y=\"20\" font-size=\"14\">%s, %lld "
            "layers, mesh %s: who holds what</text>\n",
            p->config.architecture, (long long)p->config.layers, p->partition.mesh.text);
    static const char *const labels[] = {"device", "query heads (k, g)", "ffn columns", "vocabulary", "memory"};
    static const int rows[] = {45, 65, 130, 165, 310};
    for (int i = 0; i < 5; i++) fprintf(f, "<text x=\"10\" y=\"%d\">%s</text>\n", rows[i], labels[i]);
    for (int d = 0; d < n; d++) {
        const DeviceShard *s = &p->partition.device[d];
        DeviceBytes b = device_bytes(p, d);
        int x = left + d * w, y = 310;
        double parts[] = {b.weights, b.cache, b.activations};
        fprintf(f, "<text x=\"%d\" y=\"45\">%d</text>\n", x, d);
        for (int64_t k = s->kv.first; k < s->kv.last; k++)
            for (int64_t g = s->group.first; g < s->group.last; g++)
                fprintf(f,
                        "<rect x=\"%lld\" y=\"%lld\" width=\"7\" height=\"7\" fill=\"%s\"><title>head k=%lld "
                        "g=%lld</title></rect>\n",
                        (long long)(x + (g - s->group.first) % 4 * 8),
                        (long long)(56 + ((k - s->kv.first) * ((s->group.last - s->group.first + 3) / 4) +
                                          (g - s->group.first) / 4) *
                                             8),
                        colours[k % 8], (long long)k, (long long)g);
        if (s->kv.first == s->kv.last) fprintf(f, "<text x=\"%d\" y=\"65\" fill=\"#999\">idle</text>\n", x);
        fprintf(f, "<text x=\"%d\" y=\"130\">%lld</text><text x=\"%d\" y=\"165\">%lld</text>\n", x,
                (long long)(s->ffn.last - s->ffn.first), x, (long long)(s->vocab.last - s->vocab.first));
        for (int i = 0; i < 3; i++) {
            int h = (int)(110 * parts[i] / most);
            y -= h;
            fprintf(f,
                    "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"%s\"><title>%.1f MiB</title></rect>\n",
                    x, y, w - 6, h, colours[i], parts[i] / 1048576);
        }
    }
    fprintf(f,
            "<text x=\"%d\" y=\"325\">blue: weights, orange: cache, green: activations; the fullest device has %.2f "
            "GiB</text>\n</svg>\n",
            left, most / GIB);
    return output_end(&out, true, err);
}

static bool weight_bits(const char *text, double *bits) {
    const struct { const char *name; double bits; } known[] = {{"bf16", 16}, {"f32", 32}, {"8bit", 8.5}, {"4bit", 5}};
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(text, known[i].name)) return *bits = known[i].bits, true;
    return false;
}

int cmd_plan(int argc, char **argv) {
    const char *model = NULL, *mesh_text = NULL, *weights = "bf16", *svg = NULL;
    Plan *p = calloc(1, sizeof *p);
    Mesh mesh;
    Err err = {0};
    double memory = 0;
    bool show_program = false;
    if (!p) return EXIT_FAILED;
    p->context = 4096, p->slots = 1, p->rows = 128;
    const Option options[] = {
        TEXT("model", 'm', &model, "MODEL", "folder, config.json or .gguf (or as the argument)"),
        TEXT("mesh", 0, &mesh_text, "MESH", "devices: 2x4, 8, dp2,tp4 (default: one)"),
        INT("ctx", 'c', &p->context, 1, 2147483648.0, "N", "cache positions per slot (default 4096)"),
        INT("slots", 0, &p->slots, 1, 1024, "B", "sequences held at once (default 1)"),
        INT("rows", 0, &p->rows, 1, 8192, "N", "rows of a step (default 128)"),
        TEXT("weights", 0, &weights, "bf16|f32|8bit|4bit", "bf16 (default), f32, 8bit, 4bit"),
        FLOAT("memory", 0, &memory, 0, 1e6, "GIB", "memory of a device: says whether the plan fits"),
        INT("ranks", 0, &p->ranks, 1, MAX_DEVICES, "N", "also who holds what of it under mpirun -n N"),
        TEXT("svg", 0, &svg, "FILE", "also a picture of who holds what"),
        FLAG("program", 0, &show_program, "print device 0's program, collectives included"),
    };
    int first, code = options_parse(argc, argv, "plan MODEL|config.json --mesh MESH [options]", NULL, options,
                                    (int)(sizeof options / sizeof *options), &first);
    if (code < 0 && !model && first < argc) model = argv[first++];
    if (code < 0 && first < argc) code = usage_error("plan", "unexpected argument '%s'", argv[first]);
    if (code < 0 && !model) code = usage_error("plan", "no model: expected a folder, config.json or .gguf file");
    else if (code < 0 && !weight_bits(weights, &p->weight_bits))
        code = usage_error("plan", "--weights: expected bf16, f32, 8bit or 4bit, got '%s'", weights);
    if (code < 0) {
        Text text = {0};
        bool ok = config_load(&p->config, model, &err) && mesh_parse(&mesh, mesh_text, &err) &&
                  partition_new(&p->partition, &p->config, &mesh, false, &err) &&
                  model_graph(&p->model, &p->config, p->rows, p->context, false, &err) &&
                  program_new(&p->program, &p->model.graph, &p->partition, &err) && print_plan(p, memory) &&
                  (!p->ranks || print_ranks(p, &err));
        if (ok && show_program) {
            program_text(&p->program, 0, &text);
            ok = text_ok(&text, "program", &err);
            if (ok) printf("\n%s", text.data);
        }
        ok = ok && (!svg || write_svg(p, svg, &err)) && file_finish(stdout, "standard output", &err);
        text_free(&text);
        code = ok ? EXIT_OK : fail(&err);
    }
    program_free(&p->program);
    model_graph_free(&p->model);
    partition_free(&p->partition);
    free(p);
    return code;
}
