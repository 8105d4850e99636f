/* handle.h: what is behind the handles of client.h. */
#ifndef PJRT_HANDLE_H
#define PJRT_HANDLE_H
#include "executable_cache.h"
#include "client.h"
#include "platform.h"
#include "plugin.h"

struct PjrtClient {
    PjrtInfo info;
    Plugin plugin;
    PluginSetting setting;     /* what was set for the plugin to see */
    struct KvClient *store;    /* of a node of several, or NULL */
    int node, nodes;           /* as asked for */
    PjrtPluginClient *client;
    PjrtDevice **device;       /* [info.devices], by id */
    int64_t *id;               /* [ids] of all processes' devices, sorted */
    int ids;
    ProgramCache cache;
    bool lends, lends_known;   /* see pjrt_lends */
};

struct PjrtProgram {
    PjrtClient *client;
    PjrtLoaded *loaded;
    PjrtExecutable *executable;
    int results, rows;       /* rows: devices of this process that run it */
    int *row_device;         /* [rows] -> index in client->device */
    PjrtBuffer **argument;   /* [rows][argument_count] as the plugin takes them, and the rows' starts */
    PjrtBuffer *const **argument_row;
    PjrtBuffer **result;
    PjrtBuffer ***result_row;
    size_t argument_capacity;
};

/* Bytes of CompileOptionsProto: one replica of `partitions`, partition p on device id[p], SPMD by Shardy. */
void compile_options(Text *out, int partitions, const int64_t *id);
#endif
