/* platform.c: the surroundings of each kind of plugin. Variables of the environment that the user has set stay as they
 * are, except those that PjrtOptions names. */
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "platform.h"

/* ---- Environment ------------------------------------------------------------------------------------------------- */

static bool set(const char *name, const char *value, bool overwrite, Err *err) {
    return setenv(name, value, overwrite) == 0 || err_as(err, QM_IO, "cannot set %s: %s", name, strerror(errno));
}

/* Sets a variable until platform_restore. */
static bool set_for_client(PluginSetting *setting, const char *name, const char *value, Err *err) {
    const char *old = getenv(name);
    char *copy = old ? strdup(old) : NULL;
    if (old && !copy) return err_as(err, QM_MEMORY, "out of memory: %s", name);
    snprintf(setting->variable[setting->count].name, sizeof setting->variable->name, "%s", name);
    setting->variable[setting->count++].old = copy;
    return set(name, value, true, err);
}

/* Appends --name=value to XLA_FLAGS unless the flag is there. An XLA that does not know a flag ends the process. */
static bool add_xla_flag(const char *name, const char *value, Err *err) {
    const char *old = getenv("XLA_FLAGS");
    if (old && strstr(old, name)) return true;
    Text flags = {0};
    text_line(&flags, "%s%s--%s=%s", old ? old : "", old && *old ? " " : "", name, value);
    bool ok = text_ok(&flags, "XLA_FLAGS", err) && set("XLA_FLAGS", flags.data, true, err);
    text_free(&flags);
    return ok;
}

/* The folder `up` levels above a file; false when there is none. */
static bool folder_above(const char *path, int up, char *out, size_t size) {
    char *full = realpath(path, NULL);
    bool ok = full != NULL;
    for (int i = 0; ok && i < up; i++) {
        char *slash = strrchr(full, '/');
        ok = slash && slash != full;
        if (ok) *slash = 0;
    }
    ok = ok && (size_t)snprintf(out, size, "%s", full) < size;
    free(full);
    return ok;
}

/* ---- Tenstorrent ------------------------------------------------------------------------------------------------- */

/* The plugin keeps a file of a fixed name in the temporary folder while its client lives: processes need one each. Not
 * while it is loaded: then it unpacks 400 MB there, under a name of their own, for all processes. */
static bool tt_folder(PluginSetting *setting, Err *err) {
    const char *parent = getenv("TMPDIR");
    setting->folder = path_join(parent && *parent ? parent : "/tmp", "qwenmesh-tt-XXXXXX", err);
    if (!setting->folder) return false;
    if (!mkdtemp(setting->folder)) {
        err_as(err, QM_IO, "cannot make the folder %s: %s", setting->folder, strerror(errno));
        free(setting->folder);
        setting->folder = NULL;
        return false;
    }
    return set_for_client(setting, "TMPDIR", setting->folder, err);
}

static void tt_remove_folder(PluginSetting *setting) {
    char *left = path_join(setting->folder, "tt_pjrt_system_descriptor", NULL); /* of a client that could not be made */
    if (left) unlink(left);
    free(left);
    rmdir(setting->folder);
    free(setting->folder);
    setting->folder = NULL;
}

/* A system description: a FlatBuffer with its size before it and "TTSY" as identifier. The plugin crashes on others. */
static bool tt_check_desc(const char *path, Err *err) {
    MappedFile file;
    if (!file_map(&file, path, err)) return false;
    const uint8_t *d = file.data;
    uint64_t size =
        file.bytes < 12 ? 0 : 4 + (d[0] | (uint64_t)d[1] << 8 | (uint64_t)d[2] << 16 | (uint64_t)d[3] << 24);
    bool ok = size == file.bytes && !memcmp(d + 8, "TTSY", 4);
    if (!ok)
        err_set(err, "%s: expected a Tenstorrent system description (TTSY), got %zu bytes of something else", path,
                file.bytes);
    file_unmap(&file);
    return ok;
}

/* The plugin ends the process when it finds no hardware. */
static bool tt_check_hardware(Err *err) {
    if (folder_exists("/dev/tenstorrent") || getenv("TT_METAL_SIMULATOR") || getenv("TT_METAL_MOCK_CLUSTER_DESC_PATH"))
        return true;
    return err_set(err,
                   "tt: expected Tenstorrent hardware at /dev/tenstorrent, got none; without it programs can only be "
                   "compiled, for the chips of a system description");
}

static bool tt_before_load(PluginSetting *setting, const PluginFile *file, const PjrtOptions *options, Err *err) {
    const char *desc = options->system_desc ? options->system_desc : getenv("TT_COMPILE_ONLY_SYSTEM_DESC");
    char folder[PATH_MAX], metal[PATH_MAX + 16];
    if (desc ? !tt_check_desc(desc, err) : !tt_check_hardware(err)) return false;
    if (folder_above(file->path, 1, folder, sizeof folder)) {
        snprintf(metal, sizeof metal, "%s/tt-metal", folder);
        if (!set("TT_PJRT_PLUGIN_DIR", folder, false, err)) return false;
        if (folder_exists(metal) && !set("TT_METAL_RUNTIME_ROOT", metal, false, err)) return false;
    }
    if (!set("TTXLA_LOGGER_LEVEL", "ERROR", false, err) || !set("TT_LOGGER_LEVEL", "error", false, err)) return false;
    return !options->system_desc || set_for_client(setting, "TT_COMPILE_ONLY_SYSTEM_DESC", options->system_desc, err);
}

