/* gguf_write.h: GGUF files for tests: any keys and tensors, and quantised twins of Hugging Face folders. Header only.
 *
 * twin_gguf() writes a folder's checkpoint as GGUF with its matrices quantised; twin_folder() writes the folder that
 * holds the very same values as f32. An engine must give the same logits for both. Quantisers are the plain ones of
 * ggml (quantize_row_*_ref); those of the K types only search no better scale, any block being a valid block. */
#ifndef GGUF_WRITE_H
#define GGUF_WRITE_H
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "../src/io/gguf.h"
#include "../src/io/safetensors.h"
#include "at_path.h"

#define MAYBE_UNUSED __attribute__((unused))

/* ---- Quantisers: rows of whole blocks --------------------------------------------------------------------------- */

static void put_half(uint8_t *p, float f) {
    uint16_t h = f32_to_f16(f);
    memcpy(p, &h, 2);
}

static int clip(float f, int low, int high) { return f < (float)low ? low : f > (float)high ? high : (int)f; }

/* One block of n values as q with value = d * (q - zero), q in 0..2 zero - 1, the largest value hit exactly. */
static float quantise_signed(const float *x, int n, int zero, uint8_t *q) {
    float most = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(most)) most = x[i];
    float d = most / (float)-zero, inverse = d != 0 ? 1 / d : 0;
    for (int i = 0; i < n; i++) q[i] = (uint8_t)clip(x[i] * inverse + (float)zero + 0.5f, 0, 2 * zero - 1);
    return d;
}

/* One block of n values as q with value = d * q + low, q in 0..top. */
static float quantise_range(const float *x, int n, int top, uint8_t *q, float *low) {
    float high = x[0];
    *low = x[0];
    for (int i = 1; i < n; i++) {
        if (x[i] < *low) *low = x[i];
        if (x[i] > high) high = x[i];
    }
    float d = (high - *low) / (float)top, inverse = d != 0 ? 1 / d : 0;
    for (int i = 0; i < n; i++) q[i] = (uint8_t)clip((x[i] - *low) * inverse + 0.5f, 0, top);
    return d;
}

/* Low four bits of 32 q in 16 bytes, fifth bits in 4. */
static void put_nibbles(uint8_t *p, const uint8_t *q) {
    for (int i = 0; i < 16; i++) p[i] = (uint8_t)((q[i] & 15) | (q[16 + i] & 15) << 4);
}
static void put_fifth_bits(uint8_t *p, const uint8_t *q) {
    uint32_t bits = 0;
    for (int i = 0; i < 32; i++) bits |= (uint32_t)(q[i] >> 4) << i;
    memcpy(p, &bits, 4);
}

static void quantise_32(DType type, const float *x, uint8_t *p) {
    uint8_t q[32];
    float low, most = 0;
    switch (type) {
    case DTYPE_Q4_0: put_half(p, quantise_signed(x, 32, 8, q)), put_nibbles(p + 2, q); break;
    case DTYPE_Q5_0: put_half(p, quantise_signed(x, 32, 16, q)), put_fifth_bits(p + 2, q), put_nibbles(p + 6, q); break;
    case DTYPE_Q4_1:
        put_half(p, quantise_range(x, 32, 15, q, &low)), put_half(p + 2, low), put_nibbles(p + 4, q);
        break;
    case DTYPE_Q5_1:
        put_half(p, quantise_range(x, 32, 31, q, &low)), put_half(p + 2, low), put_fifth_bits(p + 4, q),
            put_nibbles(p + 8, q);
        break;
    default: /* q8_0 */
        for (int i = 0; i < 32; i++) most = fmaxf(most, fabsf(x[i]));
        put_half(p, most / 127);
        for (int i = 0; i < 32; i++) p[2 + i] = (uint8_t)(int8_t)(most != 0 ? roundf(x[i] * (127 / most)) : 0);
    }
}

