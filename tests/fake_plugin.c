/* fake_plugin.c: a PJRT plugin of ours, built as a shared object, that misbehaves as the variable FAKE_PLUGIN says:
 *   old, major              another API version          short               a table cut before its last functions
 *   null                    no table                     missing=SLOT        no such function
 *   few                     one device only              unloadable          compiled programs cannot be loaded back
 *   error=SLOT[@N]          the N-th call of it fails (from 1; without: every one), INTERNAL "fake failure"
 *   memory=SLOT[@N]         likewise, RESOURCE_EXHAUSTED
 *   late                    waiting for an event fails
 *   newer                   another version of the platform
 *   deaf, crossed, mute     of several processes: sees its own devices only; has every n-th device; tells the others
 *                           nothing of itself
 * It has as many devices as it is asked for, listed backwards. A program whose text returns tensors gives numbers that
 * depend on the device and on all it was fed, and "consumes" the arguments that alias them; any other copies each
 * device's first argument to its one result and "consumes" the second. Objects are counted by kind: fake_made,
 * fake_left and fake_live tell. fake_nodes.h has what several processes do together. */
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include "../src/pjrt/api.h"

#define EXPORT __attribute__((visibility("default")))
EXPORT int fake_live(void);             /* objects of all kinds */
EXPORT int fake_made(const char *kind); /* so far */
EXPORT const char *fake_left(void);     /* "2 buffer, 1 event": those that live */
EXPORT const PjrtApi *GetPjrtApi(void);

enum { DEVICES = 64, RANK = 8 };
struct PJRT_Error { int code; char message[512]; };
/* waits_for: the buffer that stands on lent memory; the event is ready when it is gone. */
struct PJRT_Event { int fails; struct PJRT_Buffer *waits_for; };
/* What was copied to a device; hash: of all of it, in order. */
struct PJRT_Device { int id, uploads, runs; size_t bytes; uint64_t hash; };
struct PJRT_Client {
    int devices, owned; /* of all processes, of this one */
    PjrtDevice device[DEVICES], *list[DEVICES], *own[DEVICES];
    int node, nodes, runs;
    char visible[256];
    PjrtCreateArgs store; /* its callbacks */
};
/* What a program's text says. results: 0 of the copying kind; else types of the results and which arguments are
 * consumed; shard: the argument that says where a device's shard lies; candidates: the result of that name; -1: none.
 */
enum { RESULTS = 256, ARGUMENTS = 1024 };
typedef struct ResultType { int type; size_t rank; int64_t dim[RANK]; } ResultType;
typedef struct Program {
    int devices, results, shard, candidates;
    uint64_t hash;
    ResultType result[RESULTS];
    bool consumed[ARGUMENTS];
} Program;
struct PJRT_LoadedExecutable {
    PjrtPluginClient *client;
    int devices; /* of this process */
    PjrtDevice *list[DEVICES];
    Program program;
};
struct PJRT_Executable { const PjrtLoaded *loaded; };
struct PJRT_SerializedExecutable { char owner[32]; Program program; };
struct PJRT_Buffer {
    int type, deleted;
    size_t rank, bytes;
    int64_t dim[RANK];
    uint64_t hash; /* of what it holds */
    char *data;
    PjrtEvent *loan; /* that waits for it */
    bool lent;
};

typedef enum Kind { CLIENT, LOADED, EXECUTABLE, BUFFER, EVENT, ERROR, SERIALIZED, KINDS } Kind;
static const char *const kind_names[KINDS] = {"client", "loaded executable", "executable", "buffer",
                                              "event",  "error",             "serialized executable"};
