/* checkpoints.c: see checkpoints.h. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "../base/output.h"
#include "../base/output_folder.h"
#include "../base/watch.h"
#include "../io/config.h"
#include "../io/json_python.h"
#include "../io/safewriter_sharded.h"
#include "../io/shards.h"
#include "checkpoints.h"

#define STATE_FILE "trainer_state.json"
#define FOLDER_BEGIN "checkpoint-"
enum { STATE_LIMIT = 1 << 30 };
static const char *const part_names[CHECKPOINT_PARTS] = {"", ".exp_avg", ".exp_avg_sq", ".ema"};

/* ---- Tensors of the files ---------------------------------------------------------------------------------------- */

/* What one tensor of a file is of the model's: a part's numbers; of a coded one its codes, or its blocks' scales. */
typedef enum Form { FORM_NUMBERS, FORM_CODES, FORM_SCALES } Form;
typedef struct Item { const CheckpointModel *model; int64_t tensor; CheckpointPart part; Form form; } Item;

/* A file's tensors: those of the values, or those of all other parts. */
typedef struct Items { SaveTensor *tensors; Item *items; int64_t count; Arena arena; } Items;

static CodeKind kind_of(const Item *item) { return item->part == CHECKPOINT_FIRST ? CODE_FIRST : CODE_SECOND; }
/* A code as the file has it. */
static int code_bias(const Item *item) { return item->part == CHECKPOINT_FIRST ? 128 : 0; }

static int64_t blocks_of(const CheckpointModel *m, int64_t tensor) {
    int64_t count = 0;
    for (int64_t at = 0; at < m->tensors[tensor].dim[1]; count++) at = m->block_end(m->owner, tensor, at);
    return count;
}

