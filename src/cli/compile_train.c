/* compile_train.c: see compile_train.h. */
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "../graph/lower_train.h"
#include "../io/json.h"
#include "../model/adapters.h"
#include "../model/train_graph.h"
#include "../pjrt/tt_result.h"
#include "cli.h"
#include "compile.h"
#include "compile_train.h"

enum { PROGRAMS = 2 };
/* Rows that pass the head at once, as a trainer on PJRT devices has it (src/train/trainer_state.h). */
enum { HEAD_AT_ONCE = 512 };
static const struct { const char *name; Stage first, last; } parts[PROGRAMS] = {
    {"gradients", STAGE_FORWARD, STAGE_NORM}, {"update", STAGE_UPDATE, STAGE_UPDATE}};

/* One of a step's programs. */
typedef struct StepProgram {
    double seconds;
    int64_t text_bytes, program_bytes;
    PjrtProgramMemory memory;
    bool has_memory, has_tt;
    TtReport tt;
    int64_t replaced; /* bytes of results that take the places of arguments */
} StepProgram;

/* Bytes of a chip, by kind: what both programs have between them. */
typedef struct ChipBytes { int64_t frozen, trained, moments, gradients; } ChipBytes;

typedef struct Step {
    const CompileTrain *o;
    TrainGraph graph;
    Partition partition;
    Program program;
    Weights *adapted;
    Adapters *adapter;
    int64_t slots;            /* rows of tokens that a replica has at once */
    const PjrtInfo *plugin;
    StepProgram part[PROGRAMS];
    ChipBytes bytes;
} Step;

/* ---- Opening ----------------------------------------------------------------------------------------------------- */

static bool step_open(Step *s, ModelConfig *config, const Mesh *mesh, Err *err) {
    const PlanTrain *p = &s->o->plan;
    int64_t micro = p->micro ? p->micro : p->batch;
    s->slots = (micro + mesh->dp - 1) / mesh->dp;
    if (p->lora_r && !(s->adapter = plan_adapter(p, config, &s->adapted, err))) return false;
    const TrainGraphOptions graph = {.optimizer = p->optimizer, .average = p->ema, .recompute = p->recompute, .adapted = s->adapted,
                                     .embed_parts = true};
    return train_graph(&s->graph, config, s->slots * mesh->dp * p->seq_len, p->seq_len, &graph, err) &&
           partition_new(&s->partition, config, mesh, true, err) &&
           program_new(&s->program, &s->graph.model.graph, &s->partition, err);
}

static void step_close(Step *s) {
    for (int i = 0; i < PROGRAMS; i++) tt_report_free(&s->part[i].tt);
    program_free(&s->program);
    partition_free(&s->partition);
    train_graph_free(&s->graph);
    weights_close(s->adapted);
    adapters_free(s->adapter);
}

/* ---- A program --------------------------------------------------------------------------------------------------- */

/* What stays on a chip from step to step, and the gradients between the two programs. */
static void bytes_add(Step *s, const Lower *l) {
    const Graph *g = &s->program.graph;
    for (int i = 0; i < l->argument_count; i++) {
        const LowerArgument *a = &l->arguments[i];
        const Node *n = &g->nodes[a->node];
        int64_t bytes = lower_argument_bytes(a);
        if (a->role == ROLE_WEIGHT) s->bytes.frozen += bytes;
        if (a->role != ROLE_STATE || l->stage_first != STAGE_UPDATE) continue;
        if (n->kind == NODE_WEIGHT) s->bytes.trained += bytes;
        else if (n->type == TYPE_SUM) s->bytes.gradients += bytes;
        else s->bytes.moments += bytes;
    }
}

static int64_t replaced_bytes(const Lower *l) {
    int64_t bytes = 0;
    for (int i = 0; i < l->result_count; i++)
        for (int k = 0; k < l->argument_count; k++)
            if (l->results[i].role == ROLE_STATE && l->arguments[k].role == ROLE_STATE &&
                l->results[i].state == l->arguments[k].state)
                bytes += lower_argument_bytes(&l->results[i]);
    return bytes;
}

static bool result_look(StepProgram *p, const PjrtProgram *program, bool tt, Err *err) {
    uint8_t *data = NULL;
    size_t bytes = 0;
    TtResult result;
    p->has_memory = pjrt_program_memory(program, &p->memory);
    if (!pjrt_program_serialize(program, &data, &bytes, tt ? err : NULL)) return !tt;
    p->program_bytes = (int64_t)bytes;
    p->has_tt = tt && tt_result_read(data, bytes, &result, err) && tt_report_read(&result, &p->tt, err);
    free(data);
    return p->has_tt || !tt;
}

