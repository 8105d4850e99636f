/* tokenizer_json.c: Hugging Face's tokenizer.json. Components that byte-level BPE models use
 * are taken up; any other is an error that names it, because ignoring one would give other ids without a word. */
#include <inttypes.h>
#include <stdlib.h>
#include "../base/file_kind.h"
#include "../io/json.h"
#include "../io/names.h"
#include "scan.h"
#include "tokenizer.h"
#include "unicode.h"

/* ---- Small pieces as trees ----------------------------------------------------------------------------------- */

/* The component's type, for messages. */
static NameText type_of(const json_t *component) {
    const json_t *type = json_object_get(component, "type");
    static const char none[] = "a component without a type";
    return json_is_string(type) ? name_text(json_string_value(type), json_string_length(type))
                                : name_text(none, strlen(none));
}

static bool is_type(const json_t *component, const char *type) {
    const char *text = json_string_value(json_object_get(component, "type"));
    return text && !strcmp(text, type);
}

/* A member that must be there. */
static bool need_bool(const json_t *object, const char *key, const char *where, bool *out, Err *err) {
    if (!json_get_bool(object, key, where, out, err)) return false;
    return json_is_boolean(json_object_get(object, key)) || err_set(err, "%s: %s is missing", where, key);
}

static bool load_normalizer(QmTokenizer *t, const json_t *n, Err *err) {
    if (!n || json_is_null(n)) return true;
    if (is_type(n, "NFC")) return t->nfc = true;
    if (!is_type(n, "Sequence"))
        return err_set(err, "normalizer %s is not supported: expected NFC or none", type_of(n).text);
    const json_t *list = json_object_get(n, "normalizers"), *item;
    size_t i;
    if (!json_is_array(list)) return err_set(err, "normalizer Sequence: normalizers: expected an array");
    json_array_foreach(list, i, item) if (!load_normalizer(t, item, err)) return false;
    return true;
}

static bool load_split(QmTokenizer *t, const json_t *p, Err *err) {
    const json_t *pattern = json_object_get(json_object_get(p, "pattern"), "Regex");
    const char *behavior = "nothing";
    bool invert = false;
    if (!json_is_string(pattern)) return err_set(err, "pre_tokenizer Split: pattern: expected {\"Regex\": string}");
    if (!json_get_text(p, "behavior", "pre_tokenizer Split", &behavior, err) ||
        !json_get_bool(p, "invert", "pre_tokenizer Split", &invert, err)) return false;
    if (strcmp(behavior, "Isolated") || invert)
        return err_set(err, "pre_tokenizer Split: expected behavior Isolated and invert false, got %s and %s",
                       name_text(behavior, strlen(behavior)).text, invert ? "true" : "false");
    return splitter_add_pattern(&t->splitter, json_string_value(pattern), json_string_length(pattern), true, err);
}

/* *done: ByteLevel was seen. What followed it would see bytes spelled as characters, and is refused. */
static bool load_pre_tokenizer(QmTokenizer *t, const json_t *p, bool *done, Err *err) {
    bool each = false, prefix = false, regex = true;
    if (is_type(p, "Sequence")) {
        const json_t *list = json_object_get(p, "pretokenizers"), *item;
        size_t i;
        if (!json_is_array(list)) return err_set(err, "pre_tokenizer Sequence: pretokenizers: expected an array");
        json_array_foreach(list, i, item) if (!load_pre_tokenizer(t, item, done, err)) return false;
        return true;
    }
    if (*done) return err_set(err, "pre_tokenizer %s after ByteLevel is not supported", type_of(p).text);
    if (is_type(p, "Split")) return load_split(t, p, err);
    if (is_type(p, "Digits")) {
        if (!need_bool(p, "individual_digits", "pre_tokenizer Digits", &each, err)) return false;
        if (!each) return err_set(err, "pre_tokenizer Digits: expected individual_digits true, got false");
        return splitter_add(&t->splitter, SPLIT_DIGITS, err);
    }
    if (!is_type(p, "ByteLevel"))
        return err_set(err, "pre_tokenizer %s is not supported: expected Sequence, Split, Digits or ByteLevel",
                       type_of(p).text);
    if (!need_bool(p, "add_prefix_space", "pre_tokenizer ByteLevel", &prefix, err) ||
        !json_get_bool(p, "use_regex", "pre_tokenizer ByteLevel", &regex, err)) return false;
    *done = true;
    t->splitter.prefix = t->splitter.count;
    return (!prefix || splitter_add(&t->splitter, SPLIT_PREFIX_SPACE, err)) &&
           (!regex || splitter_add(&t->splitter, SPLIT_GPT2, err));
}

