/* source.c: see source.h. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "hub.h"
#include "source.h"

enum { JSON_FILES = 3, CONFIG_LIMIT = 16 << 20 }; /* small files that are parsed; bytes of a config.json */

const char *const model_files[MODEL_FILES] = {"config.json", "generation_config.json", "tokenizer.json",
                                              "tokenizer_config.json", "chat_template.jinja"};
static const struct { const char *name; size_t limit; } json_files[JSON_FILES] = {
    {"config.json", CONFIG_LIMIT}, {"generation_config.json", 1 << 20}, {"tokenizer_config.json", 16 << 20}};

typedef enum SourceKind {
    SOURCE_FOLDER,
    SOURCE_GGUF,
    SOURCE_PACKED,
    SOURCE_FILE, /* a lone config.json or .safetensors: who asks for what it is not is told by its reader */
} SourceKind;

typedef struct JsonFile { bool looked; json_t *root; char *where; } JsonFile;

struct QmSource {
    SourceKind kind;
    char *path;
    atomic_int holders;
    MappedFile file;        /* SOURCE_FILE, SOURCE_GGUF                           */
    Packed packed;
    /* Filled in when somebody asks first, under `lock`; from then on only read. */
    pthread_mutex_t lock;
    JsonFile json[JSON_FILES];
    Gguf gguf;
    bool has_gguf, gguf_looked;
    Shards shards;
    bool has_shards, shards_looked;
};

/* ---- Opening ---------------------------------------------------------------------------------------------------- */

/* Why nothing is at `path`. */
static bool missing(const char *path, int why, Err *err) {
    if (!*path) return err_set(err, "no model: the name is empty");
    Err ignored = {0};
    const char *slash = strchr(path, '/');
    Text owner = {0}, here = {0};
    text_line(&owner, "%.*s", slash ? (int)(slash - path) : 0, path);
    bool repo = why == ENOENT && slash && hub_repo_valid(path, &ignored) && owner.data && !folder_exists(owner.data);
    if (repo) text_line(&here, "models%s", slash); /* where pull puts it */
    if (repo && here.data && folder_exists(here.data))
        err_set(err, "no file or folder %s: expected -m %s, where 'qwenmesh pull %s' puts it", path, here.data, path);
    else if (repo)
        err_set(err, "no file or folder %s: 'qwenmesh pull %s' brings it from the Hugging Face hub, then -m models%s",
                path, path, slash);
    else err_as(err, QM_IO, "cannot open %s: %s", path, strerror(why));
    text_free(&owner);
    text_free(&here);
    return false;
}

static bool begins(const MappedFile *file, const char *magic) {
    return file->bytes >= strlen(magic) && !memcmp(file->data, magic, strlen(magic));
}

static bool named(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n > m && !strcmp(path + n - m, ending);
}

/* By its first bytes; a file named *.gguf is one whatever they are, so that its reader says what is wrong. */
static bool open_file(Source *s, Err *err) {
    if (!file_map(&s->file, s->path, err)) return false;
    s->kind = begins(&s->file, "QMPACKED")                              ? SOURCE_PACKED
              : begins(&s->file, "GGUF") || named(s->path, ".gguf")         ? SOURCE_GGUF
                                                                        : SOURCE_FILE;
    s->gguf_looked = true;
    if (s->kind == SOURCE_GGUF) {
        s->has_gguf = gguf_parse(&s->gguf, s->file.data, s->file.bytes, s->path, err);
        return s->has_gguf;
    }
    if (s->kind == SOURCE_FILE) return true;
    if (!packed_parse(&s->packed, s->file.data, s->file.bytes, s->path, err)) return false;
    s->packed.file = s->file;
    s->file = (MappedFile){0};
    const PackedSection *keys = packed_find(&s->packed, SECTION_GGUF, "metadata.gguf");
    s->has_gguf = keys && gguf_parse(&s->gguf, keys->data, keys->bytes, s->path, err);
    return !keys || s->has_gguf;
}

