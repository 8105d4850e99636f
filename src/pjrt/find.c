/* find.c: where plugins are: named by the environment, beside the program, or in Python packages. Never in the folder
 * one happens to stand in: a plugin is code. */
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../base/program_path.h"
#include "plugin.h"

/* ---- What is looked for ------------------------------------------------------------------------------------------ */

enum { FILES = 4 };
typedef struct Kind {
    const char *name, *variable;
    const char *package[FILES]; /* below site-packages, the preferred first; in plugins/ by the last part */
    const char *get;            /* how to come by one */
} Kind;

static const Kind kinds[] = {
    [PLUGIN_OTHER] = {.name = "other"},
    [PLUGIN_CPU] = {"cpu", "QWENMESH_PLUGIN_CPU",
                    {"lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so", "xla_plugins/xla_cpu_pjrt/xla_cpu_pjrt.so"},
                    "`make plugins` brings it"},
    [PLUGIN_TT] = {"tt", "QWENMESH_PLUGIN_TT", {"jax_plugins/libtt/libtt.so", "pjrt_plugin_tt/pjrt_plugin_tt.so"},
                   "`make plugins` brings libtt.so, or install pjrt-plugin-tt"},
    [PLUGIN_CUDA] = {"cuda", "QWENMESH_PLUGIN_CUDA",
                     {"jax_plugins/xla_cuda13/xla_cuda_plugin.so", "jax_plugins/xla_cuda12/xla_cuda_plugin.so"},
                     "pip install jax-cuda13-pjrt with its nvidia packages"},
    [PLUGIN_TPU] = {"tpu", "QWENMESH_PLUGIN_TPU", {"libtpu/libtpu.so"}, "pip install libtpu"},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *plugin_kind_name(PluginKind kind) { return kinds[kind].name; }

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* What a file's own name says it is. */
static PluginKind kind_of(const char *path) {
    const char *file = last_part(path);
    for (int k = PLUGIN_CPU; k < KINDS; k++)
        for (int f = 0; f < FILES && kinds[k].package[f]; f++)
            if (!strcmp(file, last_part(kinds[k].package[f]))) return (PluginKind)k;
    if (strstr(file, "cuda") || strstr(file, "gpu")) return PLUGIN_CUDA;
    if (strstr(file, "tpu")) return PLUGIN_TPU;
    return strstr(file, "cpu") ? PLUGIN_CPU : PLUGIN_OTHER;
}

/* ---- Where ------------------------------------------------------------------------------------------------------- */

/* Places in order; a glob pattern each. */
typedef struct Places { Text list; /* NUL-separated */ int count; } Places;

static void add_place(Places *places, const char *start, const char *rest) {
    if (!start || *start != '/') return; /* relative to wherever one stands: not looked at */
    for (const char *p = start; *p; p++) { /* it is a path, no pattern */
        if (strchr("*?[\\", *p)) text_add(&places->list, "\\", 1);
        text_add(&places->list, p, 1);
    }
    text_add(&places->list, rest, strlen(rest));
    text_add(&places->list, "", 1);
    places->count++;
}

static void project_places(Places *places) {
    char program[PROGRAM_FOLDER_BYTES];
    if (program_folder(program, NULL)) add_place(places, program, "/plugins");
}

static void python_places(Places *places) {
    add_place(places, getenv("VIRTUAL_ENV"), "/lib/python3*/site-packages");
    add_place(places, getenv("CONDA_PREFIX"), "/lib/python3*/site-packages");
    add_place(places, getenv("HOME"), "/.local/lib/python3*/site-packages");
    add_place(places, "/usr/local/lib/", "python3*/*-packages");
    add_place(places, "/usr/lib/", "python3*/*-packages");
}

static bool take_file(const char *path, PluginKind kind, PluginFile *out) {
    /* dlopen looks for a name without '/' in the system's folders, not where the file is */
    const char *here = strchr(path, '/') ? "" : "./";
    *out = (PluginFile){.kind = kind};
    return file_exists(path) && snprintf(out->path, sizeof out->path, "%s%s", here, path) < (int)sizeof out->path;
}

static bool same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Adds the files `place`/`name` (place: a pattern) that are not in the list yet. */
static int add_files(const char *place, const char *name, PluginKind kind, PluginFile *out, int count, int max) {
    char pattern[2 * PROGRAM_FOLDER_BYTES];
    glob_t found = {0};
    if (snprintf(pattern, sizeof pattern, "%s/%s", place, name) >= (int)sizeof pattern) return count;
    int code = glob(pattern, 0, NULL, &found);
    if (code == GLOB_NOSPACE) return count; /* glibc has freed some of it then */
    if (code == 0) {
        for (size_t i = found.gl_pathc; i-- > 0 && count < max;) { /* the newest Python first */
            bool known = false;
            for (int j = 0; j < count; j++) known |= same_file(out[j].path, found.gl_pathv[i]);
            if (!known && take_file(found.gl_pathv[i], kind, &out[count])) count++;
        }
    }
    globfree(&found);
    return count;
}

static int list_kind(PluginKind kind, PluginFile *out, int count, int max) {
    const char *named = getenv(kinds[kind].variable);
    if (named && count < max && take_file(named, kind, &out[count])) count++;
    Places project = {0}, python = {0};
    project_places(&project);
    python_places(&python);
    const char *place = project.list.data;
    for (int i = 0; place && i < project.count; i++, place += strlen(place) + 1)
        for (int f = 0; f < FILES && kinds[kind].package[f]; f++)
            count = add_files(place, last_part(kinds[kind].package[f]), kind, out, count, max);
    place = python.list.data;
    for (int i = 0; place && i < python.count; i++, place += strlen(place) + 1)
        for (int f = 0; f < FILES && kinds[kind].package[f]; f++)
            count = add_files(place, kinds[kind].package[f], kind, out, count, max);
    text_free(&project.list);
    text_free(&python.list);
    return count;
}

int plugin_list(PluginFile *out, int max) {
    int count = 0;
    for (int kind = PLUGIN_CPU; kind < KINDS; kind++) count = list_kind((PluginKind)kind, out, count, max);
    return count;
}

/* ---- One of them ------------------------------------------------------------------------------------------------- */

static bool not_found(PluginKind kind, Err *err) {
    const Kind *k = &kinds[kind];
    Places places = {0};
    Text text = {0};
    project_places(&places);
    python_places(&places);
    const char *place = places.list.data;
    for (int i = 0; place && i < places.count; i++, place += strlen(place) + 1) text_line(&text, " %s", place);
    Text names = {0};
    for (int f = 0; f < FILES && k->package[f]; f++) text_line(&names, "%s%s", f ? ", " : "", k->package[f]);
    err_as(err, QM_USAGE,
           "no PJRT plugin for %s: %s. Looked for %s (in plugins/ by its last part) in:%s, and at %s, which is %s",
           k->name, k->get, names.data ? names.data : "it", text.data ? text.data : "", k->variable,
           getenv(k->variable) ? "set" : "not set");
    text_free(&places.list);
    text_free(&names);
    text_free(&text);
    return false;
}

bool plugin_find(const char *name, PluginFile *out, Err *err) {
    size_t n = strlen(name);
    if (strchr(name, '/') || (n > 3 && !strcmp(name + n - 3, ".so"))) {
        if (n + 2 >= sizeof out->path)
            return err_as(err, QM_USAGE, "a PJRT plugin's path: expected less than %zu bytes, got %zu",
                          sizeof out->path - 2, n);
        return take_file(name, kind_of(name), out) ||
               err_as(err, QM_USAGE, "no PJRT plugin at %s%s: expected a file", strchr(name, '/') ? "" : "./", name);
    }
    for (int kind = PLUGIN_CPU; kind < KINDS; kind++) {
        if (strcmp(name, kinds[kind].name) != 0) continue;
        const char *named = getenv(kinds[kind].variable);
        if (named && *named)
            return take_file(named, (PluginKind)kind, out) ||
                   err_as(err, QM_USAGE, "%s: expected a plugin's file, got %s", kinds[kind].variable, named);
        return list_kind((PluginKind)kind, out, 0, 1) == 1 || not_found((PluginKind)kind, err);
    }
    return err_as(err, QM_USAGE, "unknown PJRT plugin '%s': expected cpu, tt, cuda, tpu or a plugin's file", name);
}