/* The id of an entry of a TemplateProcessing that is a special token; -1 and an error if it is not one id. */
static int64_t template_token(const QmTokenizer *t, const json_t *p, const json_t *entry, Err *err) {
    const char *name = json_string_value(json_object_get(json_object_get(entry, "SpecialToken"), "id"));
    const json_t *ids =
        name ? json_object_get(json_object_get(json_object_get(p, "special_tokens"), name), "ids") : NULL;
    int64_t id = json_array_size(ids) == 1 && json_is_integer(json_array_get(ids, 0))
                     ? json_integer_value(json_array_get(ids, 0)) : -1;
    if (id >= 0 && id < t->vocab.count && t->vocab.piece[id].kind != PIECE_NONE) return id;
    err_set(err, "post_processor TemplateProcessing: special_tokens: expected one id below %d for '%s'",
            (int)t->vocab.count, name ? name_text(name, strlen(name)).text : "(none)");
    return -1;
}

/* [token,] text [, token]: the first begins every text; the last ends a text that stands alone (qm_tokenizer_end). */
static bool load_template(QmTokenizer *t, const json_t *p, Err *err) {
    const json_t *single = json_object_get(p, "single");
    size_t count = json_array_size(single), text = 0;
    while (text < count && !json_object_get(json_array_get(single, text), "Sequence")) text++;
    if (text == count || text > 1 || count > text + 2 || t->add_bos || t->end >= 0)
        return err_as(err, QM_LIMIT,
                      "post_processor TemplateProcessing: expected the text, with at most one token before "
                      "and one after it");
    int64_t first = text ? template_token(t, p, json_array_get(single, 0), err) : -1;
    int64_t last = count > text + 1 && !err->kind ? template_token(t, p, json_array_get(single, text + 1), err) : -1;
    if (err->kind) return false;
    if (first >= 0) t->bos = (int32_t)first;
    t->add_bos = first >= 0;
    t->end = (int32_t)last;
    return true;
}

static bool load_post_processor(QmTokenizer *t, const json_t *p, Err *err) {
    if (!p || json_is_null(p) || is_type(p, "ByteLevel"))
        return true; /* ByteLevel only trims offsets, which we do not keep */
    if (is_type(p, "Sequence")) {
        const json_t *list = json_object_get(p, "processors"), *item;
        size_t i;
        if (!json_is_array(list)) return err_set(err, "post_processor Sequence: processors: expected an array");
        json_array_foreach(list, i, item) if (!load_post_processor(t, item, err)) return false;
        return true;
    }
    if (!is_type(p, "TemplateProcessing")) return err_set(err, "post_processor %s is not supported", type_of(p).text);
    return load_template(t, p, err);
}

static bool load_decoder(const json_t *d, Err *err) {
    if (is_type(d, "ByteLevel")) return true;
    const json_t *list = json_object_get(d, "decoders");
    if (is_type(d, "Sequence") && json_array_size(list) == 1 && is_type(json_array_get(list, 0), "ByteLevel"))
        return true;
    return err_set(err, "decoder %s is not supported: expected ByteLevel",
                   d && !json_is_null(d) ? type_of(d).text : "null");
}

static bool load_added(QmTokenizer *t, const json_t *list, Err *err) {
    const json_t *item;
    size_t i;
    if (!list || json_is_null(list)) return true;
    if (!json_is_array(list)) return err_set(err, "added_tokens: expected an array");
    json_array_foreach(list, i, item) {
        char where[48];
        bool normalized, special;
        int64_t id = -1;
        Added token = {0};
        snprintf(where, sizeof where, "added_tokens[%zu]", i);
        if (!json_get_int(item, "id", where, 0, VOCAB_MOST_IDS - 1, &id, err) ||
            !need_bool(item, "single_word", where, &token.single_word, err) ||
            !need_bool(item, "lstrip", where, &token.lstrip, err) ||
            !need_bool(item, "rstrip", where, &token.rstrip, err) ||
            !need_bool(item, "normalized", where, &normalized, err) ||
            !need_bool(item, "special", where, &special, err))
            return false;
        const json_t *content = json_object_get(item, "content");
        if (id < 0 || !json_is_string(content))
            return err_set(err, "%s: expected an integer id and a string content", where);
        token.id = (int32_t)id;
        token.text = json_string_value(content);
        token.bytes = json_string_length(content);
        if (!tokenizer_add(t, &token, special, normalized, err)) return false;
    }
    return true;
}

