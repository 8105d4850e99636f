/* save_order.c: the order of tensors in which save_pretrained deals them to shards: that of the modules in
 * transformers' classes, which also a reader of the files sees first to last. */
#include <stdlib.h>
#include <string.h>
#include "model_folder.h"

static const char *const in_layer[] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                                       "self_attn.q_norm", "self_attn.k_norm", "mlp.gate_proj",    "mlp.up_proj",
                                       "mlp.down_proj",    "input_layernorm",  "post_attention_layernorm"};
enum { IN_LAYER = sizeof in_layer / sizeof *in_layer };

typedef struct Place { long group, layer, module, bias; } Place;

/* group: 0 the embedding, 1 a layer, 2 the norm, 3 what stands on it. */
static Place place_of(const char *name) {
    Place p = {3, 0, IN_LAYER, strstr(name, ".bias") != NULL};
    const char *layer = strstr(name, "layers.");
    if (strstr(name, "embed_tokens.")) p.group = 0;
    else if (layer) {
        char *end;
        p.group = 1;
        p.layer = strtol(layer + 7, &end, 10);
        for (p.module = 0; p.module < IN_LAYER; p.module++) {
            size_t n = strlen(in_layer[p.module]);
            if (*end == '.' && !strncmp(end + 1, in_layer[p.module], n) && end[1 + n] == '.') break;
        }
    } else if (!strncmp(name, "norm.", 5) || strstr(name, ".norm.")) p.group = 2;
    return p;
}

static int compare(const void *a, const void *b) {
    const char *x = ((const SaveTensor *)a)->name, *y = ((const SaveTensor *)b)->name;
    Place p = place_of(x), q = place_of(y);
    long d = p.group != q.group ? p.group - q.group : p.layer != q.layer ? p.layer - q.layer
             : p.module != q.module ? p.module - q.module : p.bias - q.bias;
    return d ? (d > 0) - (d < 0) : strcmp(x, y);
}

void save_order(SaveTensor *tensors, int64_t count) { qsort(tensors, (size_t)count, sizeof *tensors, compare); }
