/* cmd_plan.c: `plan`: who holds what on a mesh, from config.json alone: memory, heads, collectives, and whether it fits. */
#include <stdlib.h>
#include <string.h>
#include "../cpu/spread.h"
#include "cli.h"
#include "plan.h"
#include "plan_serve.h"
#include "plan_train.h"

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
    const AxisGrid *grid = &p->partition.grid;
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
    printf("key/value heads: %lld, parts: %d; query groups: %lld, parts: %d; each key/value head is held by %d "
           "device%s; %d device%s no heads\n",
           (long long)p->config.kv_heads, grid->kv_parts, (long long)config_group(&p->config),
           grid->group_parts, grid->group_parts,
           grid->group_parts == 1 ? "" : "s", idle, idle == 1 ? " has" : "s have");
    printf(
        "padding on a backend with uniform shards: %lld query heads for %lld\n",
        (long long)((p->config.kv_heads + grid->kv_parts - 1) / grid->kv_parts * grid->kv_parts *
                    ((config_group(&p->config) + grid->group_parts - 1) / grid->group_parts * grid->group_parts)),
        (long long)p->config.heads);
    if (memory > 0)
        printf("memory: the fullest device needs %.2f GiB of %.2f GiB: %s\n", most / GIB, memory,
               most / GIB <= memory ? "fits" : "DOES NOT FIT");
    else printf("memory: the fullest device needs %.2f GiB\n", most / GIB);
}

typedef struct RangeText { char text[44]; } RangeText;

/* The first and the last of it, as every column shows them; "-": none. */
static RangeText range_text(Range r) {
    RangeText t = {"-"};
    if (r.first < r.last) snprintf(t.text, sizeof t.text, "%lld..%lld", (long long)r.first, (long long)r.last - 1);
    return t;
}

static bool print_plan(const Plan *p, double memory) {
    const ModelConfig *c = &p->config;
    double most = 0;
    int idle = 0;
    printf("%s, %lld layers, hidden %lld, %lld query / %lld key/value heads of %lld, ffn %lld, vocabulary %lld%s: %.3f "
           "B parameters\n",
           c->architecture, (long long)c->layers, (long long)c->hidden, (long long)c->heads, (long long)c->kv_heads,
           (long long)c->head_dim, (long long)c->ffn, (long long)c->vocab, c->tied ? " (tied)" : "",
           (double)graph_parameters(&p->model.graph) / 1e9);
    int devices = p->partition.mesh.dp * p->partition.mesh.tp;
    printf("mesh %s: %d device%s (dp %d x tp %d); weights %s, cache %s, context %lld, slots %lld, %lld rows a step\n\n",
           p->partition.mesh.text, devices, devices == 1 ? "" : "s", p->partition.mesh.dp, p->partition.mesh.tp,
           p->weights, p->cache, (long long)p->context, (long long)p->slots, (long long)p->rows);
    printf("device   kv heads  groups  q heads             ffn        vocabulary  weights MiB  cache MiB  activations "
           "MiB\n");
    for (int d = 0; d < p->partition.mesh.tp; d++) {
        const Partition *of = &p->partition;
        Range kv_heads = partition_range(of, AXIS_KV_HEAD, d), groups = partition_range(of, AXIS_GROUP, d);
        Range ffn = partition_range(of, AXIS_FFN, d), vocab = partition_range(of, AXIS_VOCAB, d);
        DeviceBytes b = plan_bytes(p, d);
        int64_t kv = kv_heads.last - kv_heads.first, group = groups.last - groups.first;
        printf("%6d  %9s %7s  %7lld  %14s  %16s  %11.1f  %9.1f  %15.1f%s\n", d, range_text(kv_heads).text,
               range_text(groups).text, (long long)(kv * group), range_text(ffn).text, range_text(vocab).text,
               b.weights / 1048576, b.cache / 1048576, b.activations / 1048576, kv ? "" : "  no heads");
        idle += kv == 0;
        if (plan_all_bytes(b) > most) most = plan_all_bytes(b);
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
            bool matrix = i == 1 && in->shape.rank == 2 && n->op->binds != BINDS_TABLE;
            if (matrix) rows = k = (Range){0, 0}, spread_weight(s, g, n, &rows, &k);
            bytes += (double)(rows.last - rows.first) * (double)(k.last - k.first) *
                     (in->shape.rank == 1 ? 32 : p->bits[n->in[i].id]) / 8;
        }
    }
    return bytes;
}

