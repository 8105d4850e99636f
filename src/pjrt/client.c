/* client.c: opens and closes a plugin's client, and says what it is. */
#include <stdlib.h>
#include <string.h>
#include "../base/transport.h"
#include "handle.h"
#include "kv.h"

/* ---- Devices ----------------------------------------------------------------------------------------------------- */

static bool device_id(const Plugin *plugin, PjrtDevice *device, PjrtDescription **description, int64_t *id, Err *err) {
    PjrtDescriptionArgs get = {.device = device};
    if (PLUGIN_CALL(plugin, Device_GetDescription, get, err) != PJRT_OK) return false;
    PjrtIdArgs args = {.description = get.description};
    if (PLUGIN_CALL(plugin, DeviceDescription_Id, args, err) != PJRT_OK) return false;
    *description = get.description;
    *id = args.id;
    return true;
}

typedef struct Numbered { int64_t id; PjrtDevice *device; } Numbered;

static int by_id(const void *a, const void *b) {
    int64_t x = ((const Numbered *)a)->id, y = ((const Numbered *)b)->id;
    return (x > y) - (x < y);
}

/* The devices of `args`, sorted; NULL on error. */
static Numbered *sorted_devices(PjrtClient *client, const PjrtDevicesArgs *args, Err *err) {
    if (args->count > 65536) {
        err_as(err, QM_DEVICE, "%s: expected at most 65536 devices, got %zu", client->plugin.file.path, args->count);
        return NULL;
    }
    Numbered *list = mem_new(args->count + 1, sizeof *list, "devices", err);
    for (size_t i = 0; list && i < args->count; i++) {
        PjrtDescription *description;
        list[i].device = args->devices[i];
        if (!device_id(&client->plugin, list[i].device, &description, &list[i].id, err)) {
            free(list);
            return NULL;
        }
    }
    if (list) qsort(list, args->count, sizeof *list, by_id);
    return list;
}

/* Of several nodes each has equally many devices, and those of node 0 come first: device i of a program is then one of
 * the node that feeds it. */
static bool devices_dealt(const PjrtClient *client, const Numbered *own, size_t own_count, const Numbered *all,
                          size_t all_count, size_t wanted, Err *err) {
    size_t nodes = (size_t)client->nodes, first = (size_t)client->node * wanted;
    if (own_count != wanted || all_count != nodes * wanted)
        return err_as(err, QM_DEVICE, "%s: expected %zu devices of node %d and %zu of all %zu, got %zu and %zu",
                      client->plugin.file.path, wanted, client->node, nodes * wanted, nodes, own_count, all_count);
    for (size_t i = 0; i < own_count; i++)
        if (own[i].id != all[first + i].id)
            return err_as(err, QM_DEVICE, "%s: expected device %lld, number %zu of all, to be one of node %d",
                          client->plugin.file.path, (long long)all[first + i].id, first + i, client->node);
    return true;
}

static bool find_devices(PjrtClient *client, int wanted, Err *err) {
    PjrtDevicesArgs own = {.of = client->client}, all = {.of = client->client};
    if (PLUGIN_CALL(&client->plugin, Client_AddressableDevices, own, err) != PJRT_OK) return false;
    if (PLUGIN_CALL(&client->plugin, Client_Devices, all, err) != PJRT_OK) return false;
    if (own.count < (size_t)wanted || own.count == 0)
        return err_as(err, QM_DEVICE, "%s: expected %d devices, got %zu%s", client->plugin.file.path, wanted, own.count,
                      client->plugin.file.kind == PLUGIN_CPU ? " (plugins before mid-2025 always make 4)" : "");
    Numbered *a = sorted_devices(client, &own, err), *b = a ? sorted_devices(client, &all, err) : NULL;
    bool ok = b && (client->nodes < 2 || devices_dealt(client, a, own.count, b, all.count, (size_t)wanted, err));
    client->device = ok ? mem_new(own.count, sizeof *client->device, "devices", err) : NULL;
    client->id = client->device ? mem_new(all.count + 1, sizeof *client->id, "devices", err) : NULL;
    if (client->id) {
        for (size_t i = 0; i < own.count; i++) client->device[i] = a[i].device;
        for (size_t i = 0; i < all.count; i++) client->id[i] = b[i].id;
        client->info.devices = (int)own.count;
        client->info.all_devices = client->ids = (int)all.count;
    }
    free(a);
    free(b);
    return client->id != NULL;
}

