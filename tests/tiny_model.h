/* tiny_model.h: writes a model of any shape, with weights drawn at random, as a Hugging Face folder of two files. */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fixture.h"

typedef struct TinyShape {
    int layers, hidden, ffn, vocab, heads, kv_heads, head_dim;
    bool bias, tied;
    double scale; /* of matrices; those from hidden to others are divided by sqrt(hidden) too */
} TinyShape;

/* Changes a weight after it is drawn. */
typedef void TinyChange(const char *name, float *data, int64_t rows, int64_t columns);

typedef struct TinyFile { FILE *head, *data; int64_t at; TinyChange *change; } TinyFile;

FIXTURE float random_normal(void) { /* near enough: the sum of 12 uniform numbers */
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += (double)random_below(1 << 30) / (1 << 30);
    return (float)sum;
}

/* columns 0: a vector */
FIXTURE void tiny_weight(TinyFile *f, const char *name, int64_t rows, int64_t columns, double mean, double scale) {
    int64_t n = rows * (columns ? columns : 1);
    float *data = malloc((size_t)n * sizeof *data);
    for (int64_t i = 0; i < n; i++) data[i] = (float)(mean + scale * (double)random_normal());
    if (f->change) f->change(name, data, rows, columns);
    fprintf(f->head, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%" PRId64, f->at ? "," : "{", name, rows);
    if (columns) fprintf(f->head, ",%" PRId64, columns);
    fprintf(f->head, "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", f->at, f->at + 4 * n);
    fwrite(data, sizeof *data, (size_t)n, f->data);
    f->at += 4 * n;
    free(data);
}

FIXTURE void tiny_layer(TinyFile *f, const TinyShape *s, int layer) {
    char name[100];
    double d = s->scale / sqrt((double)s->hidden);
    const struct { const char *part; int64_t rows, columns; double mean, scale; bool is; } list[] = {
        {"input_layernorm.weight", s->hidden, 0, 1, 0.1, true},
        {"post_attention_layernorm.weight", s->hidden, 0, 1, 0.1, true},
        {"self_attn.q_proj.weight", s->heads * s->head_dim, s->hidden, 0, d, true},
        {"self_attn.k_proj.weight", s->kv_heads * s->head_dim, s->hidden, 0, d, true},
        {"self_attn.v_proj.weight", s->kv_heads * s->head_dim, s->hidden, 0, d, true},
        {"self_attn.q_proj.bias", s->heads * s->head_dim, 0, 0, 0.3, s->bias},
        {"self_attn.k_proj.bias", s->kv_heads * s->head_dim, 0, 0, 0.3, s->bias},
        {"self_attn.v_proj.bias", s->kv_heads * s->head_dim, 0, 0, 0.3, s->bias},
        {"self_attn.o_proj.weight", s->hidden, s->heads * s->head_dim, 0,
         s->scale / sqrt((double)(s->heads * s->head_dim)), true},
        {"mlp.gate_proj.weight", s->ffn, s->hidden, 0, d, true},
        {"mlp.up_proj.weight", s->ffn, s->hidden, 0, d, true},
        {"mlp.down_proj.weight", s->hidden, s->ffn, 0, s->scale / sqrt((double)s->ffn), true},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        snprintf(name, sizeof name, "model.layers.%d.%s", layer, list[i].part);
        if (list[i].is) tiny_weight(f, name, list[i].rows, list[i].columns, list[i].mean, list[i].scale);
    }
}

FIXTURE void tiny_config(const char *folder, const TinyShape *s) {
    char path[600];
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *f = fopen(path, "w");
    fprintf(f,
            "{\"model_type\":\"%s\",\"architectures\":[\"%s\"],\"hidden_act\":\"silu\",\"rope_theta\":10000.0,"
            "\"rms_norm_eps\":1e-6,\"max_position_embeddings\":512,\"num_hidden_layers\":%d,\"hidden_size\":%d,"
            "\"intermediate_size\":%d,\"vocab_size\":%d,\"num_attention_heads\":%d,\"num_key_value_heads\":%d,"
            "\"head_dim\":%d,\"tie_word_embeddings\":%s}",
            s->bias ? "qwen2" : "llama", s->bias ? "Qwen2ForCausalLM" : "LlamaForCausalLM", s->layers, s->hidden,
            s->ffn, s->vocab, s->heads, s->kv_heads, s->head_dim, s->tied ? "true" : "false");
    fclose(f);
}

/* Into a folder, which is made if it is not there. change: NULL, or what is done to every weight. */
FIXTURE void tiny_write(const char *folder, const TinyShape *s, TinyChange *change) {
    char *head = NULL, path[600];
    size_t bytes = 0;
    mkdir(folder, 0700);
    tiny_config(folder, s);
    TinyFile f = {.head = open_memstream(&head, &bytes), .data = tmpfile(), .change = change};
    tiny_weight(&f, "model.embed_tokens.weight", s->vocab, s->hidden, 0, 1);
    for (int layer = 0; layer < s->layers; layer++) tiny_layer(&f, s, layer);
    tiny_weight(&f, "model.norm.weight", s->hidden, 0, 1, 0.1);
    if (!s->tied) tiny_weight(&f, "lm_head.weight", s->vocab, s->hidden, 0, 3 / sqrt((double)s->hidden));
    fputc('}', f.head);
    fclose(f.head);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    FILE *out = fopen(path, "wb");
    uint64_t length = bytes;
    fwrite(&length, sizeof length, 1, out);
    fwrite(head, 1, bytes, out);
    rewind(f.data);
    char piece[4096];
    for (size_t n; (n = fread(piece, 1, sizeof piece, f.data)) > 0;) fwrite(piece, 1, n, out);
    fclose(out);
    fclose(f.data);
    free(head);
}

FIXTURE void tiny_remove(const char *folder) {
    char path[600];
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    unlink(path);
    rmdir(folder);
}
#endif