/* Codes or scales of numbers [rows][columns], as numbers. */
static void take_form(const Item *item, const float *x, float *out) {
    const CheckpointTensor *t = &item->model->tensors[item->tensor];
    for (int64_t row = 0; row < t->dim[0]; row++, x += t->dim[1])
        for (int64_t at = 0, end; at < t->dim[1]; at = end) {
            float most = 0;
            end = item->model->block_end(item->model->owner, item->tensor, at);
            for (int64_t i = at; i < end; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
            float scale = code_scale(kind_of(item), most);
            if (item->form == FORM_SCALES) *out++ = scale;
            for (int64_t i = at; item->form == FORM_CODES && i < end; i++)
                *out++ = (float)(code_of(kind_of(item), x[i], scale) - code_bias(item));
        }
}

static bool read_item(void *owner, int64_t first, int64_t rows, float *out, Err *err) {
    const Item *item = owner;
    (void)first, (void)rows; /* all: SaveTensor.whole */
    if (item->form == FORM_NUMBERS) return item->model->read(item->model->owner, item->tensor, item->part, out, err);
    const CheckpointTensor *t = &item->model->tensors[item->tensor];
    float *numbers = mem_new((size_t)(t->dim[0] * t->dim[1]), sizeof *numbers, t->name, err);
    bool ok = numbers && item->model->read(item->model->owner, item->tensor, item->part, numbers, err);
    if (ok) take_form(item, numbers, out);
    free(numbers);
    return ok;
}

static bool add_item(Items *list, const CheckpointModel *m, int64_t i, CheckpointPart part, Form form, Err *err) {
    const CheckpointTensor *t = &m->tensors[i];
    const char *end = form == FORM_SCALES ? ".scale" : "";
    const char *below = part == CHECKPOINT_VALUE && m->prefix ? name_below(t->name) : NULL;
    const char *prefix = below ? m->prefix : "", *rest = below ? below : t->name;
    size_t bytes = strlen(prefix) + strlen(rest) + strlen(part_names[part]) + strlen(end) + 1;
    char *name = arena_new(&list->arena, bytes, 1, "name", err);
    if (!name) return false;
    snprintf(name, bytes, "%s%s%s%s", prefix, rest, part_names[part], end);
    list->items[list->count] = (Item){m, i, part, form};
    list->tensors[list->count] = (SaveTensor){.name = name,
                                              .rank = t->rank,
                                              .dim = {t->dim[0], form == FORM_SCALES ? blocks_of(m, i) : t->dim[1]},
                                              .as = form != FORM_CODES ? DTYPE_F32
                                                    : part == CHECKPOINT_FIRST ? DTYPE_I8 : DTYPE_U8,
                                              .whole = true,
                                              .read = read_item,
                                              .owner = &list->items[list->count]};
    list->count++;
    return true;
}

static bool list_items(Items *list, const CheckpointModel *m, bool values, Err *err) {
    int first = values ? CHECKPOINT_VALUE : CHECKPOINT_FIRST, end = values ? CHECKPOINT_FIRST : CHECKPOINT_PARTS;
    size_t room = (size_t)m->count * (CHECKPOINT_PARTS + 2) + 1; /* two may be codes and scales */
    *list = (Items){0};
    list->tensors = arena_new(&list->arena, room, sizeof *list->tensors, "checkpoint", err);
    list->items = list->tensors ? arena_new(&list->arena, room, sizeof *list->items, "checkpoint", err) : NULL;
    if (!list->items) return false;
    for (int64_t i = 0; i < m->count; i++)
        for (int part = first; part < end; part++) {
            bool coded = m->tensors[i].coded && (part == CHECKPOINT_FIRST || part == CHECKPOINT_SECOND);
            if (!m->tensors[i].has[part]) continue;
            if (!add_item(list, m, i, (CheckpointPart)part, coded ? FORM_CODES : FORM_NUMBERS, err) ||
                (coded && !add_item(list, m, i, (CheckpointPart)part, FORM_SCALES, err)))
                return false;
        }
    return true;
}

/* ---- Saving ------------------------------------------------------------------------------------------------------ */

/* {name: bytes} of the files in a folder. */
static json_t *file_sizes(const char *folder, Err *err) {
    json_t *files = json_object();
    DIR *list = opendir(folder);
    bool ok = files && list;
    for (struct dirent *entry; ok && (entry = readdir(list));) {
        struct stat st;
        char *path = path_join(folder, entry->d_name, err);
        ok = path != NULL;
        if (ok && stat(path, &st) == 0 && S_ISREG(st.st_mode))
            ok = json_object_set_new(files, entry->d_name, json_integer(st.st_size)) == 0;
        free(path);
    }
    if (list) closedir(list);
    if (ok) return files;
    if (!err->kind) err_as(err, QM_IO, "cannot read %s: %s", folder, strerror(errno));
    json_decref(files);
    return NULL;
}

static bool write_state(const char *folder, const TrainState *state, Err *err) {
    json_t *files = file_sizes(folder, err), *root = files ? train_state_to_json(state, files, err) : NULL;
    char *text = root ? json_python(root, (JsonStyle){.ascii = true}, STATE_FILE, err) : NULL;
    char *path = text ? path_join(folder, STATE_FILE, err) : NULL;
    Output out = {0};
    bool ok = path && output_open(&out, path, err) && file_put(out.file, text, strlen(text), path, err) &&
              file_put(out.file, "\n", 1, path, err);
    ok = output_end(&out, ok, err);
    free(path);
    free(text);
    json_decref(root);
    json_decref(files);
    return ok;
}

static bool write_part(const char *folder, const CheckpointModel *m, bool values, Err *err) {
    Items list;
    bool ok = list_items(&list, m, values, err) &&
              safetensors_save(folder, values ? m->weights : "optimizer", list.tensors, list.count, DTYPE_F32,
                               values ? SAVE_SHARD_BYTES : INT64_MAX, err);
    arena_free(&list.arena);
    return ok;
}

bool checkpoint_save(const char *dir, const CheckpointModel *m, const TrainState *state, Err *err) {
    OutputFolder folder = {.lock = -1};
    char name[64], *path;
    snprintf(name, sizeof name, FOLDER_BEGIN "%lld", (long long)state->step);
    output_folder_sweep(dir, FOLDER_BEGIN);
    if (!(path = path_join(dir, name, err))) return false;
    bool ok = output_folder_open(&folder, path, FOLDER_REPLACE, err) &&
              (!m->small || m->small(m->owner, folder.path, err)) && write_part(folder.path, m, true, err) &&
              write_part(folder.path, m, false, err) && write_state(folder.path, state, err);
    ok = output_folder_end(&folder, ok, NULL, NULL, err);
    if (!ok) err_prefix(err, "%s was not saved", path);
    free(path);
    return ok;
}

/* ---- Checking ---------------------------------------------------------------------------------------------------- */

/* Every file has the bytes that were written. */
static bool check_files(const char *folder, const json_t *files, Err *err) {
    const char *name;
    json_t *bytes;
    if (!json_is_object(files)) return err_set(err, "%s/" STATE_FILE ": files: expected an object", folder);
    json_object_foreach((json_t *)(uintptr_t)files, name, bytes) {
        struct stat st;
        if (strchr(name, '/') || !json_is_integer(bytes))
            return err_set(err, "%s/" STATE_FILE ": files: %s: expected a file's bytes", folder,
                           name_text(name, strlen(name)).text);
        char *path = path_join(folder, name, err);
        if (!path) return false;
        bool there = stat(path, &st) == 0 && S_ISREG(st.st_mode);
        long long expected = (long long)json_integer_value(bytes);
        if (!there) err_as(err, QM_IO, "%s is missing: expected %lld bytes", path, expected);
        else if ((long long)st.st_size != expected)
            err_set(err, "%s: expected %lld bytes, as " STATE_FILE " says, got %lld: it was cut off or changed", path,
                    expected, (long long)st.st_size);
        free(path);
        if (err->kind) return false;
    }
    return true;
}

static bool read_state(const char *folder, TrainState *state, Err *err) {
    char *path = path_join(folder, STATE_FILE, err);
    json_t *root = path ? json_file(path, STATE_LIMIT, err) : NULL;
    bool ok = root && train_state_from_json(state, root, path, err);
    if (ok && !check_files(folder, json_object_get(root, "files"), err)) {
        train_state_free(state);
        ok = false;
    }
    json_decref(root);
    free(path);
    return ok;
}

bool checkpoint_state(const char *folder, TrainState *state, Err *err) {
    *state = (TrainState){0};
    return read_state(folder, state, err);
}

static void shape_text(int rank, const int64_t *dim, char out[64]) {
    if (rank == 1) snprintf(out, 64, "[%lld]", (long long)dim[0]);
    else if (rank == 2) snprintf(out, 64, "[%lld,%lld]", (long long)dim[0], (long long)dim[1]);
    else snprintf(out, 64, "%d dimensions", rank);
}

/* A file's tensors as found, sorted by name. */
typedef struct Found { Shards shards; Name *names; char *path; } Found;

static bool open_part(Found *f, const char *folder, const char *name, Err *err) {
    char single[160], index[160];
    snprintf(single, sizeof single, "%s.safetensors", name);
    snprintf(index, sizeof index, "%s.safetensors.index.json", name);
    char *at = path_join(folder, index, err);
    bool ok = at && (f->path = path_join(folder, single, err));
    if (ok && file_exists(at)) ok = shards_open_index(&f->shards, folder, at, err);
    else ok = ok && shards_open_file(&f->shards, f->path, err);
    free(at);
    ok = ok && (f->names = mem_new((size_t)f->shards.count + 1, sizeof *f->names, "names", err));
    for (int64_t i = 0; ok && i < f->shards.count; i++) {
        const char *text = f->shards.tensors[i].tensor->name;
        f->names[i] = (Name){text, strlen(text), i};
    }
    if (ok) names_sort(f->names, f->shards.count);
    return ok;
}

static void close_part(Found *f) {
    shards_close(&f->shards);
    free(f->names);
    free(f->path);
}

static const ShardTensor *find_tensor(const Found *f, const char *name) {
    int64_t i = names_find(f->names, f->shards.count, name, strlen(name));
    return i < 0 ? NULL : &f->shards.tensors[i];
}

static bool check_tensor(const Found *f, const SaveTensor *want, Err *err) {
    const ShardTensor *got = find_tensor(f, want->name);
    char expected[64], found[64];
    shape_text(want->rank, want->dim, expected);
    if (!got)
        return err_set(err,
                       "%s: tensor %s is missing: expected %s %s: the checkpoint is of another model or optimizer",
                       f->path, want->name, dtype_row(want->as)->name, expected);
    const SafeTensor *t = got->tensor;
    shape_text(t->rank, t->dim, found);
    return (t->dtype == want->as && t->rank == want->rank &&
            !memcmp(t->dim, want->dim, (size_t)t->rank * sizeof *t->dim)) ||
           err_set(err, "%s: tensor %s: expected %s %s, got %s %s: the checkpoint is of another model or optimizer",
                   got->file, want->name, dtype_row(want->as)->name, expected, dtype_row(t->dtype)->name, found);
}

/* Every tensor that is wanted, and no other. */
static bool check_part(const Found *f, const Items *list, Err *err) {
    for (int64_t i = 0; i < list->count; i++)
        if (!check_tensor(f, &list->tensors[i], err)) return false;
    if (f->shards.count == list->count) return true;
    Name *wanted = mem_new((size_t)list->count + 1, sizeof *wanted, "names", err);
    const ShardTensor *more = NULL;
    for (int64_t i = 0; wanted && i < list->count; i++)
        wanted[i] = (Name){list->tensors[i].name, strlen(list->tensors[i].name), i};
    if (wanted) names_sort(wanted, list->count);
    for (int64_t i = 0; wanted && !more && i < f->shards.count; i++) {
        const char *name = f->shards.tensors[i].tensor->name;
        if (names_find(wanted, list->count, name, strlen(name)) < 0) more = &f->shards.tensors[i];
    }
    free(wanted);
    return !more ? !err->kind
                 : err_set(err, "%s: tensor %s is none of this run's: the checkpoint is of another model or optimizer",
                           more->file, name_text(more->tensor->name, strlen(more->tensor->name)).text);
}

/* ---- Loading ----------------------------------------------------------------------------------------------------- */

/* Numbers of codes in a file, and the scales that stand there after them. */
static bool read_codes(const Item *item, const ShardTensor *codes, const ShardTensor *scales, float *out, Err *err) {
    const CheckpointTensor *t = &item->model->tensors[item->tensor];
    const uint8_t *code = codes->tensor->data, *from = scales->tensor->data;
    for (int64_t row = 0; row < t->dim[0]; row++)
        for (int64_t at = 0, end; at < t->dim[1]; at = end, from += sizeof(float)) {
            float scale;
            memcpy(&scale, from, sizeof scale);
            end = item->model->block_end(item->model->owner, item->tensor, at);
            if (!(scale >= 0 && scale <= FLT_MAX))
                return err_set(err, "%s: tensor %s: expected scales from 0 on, got %g", scales->file, scales->tensor->name,
                               (double)scale);
            for (; at < end; at++) *out++ = code_value(kind_of(item), (uint8_t)(*code++ + code_bias(item)), scale);
        }
    return true;
}

static bool write_tensor(const Found *f, const Items *list, int64_t i, Err *err) {
    const Item *item = &list->items[i];
    const ShardTensor *t = find_tensor(f, list->tensors[i].name);
    if (item->form == FORM_SCALES) return true; /* with its codes */
    size_t count = item->form == FORM_CODES ? t->tensor->bytes : t->tensor->bytes / sizeof(float);
    float *numbers = mem_new(count + 1, sizeof *numbers, list->tensors[i].name, err);
    if (!numbers) return false;
    if (item->form == FORM_NUMBERS) memcpy(numbers, t->tensor->data, t->tensor->bytes); /* there they need not be aligned */
    else if (!read_codes(item, t, find_tensor(f, list->tensors[i + 1].name), numbers, err)) return free(numbers), false;
    bool ok = item->model->write(item->model->owner, item->tensor, item->part, numbers, err);
    free(numbers);
    return ok;
}

bool checkpoint_load(const char *folder, const CheckpointModel *m, TrainState *state, Err *err) {
    Found found[2] = {{.names = NULL}};
    Items list[2] = {{.count = 0}};
    *state = (TrainState){0};
    if (!read_state(folder, state, err)) return false;
    bool ok = true;
    for (int k = 0; ok && k < 2; k++)
        ok = list_items(&list[k], m, k == 0, err) && open_part(&found[k], folder, k ? "optimizer" : m->weights, err) &&
             check_part(&found[k], &list[k], err);
    for (int k = 0; k < 2; k++)
        for (int64_t i = 0; ok && i < list[k].count; i++) ok = write_tensor(&found[k], &list[k], i, err);
    for (int k = 0; k < 2; k++) {
        close_part(&found[k]);
        arena_free(&list[k].arena);
    }
    if (!ok) train_state_free(state);
    return ok;
}

/* ---- Folders of a run -------------------------------------------------------------------------------------------- */

/* Steps of the checkpoints in a folder, the last first. */
typedef struct Steps { int64_t *step; size_t count, room; } Steps;

static int later(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static bool list_steps(const char *dir, Steps *s, Err *err) {
    DIR *list = opendir(dir);
    bool ok = true;
    *s = (Steps){0};
    if (!list) return errno == ENOENT || err_as(err, QM_IO, "cannot read %s: %s", dir, strerror(errno));
    for (struct dirent *entry; ok && (entry = readdir(list));) {
        const char *digits = entry->d_name + sizeof FOLDER_BEGIN - 1;
        int64_t step;
        if (strncmp(entry->d_name, FOLDER_BEGIN, sizeof FOLDER_BEGIN - 1) || !parse_int(digits, 0, INT64_MAX, &step))
            continue;
        ok = mem_grow((void **)&s->step, &s->room, s->count + 1, sizeof *s->step, "checkpoints", err);
        if (ok) s->step[s->count++] = step;
    }
    closedir(list);
    if (ok && s->count) qsort(s->step, s->count, sizeof *s->step, later);
    return ok;
}

static char *folder_of_step(const char *dir, int64_t step, Err *err) {
    char name[64];
    snprintf(name, sizeof name, FOLDER_BEGIN "%lld", (long long)step);
    return path_join(dir, name, err);
}

char *checkpoint_find(const char *path, Err *err) {
    char *state = path_join(path, STATE_FILE, err), *found = NULL;
    Steps steps = {0};
    if (state && file_exists(state)) found = strdup(path);
    bool ok = state && (found || list_steps(path, &steps, err));
    for (size_t i = 0; ok && !found && i < steps.count; i++) {
        TrainState s;
        Err why = {0};
        char *folder = folder_of_step(path, steps.step[i], err);
        if (folder && checkpoint_state(folder, &s, &why)) {
            train_state_free(&s);
            found = folder;
            break;
        }
        if (folder) watch_say(QM_WARNING, "%s is not whole, so an earlier one is looked for: %s", folder, why.text);
        ok = folder != NULL;
        free(folder);
    }
    if (!found && !err->kind)
        err_as(err, QM_IO, "%s holds no checkpoint: expected " STATE_FILE " or folders " FOLDER_BEGIN "N that have it",
               path);
    free(steps.step);
    free(state);
    return found;
}

bool checkpoint_keep(const char *dir, int64_t keep, int64_t step, int64_t best, Err *err) {
    Steps steps;
    int64_t kept = 0;
    if (keep <= 0) return true;
    bool ok = list_steps(dir, &steps, err);
    for (size_t i = 0; ok && i < steps.count; i++) {
        if (steps.step[i] > step) continue;
        if (kept++ < keep || (best && steps.step[i] == best) || steps.step[i] == step) continue;
        char *path = folder_of_step(dir, steps.step[i], err);
        ok = path && output_folder_remove(path, err);
        free(path);
    }
    free(steps.step);
    return ok;
}
