/* fingerprint.c: what the bits of an answer depend on, as one short word. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include "../io/file_digest.h"
#include "../io/source.h"
#include "../model/adapters.h"
#include "engine.h"

enum { SMALL_FILE = 64 << 20 };

/* A line of the list whose hash the fingerprint is. */
static bool file_line(Text *list, const char *what, const char *path, Err *err) {
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_TEXT];
    if (!file_digest(path, digest, err)) return false;
    digest_text(digest, hex);
    text_line(list, "%s %s\n", what, hex);
    return true;
}

static bool small_file_line(Text *list, Source *source, const char *name, Err *err) {
    SourceText text;
    uint8_t sum[EVP_MAX_MD_SIZE];
    char hex[DIGEST_TEXT];
    bool ok = source_text(source, name, SMALL_FILE, &text, err);
    if (ok && text.data) {
        ok = EVP_Digest(text.data, text.bytes, sum, NULL, EVP_sha256(), NULL) == 1 ||
             err_set(err, "%s: SHA-256 failed", name);
        if (ok) digest_text(sum, hex), text_line(list, "%s %s\n", name, hex);
    }
    source_text_free(&text);
    return ok;
}

/* A lone file is the source's, mapped by it. */
static const char *path_of(const Source *source, const MappedFile *file) {
    return file->path ? file->path : source_path(source);
}

/* Packed: the header's digest, which holds those of all sections. Else the weights' files, and the small ones: they
 * decide ids, ends and defaults. */
static bool model_lines(Text *list, Source *source, bool weights, Err *err) {
    const Packed *packed = source_packed(source);
    const Gguf *gguf = NULL;
    const Shards *shards = NULL;
    if (packed) {
        char hex[DIGEST_TEXT];
        digest_text(packed->file.data + 32, hex);
        text_line(list, "packed %s\n", hex);
        return true;
    }
    for (int i = 0; i < MODEL_FILES; i++)
        if (!small_file_line(list, source, model_files[i], err)) return false;
    if (!weights) return true;
    if (!source_shards(source, &shards, err)) return false;
    for (int64_t i = 0; shards && i < shards->file_count; i++)
        if (!file_line(list, "safetensors", path_of(source, &shards->files[i].file), err)) return false;
    return (!shards ? source_gguf(source, &gguf, err) : true) &&
           (!gguf || file_line(list, "gguf", path_of(source, &gguf->file), err));
}

static bool adapter_lines(Text *list, const Adapters *a, Err *err) {
    for (int i = 0; a && i < a->files; i++) {
        char *config = path_join(a->file[i]->path, ADAPTER_CONFIG, err), *weights = NULL;
        bool ok = config && (weights = path_join(a->file[i]->path, ADAPTER_WEIGHTS, err));
        text_line(list, "adapter %s %.17g\n", a->chosen ? a->name[i] : "-", a->strength[i]);
        ok = ok && file_line(list, "config", config, err) && file_line(list, "weights", weights, err);
        free(config);
        free(weights);
        if (!ok) return false;
    }
    return true;
}

/* On PJRT a compiler decides the order of sums, by the mesh among others. */
static void number_lines(Text *list, const QmEngine *e) {
    const QmModelInfo *i = &e->info;
    text_line(list, "qwenmesh %s\nact %s\ncache %s\nhead %s\n%s\nbackend %s\n", QM_VERSION, i->act, i->kv_cache,
              i->head, e->weights_told, i->backend);
    if (strcmp(i->backend, "cpu")) text_line(list, "mesh %s\n", i->mesh);
}

bool qm_engine_fingerprint(const QmEngine *e, char out[QM_FINGERPRINT_BYTES], QmErr *err) {
    uint8_t sum[EVP_MAX_MD_SIZE];
    char hex[DIGEST_TEXT];
    Text list = {0};
    Source *source = source_open(e->path, err);
    bool ok = source && model_lines(&list, source, !e->random, err) && adapter_lines(&list, e->adapters, err);
    if (ok) number_lines(&list, e);
    ok = ok && text_ok(&list, "a fingerprint", err) &&
         (EVP_Digest(list.data, list.bytes, sum, NULL, EVP_sha256(), NULL) == 1 ||
          err_set(err, "a fingerprint: SHA-256 failed"));
    if (ok) digest_text(sum, hex), snprintf(out, QM_FINGERPRINT_BYTES, "fp_%.16s", hex);
    text_free(&list);
    source_close(source);
    return ok;
}
