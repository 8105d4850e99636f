/* plugin.h: a PJRT plugin's file: found, loaded, checked, called. Below client.h; nothing outside this folder needs it
 * but `env`, which lists what is found. */
#ifndef PJRT_PLUGIN_H
#define PJRT_PLUGIN_H
#include "../base/base.h"
#include "api.h"

typedef enum PluginKind { PLUGIN_OTHER, PLUGIN_CPU, PLUGIN_TT, PLUGIN_CUDA, PLUGIN_TPU } PluginKind;

typedef struct PluginFile {
    PluginKind kind; /* OTHER: a file whose name says nothing; it gets no options */
    char path[4096];
} PluginFile;

/* "cpu", "tt", "cuda", "tpu"; "other". */
const char *plugin_kind_name(PluginKind kind);
/* The file of a plugin: `name` is a path (it holds a '/' or ends in .so) or one of the four names, which are looked for
 * in QWENMESH_PLUGIN_<NAME>, in plugins/ beside the program and in the current folder, and in Python's packages. */
bool plugin_find(const char *name, PluginFile *out, Err *err);
/* Every plugin found in those places, the preferred one of a kind first; returns how many of at most `max`. */
int plugin_list(PluginFile *out, int max);

typedef struct Plugin {
    PluginFile file;
    const PjrtApi *api;
    int slots;
} Plugin;

/* Loads a plugin for the rest of the process: its threads and registries do not survive dlclose. Refuses another major
 * version, one older than PJRT_MINOR_OLDEST, and a plugin without a function that is needed, naming it. */
bool plugin_load(Plugin *plugin, const PluginFile *file, Err *err);

/* Calls a function; `args` is its struct, `bytes` its size. On failure the error says which function failed, the
 * plugin's message and code. A function the plugin does not have gives UNIMPLEMENTED. */
PjrtCode plugin_call(const Plugin *plugin, PjrtSlot slot, void *args, size_t bytes, Err *err);
#define PLUGIN_CALL(plugin, name, args, err) plugin_call(plugin, PJRT_SLOT_##name, &(args), sizeof(args), err)
bool plugin_has(const Plugin *plugin, PjrtSlot slot);
/* Waits for an event, and destroys it. NULL is ready. */
bool plugin_await(const Plugin *plugin, PjrtEvent *event, Err *err);
#endif
