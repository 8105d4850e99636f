/* compile_report.c: what `compile` found out, as Markdown for people and JSON for programs. */
#include <stdlib.h>
#include <string.h>
#include "../io/json.h"
#include "compile.h"

static double mib(int64_t bytes) { return (double)bytes / 1048576; }

bool compiled_memory(const Compiled *c, ChipMemory *out) {
    bool any = false;
    *out = (ChipMemory){0};
    for (int i = 0; i < c->count; i++) {
        const CompiledBucket *b = &c->bucket[i];
        if (!b->has_tt) continue;
        any = true;
        if (b->tt.argument_bytes > out->arguments) out->arguments = b->tt.argument_bytes;
        if (b->tt.temporary_bytes > out->temporaries) out->temporaries = b->tt.temporary_bytes;
        out->prepared += b->tt.prepared_bytes;
        out->usable = b->tt.dram_usable, out->dram = b->tt.dram_bytes;
    }
    out->total = out->arguments + out->prepared + out->temporaries;
    return any;
}

/* ---- Markdown ---------------------------------------------------------------------------------------------------- */

static const char *const axis_names[TT_AXES] = {"x", "y"};

/* "all_reduce 2 a layer on x, 2 on y; all_gather 1 on x": counts that are whole multiples of the layers by layer. */
static void collectives_text(const CompiledBucket *b, int64_t layers, Text *out) {
    bool any = false;
    for (int k = 0; k < TT_COLLECTIVES; k++)
        for (int axis = 0; axis < TT_AXES; axis++) {
            int64_t n = b->tt.collective[k][axis];
            if (!n) continue;
            bool per_layer = layers > 0 && n % layers == 0;
            text_line(out, "%s%s %lld%s on %s", any ? ", " : "", tt_collective_name((TtCollective)k),
                      (long long)(per_layer ? n / layers : n), per_layer ? " a layer" : "", axis_names[axis]);
            any = true;
        }
    if (!any) text_line(out, "none");
}

static void tt_table(const Compiled *c) {
    printf("\n| program | compile s | size MiB | collectives | host ops, moves | const-eval (host) "
           "| caches, inputs MiB | prepared MiB | step MiB | re-laid MiB |\n"
           "|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < c->count; i++) {
        const CompiledBucket *b = &c->bucket[i];
        Text text = {0};
        collectives_text(b, c->layers, &text);
        printf("| %s | %.2f | %.2f | %s | %lld, %lld | %lld (%lld) | %.1f | %.1f | %.1f | %.1f |\n", b->name,
               b->seconds, mib(b->program_bytes), text.data ? text.data : "", (long long)b->tt.host_ops,
               (long long)b->tt.host_moves, (long long)b->tt.const_evals, (long long)b->tt.const_eval_host,
               mib(b->tt.argument_bytes), mib(b->tt.prepared_bytes), mib(b->tt.temporary_bytes),
               mib(b->tt.relayout_bytes));
        text_free(&text);
    }
}

static void tt_memory(const Compiled *c) {
    ChipMemory m;
    if (!compiled_memory(c, &m)) return;
    const TtReport *r = &c->bucket[0].tt;
    printf("\nA chip: caches and inputs %.1f MiB, weights prepared for %d programs %.1f MiB, the largest step %.1f MiB "
           "(an upper bound: nothing taken to be in place): %.2f GiB of %.2f GiB that programs may use (%s, %.2f GiB "
           "of DRAM): %s.\n", mib(m.arguments), c->count, mib(m.prepared), mib(m.temporaries), mib(m.total) / 1024,
           mib(m.usable) / 1024, r->arch, mib(m.dram) / 1024, m.total <= m.usable ? "fits" : "DOES NOT FIT");
    if (m.total > m.usable) {
        int64_t decode = c->bucket[0].tt.argument_bytes + c->bucket[0].tt.prepared_bytes +
                         c->bucket[0].tt.temporary_bytes;
        printf("Decode alone: %.2f GiB: %s. Fewer --slots, a smaller --ctx or more chips make it smaller.\n",
               mib(decode) / 1024, decode <= m.usable ? "fits" : "does not fit");
    }
    if (r->parameters_on_host)
        printf("Weights as uploaded stay in the host's memory, %.1f MiB for each chip; each program prepares its own "
               "copy on the chip once.\n", mib(r->parameter_bytes));
}

static void tt_operations(const Compiled *c) {
    printf("\n| operation of a step |");
    for (int i = 0; i < c->count; i++) printf(" %s |", c->bucket[i].name);
    printf("\n|---|");
    for (int i = 0; i < c->count; i++) printf("---|");
    printf("\n");
    for (int i = 0; i < c->count; i++)
        for (int k = 0; k < c->bucket[i].tt.ops; k++) {
            const char *name = c->bucket[i].tt.op[k].name;
            int64_t count[MAX_BUCKETS] = {0};
            bool shown = false;
            for (int j = 0; j < c->count; j++)
                for (int m = 0; m < c->bucket[j].tt.ops; m++)
                    if (!strcmp(c->bucket[j].tt.op[m].name, name)) {
                        count[j] = c->bucket[j].tt.op[m].count;
                        shown |= j < i;
                    }
            if (shown) continue;
            printf("| ttnn.%s |", name);
            for (int j = 0; j < c->count; j++) printf(" %lld |", (long long)count[j]);
            printf("\n");
        }
}

