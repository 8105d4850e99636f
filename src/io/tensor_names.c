/* tensor_names.c: see tensor_names.h. */
#include <string.h>
#include "tensor_names.h"

/* Names of llama.cpp's src/llama-arch.cpp and of transformers' modeling_llama.py. In the second table the name stands
 * between blk.N. and .weight or .bias. */
static const char *const outer_names[][2] = {
    {"token_embd", "model.embed_tokens"}, {"output_norm", "model.norm"}, {"output", "lm_head"},
};
static const char *const layer_names[][2] = {
    {"attn_norm", "input_layernorm"},    {"ffn_norm", "post_attention_layernorm"},
    {"attn_q", "self_attn.q_proj"},      {"attn_k", "self_attn.k_proj"},
    {"attn_v", "self_attn.v_proj"},      {"attn_output", "self_attn.o_proj"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},
};

static const char *translate(const char *const table[][2], size_t count, const char *name, size_t bytes) {
    for (size_t i = 0; i < count; i++)
        if (strlen(table[i][0]) == bytes && !memcmp(table[i][0], name, bytes)) return table[i][1];
    return NULL;
}

void tensor_name(GgufText name, char out[128]) {
    const char *data = name.data, *end = data + name.bytes, *dot = end, *hf = NULL;
    while (dot > data && dot[-1] != '.') dot--; /* after the last dot: "weight" or "bias" */
    size_t stem = dot > data ? (size_t)(dot - 1 - data) : 0;
    snprintf(out, 128, "%.*s", (int)name.bytes, data);
    if (!(end - dot == 6 && !memcmp(dot, "weight", 6)) && !(end - dot == 4 && !memcmp(dot, "bias", 4))) return;
    if (stem < 4 || memcmp(data, "blk.", 4) != 0) {
        hf = translate(outer_names, sizeof outer_names / sizeof *outer_names, data, stem);
        if (hf) snprintf(out, 128, "%s.%.*s", hf, (int)(end - dot), dot);
        return;
    }
    size_t digits = strspn(out + 4, "0123456789"), part = 4 + digits + 1;
    if (digits == 0 || part >= stem || data[4 + digits] != '.') return;
    hf = translate(layer_names, sizeof layer_names / sizeof *layer_names, data + part, stem - part);
    if (hf) snprintf(out, 128, "model.layers.%.*s.%s.%.*s", (int)digits, data + 4, hf, (int)(end - dot), dot);
}