/* ---- CUDA -------------------------------------------------------------------------------------------------------- */

/* Python packages put each library in a folder of its own that the loader does not know, so they are loaded first,
 * those that others need before them. One that is missing may still be found by the system: the plugin's own load says
 * so. */
static void cuda_libraries(const char *site) {
    static const char *const names[] = {"libcudart",    "libnvJitLink", "libnvrtc", "libcublasLt", "libcublas",
                                        "libnccl",      "libcupti",     "libcusparse", "libcusolver", "libcufft",
                                        "libnvshmem_host", "libcudnn"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char pattern[PATH_MAX + 64];
        glob_t found = {0};
        snprintf(pattern, sizeof pattern, "%s/nvidia/*/lib/%s.so*", site, names[i]);
        int code = glob(pattern, 0, NULL, &found);
        if (code == GLOB_NOSPACE) return;
        if (code == 0)
            for (size_t j = 0; j < found.gl_pathc; j++)
                if (dlopen(found.gl_pathv[j], RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE)) break;
        globfree(&found);
    }
}

/* XLA looks here for libdevice and ptxas. */
static bool cuda_data(const char *site, Err *err) {
    char pattern[PATH_MAX + 64];
    glob_t found = {0};
    bool ok = true;
    snprintf(pattern, sizeof pattern, "%s/nvidia/*/nvvm/libdevice", site);
    int code = glob(pattern, 0, NULL, &found);
    if (code == GLOB_NOSPACE) return err_as(err, QM_MEMORY, "out of memory: %s", pattern);
    if (code == 0) {
        char folder[PATH_MAX];
        if (folder_above(found.gl_pathv[0], 2, folder, sizeof folder))
            ok = add_xla_flag("xla_gpu_cuda_data_dir", folder, err);
    }
    globfree(&found);
    return ok;
}

static bool cuda_before_load(const PluginFile *file, Err *err) {
    char site[PATH_MAX]; /* <site>/jax_plugins/xla_cuda13/xla_cuda_plugin.so */
    if (!folder_above(file->path, 3, site, sizeof site)) return true;
    cuda_libraries(site);
    return cuda_data(site, err);
}

/* Boards whose GPU uses the system's memory: taking most of it at once has hung them. */
static bool cuda_shares_memory(void) {
    glob_t found = {0};
    bool shares = false;
    int code = glob("/proc/driver/nvidia/gpus/*/information", 0, NULL, &found);
    if (code == GLOB_NOSPACE) return false;
    if (code == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            char line[256];
            FILE *file = fopen(found.gl_pathv[i], "re");
            while (file && fgets(line, sizeof line, file))
                shares |= !strncmp(line, "Model:", 6) && strstr(line, "GB10");
            if (file) fclose(file);
        }
    }
    globfree(&found);
    return shares;
}

/* ---- TPU --------------------------------------------------------------------------------------------------------- */

/* Away from Google's machines libtpu asks their metadata server for ever. */
static bool tpu_before_load(Err *err) {
    char product[128] = "";
    FILE *file = fopen("/sys/class/dmi/id/product_name", "re");
    if (file) {
        if (!fgets(product, sizeof product, file)) product[0] = 0;
        fclose(file);
        product[strcspn(product, "\n")] = 0;
    }
    if (strstr(product, "Google") || getenv("TPU_SKIP_MDS_QUERY")) return true;
    return err_set(err,
                   "tpu: expected a Google Cloud machine, got '%s'; libtpu would wait for its metadata server for ever "
                   "(set TPU_SKIP_MDS_QUERY=1 if this machine has TPUs)",
                   product[0] ? product : "unknown");
}

/* ---- XLA CPU ----------------------------------------------------------------------------------------------------- */

/* Every execution allocates its temporaries anew, on every device: without this malloc gives them back to the system
 * each time, whose zeroing of new pages takes 8 % of a prefill on one device and a tenth on 32. */
static void cpu_before_load(void) {
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
}

/* ---- All kinds --------------------------------------------------------------------------------------------------- */

/* Why a plugin's devices cannot be those of several processes; NULL: they can. */
static const char *one_process(PluginKind kind) {
    switch (kind) {
    case PLUGIN_CUDA: break;
    case PLUGIN_CPU: return "XLA CPU has no collectives between processes";
    case PLUGIN_TT: return "one process drives all of Tenstorrent's devices";
    case PLUGIN_TPU: return "TPUs find their hosts in a way of their own, which is not tried";
    case PLUGIN_OTHER: return "what its client wants to know of the others is not known";
    }
    return NULL;
}

