/* fuzz_tokenizer.c: a tokenizer.json up to the first NUL byte, then text, which is a tokenizer_config.json too if it
 * starts with a brace; or a GGUF file. What loads must encode any text, and decode the ids to well-formed UTF-8, the
 * same at once and as a stream. */
#include <stdlib.h>
#include <string.h>
#include "../../src/io/json.h"
#include "../../src/model/family.h"
#include "../../src/text/stream.h"
#include "../../src/text/tokenizer.h"
#include "../../src/text/unicode.h"

static void check(bool holds) {
    if (!holds) abort();
}

static void decode_both_ways(const QmTokenizer *t, const int32_t *ids, int64_t count, bool skip_special) {
    Err err = {0};
    size_t bytes;
    Text out = {0};
    TextStream stream = {.tokenizer = t, .skip_special = skip_special};
    char *text = qm_tokenizer_decode(t, ids, count, skip_special, &bytes, &err);
    check(text && utf8_valid((const uint8_t *)text, bytes));
    for (int64_t i = 0; i < count; i++) check(text_stream_push(&stream, ids[i], &out, &err));
    text_stream_end(&stream, &out);
    check(out.bytes == bytes && (bytes == 0 || !memcmp(out.data, text, bytes)));
    text_free(&out);
    free(text);
}

static void encode_and_decode(const QmTokenizer *t, const char *text, size_t bytes) {
    for (int special = 0; special < 2; special++) {
        Err err = {0};
        int32_t *ids;
        int64_t count = qm_tokenizer_encode(t, text, bytes, special, &ids, &err);
        check(count >= 0 ? !err.kind : err.kind); /* a slow pattern may fail */
        if (count < 0) continue;
        for (int64_t i = t->add_bos; i < count; i++) {
            bool is_special;
            check(qm_tokenizer_piece(t, ids[i], NULL, &is_special));
            /* plain text becomes a special token only where the vocabulary's own merges make it */
            check(special || !is_special || t->vocab.piece[ids[i]].kind == PIECE_WORD);
        }
        decode_both_ways(t, ids, count, special);
        free(ids);
    }
}

static bool load_config(QmTokenizer *t, const char *text, size_t bytes, const char *family, Err *err) {
    json_t *root = json_text(text, bytes, "config", err);
    const Family *row = family ? family_find(family, strlen(family), false) : NULL;
    bool ok = root && tokenizer_load_config(t, root, row ? &row->tokenizer : NULL, "config", err);
    json_decref(root);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    static const char sample[] = "Hello  world's 123\n\n <|im_end|>a\xCC\x81\xFF ab";
    const uint8_t *nul = bytes ? memchr(data, 0, bytes) : NULL;
    Err err = {0};
    QmTokenizer *t = tokenizer_new(&err);
    bool ok = false;
    if (!t) return 0;
    if (bytes >= 4 && !memcmp(data, "GGUF", 4)) {
        Gguf gguf;
        if (gguf_parse(&gguf, data, bytes, "fuzz", &err)) {
            ok = tokenizer_load_gguf(t, &gguf, &families[0]->tokenizer, &err);
            gguf_close(&gguf);
        }
        nul = NULL;
    } else {
        ok = tokenizer_load_json(t, data, nul ? (size_t)(nul - data) : bytes, "fuzz", &err);
    }
    if (ok && nul && nul + 1 < data + bytes && nul[1] == '{')
        ok = load_config(t, (const char *)nul + 1, (size_t)(data + bytes - nul - 1), bytes % 2 ? "qwen2" : NULL, &err);
    check(ok != (err.kind != QM_OK));
    if (ok) encode_and_decode(t, sample, strlen(sample));
    if (ok && nul) encode_and_decode(t, (const char *)nul + 1, (size_t)(data + bytes - nul - 1));
    qm_tokenizer_close(t);
    return 0;
}
