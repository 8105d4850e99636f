/* cmd_env.c: `qwenmesh env`: what is needed to understand a report from another machine, as a markdown list or JSON. */
#include <curl/curl.h>
#include <dirent.h>
#include <gnu/libc-version.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <utf8proc.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include "../base/cgroup.h"
#include "../base/cpu.h"
#include "../cpu/kernels_select.h"
#include "../pjrt/client.h"
#include "../pjrt/plugin.h"
#include "../pjrt/tt_desc.h"
#include "cli.h"

/* ---- Facts: each is one line of the list and one member of the object ------------------------------------------- */

typedef struct Facts {
    json_t *object;
    Text list;
    bool failed;
} Facts;

/* Adds a fact; takes `value`. The text of the line is printf'ed. */
__attribute__((format(printf, 5, 6))) static void fact(Facts *f, const char *key, json_t *value, const char *label,
                                                       const char *format, ...) {
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) text = NULL, f->failed = true;
    va_end(args);
    text_line(&f->list, "- %s: %s\n", label, text ? text : "");
    free(text);
    if (!value || json_object_set_new(f->object, key, value) != 0) f->failed = true;
}

static void fact_text(Facts *f, const char *key, const char *label, const char *text) {
    json_t *value = json_string(text);
    fact(f, key, value ? value : json_null(), label, "%s", value ? text : "not UTF-8");
}

static void fact_bytes(Facts *f, const char *key, const char *label, int64_t bytes) {
    fact(f, key, json_integer(bytes), label, bytes > 0 ? "%.1f GiB" : "unknown", (double)bytes / (1 << 30));
}

/* ---- What the system says ---------------------------------------------------------------------------------------- */

/* The rest of the first line of `path` that starts with `prefix`, without quotes; false when there is none. */
static bool line_of(const char *path, const char *prefix, char *out, size_t size) {
    char line[512];
    FILE *file = fopen(path, "re");
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        if (strncmp(line, prefix, strlen(prefix)) != 0) continue;
        const char *start = line + strlen(prefix);
        start += strspn(start, " \t:=\"");
        snprintf(out, size, "%.*s", (int)strcspn(start, "\"\n"), start);
        found = true;
    }
    if (file) fclose(file);
    return found;
}

/* The word in brackets, as in "always [madvise] never". */
static bool chosen_word(const char *path, char *out, size_t size) {
    char line[256];
    if (!line_of(path, "", line, sizeof line)) return false;
    const char *start = strchr(line, '[');
    if (!start) return false;
    snprintf(out, size, "%.*s", (int)strcspn(start + 1, "]"), start + 1);
    return true;
}

static int numa_nodes(void) {
    int count = 0;
    DIR *folder = opendir("/sys/devices/system/node");
    for (struct dirent *e; folder && (e = readdir(folder));) {
        int64_t number;
        count += !strncmp(e->d_name, "node", 4) && parse_int(e->d_name + 4, 0, 4095, &number);
    }
    if (folder) closedir(folder);
    return count;
}

static void facts_program(Facts *f) {
    fact_text(f, "qwenmesh", "`qwenmesh` version", QM_VERSION);
#if defined(__clang__)
    fact_text(f, "compiler", "Compiler", __VERSION__);
#else
    fact_text(f, "compiler", "Compiler", "gcc " __VERSION__);
#endif
    char text[256];
    snprintf(text, sizeof text, "glibc %s", gnu_get_libc_version());
    fact_text(f, "c_library", "C library", text);

    char pcre2[64] = "unknown";
    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof pcre2) pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    const struct { const char *name, *version; } libraries[] = {
        {"jansson", jansson_version_str()},
        {"pcre2", pcre2},
        {"utf8proc", utf8proc_version()},
        {"libcurl", curl_version_info(CURLVERSION_NOW)->version},
        {"openssl", OpenSSL_version(OPENSSL_VERSION_STRING)},
    };
    json_t *object = json_object();
    Text list = {0};
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        json_object_set_new(object, libraries[i].name, json_string(libraries[i].version));
        text_line(&list, "%s%s %.*s", i ? ", " : "", libraries[i].name, (int)strcspn(libraries[i].version, " "),
                  libraries[i].version);
    }
    fact(f, "libraries", object, "Libraries", "%s", list.data ? list.data : "");
    text_free(&list);
}

