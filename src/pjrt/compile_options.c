/* compile_options.c: how a program is to be compiled, as a protocol buffer (xla/pjrt/proto/compile_options.proto), by
 * hand. */
#include "handle.h"

/* Wire format: a field's number and kind, then a varint (0) or a length and bytes (2). */
static void varint(Text *out, uint64_t value) {
    do {
        char byte = (char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        text_add(out, &byte, 1);
        value >>= 7;
    } while (value);
}

static void field_number(Text *out, unsigned field, int64_t value) {
    varint(out, field << 3);
    varint(out, (uint64_t)value);
}

/* Adds `inner` as a field and frees it. */
static void field_bytes(Text *out, unsigned field, Text *inner) {
    varint(out, field << 3 | 2);
    varint(out, inner->bytes);
    text_add(out, inner->data ? inner->data : "", inner->bytes);
    out->failed |= inner->failed;
    text_free(inner);
}

/* DeviceAssignmentProto: 1 replica_count, 2 computation_count, 3 a message per computation: 1 packed replica ids. */
static void device_assignment(Text *out, int partitions, const int64_t *id) {
    field_number(out, 1, 1);
    field_number(out, 2, partitions);
    for (int p = 0; p < partitions; p++) {
        Text packed = {0}, computation = {0};
        varint(&packed, (uint64_t)id[p]);
        field_bytes(&computation, 1, &packed);
        field_bytes(out, 3, &computation);
    }
}

void compile_options(Text *out, int partitions, const int64_t *id) {
    Text build = {0}, assignment = {0};  /* ExecutableBuildOptionsProto */
    field_number(&build, 1, -1);         /* device_ordinal: an absent one would mean device 0 */
    field_number(&build, 4, 1);          /* num_replicas */
    field_number(&build, 5, partitions); /* num_partitions */
    field_number(&build, 6, 1);          /* use_spmd_partitioning */
    device_assignment(&assignment, partitions, id);
    field_bytes(&build, 9, &assignment);
    field_number(&build, 19, 1); /* use_shardy_partitioner */
    field_bytes(out, 3, &build); /* executable_build_options */
}
