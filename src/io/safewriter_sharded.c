/* safewriter_sharded.c: see safewriter_sharded.h. Sharding: huggingface_hub's split_state_dict_into_shards_factory. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "../base/output.h"
#include "json_python.h"
#include "safetensors.h"
#include "safewriter_sharded.h"

enum { PIECE_NUMBERS = 1 << 20 }; /* read at a time, but at least a row */

/* ---- Reading ----------------------------------------------------------------------------------------------------- */

int64_t save_elements(const SaveTensor *t, Err *err) {
    int64_t count = 1;
    bool good = t->rank == 1 || t->rank == 2;
    for (int i = 0; good && i < t->rank; i++)
        good = t->dim[i] > 0 && !__builtin_mul_overflow(count, t->dim[i], &count) && count < INT64_MAX / 8;
    if (good) return count;
    err_set(err, "tensor %s cannot be saved: expected one or two dimensions of at least 1",
            name_text(t->name, strlen(t->name)).text);
    return -1;
}

bool save_rows(const SaveTensor *t, SaveTake *take, void *owner, Err *err) {
    int64_t columns = t->rank > 1 ? t->dim[1] : 1, rows = t->dim[0], piece = PIECE_NUMBERS / columns;
    if (t->whole || piece > rows) piece = rows;
    if (piece < 1) piece = 1;
    float *numbers = mem_new((size_t)(piece * columns), sizeof *numbers, t->name, err);
    bool ok = numbers != NULL;
    for (int64_t first = 0; ok && first < rows; first += piece) {
        int64_t now = rows - first < piece ? rows - first : piece;
        ok = t->read(t->owner, first, now, numbers, err) && take(owner, numbers, now, columns, err);
    }
    free(numbers);
    return ok;
}

/* ---- Shards ------------------------------------------------------------------------------------------------------ */

/* shard_of[i]: of tensor i. */
typedef struct Sharding { int64_t *shard_of; int64_t shards, parameters, bytes; int width; } Sharding;

static bool deal(Sharding *s, const SaveTensor *tensors, int64_t count, int64_t most, Err *err) {
    int64_t filled = 0, open = -1; /* bytes of the shard that is being filled; its first tensor */
    s->shard_of = mem_new((size_t)count + 1, sizeof *s->shard_of, "shards", err);
    if (!s->shard_of) return false;
    for (int64_t i = 0; i <= count; i++) {
        int64_t elements = i < count ? save_elements(&tensors[i], err) : 0, bytes = elements * (i < count && tensors[i].as ? 1 : s->width);
        if (elements < 0) return false;
        s->parameters += elements;
        s->bytes += bytes;
        if (bytes > most) {
            s->shard_of[i] = s->shards++;
            continue;
        }
        if (open >= 0 && (i == count || filled + bytes > most)) { /* those that are marked get their number now */
            for (int64_t j = open; j < i; j++)
                if (s->shard_of[j] < 0) s->shard_of[j] = s->shards;
            s->shards++;
            filled = 0;
            open = -1;
        }
        if (i == count) break;
        if (open < 0) open = i;
        s->shard_of[i] = -1;
        filled += bytes;
    }
    return true;
}

static void file_name(char out[160], const char *name, int64_t shard, int64_t shards) {
    if (shards == 1) snprintf(out, 160, "%s.safetensors", name);
    else snprintf(out, 160, "%s-%05lld-of-%05lld.safetensors", name, (long long)shard + 1, (long long)shards);
}

bool safetensors_saved_name(const char *file, const char *name) {
    size_t n = strlen(name);
    if (strncmp(file, name, n) != 0) return false;
    file += n;
    if (!strcmp(file, ".safetensors") || !strcmp(file, ".safetensors.index.json")) return true;
    for (int part = 0; part < 2; part++) {
        const char *before = part ? "-of-" : "-";
        if (strncmp(file, before, strlen(before)) != 0) return false;
        file += strlen(before);
        if (!isdigit((unsigned char)*file)) return false;
        while (isdigit((unsigned char)*file)) file++;
    }
    return !strcmp(file, ".safetensors");
}

/* ---- Files ------------------------------------------------------------------------------------------------------- */

typedef struct Sink { SafeWriter *writer; DType dtype; } Sink;

