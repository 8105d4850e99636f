/* api.h: the part of the PJRT C API this program uses: a table of functions whose slot numbers never change, and one
 * argument struct for each. Layouts are those of API 0.57 to 0.114 on 64-bit little-endian machines.
 *
 * A plugin refuses arguments smaller than it knows, and accepts larger ones: so every struct ends in a spare tail of
 * zeros, which a later API finds as fields left at their default. Comments name what the plugin writes. */
#ifndef PJRT_API_H
#define PJRT_API_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PJRT_MAJOR = 0, PJRT_MINOR_OLDEST = 57 }; /* fields moved at 0.57; they were only appended to since */

typedef struct PJRT_Error PjrtError;
typedef struct PJRT_Event PjrtEvent;
typedef struct PJRT_Client PjrtPluginClient;
typedef struct PJRT_Device PjrtDevice;
typedef struct PJRT_DeviceDescription PjrtDescription;
typedef struct PJRT_Executable PjrtExecutable;
typedef struct PJRT_LoadedExecutable PjrtLoaded;
typedef struct PJRT_SerializedExecutable PjrtSerialized;
struct PJRT_Buffer;

/* Every function takes its struct and returns NULL or an error to destroy; Error_Destroy and Error_Message return
 * nothing. */

typedef PjrtError *(*PjrtFunction)(void *args);

typedef struct PjrtApi {
    size_t struct_size;
    void *extensions;
    struct { size_t struct_size; void *extensions; int major, minor; } version;
    PjrtFunction slot[]; /* (struct_size - 40) / 8 of them; a plugin may leave some NULL */
} PjrtApi;
_Static_assert(offsetof(PjrtApi, version.major) == 32 && offsetof(PjrtApi, slot) == 40, "the head of PJRT_Api");

/* The slots used: name, number, whether this program cannot do without. The one list. */
#define PJRT_SLOTS(X)                                                                                                 \
    X(Error_Destroy, 0, true) X(Error_Message, 1, true) X(Error_GetCode, 2, true) X(Plugin_Initialize, 3, true)       \
    X(Plugin_Attributes, 4, false) X(Event_Destroy, 5, true) X(Event_IsReady, 6, false) X(Event_Await, 8, true)        \
    X(Client_Create, 10, true)                                                                                        \
    X(Client_Destroy, 11, true) X(Client_PlatformName, 12, true) X(Client_PlatformVersion, 14, true)                  \
    X(Client_Devices, 15, true) X(Client_AddressableDevices, 16, true) X(Client_Compile, 20, true)                    \
    X(Client_BufferFromHostBuffer, 22, true) X(DeviceDescription_Id, 23, true)                                        \
    X(DeviceDescription_Attributes, 25, false) X(DeviceDescription_Kind, 26, true)                                    \
    X(DeviceDescription_ToString, 28, false) X(Device_GetDescription, 29, true) X(Device_MemoryStats, 34, false)      \
    X(Executable_Destroy, 40, true) X(Executable_NumOutputs, 44, true) X(Executable_Serialize, 49, false)             \
    X(LoadedExecutable_Destroy, 50, true) X(LoadedExecutable_GetExecutable, 51, true)                                 \
    X(LoadedExecutable_AddressableDevices, 52, true) X(LoadedExecutable_Execute, 55, true)                            \
    X(Executable_DeserializeAndLoad, 56, false) X(Buffer_Destroy, 58, true) X(Buffer_ElementType, 59, true)           \
    X(Buffer_Dimensions, 60, true) X(Buffer_IsDeleted, 68, true) X(Buffer_ToHostBuffer, 70, true)                     \
    X(Buffer_ReadyEvent, 72, true) X(Executable_GetCompiledMemoryStats, 96, false)
typedef enum PjrtSlot {
#define X(name, number, needed) PJRT_SLOT_##name = number,
    PJRT_SLOTS(X)
#undef X
} PjrtSlot;