static int live[KINDS], made[KINDS], calls, lent;
int fake_live(void) {
    int all = 0;
    for (int k = 0; k < KINDS; k++) all += live[k];
    return all;
}
int fake_made(const char *kind) {
    if (!strcmp(kind, "lent buffer")) return lent;
    for (int k = 0; k < KINDS; k++)
        if (!strcmp(kind_names[k], kind)) return made[k];
    return -1;
}
const char *fake_left(void) {
    static char text[256];
    size_t n = 0;
    text[0] = 0;
    for (int k = 0; k < KINDS; k++)
        if (live[k]) n += (size_t)snprintf(text + n, sizeof text - n, "%s%d %s", n ? ", " : "", live[k], kind_names[k]);
    return text;
}

static void *make(Kind kind, size_t bytes) {
    live[kind]++;
    made[kind]++;
    return calloc(1, bytes);
}
static void drop(Kind kind, void *object) {
    if (object) live[kind]--;
    free(object);
}

/* ---- Misbehaviour ------------------------------------------------------------------------------------------------ */

static const char *mode(void) {
    const char *text = getenv("FAKE_PLUGIN");
    return text ? text : "";
}

static PjrtError *error(int code, const char *message) {
    PjrtError *e = make(ERROR, sizeof *e);
    e->code = code;
    snprintf(e->message, sizeof e->message, "%s", message);
    return e;
}

/* Whether the call of `name` that is being made is to fail; returns the error. */
static PjrtError *fails(const char *name) {
    const char *m = mode();
    int code = !strncmp(m, "error=", 6) ? PJRT_INTERNAL : !strncmp(m, "memory=", 7) ? PJRT_RESOURCE_EXHAUSTED : 0;
    const char *which = strchr(m, '=');
    if (!code || !which) return NULL;
    size_t n = strcspn(++which, "@");
    if (strlen(name) != n || strncmp(which, name, n) != 0) return NULL;
    if (which[n] == '@' && ++calls != atoi(which + n + 1)) return NULL;
    return error(code, "fake failure");
}

