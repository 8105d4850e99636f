/* buffer.c: arrays on devices: up, down, waiting. */
#include <string.h>
#include "handle.h"

enum { RANK_MAX = 8 };

static size_t type_bytes(int type) {
    switch (type) {
    case PJRT_U8: return 1;
    case PJRT_BF16: return 2;
    case PJRT_S32:
    case PJRT_F32: return 4;
    default: return 0;
    }
}

/* Bytes of a dense array; false when a dimension is negative or the product would wrap. */
static bool array_bytes(int type, const int64_t *dim, size_t rank, size_t *out) {
    *out = type_bytes(type);
    for (size_t i = 0; i < rank; i++)
        if (dim[i] < 0 || !size_mul(*out, (size_t)dim[i], out)) return false;
    return *out <= INT64_MAX;
}

/* A buffer of dense row-major data. done: NULL when nobody waits for it. */
static PjrtBuffer *from_host(PjrtClient *client, int device, PjrtType type, const int64_t *dim, int rank,
                             const void *data, int semantics, PjrtEvent **done, Err *err) {
    size_t bytes;
    if (device < 0 || device >= client->info.devices) {
        err_as(err, QM_DEVICE, "upload: expected a device from 0 to %d, got %d", client->info.devices - 1, device);
    } else if (!type_bytes((int)type)) {
        err_as(err, QM_DEVICE, "upload: unknown type %d", (int)type);
    } else if (rank < 0 || rank > RANK_MAX || !array_bytes((int)type, dim, (size_t)rank, &bytes)) {
        err_as(err, QM_DEVICE, "upload: expected 0 to %d dimensions of at least 0 each, got %d", RANK_MAX, rank);
    } else {
        int64_t none = 0;
        PjrtFromHostArgs args = {.client = client->client,
                                 .data = data ? data : &none,
                                 .type = (int)type,
                                 .dim = dim ? dim : &none,
                                 .rank = (size_t)rank,
                                 .semantics = semantics,
                                 .device = client->device[device]};
        if (PLUGIN_CALL(&client->plugin, Client_BufferFromHostBuffer, args, err) != PJRT_OK) return NULL;
        if (done) *done = args.done;
        /* When the data was copied during the call nobody waits for this event; tt's destroys itself. */
        if (!done && args.done && client->plugin.file.kind != PLUGIN_TT) {
            PjrtEventArgs event = {.event = args.done};
            PLUGIN_CALL(&client->plugin, Event_Destroy, event, NULL);
        }
        if (!args.buffer) err_as(err, QM_DEVICE, "PJRT_Client_BufferFromHostBuffer gave no buffer and no error");
        return args.buffer;
    }
    return NULL;
}

PjrtBuffer *pjrt_upload(PjrtClient *client, int device, PjrtType type, const int64_t *dim, int rank, const void *data,
                        Err *err) {
    return from_host(client, device, type, dim, rank, data, PJRT_COPY_DURING_CALL, NULL, err);
}

/* ---- Loans ------------------------------------------------------------------------------------------------------- */

PjrtBuffer *pjrt_lend(PjrtClient *client, int device, PjrtType type, const int64_t *dim, int rank, void *data,
                      bool donated, PjrtLoan **loan, Err *err) {
    *loan = NULL;
    return from_host(client, device, type, dim, rank, data, donated ? PJRT_STAND_ON_MUTABLE : PJRT_STAND_ON_CONSTANT,
                     loan, err);
}

void pjrt_returned(PjrtClient *client, PjrtLoan *loan) { plugin_await(&client->plugin, loan, NULL); }

/* Only XLA CPU shares the host's memory. It tells when it needs lent memory no more: at once if it made a copy. */
bool pjrt_lends(PjrtClient *client, bool *lends, Err *err) {
    if (!client->lends_known && client->plugin.file.kind == PLUGIN_CPU &&
        plugin_has(&client->plugin, PJRT_SLOT_Event_IsReady)) {
        _Alignas(PJRT_LENT_ALIGN) float data[64] = {0};
        PjrtLoan *loan;
        PjrtBuffer *buffer = pjrt_lend(client, 0, PJRT_F32, (int64_t[]){64}, 1, data, true, &loan, err);
        PjrtIsReadyArgs args = {.event = loan};
        client->lends = buffer && loan && PLUGIN_CALL(&client->plugin, Event_IsReady, args, err) == PJRT_OK &&
                        !args.ready;
        pjrt_buffer_free(client, buffer);
        if (!plugin_await(&client->plugin, loan, err) || err->kind) return false;
    }
    client->lends_known = true;
    *lends = client->lends;
    return true;
}

bool pjrt_download(PjrtClient *client, PjrtBuffer *buffer, void *dst, size_t bytes, Err *err) {
    PjrtElementTypeArgs type = {.buffer = buffer};
    PjrtDimensionsArgs shape = {.buffer = buffer};
    if (PLUGIN_CALL(&client->plugin, Buffer_ElementType, type, err) != PJRT_OK ||
        PLUGIN_CALL(&client->plugin, Buffer_Dimensions, shape, err) != PJRT_OK)
        return false;
    size_t expected;
    if (!type_bytes(type.type) || shape.rank > RANK_MAX || !array_bytes(type.type, shape.dim, shape.rank, &expected))
        return err_as(err, QM_DEVICE, "download: an array of type %d and %zu dimensions is none of ours", type.type,
                      shape.rank);
    if (bytes != expected) return err_as(err, QM_DEVICE, "download: expected room for %zu bytes, got %zu", expected,
                                         bytes);
    int64_t order[RANK_MAX], none = 0; /* row-major: the last dimension varies fastest, not as the device has it */
    for (size_t i = 0; i < shape.rank; i++) order[i] = (int64_t)(shape.rank - 1 - i);
    PjrtLayout layout = {.struct_size = sizeof layout, .type = PJRT_LAYOUT_TILED};
    layout.tiled.struct_size = sizeof layout.tiled;
    layout.tiled.minor_to_major = order;
    layout.tiled.rank = shape.rank;
    /* Without a destination the call would ask for the size: an empty array needs one, too. */
    PjrtToHostArgs args = {.buffer = buffer, .layout = &layout, .dst = bytes ? dst : &none, .bytes = bytes};
    if (PLUGIN_CALL(&client->plugin, Buffer_ToHostBuffer, args, err) != PJRT_OK) return false;
    return plugin_await(&client->plugin, args.done, err);
}

void pjrt_buffer_free(PjrtClient *client, PjrtBuffer *buffer) {
    if (!buffer) return;
    PjrtBufferArgs args = {.buffer = buffer};
    PLUGIN_CALL(&client->plugin, Buffer_Destroy, args, NULL);
}

bool pjrt_wait(PjrtClient *client, PjrtBuffer *buffer, Err *err) {
    /* tt runs programs before pjrt_execute returns, and ends the process when a buffer's event is taken twice. */
    if (client->plugin.file.kind == PLUGIN_TT) return true;
    PjrtReadyArgs args = {.buffer = buffer};
    if (PLUGIN_CALL(&client->plugin, Buffer_ReadyEvent, args, err) != PJRT_OK) return false;
    return plugin_await(&client->plugin, args.event, err);
}