/* ---- The model ----------------------------------------------------------------------------------------------- */

typedef struct Model {
    ScanText merges;      /* when they come before the vocabulary: their text in the file */
    Text unknown;         /* unk_token, if any */
    bool has_vocab, has_merges, fuse_unknown;
} Model;

static bool scan_null(Scan *scan) { return scan_peek(scan) == 'n'; }

static bool read_bool(Scan *scan, const char *name, bool *out) {
    ScanText value;
    if (!scan_skip(scan, &value)) return false;
    *out = scan_equal(value, "true");
    return *out || scan_equal(value, "false") || scan_fail(scan, "model: %s: expected true or false", name);
}

/* A setting of other kinds of BPE: must be null, or the value given. */
static bool read_off(Scan *scan, ScanText key, const char *off) {
    ScanText value;
    if (!scan_skip(scan, &value)) return false;
    return scan_equal(value, "null") || scan_equal(value, off) ||
           scan_fail(scan, "model: %s: expected null or %s, got %s", scan_name(key).text, off, scan_name(value).text);
}

static bool read_vocab(QmTokenizer *t, Scan *scan) {
    ScanText key;
    int64_t id;
    if (!scan_open(scan, '{')) return false;
    for (size_t i = 0; scan_member(scan, i, &key); i++)
        if (!scan_int(scan, 0, VOCAB_MOST_IDS - 1, &id) || !vocab_add(&t->vocab, id, key.data, key.bytes, scan->err))
            return false;
    return !scan->failed && vocab_index(&t->vocab, scan->err);
}

static bool read_pair(QmTokenizer *t, Scan *scan, Text *left) {
    ScanText text;
    left->bytes = 0;
    if (!scan_open(scan, '[') || !scan_item(scan, 0) || !scan_text(scan, &text))
        return scan->failed || scan_fail(scan, "expected two strings");
    text_add(left, (const char *)text.data, text.bytes); /* the next string may overwrite it */
    if (!text_ok(left, "merges", scan->err) || !scan_item(scan, 1) || !scan_text(scan, &text) || scan_item(scan, 2))
        return !scan->failed && scan_fail(scan, "expected two strings");
    return !scan->failed &&
           vocab_merge(&t->vocab, (uint8_t *)left->data, left->bytes, text.data, text.bytes, scan->err);
}

static bool read_merges(QmTokenizer *t, Scan *scan) {
    ScanText text;
    Text left = {0};
    bool ok = scan_open(scan, '[');
    for (size_t i = 0; ok && scan_item(scan, i); i++)
        ok = scan_peek(scan) == '['
                 ? read_pair(t, scan, &left)
                 : scan_text(scan, &text) && vocab_merge_line(&t->vocab, text.data, text.bytes, scan->err);
    text_free(&left);
    return ok && !scan->failed;
}

static bool read_member(QmTokenizer *t, Scan *scan, ScanText key, Model *model) {
    ScanText text;
    bool on;
    if (scan_equal(key, "type"))
        return scan_text(scan, &text) &&
               (scan_equal(text, "BPE") ||
                scan_fail(scan, "model type is not supported: expected BPE, got %s", scan_name(text).text));
    if (scan_equal(key, "vocab")) {
        if (model->has_vocab) return scan_fail(scan, "model: vocab is given twice");
        return (model->has_vocab = true) && read_vocab(t, scan);
    }
    if (scan_equal(key, "merges")) {
        if (model->has_merges) return scan_fail(scan, "model: merges is given twice");
        model->has_merges = true;
        return model->has_vocab ? read_merges(t, scan) : scan_skip(scan, &model->merges);
    }
    if (scan_equal(key, "unk_token") && !scan_null(scan)) {
        if (!scan_text(scan, &text)) return false;
        model->unknown.bytes = 0;
        text_add(&model->unknown, (const char *)text.data, text.bytes);
        return text_ok(&model->unknown, "unk_token", scan->err);
    }
    if (scan_equal(key, "unk_token")) return scan_skip(scan, &text);
    if (scan_equal(key, "fuse_unk")) return read_bool(scan, "fuse_unk", &model->fuse_unknown);
    if (scan_equal(key, "ignore_merges")) return read_bool(scan, "ignore_merges", &t->vocab.whole_words);
    if (scan_equal(key, "byte_fallback"))
        return read_bool(scan, "byte_fallback", &on) &&
               (!on || scan_fail(scan, "model: byte_fallback true is not supported"));
    if (scan_equal(key, "dropout")) return read_off(scan, key, "0.0");
    if (scan_equal(key, "continuing_subword_prefix") || scan_equal(key, "end_of_word_suffix"))
        return read_off(scan, key, "\"\"");
    return scan_fail(scan, "model: unknown member '%s'", scan_name(key).text);
}