/* Which process holds what of the mesh, and what it sends to the others for one decoded token. */
static bool print_ranks(const Plan *p, Err *err) {
    int64_t devices = (int64_t)p->partition.mesh.tp * p->partition.mesh.dp;
    printf("\nunder mpirun -n %lld: devices are dealt to ranks in order, one exchange per all_reduce\n"
           "  rank     devices  kv heads  weights MiB  sent per token KiB\n", (long long)p->ranks);
    for (int rank = 0; rank < p->ranks; rank++) {
        Spread s;
        bool ok = spread_new(&s, &p->partition, rank, (int)p->ranks, false, err);
        Range r = range_part(devices, (int)p->ranks, rank);
        double floats = 0;
        for (int id = 1; ok && id < p->program.graph.count; id++) {
            const Node *n = &p->program.graph.nodes[id];
            if (program_sum(&p->program, n)) floats += (double)spread_sent(&s, n->partial, n->shape.dim[1].size);
        }
        if (ok) printf("%6d  %10s  %8lld  %11.1f  %18.1f\n", rank, range_text(r).text, (long long)spread_kv_heads(&s),
                       rank_weights(p, &s) / 1048576, 4 * floats / 1024);
        spread_free(&s);
        if (!ok) return false;
    }
    return true;
}

static bool weights_word(const char *text) {
    return !strcmp(text, "bf16") || !strcmp(text, "f32") || !strcmp(text, "8bit") || !strcmp(text, "4bit");
}

static bool cache_word(Plan *p) {
    p->cache_bits = !strcmp(p->cache, "f32") ? 32 : !strcmp(p->cache, "bf16") ? 16 : 8;
    return !strcmp(p->cache, "f32") || !strcmp(p->cache, "bf16") || !strcmp(p->cache, "8bit");
}