/* So few parts of the head that none has more rows: parts are equal. */
static int head_parts(const Step *s) {
    int64_t rows = s->slots * s->o->plan.seq_len, count = (rows + HEAD_AT_ONCE - 1) / HEAD_AT_ONCE;
    while (rows % count) count++;
    return rows / count < HEAD_AT_ONCE / 4 ? 1 : (int)count; /* of a length without fitting parts there are none */
}

static bool part_compile(Step *s, int i, PjrtClient *client, Err *err) {
    StepProgram *p = &s->part[i];
    int64_t length = s->o->plan.seq_len;
    const LowerOptions o = {.type = s->o->type, .platform = s->plugin->platform, .trains = true,
                            .stage_first = parts[i].first, .stage_last = parts[i].last, .head_parts = head_parts(s),
                            .bucket = {.slots = s->slots, .rows = length, .logit_rows = s->slots * length, .all_logits = true}};
    Lower l;
    Text text = {0};
    PjrtProgram *program = NULL;
    bool ok = lower_program(&l, &s->program, &o, &text, err);
    if (ok) {
        double start = clock_seconds();
        p->text_bytes = (int64_t)text.bytes;
        bytes_add(s, &l);
        p->replaced = replaced_bytes(&l);
        program = pjrt_compile(client, text.data, text.bytes, s->partition.mesh.dp * s->partition.mesh.tp, NULL, err);
        p->seconds = clock_seconds() - start;
        ok = program && result_look(p, program, !strcmp(s->plugin->platform, "tt"), err);
    }
    if (!ok) err_prefix(err, "%s", parts[i].name);
    pjrt_program_free(program);
    lower_free(&l);
    text_free(&text);
    return ok;
}

/* ---- What it takes of a chip --------------------------------------------------------------------------------------- */

static int64_t held_bytes(const Step *s) { return s->bytes.frozen + s->bytes.trained + s->bytes.moments; }

/* Of the program of gradients its results, the gradients, are among the temporaries; of the update those that replace
 * what it consumes are not counted twice. */
static int64_t part_bytes(const Step *s, int i) {
    const StepProgram *p = &s->part[i];
    return held_bytes(s) + p->tt.prepared_bytes + (i ? s->bytes.gradients - p->replaced : 0) + p->tt.temporary_bytes;
}
static int64_t chip_bytes(const Step *s) {
    return part_bytes(s, 0) > part_bytes(s, 1) ? part_bytes(s, 0) : part_bytes(s, 1);
}

static bool chip_check(const Step *s, Err *err) {
    for (int i = 0; i < PROGRAMS; i++) {
        const TtReport *t = &s->part[i].tt;
        if (s->part[i].has_tt && t->host_ops + t->host_moves > 0)
            return err_set(err, "%s: expected every operation on the device, got %lld on the host and %lld transfers in the "
                           "middle of a step, first %s", parts[i].name, (long long)t->host_ops, (long long)t->host_moves,
                           t->host_op);
    }
    if (s->part[0].has_tt && chip_bytes(s) > s->part[0].tt.dram_usable)
        return err_as(err, QM_LIMIT, "a chip needs %.2f GiB, of which it has %.2f for programs: expected more chips, a smaller "
                      "--batch-size or --micro-batch, --recompute, or --lora-r", (double)chip_bytes(s) / 1073741824,
                      (double)s->part[0].tt.dram_usable / 1073741824);
    return true;
}

/* ---- Markdown ---------------------------------------------------------------------------------------------------- */

static double mib(int64_t bytes) { return (double)bytes / 1048576; }

static int64_t operations(const TtReport *t) {
    int64_t sum = 0;
    for (int i = 0; i < t->ops; i++) sum += t->op[i].count;
    return sum;
}

static void collectives_print(const TtReport *t, int64_t layers) {
    bool any = false;
    for (int k = 0; k < TT_COLLECTIVES; k++)
        for (int axis = 0; axis < TT_AXES; axis++) {
            int64_t n = t->collective[k][axis];
            if (!n) continue;
            printf("%s%s %lld on %s", any ? ", " : "", tt_collective_name((TtCollective)k), (long long)n, axis ? "y" : "x");
            if (n >= layers) printf(" (%lld a layer)", (long long)(n / layers));
            any = true;
        }
    if (!any) printf("none");
}