/* Numbers of 8 or 16 bits, a few at a time. */
static bool take_rows(void *owner, const float *numbers, int64_t rows, int64_t columns, Err *err) {
    Sink *sink = owner;
    size_t count = (size_t)(rows * columns);
    uint8_t byte[4096];
    for (size_t i = 0, now; sink->dtype == DTYPE_I8 || sink->dtype == DTYPE_U8; i += now) {
        now = count - i < sizeof byte ? count - i : sizeof byte;
        for (size_t j = 0; j < now; j++) byte[j] = (uint8_t)(int)numbers[i + j];
        if (!safewriter_data(sink->writer, byte, now, err)) return false;
        if (i + now == count) return true;
    }
    if (sink->dtype == DTYPE_F32) return safewriter_data(sink->writer, numbers, count * sizeof *numbers, err);
    uint16_t half[4096];
    bool ok = true;
    for (size_t i = 0; ok && i < count; i += 4096) {
        size_t now = count - i < 4096 ? count - i : 4096;
        for (size_t j = 0; j < now; j++)
            half[j] = sink->dtype == DTYPE_BF16 ? f32_to_bf16(numbers[i + j]) : f32_to_f16(numbers[i + j]);
        ok = safewriter_data(sink->writer, half, now * sizeof *half, err);
    }
    return ok;
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const SaveTensor *const *)a)->name, (*(const SaveTensor *const *)b)->name);
}

/* One file of the `count` tensors of `list`. */
static bool write_file(const char *path, const SaveTensor **list, int64_t count, DType dtype, Err *err) {
    SafeTensor *header = mem_new((size_t)count + 1, sizeof *header, "header", err);
    if (!header) return false;
    qsort(list, (size_t)count, sizeof *list, by_name);
    for (int64_t i = 0; i < count; i++) {
        header[i] = (SafeTensor){.name = list[i]->name, .dtype = list[i]->as ? list[i]->as : dtype, .rank = list[i]->rank};
        memcpy(header[i].dim, list[i]->dim, sizeof list[i]->dim);
    }
    Sink sink = {safewriter_open(path, header, count, err), dtype};
    bool ok = sink.writer != NULL;
    for (int64_t i = 0; ok && i < count; i++) {
        sink.dtype = header[i].dtype;
        ok = save_rows(list[i], take_rows, &sink, err);
    }
    free(header);
    if (!sink.writer) return false;
    if (ok) return safewriter_close(sink.writer, err);
    Err ignored = {0};
    safewriter_close(sink.writer, &ignored);
    return false;
}

static bool write_index(const char *folder, const char *name, const Sharding *s, const SaveTensor *tensors,
                        int64_t count, Err *err) {
    char file[160];
    json_t *map = json_object();
    bool ok = map != NULL;
    for (int64_t i = 0; ok && i < count; i++) {
        file_name(file, name, s->shard_of[i], s->shards);
        ok = json_object_set_new(map, tensors[i].name, json_string(file)) == 0;
    }
    json_t *index = json_pack("{s:{s:I, s:I}, s:o}", "metadata", "total_parameters", (json_int_t)s->parameters,
                              "total_size", (json_int_t)s->bytes, "weight_map", map);
    char *text = ok && index ? json_python(index, (JsonStyle){true, true}, "index of shards", err) : NULL;
    if (!text) err_as(err, QM_MEMORY, "out of memory: index of shards");
    json_decref(index);
    snprintf(file, sizeof file, "%s.safetensors.index.json", name);
    char *path = text ? path_join(folder, file, err) : NULL;
    Output out = {0};
    ok = path && output_open(&out, path, err) && file_put(out.file, text, strlen(text), path, err) &&
         file_put(out.file, "\n", 1, path, err);
    ok = output_end(&out, ok, err);
    free(path);
    free(text);
    return ok;
}

bool safetensors_save(const char *folder, const char *name, const SaveTensor *tensors, int64_t count, DType dtype,
                      int64_t most_bytes, Err *err) {
    Sharding s = {.width = dtype == DTYPE_F32 ? 4 : 2};
    char file[160];
    if (dtype != DTYPE_F32 && dtype != DTYPE_BF16 && dtype != DTYPE_F16)
        return err_as(err, QM_USAGE, "weights are saved as f32, bf16 or f16, got %s", dtype_row(dtype)->name);
    const SaveTensor **list = mem_new((size_t)count + 1, sizeof *list, "shards", err);
    bool ok = list && deal(&s, tensors, count, most_bytes, err);
    if (ok && s.shards == 0) s.shards = 1; /* no tensor at all is a file, too */
    for (int64_t shard = 0; ok && shard < s.shards; shard++) {
        int64_t some = 0;
        for (int64_t i = 0; i < count; i++)
            if (s.shard_of[i] == shard) list[some++] = &tensors[i];
        file_name(file, name, shard, s.shards);
        char *path = path_join(folder, file, err);
        ok = path && write_file(path, list, some, dtype, err);
        free(path);
    }
    ok = ok && (s.shards == 1 || write_index(folder, name, &s, tensors, count, err));
    free(list);
    free(s.shard_of);
    return ok;
}