/* q4_K and q5_K: 8 sub-blocks of 32 with 6-bit scale and min. The min is subtracted, so it is of values <= 0. */
static void quantise_k45(DType type, const float *x, uint8_t *p) {
    int top = type == DTYPE_Q4_K ? 15 : 31, scale[8], min[8];
    float d[8], m[8], most_d = 0, most_m = 0;
    uint8_t *high = p + 16, *qs = type == DTYPE_Q4_K ? p + 16 : p + 48, q[32];
    for (int j = 0; j < 8; j++) {
        float low;
        d[j] = quantise_range(x + 32 * j, 32, top, q, &low);
        m[j] = low < 0 ? -low : 0;
        most_d = fmaxf(most_d, d[j]);
        most_m = fmaxf(most_m, m[j]);
    }
    memset(p, 0, (size_t)dtype_row(type)->block_bytes);
    put_half(p, most_d / 63);
    put_half(p + 2, most_m / 63);
    for (int j = 0; j < 8; j++) {
        scale[j] = most_d != 0 ? (int)roundf(63 * d[j] / most_d) : 0;
        min[j] = most_m != 0 ? (int)roundf(63 * m[j] / most_m) : 0;
        uint8_t *s = p + 4;
        if (j < 4) s[j] |= (uint8_t)scale[j], s[j + 4] |= (uint8_t)min[j];
        else {
            s[j + 4] = (uint8_t)((scale[j] & 15) | (min[j] & 15) << 4);
            s[j - 4] |= (uint8_t)(scale[j] >> 4 << 6);
            s[j] |= (uint8_t)(min[j] >> 4 << 6);
        }
        float step = most_d / 63 * (float)scale[j], low = most_m / 63 * (float)min[j];
        for (int i = 0; i < 32; i++) {
            int v = step != 0 ? clip((x[32 * j + i] + low) / step + 0.5f, 0, top) : 0;
            qs[32 * (j / 2) + i] |= (uint8_t)((v & 15) << 4 * (j & 1));
            if (type == DTYPE_Q5_K) high[i] |= (uint8_t)((v >> 4) << j);
        }
    }
}

/* q6_K: 16 sub-blocks of 16 with a signed 8-bit scale. */
static void quantise_k6(const float *x, uint8_t *p) {
    uint8_t q[16], *scales = p + 192;
    float d[16], most = 0;
    memset(p, 0, 210);
    for (int j = 0; j < 16; j++) {
        d[j] = quantise_signed(x + 16 * j, 16, 32, q);
        if (fabsf(d[j]) > fabsf(most)) most = d[j];
    }
    put_half(p + 208, most / -128);
    for (int j = 0; j < 16; j++) {
        int scale = most != 0 ? (int)roundf(-128 * d[j] / most) : 0;
        scales[j] = (uint8_t)(int8_t)(scale > 127 ? 127 : scale);
        float step = most / -128 * (float)(int8_t)scales[j];
        for (int i = 0; i < 16; i++) {
            int at = 16 * j + i, half = at / 128, quarter = at % 128 / 32, place = at % 32;
            int v = step != 0 ? clip(x[at] / step + 32.5f, 0, 63) : 32;
            p[64 * half + 32 * (quarter & 1) + place] |= (uint8_t)((v & 15) << 4 * (quarter / 2));
            p[128 + 32 * half + place] |= (uint8_t)((v >> 4) << 2 * quarter);
        }
    }
}

/* `count` values, whole blocks, to their stored form. */
static void quantise(DType type, const float *x, int64_t count, uint8_t *out) {
    const DTypeRow *row = dtype_row(type);
    for (int64_t i = 0; i < count; i += row->block, out += row->block_bytes) {
        if (type == DTYPE_F32) memcpy(out, &x[i], 4);
        else if (type == DTYPE_F16) put_half(out, x[i]);
        else if (type == DTYPE_BF16) memcpy(out, &(uint16_t){f32_to_bf16(x[i])}, 2);
        else if (type == DTYPE_Q4_K || type == DTYPE_Q5_K) quantise_k45(type, x + i, out);
        else if (type == DTYPE_Q6_K) quantise_k6(x + i, out);
        else quantise_32(type, x + i, out);
    }
}