static void tt_print(const Step *s, int64_t layers) {
    printf("\n| program | compile s | text MiB | TTNN ops | collectives | host ops, moves | temporaries MiB |\n"
           "|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < PROGRAMS; i++) {
        const StepProgram *p = &s->part[i];
        printf("| %s | %.1f | %.2f | %lld | ", parts[i].name, p->seconds, mib(p->text_bytes), (long long)operations(&p->tt));
        collectives_print(&p->tt, layers);
        printf(" | %lld, %lld | %.1f |\n", (long long)p->tt.host_ops, (long long)p->tt.host_moves, mib(p->tt.temporary_bytes));
    }
    printf("\nA chip: weights %.1f MiB (%.1f of them trained, in f32), moments and averages %.1f MiB, gradients %.1f MiB; with "
           "temporaries, those of the gradients' program an upper bound, %.2f GiB of %.2f GiB that programs may use: %s.\n",
           mib(s->bytes.frozen + s->bytes.trained), mib(s->bytes.trained), mib(s->bytes.moments), mib(s->bytes.gradients),
           mib(chip_bytes(s)) / 1024, mib(s->part[0].tt.dram_usable) / 1024,
           chip_bytes(s) <= s->part[0].tt.dram_usable ? "fits" : "DOES NOT FIT");
    printf("The update is counted in place, as its text says; a runtime that keeps what it consumes needs %.1f MiB more.\n",
           mib(s->part[1].replaced));
}

static void plain_print(const Step *s) {
    printf("\n| program | compile s | text MiB | arguments MiB | temporaries MiB |\n|---|---|---|---|---|\n");
    for (int i = 0; i < PROGRAMS; i++) {
        const StepProgram *p = &s->part[i];
        printf("| %s | %.2f | %.2f | ", parts[i].name, p->seconds, mib(p->text_bytes));
        if (p->has_memory) printf("%.1f | %.1f |\n", mib(p->memory.arguments), mib(p->memory.temporaries));
        else printf("not said | not said |\n");
    }
    printf("\nA device: weights %.1f MiB (%.1f of them trained, in f32), moments and averages %.1f MiB, gradients %.1f MiB.\n",
           mib(s->bytes.frozen + s->bytes.trained), mib(s->bytes.trained), mib(s->bytes.moments), mib(s->bytes.gradients));
}

static void step_print(const Step *s, int64_t layers) {
    const PlanTrain *p = &s->o->plan;
    printf("%s trained on mesh %s, %s with f32 masters: %s plugin, %s%s%s; %lld rows of %lld tokens at once", s->o->model,
           s->partition.mesh.text, s->o->type, s->plugin->platform, s->plugin->device_kind, s->o->desc ? " of " : "",
           s->o->desc ? s->o->desc : "", (long long)(s->slots * s->partition.mesh.dp), (long long)p->seq_len);
    if (p->lora_r) printf(", an adapter of rank %lld", (long long)p->lora_r);
    printf("%s\n", p->recompute ? ", layers computed again" : "");
    if (s->part[0].has_tt) tt_print(s, layers);
    else plain_print(s);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static json_t *part_json(const StepProgram *p, const char *name) {
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(name));
    json_object_set_new(o, "compile_seconds", json_real(p->seconds));
    compiled_int(o, "text_bytes", p->text_bytes);
    if (p->has_memory) compiled_int(o, "argument_bytes", p->memory.arguments), compiled_int(o, "temporary_bytes", p->memory.temporaries);
    if (p->has_tt) {
        compiled_tt_ops(o, &p->tt);
        compiled_int(o, "temporary_bytes", p->tt.temporary_bytes);
    }
    return o;
}

static bool step_json(const Step *s, Err *err) {
    json_t *o = json_object(), *programs = json_array(), *chip = json_object();
    json_object_set_new(o, "model", json_string(s->o->model));
    json_object_set_new(o, "mesh", json_string(s->partition.mesh.text));
    json_object_set_new(o, "type", json_string(s->o->type));
    json_object_set_new(o, "plugin", json_string(s->plugin->platform));
    for (int i = 0; i < PROGRAMS; i++) json_array_append_new(programs, part_json(&s->part[i], parts[i].name));
    json_object_set_new(o, "programs", programs);
    compiled_int(chip, "frozen_bytes", s->bytes.frozen);
    compiled_int(chip, "trained_bytes", s->bytes.trained);
    compiled_int(chip, "moment_bytes", s->bytes.moments);
    compiled_int(chip, "gradient_bytes", s->bytes.gradients);
    if (s->part[0].has_tt) {
        compiled_int(chip, "needed_bytes", chip_bytes(s));
        compiled_int(chip, "usable_bytes", s->part[0].tt.dram_usable);
        json_object_set_new(chip, "fits", json_boolean(chip_bytes(s) <= s->part[0].tt.dram_usable));
    }
    json_object_set_new(o, "chip", chip);
    return compiled_print(o, err);
}

bool compile_train(const CompileTrain *o, ModelConfig *config, const Mesh *mesh, PjrtClient *client, Err *err) {
    Step s = {.o = o, .plugin = pjrt_info(client)};
    bool ok = step_open(&s, config, mesh, err);
    for (int i = 0; ok && i < PROGRAMS; i++) ok = part_compile(&s, i, client, err);
    if (ok && !o->json) step_print(&s, config->layers);
    else if (ok) ok = step_json(&s, err);
    ok = ok && file_finish(stdout, "standard output", err) && chip_check(&s, err);
    step_close(&s);
    return ok;
}