/* ---- Information ------------------------------------------------------------------------------------------------- */

static void copy_text(char *out, size_t size, const PjrtTextArgs *args) {
    snprintf(out, size, "%.*s", (int)(args->bytes < size ? args->bytes : size - 1), args->text ? args->text : "");
}

static bool read_info(PjrtClient *client, Err *err) {
    const Plugin *plugin = &client->plugin;
    PjrtInfo *info = &client->info;
    PjrtTextArgs platform = {.of = client->client}, version = {.of = client->client}, kind = {0};
    PjrtDescriptionArgs get = {.device = client->device[0]};
    if (PLUGIN_CALL(plugin, Client_PlatformName, platform, err) != PJRT_OK ||
        PLUGIN_CALL(plugin, Client_PlatformVersion, version, err) != PJRT_OK ||
        PLUGIN_CALL(plugin, Device_GetDescription, get, err) != PJRT_OK)
        return false;
    kind.of = get.description;
    if (PLUGIN_CALL(plugin, DeviceDescription_Kind, kind, err) != PJRT_OK) return false;
    copy_text(info->platform, sizeof info->platform, &platform);
    copy_text(info->version, sizeof info->version, &version);
    copy_text(info->device_kind, sizeof info->device_kind, &kind);
    snprintf(info->file, sizeof info->file, "%s", plugin->file.path);
    info->api_major = plugin->api->version.major;
    info->api_minor = plugin->api->version.minor;
    info->slots = plugin->slots;
    bool tt = !strcmp(info->platform, "tt");
    info->can_load = !tt && plugin_has(plugin, PJRT_SLOT_Executable_DeserializeAndLoad);
    info->donates = !tt;
    info->executes = !tt || !getenv("TT_COMPILE_ONLY_SYSTEM_DESC");
    return true;
}

const PjrtInfo *pjrt_info(const PjrtClient *client) { return &client->info; }

static void add_value(Text *out, const char *owner, const PjrtValue *v) {
    text_line(out, "%s.%.*s = ", owner, (int)v->name_bytes, v->name ? v->name : "");
    switch (v->type) {
    case PJRT_TEXT: text_line(out, "%.*s", (int)v->count, v->text ? v->text : ""); break;
    case PJRT_INT: text_line(out, "%lld", (long long)v->integer); break;
    case PJRT_INT_LIST:
        for (size_t i = 0; i < v->count; i++) text_line(out, "%s%lld", i ? " " : "", (long long)v->list[i]);
        break;
    case PJRT_FLOAT: text_line(out, "%g", (double)v->real); break;
    case PJRT_BOOL: text_line(out, "%s", v->flag ? "true" : "false"); break;
    default: text_line(out, "of unknown type %d", v->type);
    }
    text_add(out, "\n", 1);
}

void pjrt_attributes(const PjrtClient *client, Text *out) {
    PjrtPluginArgs plugin = {0};
    if (PLUGIN_CALL(&client->plugin, Plugin_Attributes, plugin, NULL) == PJRT_OK && plugin.attributes)
        for (size_t i = 0; i < plugin.count; i++) add_value(out, "plugin", &plugin.attributes[i]);
    for (int d = 0; d < client->info.devices; d++) {
        char owner[32];
        int64_t id;
        PjrtDescription *description;
        if (!device_id(&client->plugin, client->device[d], &description, &id, NULL)) continue;
        snprintf(owner, sizeof owner, "device%lld", (long long)id);
        PjrtTextArgs text = {.of = description};
        if (PLUGIN_CALL(&client->plugin, DeviceDescription_ToString, text, NULL) == PJRT_OK)
            text_line(out, "%s = %.*s\n", owner, (int)text.bytes, text.text ? text.text : "");
        PjrtDeviceAttributesArgs a = {.description = description};
        if (PLUGIN_CALL(&client->plugin, DeviceDescription_Attributes, a, NULL) == PJRT_OK && a.attributes)
            for (size_t i = 0; i < a.count; i++) add_value(out, owner, &a.attributes[i]);
    }
}

bool pjrt_memory(PjrtClient *client, int device, int64_t *in_use, int64_t *peak, int64_t *limit) {
    if (device < 0 || device >= client->info.devices) return false;
    PjrtMemoryArgs args = {.device = client->device[device]};
    if (PLUGIN_CALL(&client->plugin, Device_MemoryStats, args, NULL) != PJRT_OK) return false;
    *in_use = args.in_use;
    *peak = args.peak_set ? args.peak : 0;
    *limit = args.limit_set ? args.limit : 0;
    return true;
}