/* ---- A file ----------------------------------------------------------------------------------------------------- */

/* Zero-initialised; failures of memory show in gw_file. Dimensions are given outermost first, as in GgufTensor. */
typedef struct GgufWriter {
    Text keys, infos, data;
    uint64_t key_count, tensor_count;
    uint32_t version, alignment; /* 0: 3; 0: 32 (the key general.alignment is the caller's) */
} GgufWriter;

static void gw_put(Text *text, const void *data, size_t bytes) { text_add(text, data, bytes); }
static void gw_put_u32(Text *text, uint32_t n) { gw_put(text, &n, sizeof n); }
static void gw_put_u64(Text *text, uint64_t n) { gw_put(text, &n, sizeof n); }
static void gw_put_text(Text *text, const char *s, size_t bytes) {
    gw_put_u64(text, bytes);
    gw_put(text, s, bytes);
}

/* A key with a value of `bytes` raw bytes; arrays: type GGUF_ARRAY and the item type, count and items in `value`. */
static void gw_key(GgufWriter *w, const char *key, GgufType type, const void *value, size_t bytes) {
    gw_put_text(&w->keys, key, strlen(key));
    gw_put_u32(&w->keys, (uint32_t)type);
    gw_put(&w->keys, value, bytes);
    w->key_count++;
}
MAYBE_UNUSED static void gw_u32(GgufWriter *w, const char *key, uint32_t n) { gw_key(w, key, GGUF_U32, &n, sizeof n); }
MAYBE_UNUSED static void gw_f32(GgufWriter *w, const char *key, float f) { gw_key(w, key, GGUF_F32, &f, sizeof f); }
MAYBE_UNUSED static void gw_bool(GgufWriter *w, const char *key, bool b) { gw_key(w, key, GGUF_BOOL, &b, 1); }
MAYBE_UNUSED static void gw_text(GgufWriter *w, const char *key, const char *s) {
    gw_key(w, key, GGUF_STRING, NULL, 0);
    gw_put_text(&w->keys, s, strlen(s));
}
MAYBE_UNUSED static void gw_array(GgufWriter *w, const char *key, GgufType item, const void *items, uint64_t count,
                                  size_t bytes) {
    gw_key(w, key, GGUF_ARRAY, NULL, 0);
    gw_put_u32(&w->keys, (uint32_t)item);
    gw_put_u64(&w->keys, count);
    gw_put(&w->keys, items, bytes);
}
MAYBE_UNUSED static void gw_texts(GgufWriter *w, const char *key, const char *const *texts, uint64_t count) {
    gw_array(w, key, GGUF_STRING, NULL, count, 0);
    for (uint64_t i = 0; i < count; i++) gw_put_text(&w->keys, texts[i], strlen(texts[i]));
}

static uint32_t gw_alignment(const GgufWriter *w) { return w->alignment ? w->alignment : 32; }

static void gw_pad(Text *text, size_t alignment) {
    while (text->bytes % alignment && !text->failed) gw_put(text, "", 1);
}

/* Data may be NULL: an info alone, whatever its offset says. */
static void gw_info(GgufWriter *w, const char *name, int type, uint32_t rank, const int64_t *dim, uint64_t offset) {
    gw_put_text(&w->infos, name, strlen(name));
    gw_put_u32(&w->infos, rank);
    for (uint32_t d = rank; d-- > 0;) gw_put_u64(&w->infos, (uint64_t)dim[d]);
    gw_put_u32(&w->infos, (uint32_t)type);
    gw_put_u64(&w->infos, offset);
    w->tensor_count++;
}

