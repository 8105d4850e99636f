/* plugin.c: loads a plugin, checks that it can be used, and turns its errors into ours. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../base/guard.h"
#include "plugin.h"
#include "tt_desc.h"

static const char *slot_name(PjrtSlot slot) {
    switch (slot) {
#define X(name, number, needed)                                                                                       \
    case PJRT_SLOT_##name: return "PJRT_" #name;
        PJRT_SLOTS(X)
#undef X
    }
    return "an unknown function";
}

static const char *code_name(int code) {
    switch (code) {
#define X(name, number)                                                                                               \
    case number: return #name;
        PJRT_CODES(X)
#undef X
    default: return "an unknown code";
    }
}

/* ---- Calls ------------------------------------------------------------------------------------------------------- */

bool plugin_has(const Plugin *plugin, PjrtSlot slot) {
    return (int)slot < plugin->slots && plugin->api->slot[slot] != NULL;
}

/* The head of every argument struct. */
typedef struct Head { PJRT_HEAD; } Head;

/* Takes the plugin's error: its code and message into `err`, then destroys it. */
static PjrtCode take_error(const Plugin *plugin, PjrtSlot slot, PjrtError *error, Err *err) {
    PjrtErrorMessageArgs message = {.struct_size = sizeof message, .error = error};
    PjrtErrorCodeArgs code = {.struct_size = sizeof code, .error = error};
    PjrtErrorArgs destroy = {.struct_size = sizeof destroy, .error = error};
    plugin->api->slot[PJRT_SLOT_Error_Message](&message);
    PjrtError *again = plugin->api->slot[PJRT_SLOT_Error_GetCode](&code);
    if (again || code.code <= PJRT_OK) code.code = PJRT_UNKNOWN;
    size_t bytes = message.message ? strnlen(message.message, message.message_bytes) : 0;
    while (bytes && (message.message[bytes - 1] == '\n' || message.message[bytes - 1] == ' ')) bytes--;
    const char *hint = "";
    if (code.code == PJRT_RESOURCE_EXHAUSTED) hint = "out of memory on the device: ";
    bool bare =
        plugin->file.kind == PLUGIN_TT && bytes < 32 && bytes > 10 && !strncmp(message.message, "Error code", 10);
    err_as(err, QM_DEVICE, "%s failed (%s): %s%.*s%s", slot_name(slot), code_name(code.code), hint,
           (int)(bytes > 800 ? 800 : bytes), bytes ? message.message : "",
           bare
                ? ": the reason is in what the plugin wrote on standard error (all of it with TTXLA_LOGGER_LEVEL=DEBUG)"
           : bytes > 800 ? "..."
           : bytes       ? ""
                          : "the plugin gives no reason");
    plugin->api->slot[PJRT_SLOT_Error_Destroy](&destroy);
    if (again) {
        destroy = (PjrtErrorArgs){.struct_size = sizeof destroy, .error = again};
        plugin->api->slot[PJRT_SLOT_Error_Destroy](&destroy);
    }
    return (PjrtCode)code.code;
}

PjrtCode plugin_call(const Plugin *plugin, PjrtSlot slot, void *args, size_t bytes, Err *err) {
    if (!plugin_has(plugin, slot)) {
        err_as(err, QM_DEVICE, "%s has no %s", plugin->file.path, slot_name(slot));
        return PJRT_UNIMPLEMENTED;
    }
    ((Head *)args)->struct_size = bytes;
    PjrtError *error = plugin->api->slot[slot](args);
    return error ? take_error(plugin, slot, error, err) : PJRT_OK;
}

bool plugin_await(const Plugin *plugin, PjrtEvent *event, Err *err) {
    if (!event) return true;
    PjrtEventArgs args = {.event = event};
    bool ok = PLUGIN_CALL(plugin, Event_Await, args, err) == PJRT_OK;
    args = (PjrtEventArgs){.event = event};
    PLUGIN_CALL(plugin, Event_Destroy, args, NULL);
    return ok;
}

