/* fake_nodes.h: part of fake_plugin.c: how its clients of several processes find each other by the program's key-value
 * store, and what they note down. FAKE_PLUGIN_LOG=FILE: each client that is destroyed writes FILE.<node>, of each of
 * its devices how often and what was copied there and how often it ran, and what objects are left. */
#ifndef FAKE_NODES_H
#define FAKE_NODES_H

enum { PEER_SECONDS = 10 }; /* that others may take */
#define FIRST_HASH 14695981039346656037u

/* FNV-1a */
static uint64_t hash_of(uint64_t h, const void *data, size_t bytes) {
    const unsigned char *p = data;
    for (size_t i = 0; i < bytes; i++) h = (h ^ p[i]) * 1099511628211u;
    return h;
}

static bool is_named(const PjrtValue *v, const char *name) {
    return v->name_bytes == strlen(name) && !strncmp(v->name, name, v->name_bytes);
}

static const char *name_of(const PjrtPluginClient *c, char out[32]) {
    memset(out, 0, 32);
    snprintf(out, 32, "node %d of %d", c->node, c->nodes);
    return out;
}

/* Devices of node 0 come first; list and own are backwards. */
static void devices_number(PjrtPluginClient *c) {
    int seen = !strcmp(mode(), "deaf") ? 1 : c->nodes, own = 0;
    bool crossed = !strcmp(mode(), "crossed");
    c->devices = c->owned * seen;
    for (int i = 0; i < c->devices; i++) {
        int id = c->devices - 1 - i;
        c->device[i] = (PjrtDevice){.id = id, .hash = FIRST_HASH};
        c->list[i] = &c->device[i];
        if (seen == 1 || (crossed ? id % c->nodes : id / c->owned) == c->node) c->own[own++] = &c->device[i];
    }
}

/* ---- The store --------------------------------------------------------------------------------------------------- */

static PjrtError *store_error(int code, const char *message, size_t bytes) {
    char text[400];
    snprintf(text, sizeof text, "%.*s", (int)bytes, message);
    return error(code, text);
}

static PjrtError *store_put(const PjrtPluginClient *c, const char *key, const char *value) {
    PjrtFail fail = store_error;
    PjrtStorePutArgs args = {.struct_size = sizeof args, .key = key, .key_bytes = strlen(key), .value = value,
                             .value_bytes = strlen(value), .fail = &fail, .user = c->store.put_user};
    return c->store.put(&args);
}

static PjrtError *store_get(const PjrtPluginClient *c, const char *key, char *out, size_t size) {
    PjrtFail fail = store_error;
    PjrtStoreGetArgs args = {.struct_size = sizeof args, .key = key, .key_bytes = strlen(key),
                             .timeout_ms = PEER_SECONDS * 1000, .fail = &fail, .user = c->store.get_user};
    PjrtError *e = c->store.get(&args);
    if (e) return e;
    snprintf(out, size, "%.*s", (int)args.value_bytes, args.value);
    args.free_value(args.value);
    return NULL;
}

/* Every node tells how many devices it has, and hears it of all. */
static PjrtError *nodes_find(const PjrtPluginClient *c) {
    char key[64], mine[64], value[64];
    if (c->nodes == 1) return NULL;
    if (!c->store.get || !c->store.put) return error(PJRT_INVALID_ARGUMENT, "several nodes and no store");
    snprintf(key, sizeof key, "fake/node/%d", c->node);
    snprintf(mine, sizeof mine, "%d devices", c->owned);
    PjrtError *e = strcmp(mode(), "mute") ? store_put(c, key, mine) : NULL;
    for (int node = 0; node < c->nodes && !e; node++) {
        snprintf(key, sizeof key, "fake/node/%d", node);
        if (!(e = store_get(c, key, value, sizeof value)) && strcmp(value, mine))
            e = error(PJRT_INTERNAL, "another node has not as many devices");
    }
    return e;
}

/* As a collective does: waits until every node runs its n-th program, which must be the same one. A key holds the
 * node's last run but one until it comes to this run. */
static PjrtError *nodes_join(PjrtPluginClient *c, const Program *p) {
    char key[64], mine[64], value[64];
    if (c->nodes == 1) return NULL;
    int run = ++c->runs, same = snprintf(mine, sizeof mine, "%d ", run);
    snprintf(mine + same, sizeof mine - (size_t)same, "%016llx", (unsigned long long)p->hash);
    snprintf(key, sizeof key, "fake/run/%d/%d", run % 2, c->node);
    PjrtError *e = store_put(c, key, mine);
    for (int node = 0; node < c->nodes && !e; node++) {
        snprintf(key, sizeof key, "fake/run/%d/%d", run % 2, node);
        for (time_t end = time(NULL) + PEER_SECONDS;;) {
            if ((e = store_get(c, key, value, sizeof value)) || !strncmp(value, mine, (size_t)same)) break;
            if (time(NULL) > end) return error(PJRT_DEADLINE_EXCEEDED, "another node does not run");
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        if (!e && strcmp(value, mine)) e = error(PJRT_INTERNAL, "another node runs another program");
    }
    return e;
}

/* ---- Notes ------------------------------------------------------------------------------------------------------- */

static void write_log(const PjrtPluginClient *c) {
    const char *to = getenv("FAKE_PLUGIN_LOG");
    char path[512];
    if (!to) return;
    snprintf(path, sizeof path, "%s.%d", to, c->node);
    FILE *file = fopen(path, "a");
    if (!file) return;
    for (int i = c->owned - 1; i >= 0; i--)
        fprintf(file, "device %d: %d arrays, %zu bytes, hash %016llx, %d runs\n", c->own[i]->id, c->own[i]->uploads,
                c->own[i]->bytes, (unsigned long long)c->own[i]->hash, c->own[i]->runs);
    fprintf(file, "visible:%s\nleft: %s\n", c->visible, fake_left());
    fclose(file);
}
#endif
