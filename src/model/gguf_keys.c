/* gguf_keys.c: see gguf_keys.h. Keys as llama.cpp's convert_hf_to_gguf.py writes them; config_gguf.c reads them
 * back. */
#include <math.h>
#include <string.h>
#include "../io/config_check.h"
#include "../text/tokenizer_gguf_write.h"
#include "gguf_keys.h"

enum { TEMPLATE_LIMIT = 16 << 20 };

/* ---- Configuration ----------------------------------------------------------------------------------------------- */

/* Of the family's own prefix. */
typedef struct Prefixed { GgufOutput *out; const char *prefix; char text[96]; } Prefixed;
static const char *key(Prefixed *p, const char *name) {
    snprintf(p->text, sizeof p->text, "%s.%s", p->prefix, name);
    return p->text;
}
static void put_int(Prefixed *p, const char *name, int64_t value) {
    gguf_writer_u32(p->out, key(p, name), (uint32_t)value);
}
static void put_float(Prefixed *p, const char *name, double value) {
    gguf_writer_f32(p->out, key(p, name), (float)value);
}
static void put_text(Prefixed *p, const char *name, const char *value) {
    gguf_writer_text(p->out, key(p, name), value, strlen(value));
}

/* Llama 3 scales frequencies by their wave length (Rope has the numbers); lists are kept where one list is all. */
bool gguf_rope_divisors(const Rope *r, float *out) {
    int64_t count = r->dim / 2;
    for (int64_t i = 0; i < count; i++) {
        double wave = 2 * M_PI * pow(r->theta, 2 * (double)i / (double)r->dim), original = (double)r->original_max;
        double smooth = (original / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
        if (r->type == ROPE_LONGROPE) out[i] = (float)r->long_factor[i];
        else if (wave < original / r->high_freq_factor) out[i] = 1;
        else if (wave > original / r->low_freq_factor) out[i] = (float)r->factor;
        else out[i] = (float)(1 / ((1 - smooth) / r->factor + smooth));
    }
    return r->type == ROPE_LLAMA3 || r->type == ROPE_LONGROPE;
}

static bool rope_keys(Prefixed *p, const Rope *r, Err *err) {
    put_float(p, "rope.freq_base", r->theta);
    put_int(p, "rope.dimension_count", r->dim);
    if (r->type != ROPE_LINEAR && r->type != ROPE_YARN) return true;
    put_text(p, "rope.scaling.type", r->type == ROPE_YARN ? "yarn" : "linear");
    put_float(p, "rope.scaling.factor", r->factor);
    if (r->type == ROPE_LINEAR) return true;
    put_int(p, "rope.scaling.original_context_length", r->original_max);
    if (r->beta_fast != 32) put_float(p, "rope.scaling.yarn_beta_fast", r->beta_fast);
    if (r->beta_slow != 1) put_float(p, "rope.scaling.yarn_beta_slow", r->beta_slow);
    double own = r->attention_factor / rope_yarn_mscale(r->factor, 1); /* readers multiply by the one it implies */
    if (fabs(own - 1) > 1e-6) put_float(p, "rope.scaling.attn_factor", own);
    return r->truncate || err_set(err, "yarn with truncate false has no place in GGUF");
}

/* One list of divisors for all lengths is a tensor of its own, which llama.cpp reads of some families. */
static bool can_turn(const Rope *r, const Family *f, Err *err) {
    static const char *const names[] = {
        [ROPE_DYNAMIC] = "dynamic", [ROPE_LONGROPE] = "longrope", [ROPE_LLAMA3] = "llama3"};
    bool one_list = !memcmp(r->short_factor, r->long_factor, sizeof r->short_factor) && r->attention_factor == 1;
    bool divided = r->type == ROPE_LLAMA3 || (r->type == ROPE_LONGROPE && one_list);
    if (r->type == ROPE_DEFAULT || r->type == ROPE_LINEAR || r->type == ROPE_YARN || (divided && f->divisors))
        return true;
    return err_set(err, "%s rotary embedding of %s has no place in a GGUF file that llama.cpp takes", names[r->type],
                   f->name);
}

static bool can_say(const ModelConfig *c, const Family *f, Err *err) {
    if (!f->gguf) return err_set(err, "models of the family %s are not written as GGUF", c->architecture);
    if (c->head != HEAD_CAUSAL)
        return err_set(err, "only models with a causal head are written as GGUF, this one has the head '%s'",
                       head_table[c->head].name);
    for (int64_t i = 0; i < c->layers; i++)
        if (c->window[i] != (f->keys.window_gguf ? c->window[0] : 0))
            return err_set(err, "layer %lld has a sliding window, which has no place in a GGUF file of %s",
                           (long long)i, c->architecture);
    return can_turn(&c->rope, f, err);
}

static bool config_keys(const ModelSave *s, GgufOutput *out, Err *err) {
    const ModelConfig *c = s->config;
    const Family *f = family_of(c);
    Prefixed p = {.out = out, .prefix = f->gguf};
    const char *path = source_path(s->source), *end = path + strlen(path), *name;
    while (end > path + 1 && end[-1] == '/') end--;
    for (name = end; name > path && name[-1] != '/';) name--;
    gguf_writer_text(out, "general.architecture", f->gguf, strlen(f->gguf));
    gguf_writer_text(out, "general.type", "model", 5);
    gguf_writer_text(out, "general.name", name, (size_t)(end - name));
    put_int(&p, "block_count", c->layers);
    put_int(&p, "context_length", c->max_positions);
    put_int(&p, "embedding_length", c->hidden);
    put_int(&p, "feed_forward_length", c->ffn);
    put_int(&p, "attention.head_count", c->heads);
    put_int(&p, "attention.head_count_kv", c->kv_heads);
    put_int(&p, "attention.key_length", c->head_dim);
    put_int(&p, "attention.value_length", c->head_dim);
    put_float(&p, "attention.layer_norm_rms_epsilon", c->rms_norm_eps);
    put_int(&p, "vocab_size", c->vocab);
    if (f->keys.window_gguf && c->window[0]) put_int(&p, "attention.sliding_window", c->window[0]);
    return rope_keys(&p, &c->rope, err);
}

/* ---- Tokenizer --------------------------------------------------------------------------------------------------- */

static bool put_template(GgufOutput *out, const char *key_name, const json_t *text, const char *where, Err *err) {
    if (!text || json_is_null(text)) return true;
    if (!json_is_string(text)) return err_set(err, "%s: chat_template: expected a string", where);
    gguf_writer_text(out, key_name, json_string_value(text), json_string_length(text));
    return true;
}

static const char usual_key[] = "tokenizer.chat_template", tools_key[] = "tokenizer.chat_template.tool_use";

/* chat_template.jinja before tokenizer_config.json's, which is one, or a list of names and templates. */
static bool template_keys(Source *source, GgufOutput *out, Err *err) {
    static const char *const files[][2] = {{"chat_template.jinja", usual_key},
                                           {"additional_chat_templates/tool_use.jinja", tools_key}};
    const json_t *config, *value, *item;
    const char *where;
    size_t i;
    bool had[2] = {false};
    for (int k = 0; k < 2; k++) {
        SourceText text;
        bool ok = source_text(source, files[k][0], TEMPLATE_LIMIT, &text, err);
        had[k] = ok && text.data;
        if (had[k]) gguf_writer_text(out, files[k][1], text.data, text.bytes);
        source_text_free(&text);
        if (!ok) return false;
    }
    if (!source_json(source, "tokenizer_config.json", &config, &where, err)) return false;
    value = json_object_get(config, "chat_template");
    if (!json_is_array(value)) return had[0] || put_template(out, usual_key, value, where, err);
    json_array_foreach(value, i, item) {
        const json_t *name = json_object_get(item, "name"), *text = json_object_get(item, "template");
        bool tools = json_is_word(name, "tool_use"), usual = json_is_word(name, "default");
        if ((tools && !had[1]) || (usual && !had[0]))
            if (!put_template(out, tools ? tools_key : usual_key, text, where, err)) return false;
    }
    return true;
}

/* A model without a tokenizer is one whose data are ids: llama.cpp calls its tokenizer "none". */
static bool no_tokenizer(const ModelConfig *c, GgufOutput *out) {
    gguf_writer_text(out, "tokenizer.ggml.model", "none", 4);
    if (c->bos >= 0) gguf_writer_u32(out, "tokenizer.ggml.bos_token_id", (uint32_t)c->bos);
    if (c->eos_count) gguf_writer_u32(out, "tokenizer.ggml.eos_token_id", (uint32_t)c->eos[0]);
    if (c->eos_count > 1) gguf_writer_u32(out, "tokenizer.ggml.eot_token_id", (uint32_t)c->eos[1]);
    if (c->pad >= 0) gguf_writer_u32(out, "tokenizer.ggml.padding_token_id", (uint32_t)c->pad);
    return true;
}

static bool tokenizer_keys(const ModelSave *s, GgufOutput *out, Err *err) {
    Source *from = s->tokenizer ? s->tokenizer : s->source;
    const ModelConfig *c = s->config;
    if (!source_has_tokenizer(from)) return no_tokenizer(c, out);
    QmTokenizer *t = qm_tokenizer_open_from(from, err);
    bool ok = t &&
              tokenizer_to_gguf(t, c->vocab, c->eos_count ? c->eos[0] : -1, c->eos_count > 1 ? c->eos[1] : -1, c->pad,
                                out, err) &&
              template_keys(from, out, err);
    qm_tokenizer_close(t);
    return ok;
}

/* ---- Of a GGUF source: its own ----------------------------------------------------------------------------------- */

/* Keys about tensors and files, which are others now. */
static bool is_dropped(GgufText name) {
    static const char *const begins[] = {"general.file_type", "general.alignment", "general.quantization_version",
                                         "general.quantized_by", "split.", "quantize."};
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++)
        if (name.bytes >= strlen(begins[i]) && !memcmp(name.data, begins[i], strlen(begins[i]))) return true;
    return false;
}

static bool has_begin(GgufText name, const char *begin) {
    return name.bytes >= strlen(begin) && !memcmp(name.data, begin, strlen(begin));
}

static void copy_keys(const Gguf *gguf, bool tokenizer, GgufOutput *out) {
    for (uint64_t i = 0; i < gguf->value_count; i++) {
        const GgufValue *v = &gguf->values[i];
        if (!is_dropped(v->key) && (tokenizer || !has_begin(v->key, "tokenizer."))) gguf_writer_value(out, v);
    }
}

bool gguf_keys(const ModelSave *s, GgufOutput *out, Err *err) {
    const json_t *root;
    const char *where;
    const Gguf *gguf = NULL;
    if (!can_say(s->config, family_of(s->config), err)) return false;
    if (!source_json(s->source, "config.json", &root, &where, err)) return false;
    if (!root && !source_gguf(s->source, &gguf, err)) return false;
    if (!gguf) return config_keys(s, out, err) && tokenizer_keys(s, out, err);
    copy_keys(gguf, !s->tokenizer, out);
    return !s->tokenizer || tokenizer_keys(s, out, err);
}
