/* cmd_compile.c: `compile`: every bucket of a mesh through a plugin's compiler, from config.json alone, without weights;
 * for Tenstorrent without hardware too. */
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "../pjrt/tt_desc.h"
#include "compile.h"
#include "compile_train.h"
#include "programs.h"

typedef struct Compile {
    Programs programs;
    PjrtClient *client;
    Compiled result;
} Compile;

/* ---- One bucket -------------------------------------------------------------------------------------------------- */

static bool read_result(CompiledBucket *b, const uint8_t *data, size_t bytes, Err *err) {
    TtResult parts;
    b->has_tt = tt_result_read(data, bytes, &parts, err) && tt_report_read(&parts, &b->tt, err);
    return b->has_tt;
}

static bool look(Compile *c, CompiledBucket *b, const PjrtProgram *program, Err *err) {
    uint8_t *data = NULL;
    size_t bytes = 0;
    bool tt = !strcmp(c->result.plugin->platform, "tt");
    b->has_memory = pjrt_program_memory(program, &b->memory);
    b->program_bytes = -1;
    if (!pjrt_program_serialize(program, &data, &bytes, tt ? err : NULL)) return !tt;
    b->program_bytes = (int64_t)bytes;
    bool ok = !tt || read_result(b, data, bytes, err);
    free(data);
    return ok;
}

static bool compile_bucket(Compile *c, CompiledBucket *b, Err *err) {
    Lower l;
    Text text = {0};
    bool ok;
    PjrtProgram *program = NULL;
    c->programs.lower.bucket = b->bucket;
    bucket_name(&b->bucket, b->name, sizeof b->name);
    ok = lower_program(&l, &c->programs.program, &c->programs.lower, &text, err);
    if (ok) {
        const Mesh *mesh = &c->programs.partition.mesh;
        double start = clock_seconds();
        b->text_bytes = (int64_t)text.bytes;
        program = pjrt_compile(c->client, text.data, text.bytes, mesh->dp * mesh->tp, NULL, err);
        b->seconds = clock_seconds() - start;
        ok = program && look(c, b, program, err);
        if (!ok) err_prefix(err, "%s", b->name);
    }
    pjrt_program_free(program);
    lower_free(&l);
    text_free(&text);
    return ok;
}

/* ---- All of them ------------------------------------------------------------------------------------------------- */

static bool compile_all(Compile *c, Err *err) {
    Progress progress;
    c->result.count = c->programs.buckets;
    progress_start(&progress, "compile", c->result.count);
    bool ok = true;
    for (int i = 0; ok && i < c->result.count; i++) {
        c->result.bucket[i].bucket = c->programs.bucket[i];
        ok = compile_bucket(c, &c->result.bucket[i], err);
        progress_show(&progress, i + 1);
    }
    progress_end(&progress);
    return ok;
}

/* A step must not wait for the host, decode least of all. */
static bool check_host(const Compiled *c, Err *err) {
    for (int i = 0; i < c->count; i++) {
        const CompiledBucket *b = &c->bucket[i];
        if (b->has_tt && b->bucket.rows == 1 && b->tt.host_ops + b->tt.host_moves > 0)
            return err_set(err,
                           "%s: expected every operation on the device, got %lld on the host and %lld transfers in the "
                           "middle of a step, first %s",
                           b->name, (long long)b->tt.host_ops, (long long)b->tt.host_moves, b->tt.host_op);
    }
    return true;
}

static bool open_client(Compile *c, const char *plugin, const char *desc, char *path, size_t size, Err *err) {
    const Mesh *mesh = &c->programs.partition.mesh;
    if (desc && !tt_desc_find(desc, path, size, err)) return false;
    PjrtOptions o = {.plugin = plugin, .devices = mesh->dp * mesh->tp, .system_desc = desc ? path : NULL};
    c->client = pjrt_open(&o, err);
    if (c->client) c->result.plugin = pjrt_info(c->client);
    return c->client != NULL;
}

static void choose_type(Compile *c, const char *asked) {
    bool cpu = !strcmp(c->result.plugin->platform, "cpu");
    c->programs.lower.type = c->result.type = asked ? asked : cpu ? "f32" : "bf16"; /* as the engine does */
}

/* The programs of a training step instead. */
static bool train_run(Compile *c, CompileTrain *t, const ProgramsOptions *o, const char *plugin, Err *err) {
    char path[4096];
    Mesh mesh;
    Source *source = mesh_parse(&mesh, o->mesh, err) ? source_open(o->model, err) : NULL;
    bool known = source && config_load(&c->programs.config, source, err);
    source_close(source);
    c->programs.partition.mesh = mesh;
    if (!known || !open_client(c, plugin, t->desc, path, sizeof path, err)) return false;
    choose_type(c, t->act ? t->act : o->type);
    t->model = o->model, t->type = c->result.type;
    bool ok = compile_train(t, &c->programs.config, &mesh, c->client, err);
    c->programs.partition = (Partition){0};
    return ok;
}

