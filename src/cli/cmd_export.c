/* cmd_export.c: `export`: the programs of a model on a mesh as StableHLO text, with a manifest, from config.json
 * alone. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "../base/output.h"
#include "../io/json.h"
#include "programs.h"

typedef struct Export { Programs programs; const char *folder; json_t *buckets; } Export;

static json_t *arguments_json(const Lower *l, const LowerArgument *list, int count) {
    static const char *const roles[] = {[ROLE_STEP] = "step",     [ROLE_VALUE] = "value",   [ROLE_SHARD] = "shard",
                                        [ROLE_WEIGHT] = "weight", [ROLE_RESULT] = "result", [ROLE_STATE] = "cache"};
    static const char *const splits[] = {"", "dp", "tp", "dp,tp"};
    json_t *out = json_array();
    for (int i = 0; i < count; i++) {
        const LowerArgument *a = &list[i];
        json_t *local = json_array(), *global = json_array(), *split = json_array();
        for (int d = 0; d < a->rank; d++) {
            json_array_append_new(local, json_integer(a->dim[d]));
            json_array_append_new(global, json_integer(lower_global(l, a, d)));
            json_array_append_new(split, json_string(splits[a->split[d]]));
        }
        json_t *o = json_pack("{s:s,s:s,s:s,s:o,s:o,s:o}", "name", a->name, "role", roles[a->role], "type", a->type,
                              "shape", global, "local_shape", local, "split", split);
        const Node *n = &l->program->graph.nodes[a->node];
        if (o && a->node && n->kind == NODE_WEIGHT) json_object_set_new(o, "weight", json_string(n->name));
        if (o && a->node && n->kind == NODE_OP && a->role != ROLE_STATE)
            json_object_set_new(o, "value_of", json_string(n->op->name));
        json_array_append_new(out, o);
    }
    return out;
}

static bool export_bucket(Export *e, const Bucket *b, Err *err) {
    Lower l;
    Text text = {0};
    char name[64], file[80];
    bucket_name(b, name, sizeof name);
    snprintf(file, sizeof file, "%s.mlir", name);
    for (char *c = file; *c; c++)
        if (*c == ' ') *c = '_';
    Programs *p = &e->programs;
    p->lower.bucket = *b;
    bool ok = lower_program(&l, &p->program, &p->lower, &text, err) &&
              output_write(e->folder, file, text.data, text.bytes, err);
    if (ok) {
        json_array_append_new(e->buckets, json_pack("{s:s,s:s,s:I,s:I,s:I,s:o,s:o}", "name", name, "file", file,
                                                    "slots", (json_int_t)b->slots, "rows", (json_int_t)b->rows,
                                                    "logit_rows", (json_int_t)b->logit_rows, "arguments",
                                                    arguments_json(&l, l.arguments, l.argument_count), "results",
                                                    arguments_json(&l, l.results, l.result_count)));
        printf("%s/%s: %zu bytes\n", e->folder, file, text.bytes);
    }
    lower_free(&l);
    text_free(&text);
    return ok;
}

static bool export_all(Export *e, Err *err) {
    const Programs *p = &e->programs;
    const Mesh *mesh = &p->partition.mesh;
    e->buckets = json_array();
    if (mkdir(e->folder, 0777) != 0 && errno != EEXIST)
        return err_as(err, QM_IO, "cannot make %s: %s", e->folder, strerror(errno));
    for (int i = 0; i < p->buckets; i++)
        if (!export_bucket(e, &p->bucket[i], err)) return false;
    json_t *manifest = json_pack("{s:s,s:s,s:i,s:i,s:s,s:I,s:I,s:O}", "format", "qwenmesh export 1", "mesh", mesh->text,
                                 "dp", mesh->dp, "tp", mesh->tp, "type", p->lower.type, "cache_slots_per_replica",
                                 (json_int_t)p->lower.cache_slots, "cache_positions", (json_int_t)p->lower.positions,
                                 "buckets", e->buckets);
    char *dump = manifest ? json_dumps(manifest, JSON_INDENT(1)) : NULL;
    bool ok = dump ? output_write(e->folder, "manifest.json", dump, strlen(dump), err)
                   : err_as(err, QM_MEMORY, "out of memory: manifest");
    free(dump);
    json_decref(manifest);
    return ok;
}

int cmd_export(int argc, char **argv) {
    Export *e = calloc(1, sizeof *e);
    ProgramsOptions o = PROGRAMS_DEFAULTS;
    Err err = {0};
    int first = 0;
    if (!e) return EXIT_FAILED;
    const Option options[] = {
        PROGRAMS_OPTIONS(o),
        TEXT("out", 'o', &e->folder, "DIR", "where the programs and manifest.json go"),
        TEXT("weights", 0, &o.type, "TYPE", "bf16 (default) or f32"),
    };
    int code =
        options_parse(argc, argv, "export MODEL --mesh 2x4 -o DIR [options]",
                      "The programs take whole arrays in the shapes and shardings of manifest.json; of role step: this "
                      "step's values,\n"
                      "value_of embed and rope_table: computed by the host; cache arguments are given back as results.",
                      options, (int)(sizeof options / sizeof *options), &first);
    if (code < 0) code = programs_arguments("export", &o, argc, argv, first);
    if (code < 0 && (!o.model || !e->folder)) code = usage_error("export", "expected MODEL and -o DIR");
    if (code < 0) {
        e->programs.lower.type = o.type ? o.type : "bf16";
        bool ok = programs_open(&e->programs, &o, &err) && export_all(e, &err) &&
                  file_finish(stdout, "standard output", &err);
        code = ok ? EXIT_OK : fail(&err);
        json_decref(e->buckets);
        programs_close(&e->programs);
    }
    free(e);
    return code;
}