#define FAKE(name, type)                                                                                              \
    static PjrtError *name##_real(type *a);                                                                           \
    static PjrtError *name(void *args) {                                                                              \
        PjrtError *e = fails(#name);                                                                                  \
        return e ? e : name##_real(args);                                                                             \
    }                                                                                                                 \
    static PjrtError *name##_real(type *a)

#include "fake_nodes.h"

/* ---- Errors and events ------------------------------------------------------------------------------------------- */

static PjrtError *Error_Destroy(void *args) {
    drop(ERROR, ((PjrtErrorArgs *)args)->error);
    return NULL;
}
static PjrtError *Error_Message(void *args) {
    PjrtErrorMessageArgs *a = args;
    a->message = a->error->message;
    a->message_bytes = strlen(a->message);
    return NULL;
}
static PjrtError *Error_GetCode(void *args) {
    PjrtErrorCodeArgs *a = args;
    a->code = a->error->code;
    return NULL;
}
static PjrtEvent *event(void) {
    PjrtEvent *e = make(EVENT, sizeof *e);
    e->fails = !strcmp(mode(), "late");
    return e;
}
FAKE(Event_Destroy, PjrtEventArgs) {
    if (a->event && a->event->waits_for) a->event->waits_for->loan = NULL;
    return drop(EVENT, a->event), NULL;
}
FAKE(Event_IsReady, PjrtIsReadyArgs) { return a->ready = !a->event->waits_for, NULL; }
FAKE(Event_Await, PjrtEventArgs) {
    if (a->event->waits_for) abort(); /* for ever */
    return a->event->fails ? error(PJRT_INTERNAL, "fake failure in the run") : NULL;
}

/* ---- Client ------------------------------------------------------------------------------------------------------ */

FAKE(Plugin_Initialize, PjrtPluginArgs) { return (void)a, NULL; }
FAKE(Plugin_Attributes, PjrtPluginArgs) {
    static const int64_t version[3] = {1, 2, 3};
    static PjrtValue value[5];
    value[0] = (PjrtValue){.name = "text", .name_bytes = 4, .type = PJRT_TEXT, .text = "fake", .count = 4};
    value[1] = (PjrtValue){.name = "list", .name_bytes = 4, .type = PJRT_INT_LIST, .list = version, .count = 3};
    value[2] = (PjrtValue){.name = "real", .name_bytes = 4, .type = PJRT_FLOAT, .real = 0.5f, .count = 1};
    value[3] = (PjrtValue){.name = "flag", .name_bytes = 4, .type = PJRT_BOOL, .flag = true, .count = 1};
    value[4] = (PjrtValue){.name = "odd", .name_bytes = 3, .type = 99, .count = 1};
    a->attributes = value;
    a->count = 5;
    return NULL;
}
FAKE(Client_Create, PjrtCreateArgs) {
    PjrtPluginClient new = {.owned = 1, .nodes = 1, .store = *a};
    size_t at = 0;
    for (size_t i = 0; i < a->option_count; i++) {
        const PjrtValue *v = &a->options[i];
        if (is_named(v, "cpu_device_count")) new.owned = (int)v->integer;
        if (is_named(v, "node_id")) new.node = (int)v->integer;
        if (is_named(v, "num_nodes")) new.nodes = (int)v->integer;
        if (!is_named(v, "visible_devices")) continue;
        new.owned = (int)v->count;
        for (size_t j = 0; j < v->count && at < sizeof new.visible; j++)
            at += (size_t)snprintf(new.visible + at, sizeof new.visible - at, " %d", (int)v->list[j]);
    }
    if (!strcmp(mode(), "few")) new.owned = 1;
    if (new.owned * new.nodes > DEVICES) return error(PJRT_INVALID_ARGUMENT, "too many devices");
    PjrtError *e = nodes_find(&new);
    if (e) return e;
    PjrtPluginClient *c = a->client = make(CLIENT, sizeof *c);
    *c = new;
    devices_number(c);
    return NULL;
}
FAKE(Client_Destroy, PjrtClientArgs) {
    live[CLIENT]--;
    write_log(a->client);
    free(a->client);
    return NULL;
}
static PjrtError *say(PjrtTextArgs *a, const char *text) {
    a->text = text;
    a->bytes = strlen(text);
    return NULL;
}
FAKE(Client_PlatformName, PjrtTextArgs) { return say(a, "fake"); }
FAKE(Client_PlatformVersion, PjrtTextArgs) { return say(a, strcmp(mode(), "newer") ? "1.0" : "1.1"); }
FAKE(DeviceDescription_Kind, PjrtTextArgs) { return say(a, "paper"); }
FAKE(DeviceDescription_ToString, PjrtTextArgs) { return say(a, "a fake device"); }
FAKE(Client_Devices, PjrtDevicesArgs) {
    const PjrtPluginClient *c = a->of;
    a->devices = c->list;
    a->count = (size_t)c->devices;
    return NULL;
}
FAKE(Client_AddressableDevices, PjrtDevicesArgs) {
    const PjrtPluginClient *c = a->of;
    a->devices = c->own;
    a->count = (size_t)c->owned;
    return NULL;
}
FAKE(Device_GetDescription, PjrtDescriptionArgs) { return a->description = (PjrtDescription *)a->device, NULL; }
FAKE(DeviceDescription_Id, PjrtIdArgs) { return a->id = ((PjrtDevice *)a->description)->id, NULL; }
FAKE(DeviceDescription_Attributes, PjrtDeviceAttributesArgs) { return a->count = 0, NULL; }
FAKE(Device_MemoryStats, PjrtMemoryArgs) {
    a->in_use = 1000;
    a->limit = 2000;
    a->limit_set = true;
    return NULL;
}

/* ---- Programs ---------------------------------------------------------------------------------------------------- */

/* On this process's devices among the first program->devices, by id. */
static PjrtLoaded *loaded(PjrtPluginClient *client, const Program *program) {
    PjrtLoaded *l = make(LOADED, sizeof *l);
    l->client = client;
    l->program = *program;
    for (int id = 0; id < program->devices; id++)
        for (int i = 0; i < client->owned; i++)
            if (client->own[i]->id == id) l->list[l->devices++] = client->own[i];
    return l;
}
/* "tensor<2x3xf32>" at `at`. */
static ResultType result_type(const char *at) {
    ResultType t = {0};
    char *end = (char *)(uintptr_t)at + 7;
    while (*end >= '0' && *end <= '9' && t.rank < RANK) t.dim[t.rank++] = strtoll(end, &end, 10), end++;
    t.type = *end == 'b' ? 13 : *end == 'i' ? 4 : 11;
    return t;
}

/* The local types after the module's return, and which arguments of @main say that they alias a result. */
static void read_text(Program *p, const char *code, size_t bytes) {
    char *text = strndup(code, bytes), *main_at = strstr(text, "@main("), *end = main_at ? strstr(main_at, "->") : NULL;
    char *back = main_at ? strstr(main_at, "sdy.return ") : NULL;
    if (!back && main_at) back = strstr(main_at, "\nreturn ");
    char *at = back ? strstr(back, " : ") : NULL, *line = at ? strchr(at, '\n') : NULL;
    for (char *c = back; at && c < at; c++) {
        if (!strncmp(c, "%candidates", 11)) p->candidates = p->results;
        p->results += *c == ',';
    }
    for (p->results = 0; at && (at = strstr(at, "tensor<")) && at < line && p->results < RESULTS; at++)
        p->result[p->results++] = result_type(at);
    int argument = -1;
    for (char *c = main_at; c && c < end; c++) {
        if (*c == '%') argument++;
        if (!strncmp(c, "%g_shard:", 9)) p->shard = argument;
        if (!strncmp(c, "tf.aliasing_output", 18) && argument < ARGUMENTS) p->consumed[argument] = true;
    }
    free(text);
}

/* For num_partitions (field 5 of field 3: the byte after 28 hex) devices, each of which is assigned its own. */
FAKE(Client_Compile, PjrtCompileArgs) {
    const char *at = memchr(a->options, 0x28, a->option_bytes);
    if (!at || a->program->format_bytes != 4 || memcmp(a->program->format, "mlir", 4) != 0)
        return error(PJRT_INVALID_ARGUMENT, "not a program");
    Program p = {.devices = at[1], .shard = -1, .candidates = -1};
    for (int id = 0; id < p.devices; id++)
        if (!memmem(a->options, a->option_bytes, (char[]){0x1a, 3, 0x0a, 1, (char)id}, 5))
            return error(PJRT_INVALID_ARGUMENT, "a device has no part of the program");
    p.hash = hash_of(FIRST_HASH, a->program->code, a->program->code_bytes);
    read_text(&p, a->program->code, a->program->code_bytes);
    a->loaded = loaded(a->client, &p);
    return NULL;
}
FAKE(Executable_DeserializeAndLoad, PjrtLoadArgs) {
    const PjrtSerialized *s = (const PjrtSerialized *)(const void *)a->data;
    char owner[sizeof s->owner];
    if (!strcmp(mode(), "unloadable")) return error(PJRT_UNIMPLEMENTED, "no loading");
    if (a->bytes != sizeof *s || strcmp(s->owner, name_of(a->client, owner)))
        return error(PJRT_INVALID_ARGUMENT, "foreign");
    a->loaded = loaded(a->client, &s->program);
    return NULL;
}
FAKE(Executable_Destroy, PjrtExecutableArgs) { return drop(EXECUTABLE, a->executable), NULL; }
FAKE(LoadedExecutable_Destroy, PjrtExecutableArgs) { return drop(LOADED, a->executable), NULL; }
FAKE(LoadedExecutable_GetExecutable, PjrtGetExecutableArgs) {
    a->executable = make(EXECUTABLE, sizeof(PjrtExecutable));
    a->executable->loaded = a->loaded;
    return NULL;
}
FAKE(LoadedExecutable_AddressableDevices, PjrtDevicesArgs) {
    const PjrtLoaded *l = a->of;
    a->devices = l->list;
    a->count = (size_t)l->devices;
    return NULL;
}
FAKE(Executable_NumOutputs, PjrtOutputsArgs) {
    int results = a->executable->loaded->program.results;
    a->count = results ? (size_t)results : 1;
    return NULL;
}
static void free_serialized(PjrtSerialized *s) { drop(SERIALIZED, s); }
FAKE(Executable_Serialize, PjrtSerializeArgs) {
    a->holder = make(SERIALIZED, sizeof *a->holder);
    name_of(a->executable->loaded->client, a->holder->owner);
    a->holder->program = a->executable->loaded->program;
    a->data = a->holder->owner;
    a->bytes = sizeof *a->holder;
    a->free_holder = free_serialized;
    return NULL;
}
FAKE(Executable_GetCompiledMemoryStats, PjrtCompiledMemoryArgs) { return a->arguments = 42, NULL; }

/* ---- Buffers ----------------------------------------------------------------------------------------------------- */

static struct PJRT_Buffer *buffer(int type, const int64_t *dim, size_t rank, const void *data) {
    struct PJRT_Buffer *b = make(BUFFER, sizeof *b);
    b->type = type;
    b->rank = rank;
    b->bytes = type == 6 ? 1 : type == 13 ? 2 : 4;
    for (size_t i = 0; i < rank; i++) b->dim[i] = dim[i], b->bytes *= (size_t)dim[i];
    b->data = malloc(b->bytes + 1);
    if (data) memcpy(b->data, data, b->bytes);
    else memset(b->data, 0, b->bytes);
    b->hash = hash_of(FIRST_HASH, b->data, b->bytes);
    return b;
}
FAKE(Client_BufferFromHostBuffer, PjrtFromHostArgs) {
    a->buffer = buffer(a->type, a->dim, a->rank, a->data);
    a->done = event();
    a->device->uploads++;
    a->device->bytes += a->buffer->bytes;
    a->device->hash = hash_of(a->device->hash, &a->buffer->hash, sizeof a->buffer->hash);
    if (a->semantics >= PJRT_STAND_ON_CONSTANT && (uintptr_t)a->data % 64 == 0 && strcmp(mode(), "copies") != 0) {
        free(a->buffer->data);
        a->buffer->data = (char *)(uintptr_t)a->data;
        a->buffer->lent = true;
        a->buffer->loan = a->done;
        a->done->waits_for = a->buffer;
        lent++;
    }
    return NULL;
}
FAKE(Buffer_Destroy, PjrtBufferArgs) {
    volatile char last = a->buffer->bytes ? a->buffer->data[a->buffer->bytes - 1] : 0; /* is it still there? */
    (void)last;
    if (a->buffer->loan) a->buffer->loan->waits_for = NULL;
    if (!a->buffer->lent) free(a->buffer->data);
    drop(BUFFER, a->buffer);
    return NULL;
}
FAKE(Buffer_ElementType, PjrtElementTypeArgs) { return a->type = a->buffer->type, NULL; }
FAKE(Buffer_Dimensions, PjrtDimensionsArgs) {
    a->dim = a->buffer->dim;
    a->rank = a->buffer->rank;
    return NULL;
}
FAKE(Buffer_IsDeleted, PjrtIsDeletedArgs) { return a->deleted = a->buffer->deleted, NULL; }
FAKE(Buffer_ReadyEvent, PjrtReadyArgs) { return a->event = event(), NULL; }
FAKE(Buffer_ToHostBuffer, PjrtToHostArgs) {
    if (a->buffer->deleted) return error(PJRT_INVALID_ARGUMENT, "the buffer was donated");
    if (a->bytes != a->buffer->bytes) return error(PJRT_INVALID_ARGUMENT, "wrong size");
    memcpy(a->dst, a->buffer->data, a->bytes);
    a->done = event();
    return NULL;
}
/* Numbers from 0 to 255, which f32 and bf16 hold exactly. */
static float number(uint64_t seed) {
    seed = (seed ^ seed >> 31) * 0x9e3779b97f4a7c15u;
    return (float)((seed ^ seed >> 29) >> 20 & 255);
}
/* Values, then ids of the device's shard. */
static float candidate(uint64_t seed, size_t at, const ResultType *t, const int32_t *shard) {
    size_t k = (size_t)t->dim[1] / 2, row = at / (2 * k), column = at % (2 * k);
    if (column < k) return number(seed + at);
    return (float)(shard[0] + (int32_t)((size_t)number(seed + row) + column - k) % shard[1]);
}

static struct PJRT_Buffer *computed(const Program *p, int result, uint64_t hash, struct PJRT_Buffer *const *arguments) {
    const ResultType *t = &p->result[result];
    struct PJRT_Buffer *b = buffer(t->type, t->dim, t->rank, NULL);
    b->hash = hash_of(hash, &result, sizeof result);
    for (size_t i = 0; i < b->bytes / (t->type == 13 ? 2 : 4); i++) {
        float value = number(b->hash + i);
        if (result == p->candidates && p->shard >= 0)
            value = candidate(b->hash, i, t, (const int32_t *)(const void *)arguments[p->shard]->data);
        if (t->type == 13) memcpy(b->data + 2 * i, (char *)&value + 2, 2);
        else memcpy(b->data + 4 * i, &value, 4);
    }
    return b;
}

FAKE(LoadedExecutable_Execute, PjrtExecuteArgs) {
    const Program *p = &a->loaded->program;
    if (a->devices != (size_t)a->loaded->devices || a->argument_count < 1)
        return error(PJRT_INVALID_ARGUMENT, "wrong arguments");
    PjrtError *e = nodes_join(a->loaded->client, p);
    if (e) return e;
    for (size_t d = 0; d < a->devices && p->results; d++) {
        uint64_t hash = hash_of(p->hash, &a->loaded->list[d]->id, sizeof(int));
        for (size_t i = 0; i < a->argument_count; i++) {
            if (a->arguments[d][i]->deleted) return error(PJRT_INVALID_ARGUMENT, "the buffer was donated");
            if (i < ARGUMENTS && p->consumed[i]) a->arguments[d][i]->deleted = 1;
            hash = hash_of(hash, &a->arguments[d][i]->hash, sizeof hash);
        }
        for (int i = 0; i < p->results; i++) a->results[d][i] = computed(p, i, hash, a->arguments[d]);
        a->loaded->list[d]->runs++;
    }
    for (size_t d = 0; d < a->devices && !p->results; d++) {
        const struct PJRT_Buffer *x = a->arguments[d][0];
        if (x->deleted) return error(PJRT_INVALID_ARGUMENT, "the buffer was donated");
        a->results[d][0] = buffer(x->type, x->dim, x->rank, x->data);
        if (a->argument_count > 1) a->arguments[d][1]->deleted = 1;
    }
    return NULL;
}

/* ---- The table --------------------------------------------------------------------------------------------------- */

enum { SLOTS = 138 };

const PjrtApi *GetPjrtApi(void) {
    /* A plugin is initialised once: the test of a failing Plugin_Initialize needs a fresh table. */
    static _Alignas(PjrtApi) unsigned char tables[2][sizeof(PjrtApi) + SLOTS * sizeof(PjrtFunction)];
    const char *m = mode();
    PjrtApi *api = (PjrtApi *)(void *)tables[strstr(m, "Plugin_Initialize") != NULL];
    calls = 0;
    if (!strcmp(m, "null")) return NULL;
    api->struct_size = sizeof tables[0] - (!strcmp(m, "short") ? 100 * sizeof(PjrtFunction) : 0);
    api->version.major = !strcmp(m, "major");
    api->version.minor = !strcmp(m, "old") ? 56 : 114;
#define X(name, number, needed) api->slot[number] = strncmp(m, "missing=", 8) || strcmp(m + 8, #name) ? name : NULL;
    PJRT_SLOTS(X)
#undef X
    return api;
}