static void facts_system(Facts *f) {
    struct utsname u;
    char os[256] = "unknown", text[512] = "unknown";
    line_of("/etc/os-release", "PRETTY_NAME", os, sizeof os);
    fact_text(f, "os", "Operating system", os);
    if (uname(&u) == 0) snprintf(text, sizeof text, "%s %s %s", u.sysname, u.release, u.machine);
    fact_text(f, "kernel", "Kernel", text);
}

static void facts_cpu(Facts *f) {
    char model[256] = "unknown";
    line_of("/proc/cpuinfo", "model name", model, sizeof model);
    fact_text(f, "cpu", "CPU", model);
    fact(f, "cores_usable", json_integer(cpu_cores_usable()), "Cores usable", "%d", cpu_cores_usable());
    fact(f, "threads", json_integer(cgroup_threads()), "Default of --threads", "%d", cgroup_threads());

    CpuFeatures features = cpu_features();
    json_t *names = json_array();
    Text has = {0}, lacks = {0};
#define X(name)                                                                                                       \
    if (features.name) json_array_append_new(names, json_string(#name));                                              \
    text_line(features.name ? &has : &lacks, " " #name);
    CPU_FEATURES(X)
#undef X
    fact(f, "cpu_features", names, "CPU features", "%s (without:%s)", has.data ? has.data + 1 : "none",
         lacks.data ? lacks.data : " none");
    text_free(&has);
    text_free(&lacks);
    fact_text(f, "kernels", "Active kernels", kernels_select(NULL, NULL)->isa); /* plain C is always there */
    fact_text(f, "activations", "Activations by default",
              "int8 where weights are quantised, else f32 (run, chat, generate, bench); f32 (other commands); "
              "the type of the weights (PJRT)");
}

static void facts_memory(Facts *f) {
    int64_t total, available = cpu_memory_available(&total);
    fact_bytes(f, "memory_bytes", "Memory", total);
    fact_bytes(f, "memory_available_bytes", "Memory available", available);
    int nodes = numa_nodes();
    fact(f, "numa_nodes", json_integer(nodes), "NUMA nodes", nodes > 0 ? "%d" : "unknown", nodes);
    char mode[64] = "unknown";
    chosen_word("/sys/kernel/mm/transparent_hugepage/enabled", mode, sizeof mode);
    fact_text(f, "huge_pages", "Transparent huge pages", mode);
}

static bool facts_bandwidth(Facts *f, double seconds, Err *err) {
    double rate = cpu_read_bandwidth(0, seconds, err);
    if (rate <= 0) return false;
    fact(f, "read_bandwidth", json_real(rate), "Read bandwidth", "%.1f GB/s (measured now, threads: %d)", rate / 1e9,
         cpu_cores_usable());
    return true;
}

/* ---- Plugins ----------------------------------------------------------------------------------------------------- */

/* Files found; nothing is loaded. */
static void facts_plugins(Facts *f) {
    enum { MOST = 64 };
    PluginFile *file = calloc(MOST, sizeof *file);
    int count = file ? plugin_list(file, MOST) : 0;
    json_t *array = json_array();
    Text list = {0};
    for (int i = 0; i < count; i++) {
        const char *name = plugin_kind_name(file[i].kind);
        json_array_append_new(array, json_pack("{s:s,s:s}", "name", name, "file", file[i].path));
        text_line(&list, "%s%s %s", i ? ", " : "", name, file[i].path);
    }
    fact(f, "pjrt_plugins", array, "PJRT plugins", "%s", list.data ? list.data : "none (`make plugins` brings some)");
    text_free(&list);
    free(file);
}

/* A plugin loaded and its client opened: slow, and the plugin may print. */
static bool facts_plugin(Facts *f, const PjrtOptions *options, Err *err) {
    PjrtClient *client = pjrt_open(options, err);
    if (!client) return false;
    const PjrtInfo *p = pjrt_info(client);
    fact_text(f, "pjrt_file", "PJRT plugin", p->file);
    fact_text(f, "pjrt_platform", "PJRT platform", p->platform);
    fact_text(f, "pjrt_version", "PJRT platform version", p->version);
    fact(f, "pjrt_api", json_sprintf("%d.%d", p->api_major, p->api_minor), "PJRT API", "%d.%d, functions: %d",
         p->api_major, p->api_minor, p->slots);
    fact(f, "pjrt_devices", json_integer(p->devices), "PJRT devices", "%d of kind %s%s", p->devices, p->device_kind,
         p->executes ? "" : ", for compiling only");
    Text text = {0};
    pjrt_attributes(client, &text);
    json_t *object = json_object();
    for (char *line = text.data, *next; line && *line; line = next) {
        next = line + strcspn(line, "\n");
        if (*next) *next++ = 0;
        char *value = strstr(line, " = ");
        if (!value) continue;
        text_line(&f->list, "  - %s\n", line);
        *value = 0;
        json_object_set_new(object, line, json_string(value + 3));
    }
    f->failed |= text.failed || json_object_set_new(f->object, "pjrt_attributes", object) != 0;
    text_free(&text);
    pjrt_close(client);
    return true;
}

int cmd_env(int argc, char **argv) {
    bool json = false, no_bandwidth = false;
    double seconds = 1;
    const char *plugin = NULL, *system_desc = NULL;
    int64_t devices = 1;
    const Option options[] = {
        FLAG("json", 0, &json, "one JSON object instead of a list"),
        FLAG("no-bandwidth", 0, &no_bandwidth, "do not measure memory"),
        FLOAT("seconds", 0, &seconds, 0, 60, "S", "how long to measure (default 1)"),
        TEXT("plugin", 0, &plugin, "FILE|cpu|tt|cuda|tpu", "open a PJRT plugin: cpu, tt, cuda, tpu or a file"),
        INT("devices", 0, &devices, 1, 4096, "N", "with how many devices (default 1)"),
        TEXT("system-desc", 0, &system_desc, "FILE|NAME",
             "the chips that tt compiles for without hardware: .ttsys file, or n150, n300, ..."),
    };
    int code = options_parse(argc, argv, "env [options]", "Paste the list into a report.", options,
                             sizeof options / sizeof *options, NULL);
    if (code >= 0) return code;

    Err err = {0};
    Facts f = {.object = json_object()};
    facts_program(&f);
    facts_system(&f);
    facts_cpu(&f);
    facts_memory(&f);
    facts_plugins(&f);
    char desc[4096];
    bool ok = !system_desc || tt_desc_find(system_desc, desc, sizeof desc, &err);
    const PjrtOptions pjrt = {.plugin = plugin, .devices = (int)devices, .system_desc = system_desc ? desc : NULL};
    ok = ok && (!plugin || facts_plugin(&f, &pjrt, &err)) && (no_bandwidth || facts_bandwidth(&f, seconds, &err));
    char *dump = json ? json_dumps(f.object, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    if (f.failed || !f.object || f.list.failed || (json && !dump)) err_as(&err, QM_MEMORY, "out of memory: facts");
    if (dump) puts(dump);
    else if (f.list.data) text_printable(f.list.data), fputs(f.list.data, stdout);
    ok = file_finish(stdout, "standard output", &err) && ok && !err.kind;
    free(dump);
    json_decref(f.object);
    text_free(&f.list);
    return ok ? EXIT_OK : fail(&err);
}
