/* tokenizer_config.c: what transformers takes from tokenizer_config.json where tokenizer.json is there too (5.24, and
 * 4.57 where that does the same): - added_tokens_decoder: its tokens are added tokens, with its flags; a new one gets
 * the next free id; - bos_token, eos_token and the other special tokens, extra_special_tokens,
 * additional_special_tokens and further keys that end in _token: become special added tokens if they are none; -
 * add_prefix_space: by Qwen2's and GPT-2's classes only, false if absent; the others go by tokenizer.json; -
 * add_bos_token: by Llama's class only (of 4.57); the others go by the post_processor of tokenizer.json; -
 * chat_template; and the texts of special tokens, which it sees under their names. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "../io/json.h"
#include "tokenizer.h"

typedef struct Config {
    QmTokenizer *tokenizer;
    const json_t *root;
    const char *where;
    Err *err;
} Config;

/* ---- Added tokens ----------------------------------------------------------------------------------------------- */

typedef struct NewToken {
    Added added;
    bool special, normalized;
    int64_t declared; /* its id, or -1 */
} NewToken;

/* "normalized": as given, else the opposite of special. */
static bool read_token(const Config *c, const json_t *value, const char *what, NewToken *out) {
    const json_t *content = json_is_object(value) ? json_object_get(value, "content") : value;
    *out = (NewToken){.special = !json_is_object(value), .declared = -1};
    if (!json_is_string(content))
        return err_set(c->err, "%s: %s: expected a string or an object with content", c->where, what);
    out->added.text = json_string_value(content);
    out->added.bytes = json_string_length(content);
    if (!json_is_object(value)) return true;
    if (!json_get_bool(value, "special", what, &out->special, c->err) ||
        !json_get_bool(value, "single_word", what, &out->added.single_word, c->err) ||
        !json_get_bool(value, "lstrip", what, &out->added.lstrip, c->err) ||
        !json_get_bool(value, "rstrip", what, &out->added.rstrip, c->err))
        return false;
    out->normalized = !out->special;
    return json_get_bool(value, "normalized", what, &out->normalized, c->err);
}

/* The added token with this text: in t->raw, or in t->normal by its normalised text. */
static const Added *find_added(const QmTokenizer *t, const NewToken *token, int32_t id) {
    const Added *found = added_set_find(&t->raw, token->added.text, token->added.bytes);
    for (size_t i = 0; !found && i < t->normal.count; i++)
        if (t->normal.token[i].id == id) found = &t->normal.token[i];
    return found;
}

/* Id of an added token or of one of the vocabulary; -1: neither. */
static int32_t find_id(const QmTokenizer *t, const NewToken *token) {
    const Added *found = added_set_find(&t->raw, token->added.text, token->added.bytes);
    if (found) return found->id;
    for (size_t i = 0; i < t->normal.count; i++) {
        int32_t id = t->normal.token[i].id;
        const Piece *p = &t->vocab.piece[id];
        if (p->bytes == token->added.bytes && !memcmp(vocab_bytes(&t->vocab, id), token->added.text, p->bytes))
            return id;
    }
    return vocab_spelled((Vocab *)(uintptr_t)&t->vocab, (const uint8_t *)token->added.text, token->added.bytes);
}

