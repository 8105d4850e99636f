/* executable.c: compiled programs: from text or from the cache, run, serialised. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "../base/cpu.h"
#include "../base/transport.h"
#include "handle.h"

/* ---- What a compiled program depends on -------------------------------------------------------------------------- */

/* A list of CPU features: native code for one may not run on another. */
static void add_features(Text *out) {
    CpuFeatures f = cpu_features();
#define X(name) text_line(out, "%d", f.name);
    CPU_FEATURES(X)
#undef X
}

static bool program_key(PjrtClient *client, const char *text, size_t bytes, const Text *options, CacheKey *key,
                        Err *err) {
    const PjrtInfo *info = &client->info;
    struct stat st;
    Text attributes = {0}, rest = {0};
    const char *flags = getenv("XLA_FLAGS");
    if (stat(info->file, &st) != 0) st = (struct stat){0};
    pjrt_attributes(client, &attributes); /* the plugin's XLA version, the devices' kinds */
    text_line(&rest, "%s|%s|%s|%d.%d|%d|%d|%d|", info->platform, info->version, info->device_kind, info->api_major,
              info->api_minor, info->devices, info->all_devices, client->nodes > 1 ? client->node : -1);
    text_line(&rest, "%lld|%lld.%09ld|", (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    add_features(&rest);
    const CachePart parts[] = {
        {text, bytes},
        {options->data, options->bytes},
        {attributes.data, attributes.bytes},
        {rest.data, rest.bytes},
        {flags ? flags : "", flags ? strlen(flags) : 0},
    };
    bool ok = text_ok(&attributes, "attributes", err) && text_ok(&rest, "key of a program", err) &&
              cache_key(parts, sizeof parts / sizeof *parts, key, err);
    text_free(&attributes);
    text_free(&rest);
    return ok;
}

/* ---- Compiling and loading --------------------------------------------------------------------------------------- */

static PjrtLoaded *compile(PjrtClient *client, const char *text, size_t bytes, const Text *options, Err *err) {
    PjrtProgramText program = {
        .struct_size = sizeof program, .code = text, .code_bytes = bytes, .format = "mlir", .format_bytes = 4};
    PjrtCompileArgs args = {
        .client = client->client, .program = &program, .options = options->data, .option_bytes = options->bytes};
    if (PLUGIN_CALL(&client->plugin, Client_Compile, args, err) != PJRT_OK) return NULL;
    if (!args.loaded) err_as(err, QM_DEVICE, "PJRT_Client_Compile gave no program and no error");
    return args.loaded;
}

/* A program from the cache; NULL when there is none that the plugin takes. */
static PjrtLoaded *load(PjrtClient *client, const CacheKey *key) {
    size_t bytes;
    uint8_t *data = cache_read(&client->cache, key, &bytes);
    if (!data) return NULL;
    PjrtLoadArgs args = {.client = client->client, .data = (const char *)data, .bytes = bytes};
    PjrtCode code = PLUGIN_CALL(&client->plugin, Executable_DeserializeAndLoad, args, NULL);
    if (code == PJRT_UNIMPLEMENTED) client->info.can_load = false;
    free(data);
    return code == PJRT_OK ? args.loaded : NULL;
}

/* Which of the client's devices each row of arguments is for. */
static bool find_rows(PjrtProgram *program, Err *err) {
    PjrtClient *client = program->client;
    PjrtDevicesArgs args = {.of = program->loaded};
    if (PLUGIN_CALL(&client->plugin, LoadedExecutable_AddressableDevices, args, err) != PJRT_OK) return false;
    int least = client->nodes > 1 ? client->info.devices : 1;
    if (args.count < (size_t)least || args.count > (size_t)client->info.devices)
        return err_as(err, QM_DEVICE, "expected a program for %d to %d devices of this process, got %zu", least,
                      client->info.devices, args.count);
    program->rows = (int)args.count;
    program->row_device = mem_new(args.count, sizeof *program->row_device, "program", err);
    program->result_row = program->row_device ? mem_new(args.count, sizeof *program->result_row, "program", err) : NULL;
    if (!program->result_row) return false;
    for (int r = 0; r < program->rows; r++) {
        int d = 0;
        while (d < client->info.devices && client->device[d] != args.devices[r]) d++;
        if (d >= program->rows)
            return err_as(err, QM_DEVICE, "expected the program to run on devices 0 to %d, but row %d is elsewhere",
                          program->rows - 1, r);
        program->row_device[r] = d;
    }
    return true;
}

static bool read_program(PjrtProgram *program, Err *err) {
    const Plugin *plugin = &program->client->plugin;
    PjrtGetExecutableArgs get = {.loaded = program->loaded};
    if (PLUGIN_CALL(plugin, LoadedExecutable_GetExecutable, get, err) != PJRT_OK) return false;
    program->executable = get.executable;
    PjrtOutputsArgs outputs = {.executable = program->executable};
    if (PLUGIN_CALL(plugin, Executable_NumOutputs, outputs, err) != PJRT_OK) return false;
    if (outputs.count > 65536)
        return err_as(err, QM_DEVICE, "expected at most 65536 results of a program, got %zu", outputs.count);
    program->results = (int)outputs.count;
    if (!find_rows(program, err)) return false;
    size_t cells = outputs.count * (size_t)program->rows;
    program->result = mem_new(cells + 1, sizeof *program->result, "results", err);
    return program->result != NULL;
}

static void keep(PjrtClient *client, const PjrtProgram *program, const CacheKey *key) {
    uint8_t *data;
    size_t bytes;
    if (!client->cache.folder || !client->info.can_load || !pjrt_program_serialize(program, &data, &bytes, NULL))
        return;
    cache_write(&client->cache, key, data, bytes);
    free(data);
}

/* The handle around a loaded executable, which it takes; NULL on error. */
static PjrtProgram *wrap(PjrtClient *client, PjrtLoaded *loaded, Err *err) {
    PjrtProgram *program = mem_new(1, sizeof *program, "program", err);
    if (program) {
        program->client = client;
        program->loaded = loaded;
        if (read_program(program, err)) return program;
        pjrt_program_free(program);
        return NULL;
    }
    PjrtExecutableArgs args = {.executable = loaded};
    PLUGIN_CALL(&client->plugin, LoadedExecutable_Destroy, args, NULL);
    return NULL;
}

/* A program from the cache, or NULL. Of several nodes all load it or none: those that compile one may wait for the
 * others to do so too (XLA shares out its autotuning). */
static PjrtProgram *load_together(PjrtClient *client, bool cached, const CacheKey *key) {
    PjrtLoaded *loaded = cached ? load(client, key) : NULL;
    PjrtProgram *program = loaded ? wrap(client, loaded, NULL) : NULL;
    Err others = {0};
    if (client->nodes < 2 || transport_agree(program != NULL, "programs in the cache", &others)) return program;
    pjrt_program_free(program);
    return NULL;
}

PjrtProgram *pjrt_compile(PjrtClient *client, const char *text, size_t bytes, int partitions, bool *from_cache,
                          Err *err) {
    if (from_cache) *from_cache = false;
    int least = client->nodes > 1 ? client->ids : 1;
    if (partitions < least || partitions > client->ids) {
        err_as(err, QM_DEVICE, "expected a program for %d to %d devices, got %d", least, client->ids, partitions);
        return NULL;
    }
    Text options = {0};
    CacheKey key;
    compile_options(&options, partitions, client->id);
    bool cached = client->cache.folder && client->info.can_load;
    bool ok = text_ok(&options, "compile options", err) &&
              (!cached || program_key(client, text, bytes, &options, &key, err));
    PjrtProgram *program = load_together(client, ok && cached, &key);
    PjrtLoaded *loaded;
    if (program && from_cache) *from_cache = true;
    if (ok && !program && (loaded = compile(client, text, bytes, &options, err)) &&
        (program = wrap(client, loaded, err)) && cached)
        keep(client, program, &key);
    text_free(&options);
    return program;
}

void pjrt_program_free(PjrtProgram *program) {
    if (!program) return;
    const Plugin *plugin = &program->client->plugin;
    PjrtExecutableArgs executable = {.executable = program->executable}, loaded = {.executable = program->loaded};
    if (program->executable) PLUGIN_CALL(plugin, Executable_Destroy, executable, NULL);
    PLUGIN_CALL(plugin, LoadedExecutable_Destroy, loaded, NULL);
    free(program->row_device);
    free(program->argument);
    free(program->argument_row);
    free(program->result);
    free(program->result_row);
    free(program);
}

/* ---- What it is -------------------------------------------------------------------------------------------------- */

int pjrt_program_results(const PjrtProgram *program) { return program->results; }

bool pjrt_program_serialize(const PjrtProgram *program, uint8_t **data, size_t *bytes, Err *err) {
    PjrtSerializeArgs args = {.executable = program->executable};
    if (PLUGIN_CALL(&program->client->plugin, Executable_Serialize, args, err) != PJRT_OK) return false;
    *bytes = args.bytes;
    *data = mem_new(args.bytes + 1, 1, "serialised program", err);
    if (*data && args.bytes) memcpy(*data, args.data, args.bytes);
    if (args.free_holder) args.free_holder(args.holder);
    return *data != NULL;
}

bool pjrt_program_memory(const PjrtProgram *program, PjrtProgramMemory *out) {
    PjrtCompiledMemoryArgs args = {.executable = program->executable};
    if (PLUGIN_CALL(&program->client->plugin, Executable_GetCompiledMemoryStats, args, NULL) != PJRT_OK) return false;
    *out = (PjrtProgramMemory){args.arguments, args.results, args.aliased, args.temporaries, args.code};
    return true;
}

/* ---- Running ----------------------------------------------------------------------------------------------------- */

/* The plugin wants a list of arguments for each row; allocated at the first run, then kept. */
static bool argument_room(PjrtProgram *program, int count, Err *err) {
    size_t cells;
    if (!size_mul((size_t)program->rows, (size_t)count, &cells)) return err_as(err, QM_DEVICE,
                                                                               "too many arguments: %d", count);
    if (!program->argument_row)
        program->argument_row = mem_new((size_t)program->rows, sizeof *program->argument_row, "arguments", err);
    return program->argument_row && mem_grow((void **)&program->argument, &program->argument_capacity, cells + 1,
                                             sizeof(PjrtBuffer *), "arguments", err);
}

bool pjrt_execute(PjrtClient *client, PjrtProgram *program, PjrtBuffer *const *arguments, int argument_count,
                  PjrtBuffer **results, int result_count, Err *err) {
    if (result_count != program->results)
        return err_as(err, QM_DEVICE, "execute: expected room for %d results, got %d", program->results, result_count);
    if (argument_count < 0 || !argument_room(program, argument_count, err))
        return err_as(err, QM_DEVICE, "execute: %d arguments", argument_count);
    size_t count = (size_t)argument_count, outputs = (size_t)result_count;
    for (size_t r = 0; r < (size_t)program->rows; r++) {
        PjrtBuffer *const *from = arguments + (size_t)program->row_device[r] * count;
        for (size_t i = 0; i < count; i++) {
            if (!from[i])
                return err_as(err, QM_DEVICE, "execute: argument %zu of device %d is missing", i,
                              program->row_device[r]);
            program->argument[r * count + i] = from[i];
        }
        program->argument_row[r] = program->argument + r * count;
        program->result_row[r] = program->result + r * outputs;
    }
    memset(program->result, 0, (size_t)program->rows * outputs * sizeof *program->result);
    PjrtExecuteOptions options = {.struct_size = sizeof options};
    PjrtExecuteArgs args = {.loaded = program->loaded, .options = &options, .arguments = program->argument_row,
                            .devices = (size_t)program->rows, .argument_count = count, .results = program->result_row};
    if (PLUGIN_CALL(&client->plugin, LoadedExecutable_Execute, args, err) != PJRT_OK) return false;
    for (size_t r = 0; r < (size_t)program->rows; r++)
        memcpy(results + (size_t)program->row_device[r] * outputs, program->result_row[r], outputs * sizeof *results);
    return true;
}