int cmd_plan(int argc, char **argv) {
    const char *model = NULL, *mesh_text = NULL, *weights = NULL, *svg = NULL;
    Plan *p = calloc(1, sizeof *p);
    Mesh mesh;
    Err err = {0};
    double memory = 0;
    bool show_program = false, train = false, serve = false;
    PlanTrain t = {.seq_len = 1024, .batch = 8};
    PlanServe load = {.rate = 1, .prompt = 512, .fresh = 256, .wait = 1, .busy = 0.8};
    const char *optim = "adamw", *moments = "f32", *act = "f32";
    if (!p) return EXIT_FAILED;
    p->context = 4096, p->slots = 1, p->rows = 128, p->cache = "bf16";
    const Option options[] = {
        TEXT("model", 'm', &model, "MODEL", "folder, config.json or .gguf (or as the argument)"),
        TEXT("mesh", 0, &mesh_text, "MESH", "devices: 2x4, 8, dp2,tp4 (default: one)"),
        INT("ctx", 'c', &p->context, 1, 2147483648.0, "N", "cache positions per slot (default 4096)"),
        INT("slots", 0, &p->slots, 1, 1024, "B", "sequences held at once (default 1)"),
        INT("rows", 0, &p->rows, 1, 8192, "N", "rows of a step (default 128)"),
        TEXT("weights", 0, &weights, "bf16|f32|8bit|4bit",
             "as --weights of run has them (default: those of the file; of a config.json alone bf16)"),
        TEXT("cache-type", 0, &p->cache, "bf16|f32|8bit", "key/value cache: bf16 (default), f32 or 8bit"),
        FLOAT("memory", 0, &memory, 0, 1e6, "GIB", "memory of a device: says whether the plan fits"),
        INT("ranks", 0, &p->ranks, 1, MAX_DEVICES, "N", "also who holds what of it under mpirun -n N"),
        TEXT("svg", 0, &svg, "FILE", "also a picture of who holds what"),
        FLAG("program", 0, &show_program, "print device 0's program, collectives included"),
        FLAG("serve", 0, &serve, "slots, memory and machines for a load of `serve`"),
        FLOAT("rate", 0, &load.rate, 1e-6, 1e9, "R", "with --serve: requests a second (default 1)"),
        INT("prompt", 0, &load.prompt, 1, 1 << 30, "N", "with --serve: tokens of a prompt (default 512)"),
        INT("new", 0, &load.fresh, 1, 1 << 30, "N", "with --serve: tokens of an answer (default 256)"),
        INT("cached", 0, &load.cached, 0, 1 << 30, "N", "with --serve: tokens of a prompt that are cached (default 0)"),
        TEXT("decode-rates", 0, &load.decode, "B:T,...",
             "with --serve: tokens a second of B sequences together, as bench measures (default: guessed from this machine)"),
        FLOAT("prefill-rate", 0, &load.prefill, 0, 1e9, "T", "with --serve: tokens of prompts a second (default as above)"),
        FLOAT("wait", 0, &load.wait, 0, 1e6, "S", "with --serve: 99 of 100 requests have a slot by then (default 1)"),
        FLOAT("busy", 0, &load.busy, 0.01, 0.99, "SHARE", "with --serve: most of a machine that is used (default 0.8)"),
        FLAG("train", 0, &train, "of `train`: weights, gradients, moments, activations, and what a step hands over"),
        INT("seq-len", 0, &t.seq_len, 2, 1 << 20, "N", "with --train: tokens of a row (default 1024)"),
        INT("batch-size", 'b', &t.batch, 1, 1 << 16, "N", "with --train: rows of a step (default 8)"),
        INT("micro-batch", 0, &t.micro, 1, 1 << 16, "N", "with --train: rows that pass at once"),
        TEXT("optim", 0, &optim, "adamw|sgd|muon", "with --train: whose moments (default adamw)"),
        TEXT("moments", 0, &moments, "f32|8bit", "with --train: how adamw's are held (default f32)"),
        INT("lora-r", 0, &t.lora_r, 1, 1 << 12, "R", "with --train: an adapter of this rank, not the model"),
        TEXT("lora-targets", 0, &t.lora_targets, "NAMES", "with --train: linears that get one (default q_proj,v_proj)"),
        TEXT("modules-to-save", 0, &t.modules_to_save, "NAMES", "with --train: modules trained whole beside it"),
        TEXT("act", 0, &act, "f32|bf16", "with --train: operands of linears, as `train --act` (default f32)"),
        FLAG("ema", 0, &t.ema, "with --train: averages of the weights are kept, too"),
        FLAG("recompute", 0, &t.recompute, "with --train: layers are computed again in the backward pass"),
    };
    int first, code = options_parse(argc, argv, "plan MODEL|config.json --mesh MESH [options]", NULL, options,
                                    (int)(sizeof options / sizeof *options), &first);
    if (code < 0 && !model && first < argc) model = argv[first++];
    if (code < 0 && first < argc) code = usage_error("plan", "unexpected argument '%s'", argv[first]);
    if (code < 0 && !model) code = usage_error("plan", "no model: expected a folder, config.json or .gguf file");
    else if (code < 0 && weights && !weights_word(weights))
        code = usage_error("plan", "--weights: expected bf16, f32, 8bit or 4bit, got '%s'", weights);
    else if (code < 0 && !cache_word(p))
        code = usage_error("plan", "--cache-type: expected bf16, f32 or 8bit, got '%s'", p->cache);
    else if (code < 0 && !plan_optimizer(optim, &t.optimizer))
        code = usage_error("plan", "--optim: expected adamw, sgd or muon, got '%s'", optim);
    else if (code < 0 && strcmp(moments, "f32") && (strcmp(moments, "8bit") || t.optimizer != OPTIMIZER_ADAMW))
        code = usage_error("plan", "--moments: expected f32, or of adamw 8bit, got '%s'", moments);
    else if (code < 0 && strcmp(act, "f32") && strcmp(act, "bf16"))
        code = usage_error("plan", "--act: expected f32 or bf16, got '%s'", act);
    if (code < 0 && train && serve) code = usage_error("plan", "--train and --serve are two plans: expected one");
    if (code < 0 && train) {
        t.bf16 = !strcmp(act, "bf16"), t.moments_8bit = !strcmp(moments, "8bit"), t.memory = memory, t.program = show_program;
        Source *source = source_open(model, &err);
        bool ok = source && config_load(&p->config, source, &err) && mesh_parse(&mesh, mesh_text, &err) &&
                  plan_train(&t, &p->config, &mesh, &err) && file_finish(stdout, "standard output", &err);
        source_close(source);
        code = ok ? EXIT_OK : fail(&err);
    } else if (code < 0) {
        Text text = {0};
        load.memory = memory;
        Source *source = can_write(svg, &err) ? source_open(model, &err) : NULL;
        bool ok = source && config_load(&p->config, source, &err) && mesh_parse(&mesh, mesh_text, &err) &&
                  partition_new(&p->partition, &p->config, &mesh, false, &err) &&
                  model_graph(&p->model, &p->config, p->rows, p->context, false, &err) &&
                  program_new(&p->program, &p->model.graph, &p->partition, &err) &&
                  plan_weights(p, source, weights, &err) &&
                  (serve ? plan_serve(&load, p, &err) : print_plan(p, memory)) &&
                  (!p->ranks || print_ranks(p, &err));
        if (ok && show_program) {
            program_text(&p->program, 0, &text);
            ok = text_ok(&text, "program", &err);
            if (ok) printf("\n%s", text.data);
        }
        ok = ok && (!svg || plan_picture(p, svg, &err)) && file_finish(stdout, "standard output", &err);
        text_free(&text);
        source_close(source);
        code = ok ? EXIT_OK : fail(&err);
    }
    program_free(&p->program);
    model_graph_free(&p->model);
    partition_free(&p->partition);
    free(p->bits);
    free(p);
    return code;
}