/* Adds a token, or gives one that is there the flags of the configuration. */
static bool take_token(const Config *c, NewToken *token, bool flags) {
    QmTokenizer *t = c->tokenizer;
    int32_t id = find_id(t, token);
    NameText name = name_text(token->added.text, token->added.bytes);
    if (id < 0) {
        id = t->vocab.count;
        if (token->declared >= 0 && token->declared != id)
            return err_set(c->err,
                           "%s: added_tokens_decoder: '%s' has id %" PRId64
                           ", but is not in tokenizer.json, whose next free id is %d: the two files disagree",
                           c->where, name.text, token->declared, (int)id);
    } else if (token->declared >= 0 && token->declared != id) {
        watch_say(QM_WARNING, "%s: '%s' has id %" PRId64 " there and %d in tokenizer.json, which counts",
                  c->where, name.text, token->declared, (int)id);
    }
    token->added.id = id;
    if (id < t->vocab.count && t->vocab.piece[id].added) {
        const Added *old = find_added(t, token, id);
        token->special = token->special || t->vocab.piece[id].special;
        t->vocab.piece[id].special = token->special;
        if (!flags || !old) return true;
        AddedSet *set = old >= t->raw.token && old < t->raw.token + t->raw.count ? &t->raw : &t->normal;
        added_set_remove(set, old);
        return tokenizer_place(t, &token->added, token->normalized, c->err) && added_set_finish(&t->raw, c->err) &&
               added_set_finish(&t->normal, c->err);
    }
    return tokenizer_add(t, &token->added, token->special, token->normalized, c->err) &&
           added_set_finish(&t->raw, c->err) && added_set_finish(&t->normal, c->err);
}

static int by_id(const void *a, const void *b) {
    int64_t x = ((const NewToken *)a)->declared, y = ((const NewToken *)b)->declared;
    return (x > y) - (x < y);
}

static bool load_decoder(const Config *c) {
    const json_t *map = json_object_get(c->root, "added_tokens_decoder");
    size_t count = json_object_size(map), n = 0;
    const char *key;
    json_t *value;
    if (!map || json_is_null(map)) return true;
    if (!json_is_object(map)) return err_set(c->err, "%s: added_tokens_decoder: expected an object", c->where);
    NewToken *list = mem_new(count, sizeof *list, "added tokens", c->err);
    bool ok = list != NULL;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        char what[64];
        snprintf(what, sizeof what, "added_tokens_decoder: %.32s", name_text(key, strlen(key)).text);
        if (ok && !json_is_object(value)) ok = err_set(c->err, "%s: %s: expected an object", c->where, what);
        ok = ok && read_token(c, value, what, &list[n]);
        if (ok && !parse_int(key, 0, VOCAB_MOST_IDS - 1, &list[n].declared))
            ok = err_set(c->err, "%s: %s: expected an id from 0 to %d", c->where, what, VOCAB_MOST_IDS - 1);
        n += ok;
    }
    if (ok) qsort(list, n, sizeof *list, by_id);
    for (size_t i = 0; ok && i < n; i++) ok = take_token(c, &list[i], true);
    free(list);
    return ok;
}

/* A special token: a string, or an added token's object. *id is left alone when it is null or absent. `name`: under
 * which chat templates see its text, or NULL. */
static bool load_special(const Config *c, const json_t *value, const char *what, int32_t *id, const char *name) {
    NewToken token;
    if (!value || json_is_null(value)) return true;
    if (!read_token(c, value, what, &token)) return false;
    if (token.added.bytes == 0) return true;
    token.special = true;
    if (!json_is_object(value) || !json_object_get(value, "normalized")) token.normalized = false;
    if (!take_token(c, &token, json_is_object(value))) return false;
    if (id) *id = token.added.id;
    return !name || chat_token(&c->tokenizer->chat, name, token.added.text, token.added.bytes, c->err);
}

static bool load_list(const Config *c, const char *key) {
    json_t *list = json_object_get(c->root, key), *item;
    const char *name;
    size_t i;
    if (!list || json_is_null(list)) return true;
    if (json_is_object(list)) {
        json_object_foreach(list, name, item) if (!load_special(c, item, key, NULL, name)) return false;
        return true;
    }
    if (!json_is_array(list)) return err_set(c->err, "%s: %s: expected an array or an object", c->where, key);
    json_array_foreach(list, i, item) if (!load_special(c, item, key, NULL, NULL)) return false;
    return true;
}