static bool read_model(QmTokenizer *t, Scan *scan, Model *model) {
    ScanText key;
    if (!scan_open(scan, '{')) return false;
    for (size_t i = 0; scan_member(scan, i, &key); i++)
        if (!read_member(t, scan, key, model)) return false;
    if (scan->failed) return false;
    if (!model->has_vocab || !model->has_merges) return scan_fail(scan, "model: vocab or merges is missing");
    if (!model->merges.data) return true;
    Scan merges = *scan;
    merges.at = model->merges.data;
    merges.end = model->merges.data + model->merges.bytes;
    merges.scratch = (Text){0};
    bool ok = read_merges(t, &merges);
    scan_free(&merges);
    return ok;
}

/* ---- The file ------------------------------------------------------------------------------------------------ */

enum { ADDED, NORMALIZER, PRE_TOKENIZER, POST_PROCESSOR, DECODER, SECTIONS };
static const char *const section_name[SECTIONS] = {"added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                                                   "decoder"};

static bool read_file(QmTokenizer *t, Scan *scan, Model *model, json_t *section[SECTIONS]) {
    ScanText key, value;
    bool has_model = false;
    if (!scan_open(scan, '{')) return false;
    for (size_t i = 0; scan_member(scan, i, &key); i++) {
        int s = 0;
        if (scan_equal(key, "model")) {
            if (has_model) return scan_fail(scan, "model is given twice");
            if (!(has_model = read_model(t, scan, model))) return false;
            continue;
        }
        while (s < SECTIONS && !scan_equal(key, section_name[s])) s++;
        if (!scan_skip(scan, &value)) return false;
        if (s == SECTIONS) continue; /* version, truncation, padding: no matter for ids */
        if (section[s]) return scan_fail(scan, "%s is given twice", section_name[s]);
        if (!(section[s] = json_text((const char *)value.data, value.bytes, section_name[s], scan->err))) return false;
    }
    return !scan->failed && scan_end(scan) && (has_model || scan_fail(scan, "model is missing"));
}

static bool take_up(QmTokenizer *t, const Model *model, json_t *section[SECTIONS], Err *err) {
    bool bytes = false;
    if (!load_normalizer(t, section[NORMALIZER], err) || !load_added(t, section[ADDED], err)) return false;
    if (!section[PRE_TOKENIZER] || json_is_null(section[PRE_TOKENIZER]))
        return err_set(err, "pre_tokenizer is missing");
    if (!load_pre_tokenizer(t, section[PRE_TOKENIZER], &bytes, err)) return false;
    if (!bytes) return err_set(err, "pre_tokenizer has no ByteLevel: only byte-level BPE is supported");
    if (!load_post_processor(t, section[POST_PROCESSOR], err) || !load_decoder(section[DECODER], err)) return false;
    if (!tokenizer_finish(t, err)) return false;
    if (!model->unknown.data) return true;
    int32_t unknown = tokenizer_id(t, model->unknown.data, model->unknown.bytes);
    if (unknown < 0)
        return err_set(err, "model: unk_token '%s' is not in the vocabulary",
                       name_text(model->unknown.data, model->unknown.bytes).text);
    if (t->vocab.piece[unknown].special)
        return true; /* plain text never becomes a special token: its byte is dropped */
    t->vocab.unknown = unknown;
    for (int b = 0; b < 256 && model->fuse_unknown; b++)
        if (t->vocab.byte_id[b] < 0)
            return err_set(err, "model: fuse_unk true is not supported: byte 0x%02x has no token", (unsigned)b);
    return true;
}

bool tokenizer_load_json(QmTokenizer *t, const uint8_t *data, size_t bytes, const char *where, Err *err) {
    if (file_is_other(data, bytes, where, err)) return false;
    Scan scan = scan_new(data, bytes, where, err);
    Model model = {0};
    json_t *section[SECTIONS] = {NULL};
    bool ok = read_file(t, &scan, &model, section) && take_up(t, &model, section, err);
    if (!ok && !scan.failed) err_prefix(err, "%s", where); /* the scanner's own errors say where */
    for (int s = 0; s < SECTIONS; s++) json_decref(section[s]);
    text_free(&model.unknown);
    scan_free(&scan);
    return ok;
}