static void plain_table(const Compiled *c) {
    printf("\n| program | compile s | size MiB | arguments MiB | temporaries MiB |\n|---|---|---|---|---|\n");
    for (int i = 0; i < c->count; i++) {
        const CompiledBucket *b = &c->bucket[i];
        printf("| %s | %.2f |", b->name, b->seconds);
        if (b->program_bytes < 0) printf(" not said |");
        else printf(" %.2f |", mib(b->program_bytes));
        if (b->has_memory) printf(" %.1f | %.1f |\n", mib(b->memory.arguments), mib(b->memory.temporaries));
        else printf(" not said | not said |\n");
    }
}

void compiled_markdown(const Compiled *c) {
    printf("%s on mesh %s, %s: %s plugin, %s%s%s; %lld slots a replica, %lld cache positions, prefill of %lld rows\n",
           c->model, c->partition->mesh.text, c->type, c->plugin->platform, c->plugin->device_kind,
           c->desc ? " of " : "", c->desc ? c->desc : "", (long long)c->slots, (long long)c->positions,
           (long long)c->rows);
    if (c->bucket[0].has_tt) {
        tt_table(c);
        tt_memory(c);
        tt_operations(c);
    } else plain_table(c);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

void compiled_int(json_t *object, const char *name, int64_t value) {
    json_object_set_new(object, name, json_integer((json_int_t)value));
}

void compiled_tt_ops(json_t *o, const TtReport *r) {
    json_t *ops = json_object(), *collectives = json_object();
    for (int i = 0; i < r->ops; i++) compiled_int(ops, r->op[i].name, r->op[i].count);
    for (int k = 0; k < TT_COLLECTIVES; k++)
        json_object_set_new(collectives, tt_collective_name((TtCollective)k),
                            json_pack("{s:I,s:I}", "x", (json_int_t)r->collective[k][0], "y",
                                      (json_int_t)r->collective[k][1]));
    json_object_set_new(o, "ops", ops);
    json_object_set_new(o, "collectives", collectives);
    compiled_int(o, "host_ops", r->host_ops);
    compiled_int(o, "host_moves", r->host_moves);
}

bool compiled_print(json_t *o, Err *err) {
    char *dump = json_dumps(o, JSON_INDENT(1));
    json_decref(o);
    if (!dump) return err_as(err, QM_MEMORY, "out of memory: report");
    printf("%s\n", dump);
    free(dump);
    return true;
}

static json_t *tt_json(const TtReport *r) {
    json_t *o = json_object();
    compiled_tt_ops(o, r);
    compiled_int(o, "const_evals", r->const_evals);
    compiled_int(o, "const_evals_on_host", r->const_eval_host);
    compiled_int(o, "inputs", r->inputs);
    compiled_int(o, "parameters", r->parameters);
    compiled_int(o, "attention_ops_in_ttir", r->attention);
    compiled_int(o, "parameter_bytes", r->parameter_bytes);
    json_object_set_new(o, "parameters_on_host", json_boolean(r->parameters_on_host));
    compiled_int(o, "argument_bytes", r->argument_bytes);
    compiled_int(o, "prepared_bytes", r->prepared_bytes);
    compiled_int(o, "temporary_bytes", r->temporary_bytes);
    compiled_int(o, "relayout_bytes", r->relayout_bytes);
    return o;
}

static json_t *bucket_json(const CompiledBucket *b) {
    json_t *o = json_object();
    json_object_set_new(o, "name", json_string(b->name));
    json_object_set_new(o, "compile_seconds", json_real(b->seconds));
    compiled_int(o, "text_bytes", b->text_bytes);
    if (b->program_bytes >= 0) compiled_int(o, "program_bytes", b->program_bytes);
    if (b->has_memory) {
        compiled_int(o, "argument_bytes", b->memory.arguments);
        compiled_int(o, "temporary_bytes", b->memory.temporaries);
    }
    if (b->has_tt) json_object_set_new(o, "tt", tt_json(&b->tt));
    return o;
}

bool compiled_json(const Compiled *c, Err *err) {
    ChipMemory m;
    json_t *o = json_object(), *buckets = json_array();
    json_object_set_new(o, "model", json_string(c->model));
    json_object_set_new(o, "mesh", json_string(c->partition->mesh.text));
    json_object_set_new(o, "type", json_string(c->type));
    json_object_set_new(o, "plugin", json_string(c->plugin->platform));
    json_object_set_new(o, "device", json_string(c->plugin->device_kind));
    if (c->desc) json_object_set_new(o, "system_desc", json_string(c->desc));
    compiled_int(o, "layers", c->layers);
    compiled_int(o, "slots", c->slots);
    compiled_int(o, "positions", c->positions);
    compiled_int(o, "rows", c->rows);
    for (int i = 0; i < c->count; i++) json_array_append_new(buckets, bucket_json(&c->bucket[i]));
    json_object_set_new(o, "programs", buckets);
    if (compiled_memory(c, &m)) {
        json_t *chip = json_object();
        json_object_set_new(chip, "arch", json_string(c->bucket[0].tt.arch));
        compiled_int(chip, "dram_bytes", m.dram);
        compiled_int(chip, "usable_bytes", m.usable);
        compiled_int(chip, "needed_bytes", m.total);
        json_object_set_new(chip, "fits", json_boolean(m.total <= m.usable));
        json_object_set_new(o, "chip", chip);
    }
    return compiled_print(o, err);
}