static void gw_tensor(GgufWriter *w, const char *name, DType type, uint32_t rank, const int64_t *dim, const void *data,
                      size_t bytes) {
    gw_pad(&w->data, gw_alignment(w));
    gw_info(w, name, dtype_row(type)->gguf, rank, dim, w->data.bytes);
    gw_put(&w->data, data, bytes);
}

/* The whole file; frees the writer. The caller frees the text. */
static Text gw_file(GgufWriter *w) {
    Text file = {0};
    gw_put(&file, "GGUF", 4);
    gw_put_u32(&file, w->version ? w->version : 3);
    gw_put_u64(&file, w->tensor_count);
    gw_put_u64(&file, w->key_count);
    gw_put(&file, w->keys.data, w->keys.bytes);
    gw_put(&file, w->infos.data, w->infos.bytes);
    if (w->tensor_count) gw_pad(&file, gw_alignment(w));
    gw_put(&file, w->data.data, w->data.bytes);
    file.failed |= w->keys.failed | w->infos.failed | w->data.failed;
    text_free(&w->keys);
    text_free(&w->infos);
    text_free(&w->data);
    *w = (GgufWriter){0};
    return file;
}

static bool file_write(const char *path, const void *data, size_t bytes, Err *err) {
    FILE *file = fopen(path, "wbe");
    if (!file) return err_set(err, "cannot write %s", path);
    bool ok = fwrite(data, 1, bytes, file) == bytes;
    return file_finish(file, path, err) && ok;
}

/* ---- Twins ------------------------------------------------------------------------------------------------------ */

/* The GGUF name of a Hugging Face tensor. */
static void gguf_name(const char *hf, char *out, size_t size) {
    static const char *const names[][2] = {
        {"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"}, {"self_attn.q_proj", "attn_q"},
        {"self_attn.k_proj", "attn_k"},   {"self_attn.v_proj", "attn_v"},           {"self_attn.o_proj", "attn_output"},
        {"mlp.gate_proj", "ffn_gate"},    {"mlp.up_proj", "ffn_up"},                {"mlp.down_proj", "ffn_down"},
        {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
    };
    int layer, at = 0;
    const char *dot = strrchr(hf, '.');
    snprintf(out, size, "%s", hf);
    if (!strcmp(hf, "model.embed_tokens.weight")) snprintf(out, size, "token_embd.weight");
    if (!strcmp(hf, "model.norm.weight")) snprintf(out, size, "output_norm.weight");
    if (!strcmp(hf, "lm_head.weight")) snprintf(out, size, "output.weight");
    if (sscanf(hf, "model.layers.%d.%n", &layer, &at) != 1 || !at || !dot) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i][0]) == (size_t)(dot - hf - at) && !strncmp(names[i][0], hf + at, (size_t)(dot - hf - at)))
            snprintf(out, size, "blk.%d.%s%s", layer, names[i][1], dot);
}

/* Matrices whose rows are whole blocks take `type`, other matrices f16, vectors f32: as llama.cpp falls back. */
static DType twin_type(const WeightTensor *t, DType type) {
    if (t->rank != 2) return DTYPE_F32;
    return t->dim[1] % dtype_row(type)->block == 0 ? type : DTYPE_F16;
}

/* The stored rows of a tensor as f32, in Hugging Face order. malloc'ed. */
static float *twin_values(const WeightTensor *t, int64_t *count) {
    int64_t rows = t->dim[0], columns = t->rank == 2 ? t->dim[1] : 1;
    *count = rows * columns;
    float *x = malloc((size_t)*count * sizeof *x);
    for (int64_t r = 0; x && r < rows; r++) dtype_row(t->dtype)->read(weights_row(t, r), 0, columns, x + r * columns);
    return x;
}

/* The rows of q and k as llama-architecture files store them: row j of the first half of a head, then row j of the
 * second. */