/* Codes of errors are absl's. */
#define PJRT_CODES(X)                                                                                                 \
    X(CANCELLED, 1) X(UNKNOWN, 2) X(INVALID_ARGUMENT, 3) X(DEADLINE_EXCEEDED, 4) X(NOT_FOUND, 5) X(ALREADY_EXISTS, 6) \
    X(PERMISSION_DENIED, 7) X(RESOURCE_EXHAUSTED, 8) X(FAILED_PRECONDITION, 9) X(ABORTED, 10) X(OUT_OF_RANGE, 11)     \
    X(UNIMPLEMENTED, 12) X(INTERNAL, 13) X(UNAVAILABLE, 14) X(DATA_LOSS, 15) X(UNAUTHENTICATED, 16)
typedef enum PjrtCode {
    PJRT_OK = 0,
#define X(name, number) PJRT_##name = number,
    PJRT_CODES(X)
#undef X
} PjrtCode;

/* ---- Argument structs -------------------------------------------------------------------------------------------- */


#define PJRT_HEAD size_t struct_size; void *extensions
#define PJRT_TAIL uint64_t spare[8]
/* The bytes that API 0.114 counts, up to and with the last field. */
#define PJRT_BYTES(type, last, bytes)                                                                                 \
    _Static_assert(offsetof(type, last) + sizeof(((type *)0)->last) == (bytes), #type)

typedef struct PjrtErrorArgs { PJRT_HEAD; PjrtError *error; PJRT_TAIL; } PjrtErrorArgs; /* Error_Destroy */
PJRT_BYTES(PjrtErrorArgs, error, 24);
typedef struct PjrtErrorMessageArgs {
    PJRT_HEAD;
    const PjrtError *error;
    const char *message; /* out, the error's */
    size_t message_bytes; /* out */
    PJRT_TAIL;
} PjrtErrorMessageArgs;
PJRT_BYTES(PjrtErrorMessageArgs, message_bytes, 40);
typedef struct PjrtErrorCodeArgs {
    PJRT_HEAD;
    const PjrtError *error;
    int code; /* out */
    PJRT_TAIL;
} PjrtErrorCodeArgs;
PJRT_BYTES(PjrtErrorCodeArgs, code, 28);

typedef struct PjrtEventArgs { /* Event_Destroy, Event_Await */
    PJRT_HEAD;
    PjrtEvent *event;
    PJRT_TAIL;
} PjrtEventArgs;
PJRT_BYTES(PjrtEventArgs, event, 24);
typedef struct PjrtIsReadyArgs {
    PJRT_HEAD;
    PjrtEvent *event;
    bool ready; /* out */
    PJRT_TAIL;
} PjrtIsReadyArgs;
PJRT_BYTES(PjrtIsReadyArgs, ready, 25);

typedef enum PjrtValueType { PJRT_TEXT, PJRT_INT, PJRT_INT_LIST, PJRT_FLOAT, PJRT_BOOL } PjrtValueType;
typedef struct PjrtValue { /* an option or an attribute */
    PJRT_HEAD;
    const char *name;
    size_t name_bytes;
    int type; /* PjrtValueType */
    union { const char *text; int64_t integer; const int64_t *list; float real; bool flag; };
    size_t count; /* bytes of text, numbers of a list, else 1 */
} PjrtValue;      /* stands in arrays: no tail */
_Static_assert(sizeof(PjrtValue) == 56 && offsetof(PjrtValue, text) == 40, "PJRT_NamedValue");

typedef struct PjrtPluginArgs { /* Plugin_Initialize uses the head only */
    PJRT_HEAD;
    const PjrtValue *attributes; /* out */
    size_t count;                /* out */
    PJRT_TAIL;
} PjrtPluginArgs;
PJRT_BYTES(PjrtPluginArgs, count, 32);

/* Callbacks of Client_Create. The plugin leaves their heads unset. `fail` makes the error to return. */
typedef PjrtError *(*PjrtFail)(int code, const char *message, size_t bytes);
typedef void (*PjrtFreeValue)(char *value);
typedef struct PjrtStoreGetArgs {
    PJRT_HEAD;
    const char *key;
    size_t key_bytes;
    int timeout_ms;
    PjrtFail *fail;
    void *user;
    char *value; /* out, freed by `free_value` once copied */
    size_t value_bytes;
    PjrtFreeValue free_value;
} PjrtStoreGetArgs;
PJRT_BYTES(PjrtStoreGetArgs, free_value, 80);
typedef struct PjrtStoreTryGetArgs {
    PJRT_HEAD;
    const char *key;
    size_t key_bytes;
    PjrtFail *fail;
    void *user;
    char *value; /* out, as above */
    size_t value_bytes;
    PjrtFreeValue free_value;
} PjrtStoreTryGetArgs;
PJRT_BYTES(PjrtStoreTryGetArgs, free_value, 72);
typedef struct PjrtStorePutArgs {
    PJRT_HEAD;
    const char *key;
    size_t key_bytes;
    const char *value;
    size_t value_bytes;
    PjrtFail *fail;
    void *user;
} PjrtStorePutArgs;
PJRT_BYTES(PjrtStorePutArgs, user, 64);

typedef struct PjrtCreateArgs {
    PJRT_HEAD;
    const PjrtValue *options;
    size_t option_count;
    PjrtError *(*get)(PjrtStoreGetArgs *);
    void *get_user;
    PjrtError *(*put)(PjrtStorePutArgs *);
    void *put_user;
    PjrtPluginClient *client; /* out */
    PjrtError *(*try_get)(PjrtStoreTryGetArgs *);
    void *try_get_user;
    PJRT_TAIL;
} PjrtCreateArgs;
PJRT_BYTES(PjrtCreateArgs, try_get_user, 88);
typedef struct PjrtClientArgs { /* Client_Destroy */
    PJRT_HEAD;
    PjrtPluginClient *client;
    PJRT_TAIL;
} PjrtClientArgs;
PJRT_BYTES(PjrtClientArgs, client, 24);
typedef struct PjrtTextArgs { /* of: a client, a device's description */
    PJRT_HEAD;
    const void *of;
    const char *text; /* out, lives as long as `of` */
    size_t bytes;     /* out */
    PJRT_TAIL;
} PjrtTextArgs;
PJRT_BYTES(PjrtTextArgs, bytes, 40);
typedef struct PjrtDevicesArgs { /* of: a client, a loaded executable */
    PJRT_HEAD;
    const void *of;
    PjrtDevice *const *devices; /* out */
    size_t count;               /* out */
    PJRT_TAIL;
} PjrtDevicesArgs;
PJRT_BYTES(PjrtDevicesArgs, count, 40);

typedef struct PjrtDescriptionArgs {
    PJRT_HEAD;
    PjrtDevice *device;
    PjrtDescription *description;
    PJRT_TAIL;
} PjrtDescriptionArgs;
PJRT_BYTES(PjrtDescriptionArgs, description, 32);
typedef struct PjrtIdArgs {
    PJRT_HEAD;
    PjrtDescription *description;
    int id; /* out */
    PJRT_TAIL;
} PjrtIdArgs;
PJRT_BYTES(PjrtIdArgs, id, 28);
typedef struct PjrtDeviceAttributesArgs {
    PJRT_HEAD;
    PjrtDescription *description;
    size_t count;                /* out */
    const PjrtValue *attributes; /* out */
    PJRT_TAIL;
} PjrtDeviceAttributesArgs;
PJRT_BYTES(PjrtDeviceAttributesArgs, attributes, 40);
typedef struct PjrtMemoryArgs { /* all out; a number counts if the flag after it is set */
    PJRT_HEAD;
    PjrtDevice *device;
    int64_t in_use, peak;
    bool peak_set;
    int64_t allocations;
    bool allocations_set;
    int64_t largest;
    bool largest_set;
    int64_t limit;
    bool limit_set;
    int64_t rest[14]; /* seven more pairs */
    PJRT_TAIL;
} PjrtMemoryArgs;
_Static_assert(offsetof(PjrtMemoryArgs, limit_set) == 88 && offsetof(PjrtMemoryArgs, spare) >= 208, "MemoryStats");

typedef struct PjrtProgramText {
    PJRT_HEAD;
    const char *code;
    size_t code_bytes;
    const char *format;
    size_t format_bytes;
    PJRT_TAIL;
} PjrtProgramText;
PJRT_BYTES(PjrtProgramText, format_bytes, 48);
typedef struct PjrtCompileArgs {
    PJRT_HEAD;
    PjrtPluginClient *client;
    const PjrtProgramText *program;
    const char *options;
    size_t option_bytes;
    PjrtLoaded *loaded; /* out */
    PJRT_TAIL;
} PjrtCompileArgs;
PJRT_BYTES(PjrtCompileArgs, loaded, 56);
typedef struct PjrtLoadArgs {
    PJRT_HEAD;
    PjrtPluginClient *client;
    const char *data;
    size_t bytes;
    PjrtLoaded *loaded; /* out */
    const char *options;
    size_t option_bytes;
    const void *load_options;
    PJRT_TAIL;
} PjrtLoadArgs;
PJRT_BYTES(PjrtLoadArgs, load_options, 72);
typedef struct PjrtExecutableArgs { /* Executable_Destroy, LoadedExecutable_Destroy */
    PJRT_HEAD;
    void *executable;
    PJRT_TAIL;
} PjrtExecutableArgs;
PJRT_BYTES(PjrtExecutableArgs, executable, 24);
typedef struct PjrtGetExecutableArgs {
    PJRT_HEAD;
    PjrtLoaded *loaded;
    PjrtExecutable *executable; /* out */
    PJRT_TAIL;
} PjrtGetExecutableArgs;
PJRT_BYTES(PjrtGetExecutableArgs, executable, 32);
typedef struct PjrtOutputsArgs {
    PJRT_HEAD;
    PjrtExecutable *executable;
    size_t count; /* out */
    PJRT_TAIL;
} PjrtOutputsArgs;
PJRT_BYTES(PjrtOutputsArgs, count, 32);
typedef struct PjrtSerializeArgs {
    PJRT_HEAD;
    const PjrtExecutable *executable;
    const char *data;                        /* out, lives until `free_holder(holder)` */
    size_t bytes;                            /* out */
    PjrtSerialized *holder;                  /* out */
    void (*free_holder)(PjrtSerialized *holder); /* out */
    PJRT_TAIL;
} PjrtSerializeArgs;
PJRT_BYTES(PjrtSerializeArgs, free_holder, 56);
typedef struct PjrtCompiledMemoryArgs { /* bytes per device, all out */
    PJRT_HEAD;
    PjrtExecutable *executable;
    int64_t code, arguments, results, aliased, temporaries;
    int64_t rest[10]; /* the host's share, totals */
    PJRT_TAIL;
} PjrtCompiledMemoryArgs;
PJRT_BYTES(PjrtCompiledMemoryArgs, rest, 144);

typedef struct PjrtExecuteOptions {
    PJRT_HEAD;
    void *send, *receive;
    size_t send_count, receive_count;
    int launch;
    const int64_t *keep; /* arguments not to donate */
    size_t keep_count;
    void *context;
    const char *location;
    size_t task_count;
    int *tasks;
    int64_t *incarnations;
    void *slices;
    bool major_to_minor;
    void *callbacks;
    size_t callback_count;
    PJRT_TAIL;
} PjrtExecuteOptions;
PJRT_BYTES(PjrtExecuteOptions, callback_count, 144);
typedef struct PjrtExecuteArgs {
    PJRT_HEAD;
    PjrtLoaded *loaded;
    PjrtExecuteOptions *options;
    struct PJRT_Buffer *const *const *arguments; /* [device][argument] */
    size_t devices, argument_count;
    struct PJRT_Buffer **const *results; /* [device][result]: the caller's arrays, filled by the plugin */
    PjrtEvent **done;                    /* [device] or NULL */
    PjrtDevice *device;                  /* NULL: all of them */
    PJRT_TAIL;
} PjrtExecuteArgs;
PJRT_BYTES(PjrtExecuteArgs, device, 80);

enum { PJRT_LAYOUT_TILED = 0 };
/* PJRT_HostBufferSemantics: the data is copied during the call, or the buffer may stand on it until it is freed, for
 * reading only or also to be donated. */
enum { PJRT_COPY_DURING_CALL = 0, PJRT_STAND_ON_CONSTANT = 2, PJRT_STAND_ON_MUTABLE = 3 };
typedef struct PjrtLayout { /* tiled, with no tiles: an order of dimensions */
    PJRT_HEAD;
    struct {
        PJRT_HEAD;
        const int64_t *minor_to_major;
        size_t rank;
        const int64_t *tile_dims;
        const size_t *tile_ranks;
        size_t tiles;
    } tiled;
    int type;
    PJRT_TAIL;
} PjrtLayout;
_Static_assert(offsetof(PjrtLayout, tiled) == 16 && offsetof(PjrtLayout, type) == 72, "PJRT_Buffer_MemoryLayout");
typedef struct PjrtFromHostArgs {
    PJRT_HEAD;
    PjrtPluginClient *client;
    const void *data;
    int type;
    const int64_t *dim;
    size_t rank;
    const int64_t *stride;
    size_t stride_count; /* none: dense, row-major */
    int semantics;
    PjrtDevice *device;
    void *memory;
    PjrtLayout *layout;
    PjrtEvent *done;            /* out */
    struct PJRT_Buffer *buffer; /* out */
    PJRT_TAIL;
} PjrtFromHostArgs;
PJRT_BYTES(PjrtFromHostArgs, buffer, 120);
typedef struct PjrtToHostArgs {
    PJRT_HEAD;
    struct PJRT_Buffer *buffer;
    PjrtLayout *layout; /* NULL: the device's own */
    void *dst;
    size_t bytes;
    PjrtEvent *done; /* out */
    PJRT_TAIL;
} PjrtToHostArgs;
PJRT_BYTES(PjrtToHostArgs, done, 56);
typedef struct PjrtBufferArgs { /* Buffer_Destroy */
    PJRT_HEAD;
    struct PJRT_Buffer *buffer;
    PJRT_TAIL;
} PjrtBufferArgs;
PJRT_BYTES(PjrtBufferArgs, buffer, 24);
typedef struct PjrtIsDeletedArgs {
    PJRT_HEAD;
    struct PJRT_Buffer *buffer;
    bool deleted; /* out */
    PJRT_TAIL;
} PjrtIsDeletedArgs;
PJRT_BYTES(PjrtIsDeletedArgs, deleted, 25);
typedef struct PjrtElementTypeArgs {
    PJRT_HEAD;
    struct PJRT_Buffer *buffer;
    int type; /* out */
    PJRT_TAIL;
} PjrtElementTypeArgs;
PJRT_BYTES(PjrtElementTypeArgs, type, 28);
typedef struct PjrtDimensionsArgs {
    PJRT_HEAD;
    struct PJRT_Buffer *buffer;
    const int64_t *dim; /* out */
    size_t rank;        /* out */
    PJRT_TAIL;
} PjrtDimensionsArgs;
PJRT_BYTES(PjrtDimensionsArgs, rank, 40);
typedef struct PjrtReadyArgs {
    PJRT_HEAD;
    struct PJRT_Buffer *buffer;
    PjrtEvent *event; /* out */
    PJRT_TAIL;
} PjrtReadyArgs;
PJRT_BYTES(PjrtReadyArgs, event, 32);
#endif