Source *source_open(const char *path, Err *err) {
    struct stat st;
    if (stat(path, &st) != 0) return missing(path, errno, err), NULL;
    Source *s = mem_new(1, sizeof *s, "source", err);
    if (!s) return NULL;
    atomic_init(&s->holders, 1);
    pthread_mutex_init(&s->lock, NULL);
    bool ok = (s->path = strdup(path)) || err_as(err, QM_MEMORY, "out of memory: path %s", path);
    s->kind = SOURCE_FOLDER;
    if (ok && (S_ISDIR(st.st_mode) || open_file(s, err))) return s;
    source_close(s);
    return NULL;
}

Source *source_keep(Source *s) {
    atomic_fetch_add(&s->holders, 1);
    return s;
}

void source_close(Source *s) {
    if (!s || atomic_fetch_sub(&s->holders, 1) > 1) return;
    for (int i = 0; i < JSON_FILES; i++) json_decref(s->json[i].root), free(s->json[i].where);
    shards_close(&s->shards);
    gguf_close(&s->gguf);
    packed_close(&s->packed);
    file_unmap(&s->file);
    pthread_mutex_destroy(&s->lock);
    free(s->path);
    free(s);
}

QmSource *qm_source_open(const char *path, QmErr *err) { return source_open(path, err); }

void qm_source_close(QmSource *source) { source_close(source); }

const char *source_path(const Source *s) { return s->path; }

const Packed *source_packed(const Source *s) { return s->kind == SOURCE_PACKED ? &s->packed : NULL; }

/* ---- Small files ------------------------------------------------------------------------------------------------- */

bool source_has(const Source *s, const char *name) {
    if (s->kind == SOURCE_PACKED) return packed_find(&s->packed, SECTION_FILE, name) != NULL;
    char *path = s->kind == SOURCE_FOLDER ? path_join(s->path, name, NULL) : NULL;
    bool has = path && file_exists(path);
    free(path);
    return has;
}

static bool copy_section(const Source *s, const char *name, size_t limit, SourceText *text, Err *err) {
    const PackedSection *section = packed_find(&s->packed, SECTION_FILE, name);
    if (!section) return true;
    if (section->bytes > limit)
        return err_as(err, QM_LIMIT, "%s: %s is too large: expected at most %zu bytes, got %zu", s->path, name, limit,
                       section->bytes);
    if (!(text->data = mem_new(section->bytes + 1, 1, name, err))) return false;
    memcpy(text->data, section->data, section->bytes);
    text->bytes = section->bytes;
    return true;
}

bool source_text(Source *s, const char *name, size_t limit, SourceText *text, Err *err) {
    *text = (SourceText){0};
    if (!(text->where = path_join(s->path, name, err))) return false;
    if (s->kind == SOURCE_PACKED) return copy_section(s, name, limit, text, err);
    if (s->kind != SOURCE_FOLDER || !file_exists(text->where)) return true;
    text->data = file_read(text->where, limit, &text->bytes, err);
    return text->data != NULL;
}

void source_text_free(SourceText *text) {
    free(text->data);
    free(text->where);
    *text = (SourceText){0};
}

static bool look_json(Source *s, int file, JsonFile *out, Err *err) {
    SourceText text = {0};
    bool ok;
    if (s->kind == SOURCE_FILE && file == 0) {
        if (safetensors_is(s->file.data, s->file.bytes))
            return err_set(err, "%s holds weights alone (safetensors): expected the folder that has its config.json",
                           s->path);
        ok = s->file.bytes <= CONFIG_LIMIT ||
             err_as(err, QM_LIMIT, "%s is too large: expected at most %d bytes, got %zu", s->path, CONFIG_LIMIT,
                    s->file.bytes);
        ok = ok && (out->root = json_text((const char *)s->file.data, s->file.bytes, s->path, err));
        return ok && ((out->where = strdup(s->path)) || err_as(err, QM_MEMORY, "out of memory: path %s", s->path));
    }
    ok = source_text(s, json_files[file].name, json_files[file].limit, &text, err) &&
         (!text.data || (out->root = json_text(text.data, text.bytes, text.where, err)));
    if (ok) out->where = text.where, text.where = NULL;
    source_text_free(&text);
    return ok;
}