static void twin_permute(float *x, int64_t rows, int64_t columns, int64_t heads) {
    int64_t dim = rows / heads;
    float *old = malloc((size_t)(rows * columns) * sizeof *old);
    memcpy(old, x, (size_t)(rows * columns) * sizeof *old);
    for (int64_t h = 0; h < heads; h++)
        for (int64_t j = 0; j < dim / 2; j++)
            for (int64_t side = 0; side < 2; side++)
                memcpy(x + (h * dim + 2 * j + side) * columns, old + (h * dim + side * dim / 2 + j) * columns,
                       (size_t)columns * sizeof *x);
    free(old);
}

static void twin_keys(GgufWriter *w, const ModelConfig *c, const char *arch) {
    char key[96];
#define TWIN_KEY(name) (snprintf(key, sizeof key, "%s." name, arch), key)
    gw_text(w, "general.architecture", arch);
    gw_u32(w, TWIN_KEY("block_count"), (uint32_t)c->layers);
    gw_u32(w, TWIN_KEY("context_length"), (uint32_t)c->max_positions);
    gw_u32(w, TWIN_KEY("embedding_length"), (uint32_t)c->hidden);
    gw_u32(w, TWIN_KEY("feed_forward_length"), (uint32_t)c->ffn);
    gw_u32(w, TWIN_KEY("attention.head_count"), (uint32_t)c->heads);
    gw_u32(w, TWIN_KEY("attention.head_count_kv"), (uint32_t)c->kv_heads);
    gw_u32(w, TWIN_KEY("attention.key_length"), (uint32_t)c->head_dim);
    gw_f32(w, TWIN_KEY("attention.layer_norm_rms_epsilon"), (float)c->rms_norm_eps);
    gw_f32(w, TWIN_KEY("rope.freq_base"), (float)c->rope.theta);
    gw_u32(w, TWIN_KEY("rope.dimension_count"), (uint32_t)c->rope.dim);
    if (c->rope.type == ROPE_LINEAR || c->rope.type == ROPE_YARN) {
        gw_text(w, TWIN_KEY("rope.scaling.type"), c->rope.type == ROPE_YARN ? "yarn" : "linear");
        gw_f32(w, TWIN_KEY("rope.scaling.factor"), (float)c->rope.factor);
        gw_u32(w, TWIN_KEY("rope.scaling.original_context_length"), (uint32_t)c->rope.original_max);
    }
#undef TWIN_KEY
    if (c->eos_count) gw_u32(w, "tokenizer.ggml.eos_token_id", (uint32_t)c->eos[0]);
    if (c->bos >= 0) gw_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)c->bos);
    if (c->pad >= 0) gw_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)c->pad);
}