bool platform_before_load(PluginSetting *setting, const PluginFile *file, const PjrtOptions *options, Err *err) {
    const char *alone = options->nodes > 1 ? one_process(file->kind) : NULL;
    if (alone)
        return err_set(err, "%s: expected the cuda plugin for one program on %d ranks, got %s (%s): start it alone",
                       file->path, options->nodes, plugin_kind_name(file->kind), alone);
    if (options->system_desc && file->kind != PLUGIN_TT)
        return err_set(err, "a system description is for the tt plugin, not for %s", file->path);
    if (!set("TF_CPP_MIN_LOG_LEVEL", "3", false, err)) return false; /* what ends the process; errors come back to us */
    switch (file->kind) {
    case PLUGIN_TT: return tt_before_load(setting, file, options, err);
    case PLUGIN_CUDA: return cuda_before_load(file, err);
    case PLUGIN_TPU: return tpu_before_load(err);
    case PLUGIN_CPU: cpu_before_load(); break;
    case PLUGIN_OTHER: break;
    }
    return true;
}

/* XLA CPU ends the process when a device waits 40 s for another in a collective, which many devices on few cores may
 * need to. XLA reads its flags when its first client is made. The flags came with API 0.80. */
enum { COLLECTIVE_FLAGS_MINOR = 80 };

bool platform_before_client(PluginSetting *setting, const Plugin *plugin, Err *err) {
    if (plugin->file.kind == PLUGIN_TT) return tt_folder(setting, err);
    if (plugin->file.kind != PLUGIN_CPU || plugin->api->version.minor < COLLECTIVE_FLAGS_MINOR) return true;
    return add_xla_flag("xla_cpu_collective_call_warn_stuck_timeout_seconds", "300", err) &&
           add_xla_flag("xla_cpu_collective_call_terminate_timeout_seconds", "1800", err);
}

void platform_restore(PluginSetting *setting) {
    while (setting->count) {
        setting->count--;
        char *old = setting->variable[setting->count].old;
        if (old) setenv(setting->variable[setting->count].name, old, true);
        else unsetenv(setting->variable[setting->count].name);
        free(old);
    }
    if (setting->folder) tt_remove_folder(setting);
}

static PjrtValue option(const char *name, PjrtValueType type, size_t count) {
    return (PjrtValue){
        .struct_size = sizeof(PjrtValue), .name = name, .name_bytes = strlen(name), .type = (int)type, .count = count};
}
static PjrtValue option_int(const char *name, int64_t value) {
    PjrtValue v = option(name, PJRT_INT, 1);
    v.integer = value;
    return v;
}
static PjrtValue option_text(const char *name, const char *text) {
    PjrtValue v = option(name, PJRT_TEXT, strlen(text));
    v.text = text;
    return v;
}

/* Memory is taken as JAX's users know it: XLA_PYTHON_CLIENT_{ALLOCATOR,MEM_FRACTION,PREALLOCATE}. */
static int cuda_options(const PjrtOptions *options, PjrtValue *out) {
    enum { MOST = 64 };
    static int64_t visible[MOST];
    int count = 0;
    const char *allocator = getenv("XLA_PYTHON_CLIENT_ALLOCATOR"), *part = getenv("XLA_PYTHON_CLIENT_MEM_FRACTION");
    const char *preallocate = getenv("XLA_PYTHON_CLIENT_PREALLOCATE");
    double fraction;
    if (allocator && *allocator) out[count++] = option_text("allocator", allocator);
    if (part && parse_float(part, 0.01, 1, &fraction)) {
        out[count] = option("memory_fraction", PJRT_FLOAT, 1);
        out[count++].real = (float)fraction;
    }
    if (preallocate || cuda_shares_memory()) {
        out[count] = option("preallocate", PJRT_BOOL, 1);
        out[count++].flag = preallocate && (!strcmp(preallocate, "1") || !strcmp(preallocate, "true"));
    }
    if (options->devices <= MOST) { /* the others' memory is left alone */
        for (int i = 0; i < options->devices; i++) visible[i] = options->first_device + i;
        out[count] = option("visible_devices", PJRT_INT_LIST, (size_t)options->devices);
        out[count++].list = visible;
    }
    if (options->nodes > 1) {
        out[count++] = option_int("node_id", options->node);
        out[count++] = option_int("num_nodes", options->nodes);
    }
    return count;
}

int platform_options(PluginKind kind, const PjrtOptions *options, PjrtValue out[CREATE_OPTIONS]) {
    switch (kind) {
    case PLUGIN_CPU: /* an old plugin ignores it, a new one refuses names it does not know */
        out[0] = option_int("cpu_device_count", options->devices);
        return 1;
    case PLUGIN_CUDA: return cuda_options(options, out);
    case PLUGIN_TPU:
        out[0] = option_text("ml_framework_name", "qwenmesh");
        out[1] = option_text("ml_framework_version", QM_VERSION);
        return 2;
    case PLUGIN_TT:
    case PLUGIN_OTHER: break;
    }
    return 0;
}