/* ---- Loading ----------------------------------------------------------------------------------------------------- */

static bool check_api(Plugin *plugin, Err *err) {
    const PjrtApi *api = plugin->api;
    const char *path = plugin->file.path;
    if (api->struct_size < offsetof(PjrtApi, slot))
        return err_as(err, QM_DEVICE, "%s: expected a table of PJRT functions, got one of %zu bytes", path,
                      api->struct_size);
    if (api->version.major != PJRT_MAJOR || api->version.minor < PJRT_MINOR_OLDEST)
        return err_as(err, QM_DEVICE, "%s: expected PJRT API %d.%d or newer of major version %d, got %d.%d", path,
                      PJRT_MAJOR,
                      PJRT_MINOR_OLDEST, PJRT_MAJOR, api->version.major, api->version.minor);
    size_t slots = (api->struct_size - offsetof(PjrtApi, slot)) / sizeof *api->slot;
    plugin->slots = slots > 4096 ? 4096 : (int)slots;
#define X(name, number, needed)                                                                                       \
    if ((needed) && !plugin_has(plugin, PJRT_SLOT_##name))                                                            \
        return err_as(err, QM_DEVICE,                                                                                 \
                      "%s: PJRT API %d.%d with %d functions, but without PJRT_" #name ", which is needed", path,      \
                      api->version.major, api->version.minor, plugin->slots);
    PJRT_SLOTS(X)
#undef X
    return true;
}

/* Plugin_Initialize, once in a process for each plugin. */
static bool initialize(const Plugin *plugin, Err *err) {
    enum { MOST = 16 };
    static const PjrtApi *done[MOST];
    for (int i = 0; i < MOST; i++) {
        if (done[i] == plugin->api) return true;
        if (done[i]) continue;
        PjrtPluginArgs args = {0};
        if (plugin_call(plugin, PJRT_SLOT_Plugin_Initialize, &args, sizeof(Head), err) != PJRT_OK) return false;
        done[i] = plugin->api;
        return true;
    }
    return err_as(err, QM_DEVICE, "expected at most %d different plugins in one process, got %s", MOST,
                  plugin->file.path);
}

/* tt has a thread to join before the process ends; the handler runs before the plugin's own destructors. */
static bool shut_down_at_exit(void *library, Err *err) {
    static void *known;
    void *symbol = dlsym(library, "tt_pjrt_shutdown");
    void (*shutdown)(void);
    memcpy(&shutdown, &symbol, sizeof symbol);
    if (!symbol || symbol == known) return true;
    known = symbol;
    return atexit(shutdown) == 0 || err_as(err, QM_MEMORY, "out of memory: exit handler of a plugin");
}

static bool load(Plugin *plugin, const PluginFile *file, Err *err) {
    *plugin = (Plugin){.file = *file};
    guard_loading(file->path);
    void *library = dlopen(file->path, RTLD_NOW | RTLD_LOCAL);
    guard_loading(NULL);
    if (!library) return err_as(err, QM_DEVICE, "cannot load the PJRT plugin %s: %s", file->path, dlerror());
    void *symbol = dlsym(library, "GetPjrtApi");
    if (!symbol) return err_as(err, QM_DEVICE, "%s is no PJRT plugin: it has no GetPjrtApi", file->path);
    const PjrtApi *(*get)(void);
    memcpy(&get, &symbol, sizeof get); /* POSIX: a symbol's address is its function's */
    plugin->api = get();
    if (!plugin->api) return err_as(err, QM_DEVICE, "%s: GetPjrtApi returned no table of functions", file->path);
    return check_api(plugin, err) && shut_down_at_exit(library, err) && initialize(plugin, err);
}

bool plugin_load(Plugin *plugin, const PluginFile *file, Err *err) {
    int lock = file->kind == PLUGIN_TT ? tt_load_lock() : -1;
    bool ok = load(plugin, file, err);
    if (lock >= 0) close(lock);
    return ok;
}