/* Llama 3 scaling as GGUF has it: divisors of the frequencies. */
static void twin_rope_freqs(GgufWriter *w, const Rope *r) {
    float divisor[MAX_HEAD_DIM / 2];
    for (int64_t i = 0; i < r->dim / 2; i++) {
        double wave = 2 * M_PI * pow(r->theta, 2 * (double)i / (double)r->dim), original = (double)r->original_max;
        double smooth = (original / wave - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
        divisor[i] = wave < original / r->high_freq_factor  ? 1
                     : wave > original / r->low_freq_factor ? (float)r->factor
                                                            : (float)(1 / ((1 - smooth) / r->factor + smooth));
    }
    gw_tensor(w, "rope_freqs.weight", DTYPE_F32, 1, (int64_t[]){r->dim / 2}, divisor, 4 * (size_t)(r->dim / 2));
}

/* Writes the checkpoint of `folder` to the file `path` as GGUF of its own architecture (mistral: as llama), its
 * matrices in `type`. False on error, also for what GGUF cannot say (dynamic rope, sliding windows). */
MAYBE_UNUSED static bool twin_gguf(const char *folder, DType type, const char *path, Err *err) {
    ModelConfig c;
    if (!config_at(&c, folder, err)) return false;
    const char *arch = family_of(&c)->gguf ? family_of(&c)->gguf : "llama";
    for (int64_t l = 0; l < c.layers; l++)
        if (c.window[l]) return err_set(err, "%s: GGUF cannot say that a layer slides", folder);
    if (c.rope.type == ROPE_DYNAMIC || c.rope.type == ROPE_LONGROPE)
        return err_set(err, "%s: this rope has no GGUF twin", folder);
    Weights *weights = weights_from(folder, err);
    if (!weights) return false;
    GgufWriter w = {0};
    twin_keys(&w, &c, arch);
    if (c.rope.type == ROPE_LLAMA3) twin_rope_freqs(&w, &c.rope);
    for (int64_t i = 0; i < weights_count(weights); i++) {
        const WeightTensor *t = weights_at(weights, i);
        char name[128];
        int64_t count, heads = strstr(t->name, ".q_proj.") ? c.heads : strstr(t->name, ".k_proj.") ? c.kv_heads : 0;
        DType stored = twin_type(t, type);
        size_t bytes = 0;
        float *x = twin_values(t, &count);
        dtype_bytes(stored, count, &bytes);
        uint8_t *data = malloc(bytes);
        if (heads && !strcmp(arch, "llama")) twin_permute(x, t->dim[0], count / t->dim[0], heads);
        quantise(stored, x, count, data);
        gguf_name(t->name, name, sizeof name);
        gw_tensor(&w, name, stored, (uint32_t)t->rank, t->dim, data, bytes);
        free(x);
        free(data);
    }
    weights_close(weights);
    Text file = gw_file(&w);
    bool ok = text_ok(&file, path, err) && file_write(path, file.data, file.bytes, err);
    text_free(&file);
    return ok;
}

static bool copy_file(const char *folder, const char *name, const char *to, Err *err) {
    char *from_path = path_join(folder, name, err), *to_path = path_join(to, name, err);
    size_t bytes;
    char *data = from_path ? file_read(from_path, 1 << 20, &bytes, err) : NULL;
    bool ok = data && to_path && file_write(to_path, data, bytes, err);
    free(data);
    free(from_path);
    free(to_path);
    return ok;
}

/* Writes the folder `to`: the same config.json, and the values of twin_gguf's tensors as f32 in Hugging Face order. */
MAYBE_UNUSED static bool twin_folder(const char *folder, DType type, const char *to, Err *err) {
    Weights *weights = weights_from(folder, err);
    if (!weights) return false;
    mkdir(to, 0777);
    int64_t n = weights_count(weights);
    SafeTensor *list = calloc((size_t)n, sizeof *list);
    for (int64_t i = 0; i < n; i++) {
        const WeightTensor *t = weights_at(weights, i);
        list[i] = (SafeTensor){.name = t->name, .dtype = DTYPE_F32, .rank = t->rank};
        memcpy(list[i].dim, t->dim, sizeof t->dim);
    }
    char *path = path_join(to, "model.safetensors", err);
    SafeWriter *w = path ? safewriter_open(path, list, n, err) : NULL;
    bool ok = w != NULL;
    for (int64_t i = 0; ok && i < n; i++) {
        const WeightTensor *t = weights_at(weights, i);
        DType stored = twin_type(t, type);
        int64_t count, columns = t->rank == 2 ? t->dim[1] : 1;
        size_t bytes = 0;
        float *x = twin_values(t, &count);
        dtype_bytes(stored, count, &bytes);
        uint8_t *data = malloc(bytes);
        quantise(stored, x, count, data);
        for (int64_t r = 0; r < t->dim[0]; r++)
            dtype_row(stored)->read(data + bytes / (size_t)t->dim[0] * (size_t)r, 0, columns, x + r * columns);
        ok = safewriter_data(w, x, 4 * (size_t)count, err);
        free(x);
        free(data);
    }
    if (w && !safewriter_close(w, err)) ok = false;
    free(path);
    free(list);
    weights_close(weights);
    return ok && copy_file(folder, "config.json", to, err);
}
#endif
