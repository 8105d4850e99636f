/* nodes.c: one program over several processes: who has which devices, where they find the store of keys that the plugin
 * asks for, and results on their way to rank 0.
 *
 * A rank (base/transport.h) is a node of the plugin's client. Devices of the mesh are dealt to ranks in order, equally
 * many to each: every rank compiles the one program and runs it on its devices at the same time as the others. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "../base/watch.h"
#include "../base/transport.h"
#include "kv.h"
#include "pjrt_state.h"

bool nodes_deal(Pjrt *p, Err *err) {
    p->node = transport_rank(), p->nodes = transport_ranks();
    p->own = p->devices / p->nodes;
    p->first = p->node * p->own;
    return p->devices % p->nodes == 0 ||
           err_set(err, "mesh %s on %d ranks: expected equally many devices on each, got %d devices in all",
                   p->program->partition->mesh.text, p->nodes, p->devices);
}

/* ---- Meeting ----------------------------------------------------------------------------------------------------- */

/* What a rank tells the others. */
typedef struct NodeHello {
    char host[64], visible[256]; /* visible: CUDA_VISIBLE_DEVICES, which a launcher may set for each */
    char store[STORE_BYTES];     /* of rank 0, when it is there */
    uint8_t secret[KV_SECRET];   /* of the store */
} NodeHello;

/* Starts the store, on rank 0. On one host nobody else needs to reach it; else it listens on all addresses, and is told
 * by the host's name or as QWENMESH_PJRT_COORDINATOR=HOST[:PORT] says. */
static bool store_start(Pjrt *p, bool one_host, const char *host, char *store, uint8_t *secret, Err *err) {
    char listen[64];
    const char *told = getenv("QWENMESH_PJRT_COORDINATOR"), *port = "0";
    bool is_told = told && *told;
    if (is_told) host = told;
    else if (one_host) host = "127.0.0.1";
    const char *colon = strrchr(host, ':'), *bracket = strrchr(host, ']');
    size_t bytes = strlen(host);
    if (is_told && colon && colon > bracket) port = colon + 1, bytes = (size_t)(colon - host);
    if (bytes == 0 || bytes + 8 > STORE_BYTES || strlen(port) > 5)
        return err_set(err, "QWENMESH_PJRT_COORDINATOR: expected HOST or HOST:PORT, got '%.200s'", host);
    snprintf(listen, sizeof listen, "%s:%s", host[0] == '[' ? "[::]" : is_told || !one_host ? "0.0.0.0" : host, port);
    if (getrandom(secret, KV_SECRET, 0) != KV_SECRET) return err_set(err, "cannot draw a secret for the store of keys");
    if (!(p->met.server = kv_server_start(listen, secret, err))) {
        if (is_told) err_prefix(err, "QWENMESH_PJRT_COORDINATOR=%.200s", told);
        return false;
    }
    snprintf(store, STORE_BYTES, "%.*s:%d", (int)bytes, host, kv_server_port(p->met.server));
    return true;
}

bool nodes_meet(Pjrt *p, PjrtOptions *o, Err *err) {
    if (p->nodes == 1) return true;
    NodeHello *all = mem_new((size_t)p->nodes, sizeof *all, "ranks", err);
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    bool one_host = true, ok = true;
    if (!all) transport_fail("%s", err->text);
    NodeHello *mine = all + p->node;
    gethostname(mine->host, sizeof mine->host - 1);
    snprintf(mine->visible, sizeof mine->visible, "%s", visible ? visible : "");
    transport_share(all, sizeof *all, PATIENCE_OPEN, "devices of the ranks");
    for (int r = 0; r < p->nodes; r++) {
        all[r].host[sizeof all->host - 1] = all[r].visible[sizeof all->visible - 1] = 0;
        bool here = !strcmp(all[r].host, mine->host);
        one_host &= here;
        if (here && r < p->node && !strcmp(all[r].visible, mine->visible)) o->first_device += p->own;
    }
    if (p->node == 0) ok = store_start(p, one_host, mine->host, mine->store, mine->secret, err);
    transport_share(all, sizeof *all, PATIENCE_OPEN, "the key-value store");
    snprintf(p->met.store, sizeof p->met.store, "%.*s", STORE_BYTES - 1, all[0].store);
    memcpy(p->met.secret, all[0].secret, sizeof p->met.secret);
    free(all);
    if (ok) watch_say(QM_DETAIL, "ranks: %d of %d devices each, key-value store at %s", p->nodes, p->own, p->met.store);
    o->node = p->node, o->nodes = p->nodes, o->store = p->met.store, o->secret = p->met.secret;
    return transport_agree(ok, "the key-value store", err);
}

void nodes_part(Pjrt *p) { kv_server_stop(p->met.server); }

/* What the ranks' plugins must agree in. */
typedef struct NodePlugin { int major, minor; char platform[64], version[256], kind[64]; } NodePlugin;

bool nodes_same(const Pjrt *p, bool ok, Err *err) {
    if (p->nodes == 1) return ok;
    NodePlugin *all = mem_new((size_t)p->nodes, sizeof *all, "ranks", err);
    if (!all) transport_fail("%s", err->text);
    NodePlugin *mine = all + p->node;
    ok = transport_agree(ok, "opening the plugin", err);
    if (ok) {
        const PjrtInfo *i = pjrt_info(p->client);
        mine->major = i->api_major, mine->minor = i->api_minor;
        snprintf(mine->platform, sizeof mine->platform, "%s", i->platform);
        snprintf(mine->version, sizeof mine->version, "%s", i->version);
        snprintf(mine->kind, sizeof mine->kind, "%s", i->device_kind);
        transport_share(all, sizeof *all, PATIENCE_OPEN, "plugins of the ranks");
    }
    for (int r = 1; ok && r < p->nodes; r++)
        if (memcmp(&all[r], &all[0], sizeof *all))
            ok = err_set(err, "rank %d has another plugin: expected %.63s %.255s, API %d.%d, devices %.63s as on rank "
                         "0, got %.63s %.255s, %d.%d, %.63s", r, all[0].platform, all[0].version, all[0].major,
                         all[0].minor, all[0].kind, all[r].platform, all[r].version, all[r].major, all[r].minor,
                         all[r].kind);
    free(all);
    return ok;
}

/* ---- Steps ------------------------------------------------------------------------------------------------------- */

void nodes_home(const Pjrt *p, int owner, void *data, size_t bytes) {
    if (owner == 0 || (p->node != 0 && p->node != owner)) return;
    transport_exchange(&(Message){p->node ? 0 : owner, p->node != 0, data, bytes}, 1, PATIENCE_STEP,
                       "results of the devices");
}

bool nodes_failed(const Pjrt *p, const Err *err) {
    if (p->nodes > 1) transport_fail("%s", err->text);
    return false;
}
