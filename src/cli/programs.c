/* programs.c: see programs.h. */
#include <string.h>
#include "../io/source.h"
#include "programs.h"

int programs_arguments(const char *command, ProgramsOptions *o, int argc, char **argv, int first) {
    if (!o->model && first < argc) o->model = argv[first++];
    if (first < argc) return usage_error(command, "unexpected argument '%s'", argv[first]);
    if (o->type && strcmp(o->type, "bf16") && strcmp(o->type, "f32"))
        return usage_error(command, "--weights: expected bf16 or f32, got '%s'", o->type);
    return -1;
}

bool programs_open(Programs *p, const ProgramsOptions *o, Err *err) {
    Mesh mesh;
    Source *source = mesh_parse(&mesh, o->mesh, err) ? source_open(o->model, err) : NULL;
    bool known = source && config_load(&p->config, source, err);
    source_close(source);
    if (!known || !model_graph(&p->model, &p->config, o->rows, o->context, false, err) ||
        !partition_new(&p->partition, &p->config, &mesh, true, err) ||
        !program_new(&p->program, &p->model.graph, &p->partition, err))
        return false;
    p->lower.cache_slots = bucket_slots(&p->partition, o->slots);
    p->lower.positions = bucket_positions(o->context);
    p->buckets = bucket_list(p->lower.cache_slots, o->rows, 0, p->bucket);
    return true;
}

void programs_close(Programs *p) {
    program_free(&p->program);
    partition_free(&p->partition);
    model_graph_free(&p->model);
}