/* ---- Opening and closing ----------------------------------------------------------------------------------------- */

static bool check_options(const PjrtOptions *o, Err *err) {
    if (o->devices < 1 || o->devices > 4096) return err_as(err, QM_DEVICE, "devices: expected 1 to 4096, got %d",
                                                           o->devices);
    if (o->nodes < 0 || o->nodes > 4096) return err_as(err, QM_DEVICE, "nodes: expected 1 to 4096, got %d", o->nodes);
    if (o->nodes > 1 && (o->node < 0 || o->node >= o->nodes))
        return err_as(err, QM_DEVICE, "node: expected 0 to %d, got %d", o->nodes - 1, o->node);
    if (o->nodes > 1 && (!o->store || !o->secret))
        return err_as(err, QM_DEVICE, "%d nodes: expected HOST:PORT of their store, got none", o->nodes);
    return true;
}

/* Every node leaves a word in the store: one that cannot reach it says so before the plugin's clients wait for each
 * other. */
static bool store_reach(PjrtClient *client, const PjrtOptions *options, Err *err) {
    char key[32];
    int bytes = snprintf(key, sizeof key, "qwenmesh/node/%d", options->node);
    if (options->nodes < 2) return true;
    client->store = kv_client_new(options->store, options->secret, err);
    if (client->store && kv_put(client->store, key, (size_t)bytes, "", 0, err) == PJRT_OK) return true;
    err_prefix(err, "the address of rank 0 (QWENMESH_PJRT_COORDINATOR)");
    return false;
}

static bool create(PjrtClient *client, const PjrtOptions *options, Err *err) {
    PjrtValue value[CREATE_OPTIONS];
    PjrtCreateArgs args = {.options = value};
    args.option_count = (size_t)platform_options(client->plugin.file.kind, options, value);
    if (client->store) {
        args.get = kv_pjrt_get, args.try_get = kv_pjrt_try_get, args.put = kv_pjrt_put;
        args.get_user = args.try_get_user = args.put_user = client->store;
    }
    if (PLUGIN_CALL(&client->plugin, Client_Create, args, err) != PJRT_OK) return false;
    client->client = args.client;
    return args.client || err_as(err, QM_DEVICE, "%s: PJRT_Client_Create gave no client and no error",
                                 client->plugin.file.path);
}

static int tt_clients; /* the tt plugin ends the process when it is asked for a second one */

/* The plugin loaded, without a client yet. NULL on error. */
static PjrtClient *load(const PjrtOptions *options, Err *err) {
    PluginFile file;
    if (!check_options(options, err) || !plugin_find(options->plugin ? options->plugin : "cpu", &file, err))
        return NULL;
    if (file.kind == PLUGIN_TT && tt_clients) {
        err_as(err, QM_DEVICE, "%s: expected one client in a process, got a second", file.path);
        return NULL;
    }
    PjrtClient *client = mem_new(1, sizeof *client, "PJRT client", err);
    if (!client) return NULL;
    client->plugin.file = file;
    client->node = options->node, client->nodes = options->nodes;
    tt_clients += file.kind == PLUGIN_TT;
    if (platform_before_load(&client->setting, &file, options, err) && plugin_load(&client->plugin, &file, err) &&
        platform_before_client(&client->setting, &client->plugin, err) && store_reach(client, options, err))
        return client;
    pjrt_close(client);
    return NULL;
}

PjrtClient *pjrt_open(const PjrtOptions *options, Err *err) {
    PjrtClient *client = load(options, err);
    bool ok = client != NULL;
    if (options->nodes > 1) ok = transport_agree(ok, "loading the plugin", err); /* a client waits for all the others */
    if (ok && create(client, options, err) && find_devices(client, options->devices, err) && read_info(client, err)) {
        cache_open(&client->cache, options->cache);
        return client;
    }
    pjrt_close(client);
    return NULL;
}

void pjrt_close(PjrtClient *client) {
    if (!client) return;
    if (client->client) {
        PjrtClientArgs args = {.client = client->client};
        PLUGIN_CALL(&client->plugin, Client_Destroy, args, NULL);
    }
    tt_clients -= client->plugin.file.kind == PLUGIN_TT;
    kv_client_free(client->store);
    platform_restore(&client->setting);
    cache_close(&client->cache);
    free(client->device);
    free(client->id);
    free(client);
}