static bool load_specials(const Config *c, int32_t *bos) {
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    enum { NAMES = sizeof names / sizeof *names };
    const char *key;
    json_t *value;
    for (int i = 0; i < NAMES; i++) {
        int32_t *id = i == 0 ? bos : i == 1 ? &c->tokenizer->eos : NULL;
        if (!load_special(c, json_object_get(c->root, names[i]), names[i], id, names[i])) return false;
    }
    if (!load_list(c, "extra_special_tokens") || !load_list(c, "additional_special_tokens")) return false;
    json_object_foreach((json_t *)(uintptr_t)c->root, key, value) {
        size_t n = strlen(key);
        bool known = n <= 6 || strcmp(key + n - 6, "_token") != 0 || !json_is_string(value);
        for (int i = 0; i < NAMES; i++) known = known || !strcmp(key, names[i]);
        if (!known && !load_special(c, value, name_text(key, n).text, NULL, key)) return false;
    }
    return true;
}

/* ---- The rest --------------------------------------------------------------------------------------------------- */

static bool is_class(const char *name, const char *family) {
    size_t n = strlen(family);
    return name && !strncmp(name, family, n) && (!name[n] || !strcmp(name + n, "Fast"));
}

static bool load_flags(const Config *c, const TokenizerHabits *habits, int32_t bos) {
    QmTokenizer *t = c->tokenizer;
    const char *class = NULL;
    bool prefix = false, split = false;
    if (!json_get_text(c->root, "tokenizer_class", c->where, &class, c->err) ||
        !json_get_bool(c->root, "add_prefix_space", c->where, &prefix, c->err) ||
        !json_get_bool(c->root, "split_special_tokens", c->where, &split, c->err))
        return false;
    if (split) return err_set(c->err, "%s: split_special_tokens true is not supported", c->where);
    PrefixRule rule = habits ? habits->prefix : PREFIX_BY_CLASS;
    bool by_config = rule == PREFIX_BY_CONFIG ||
                     (rule == PREFIX_BY_CLASS &&
                      (is_class(class, "Qwen2Tokenizer") || is_class(class, "GPT2Tokenizer")));
    if (by_config && !splitter_set_prefix(&t->splitter, prefix, c->err)) return false;
    bool given = json_is_boolean(json_object_get(c->root, "add_bos_token"));
    if (!is_class(class, "LlamaTokenizer") || !given) return true;
    t->add_bos = json_is_true(json_object_get(c->root, "add_bos_token"));
    if (t->add_bos && bos < 0) return err_set(c->err, "%s: add_bos_token is true, but there is no bos_token", c->where);
    if (t->add_bos) t->bos = bos;
    return true;
}

/* The template: a string, or a list of {name, template} with "default" and maybe "tool_use", for requests with tools.
 */
static bool load_template(const Config *c) {
    const json_t *value = json_object_get(c->root, "chat_template"), *tools = NULL, *item;
    size_t i;
    if (json_is_array(value)) {
        const json_t *list = value;
        value = NULL;
        json_array_foreach(list, i, item) {
            if (json_is_word(json_object_get(item, "name"), "default")) value = json_object_get(item, "template");
            if (json_is_word(json_object_get(item, "name"), "tool_use")) tools = json_object_get(item, "template");
        }
    }
    for (int k = 0; k < 2; k++) {
        const json_t *one = k ? tools : value;
        if (!one || json_is_null(one)) continue;
        if (!json_is_string(one)) return err_set(c->err, "%s: chat_template: expected a string", c->where);
        if (!chat_take(&c->tokenizer->chat, json_string_value(one), json_string_length(one), k, c->err)) return false;
    }
    return true;
}

bool tokenizer_load_config(QmTokenizer *t, const json_t *root, const TokenizerHabits *habits, const char *where,
                           Err *err) {
    Config c = {t, root, where, err};
    int32_t bos = -1;
    return (json_is_object(root) || err_set(err, "%s: expected an object", where)) && load_decoder(&c) &&
           load_specials(&c, &bos) && load_flags(&c, habits, bos) && load_template(&c);
}