static void compile_free(Compile *c) {
    for (int i = 0; i < c->result.count; i++) tt_report_free(&c->result.bucket[i].tt);
    pjrt_close(c->client);
    programs_close(&c->programs);
    free(c);
}

int cmd_compile(int argc, char **argv) {
    Compile *c = calloc(1, sizeof *c);
    ProgramsOptions o = PROGRAMS_DEFAULTS;
    CompileTrain t = {.plan = {.seq_len = 1024, .batch = 8}};
    bool train = false;
    const char *plugin = "tt", *desc = NULL, *format = "md", *optim = "adamw";
    char path[4096];
    Err err = {0};
    int first = 0;
    if (!c) return EXIT_FAILED;
    const Option options[] = {
        PROGRAMS_OPTIONS(o),
        TEXT("plugin", 0, &plugin, "FILE|NAME", "PJRT plugin: a file, or tt (default), cpu, cuda"),
        TEXT("system-desc", 0, &desc, "FILE|NAME",
             "chips without hardware: .ttsys file, or n150, n300, n300-llmbox, p150, galaxy-32"),
        TEXT("weights", 0, &o.type, "TYPE", "bf16 (default; on cpu f32) or f32"),
        TEXT("output", 'o', &format, "md|json", "md (default) or json"),
        FLAG("train", 0, &train, "the two programs of a step of `train`: gradients, update"),
        INT("seq-len", 0, &t.plan.seq_len, 2, 1 << 20, "N", "with --train: tokens of a row (default 1024)"),
        INT("batch-size", 'b', &t.plan.batch, 1, 1 << 16, "N", "with --train: rows of a step (default 8)"),
        INT("micro-batch", 0, &t.plan.micro, 1, 1 << 16, "N", "with --train: rows that pass at once (default all)"),
        TEXT("optim", 0, &optim, "adamw|sgd", "with --train: the optimizer (default adamw)"),
        INT("lora-r", 0, &t.plan.lora_r, 1, 1 << 12, "R", "with --train: an adapter of this rank, not the model"),
        TEXT("lora-targets", 0, &t.plan.lora_targets, "NAMES", "with --train: linears that get one"),
        TEXT("modules-to-save", 0, &t.plan.modules_to_save, "NAMES", "with --train: modules trained whole beside it"),
        TEXT("act", 0, &t.act, "f32|bf16", "with --train: values and operands of products (default: --weights)"),
        FLAG("ema", 0, &t.plan.ema, "with --train: averages of the weights are kept"),
        FLAG("recompute", 0, &t.plan.recompute, "with --train: layers are computed again"),
    };
    int code = options_parse(argc, argv, "compile MODEL|DIR|config.json --plugin tt --system-desc NAME --mesh 2x4 "
                             "[options]", "Fails if a decode or training step of Tenstorrent's would wait for the host.",
                             options, (int)(sizeof options / sizeof *options), &first);
    if (code < 0) code = programs_arguments("compile", &o, argc, argv, first);
    if (code < 0 && !o.model) code = usage_error("compile", "no model: expected a folder, config.json or .gguf file");
    if (code < 0 && strcmp(format, "md") && strcmp(format, "json"))
        code = usage_error("compile", "-o: expected md or json, got '%s'", format);
    if (code < 0 && (!plan_optimizer(optim, &t.plan.optimizer) || t.plan.optimizer == OPTIMIZER_MUON))
        code = usage_error("compile", "--optim: expected adamw or sgd (muon trains on the CPU engine alone), got '%s'", optim);
    if (code < 0 && t.act && strcmp(t.act, "f32") && strcmp(t.act, "bf16"))
        code = usage_error("compile", "--act: expected f32 or bf16, got '%s'", t.act);
    if (code < 0 && t.act && !train) code = usage_error("compile", "--act is of --train; without it: --weights");
    if (code < 0 && train) {
        t.desc = desc, t.json = !strcmp(format, "json");
        code = train_run(c, &t, &o, plugin, &err) ? EXIT_OK : fail(&err);
    } else if (code < 0) {
        c->result = (Compiled){.model = o.model, .partition = &c->programs.partition, .rows = o.rows};
        bool ok = programs_open(&c->programs, &o, &err) && open_client(c, plugin, desc, path, sizeof path, &err);
        if (ok) {
            choose_type(c, o.type);
            c->result.desc = desc;
            c->result.layers = c->programs.config.layers;
            c->result.slots = c->programs.lower.cache_slots;
            c->result.positions = c->programs.lower.positions;
            ok = compile_all(c, &err);
            if (ok && !strcmp(format, "md")) compiled_markdown(&c->result);
            else if (ok) ok = compiled_json(&c->result, &err);
            ok = ok && check_host(&c->result, &err) && file_finish(stdout, "standard output", &err);
        }
        code = ok ? EXIT_OK : fail(&err);
    }
    compile_free(c);
    return code;
}