bool source_json(Source *s, const char *name, const json_t **root, const char **where, Err *err) {
    int i = 0;
    while (i < JSON_FILES - 1 && strcmp(json_files[i].name, name)) i++;
    JsonFile *file = &s->json[i];
    pthread_mutex_lock(&s->lock);
    if (!file->looked) {
        file->looked = look_json(s, i, file, err);
        if (!file->looked) json_decref(file->root), file->root = NULL;
    }
    bool ok = file->looked;
    *root = file->root;
    *where = file->where;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

/* ---- Large files ------------------------------------------------------------------------------------------------- */

static bool look_gguf(Source *s, Err *err) {
    char *path;
    if (!gguf_in_folder(s->path, &path, err)) return false;
    s->has_gguf = path && gguf_open(&s->gguf, path, err);
    bool ok = !path || s->has_gguf;
    free(path);
    return ok;
}

bool source_gguf(Source *s, const Gguf **gguf, Err *err) {
    pthread_mutex_lock(&s->lock);
    if (!s->gguf_looked) s->gguf_looked = look_gguf(s, err);
    bool ok = s->gguf_looked;
    *gguf = s->has_gguf ? &s->gguf : NULL;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static bool look_shards(Source *s, Err *err) {
    if (s->kind == SOURCE_FILE && named(s->path, ".json"))
        return err_set(err, "%s holds no weights: expected its folder, a .gguf or a packed file", s->path);
    if (s->kind == SOURCE_FILE) return s->has_shards = shards_parse(&s->shards, &s->file, err);
    char *single = path_join(s->path, MODEL_WEIGHTS, err), *index = path_join(s->path, MODEL_INDEX, err);
    bool ok = single && index;
    if (ok && file_exists(single)) ok = s->has_shards = shards_open_file(&s->shards, single, err);
    else if (ok && file_exists(index)) ok = s->has_shards = shards_open_index(&s->shards, s->path, index, err);
    free(single);
    free(index);
    return ok;
}

bool source_shards(Source *s, const Shards **shards, Err *err) {
    bool possible = s->kind == SOURCE_FOLDER || s->kind == SOURCE_FILE;
    pthread_mutex_lock(&s->lock);
    if (possible && !s->shards_looked) {
        s->shards_looked = look_shards(s, err);
        if (!s->shards_looked) shards_close(&s->shards), s->has_shards = false;
    }
    bool ok = !possible || s->shards_looked;
    *shards = s->has_shards ? &s->shards : NULL;
    pthread_mutex_unlock(&s->lock);
    return ok;
}

/* ---- What there is ----------------------------------------------------------------------------------------------- */

bool source_has_weights(Source *s) {
    if (s->kind == SOURCE_FILE) return !named(s->path, ".json");
    return s->kind != SOURCE_FOLDER || source_has(s, MODEL_WEIGHTS) || source_has(s, MODEL_INDEX) ||
           !source_has(s, "config.json"); /* a folder without configuration: its only GGUF file */
}

/* GGUF's word for a model whose data are ids. */
static bool is_none(const Gguf *gguf) {
    GgufText model = {0};
    Err ignored = {0};
    return gguf_text(gguf, "tokenizer.ggml.model", &model, &ignored) && model.bytes == 4 &&
           !memcmp(model.data, "none", 4);
}

bool qm_source_has_tokenizer(QmSource *source) { return source_has_tokenizer(source); }

bool source_has_tokenizer(Source *s) {
    if (s->kind == SOURCE_FILE) return false;
    return (s->has_gguf && !is_none(&s->gguf)) || source_has(s, "tokenizer.json") ||
           (s->kind == SOURCE_FOLDER && !source_has(s, MODEL_WEIGHTS) && !source_has(s, MODEL_INDEX));
}
