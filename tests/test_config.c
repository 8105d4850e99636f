/* test_config.c: configurations from config.json and GGUF metadata: what they mean, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "gguf_write.h"
#include "fixture.h"

#define SIZES \
    "\"hidden_size\":64,\"intermediate_size\":192,\"num_hidden_layers\":3,\"num_attention_heads\":4," \
    "\"vocab_size\":512"
#define QWEN2 "\"model_type\":\"qwen2\",\"num_key_value_heads\":2," SIZES
#define ROPE(body) "{" QWEN2 ",\"rope_scaling\":{" body "}}"

static ModelConfig read_good(const char *json) {
    ModelConfig c;
    Err err = {0};
    if (!config_from_json(&c, json, strlen(json), "config", &err)) fail_msg("%s: %s", json, err.text);
    assert_false(err.kind);
    return c;
}

static void say(const char *text, const char *words) {
    char list[200], *rest = NULL;
    snprintf(list, sizeof list, "%s", words);
    for (char *word = strtok_r(list, "|", &rest); word; word = strtok_r(NULL, "|", &rest))
        if (!strstr(text, word)) fail_msg("'%s' does not say '%s'", text, word);
}

static void refuse(const char *json, const char *words) {
    ModelConfig c;
    Err err = {0};
    if (config_from_json(&c, json, strlen(json), "config", &err)) fail_msg("accepted: %s", json);
    say(err.text, words);
}

static bool near(double a, double b) { return fabs(a - b) <= 1e-12 * fabs(b); }

/* ---- What is read ----------------------------------------------------------------------------------------------- */

/* The published Qwen2.5 sizes: exact parameter counts, tensors and bytes of cache per token in bf16. */
static void published_sizes(void **state) {
    (void)state;
    static const struct { const char *name; int64_t parameters, tensors, cache; } sizes[] = {
        {"0.5b", 494032768, 290, 12288},    {"1.5b", 1543714304, 338, 28672},   {"3b", 3085938688, 434, 36864},
        {"7b", 7615616512, 339, 57344},     {"14b", 14770033664, 579, 196608},  {"32b", 32763876352, 771, 262144},
        {"72b", 72706203648, 963, 327680},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char path[64];
        ModelConfig c;
        Err err = {0};
        snprintf(path, sizeof path, "tests/golden/configs/%s.json", sizes[i].name);
        if (!config_at(&c, path, &err)) fail_msg("%s", err.text);
        assert_int_equal(parameters_of(&c), sizes[i].parameters);
        assert_int_equal(12 * c.layers + 2 + !c.tied, sizes[i].tensors);
        assert_int_equal(2 * 2 * c.layers * c.kv_heads * c.head_dim, sizes[i].cache);
        assert_int_equal(config_group(&c) * c.kv_heads, c.heads);
        assert_true(c.rope.theta == 1e6 && c.rope.type == ROPE_DEFAULT && c.qkv_bias && !c.o_bias && !c.mlp_bias);
        assert_true(c.eos_count == 1 && c.eos[0] == 151643 && c.bos == 151643 && c.pad == -1);
        for (int64_t l = 0; l < c.layers; l++) assert_int_equal(c.window[l], 0); /* sliding is off in all */
    }
}

/* Golden checkpoints: parameters are the elements of their tensors, with every rope type. */
static void golden_checkpoints(void **state) {
    (void)state;
    static const struct { const char *name; RopeType type; } cases[] = {
        {"tiny", ROPE_DEFAULT},      {"heads28-4", ROPE_DEFAULT}, {"heads14-2", ROPE_DEFAULT},
        {"llama-9-3", ROPE_DEFAULT}, {"sliding", ROPE_DEFAULT},   {"yarn", ROPE_YARN},
        {"linear", ROPE_LINEAR},     {"dynamic", ROPE_DYNAMIC},   {"llama3", ROPE_LLAMA3},
        {"qwen3-6-3", ROPE_DEFAULT}, {"qwen3-10-2t", ROPE_DEFAULT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[64];
        ModelConfig c;
        Err err = {0};
        int64_t elements = 0;
        snprintf(path, sizeof path, "tests/golden/%s", cases[i].name);
        if (!config_at(&c, path, &err)) fail_msg("%s", err.text);
        Weights *w = weights_from(path, &err);
        for (int64_t k = 0; k < weights_count(w); k++) {
            const WeightTensor *t = weights_at(w, k);
            elements += t->dim[0] * (t->rank == 2 ? t->dim[1] : 1);
        }
        weights_close(w);
        assert_int_equal(parameters_of(&c), elements);
        assert_int_equal(c.rope.type, cases[i].type);
        assert_true(c.eos_count == 1 && c.eos[0] == 2 && c.bos == 1 && c.pad == 0);
    }
}

/* What a silent file means, by family. */
static void defaults(void **state) {
    (void)state;
    ModelConfig c =
        read_good("{\"model_type\":\"qwen2\"," SIZES ",\"num_attention_heads_\":1,\"num_key_value_heads\":null}");
    assert_true(c.kv_heads == 4 && c.head_dim == 16 && c.max_positions == 32768 && c.rms_norm_eps == 1e-6 && !c.tied);
    assert_true(c.rope.theta == 10000 && c.rope.dim == 16 && c.rope.original_max == 32768 &&
                c.rope.attention_factor == 1);
    assert_true(c.qkv_bias && !c.o_bias && c.eos_count == 0 && c.bos == -1 && c.pad == -1 && c.window[2] == 0);
    assert_false(c.qk_norm);
    c = read_good("{\"model_type\":\"qwen3\"," SIZES ",\"num_key_value_heads\":null}");
    assert_true(c.kv_heads == 4 && c.head_dim == 128 && c.rope.dim == 128 && c.max_positions == 32768 && c.qk_norm);
    assert_true(!c.qkv_bias && !c.o_bias && c.eos_count == 0 && c.bos == -1 && c.window[2] == 0);
    c = read_good("{\"model_type\":\"llama\"," SIZES "}");
    assert_true(c.kv_heads == 4 && c.max_positions == 2048 && !c.qkv_bias && !c.o_bias && !c.mlp_bias);
    assert_true(c.bos == 1 && c.eos_count == 1 && c.eos[0] == 2);
    c = read_good("{\"model_type\":\"mistral\",\"hidden_size\":64,\"intermediate_size\":192,\"num_hidden_layers\":3,"
                  "\"num_attention_heads\":16,\"vocab_size\":512}");
    assert_true(c.kv_heads == 8 && c.max_positions == 131072 && c.window[0] == 4096 && c.window[2] == 4096);
}

/* Biases: Qwen2 has them on q, k, v; Llama's switches put them on o and the MLP too. */
static void biases(void **state) {
    (void)state;
    ModelConfig c = read_good("{\"model_type\":\"llama\"," SIZES ",\"attention_bias\":true,\"mlp_bias\":true}");
    assert_true(c.qkv_bias && c.o_bias && c.mlp_bias);
    int64_t biases = 3 * (64 + 2 * 64 + 64 + 2 * 192 + 64);
    assert_int_equal(parameters_of(&c) - biases, 2 * 512 * 64 + 64 + 3 * (4 * 64 * 64 + 3 * 64 * 192 + 2 * 64));
    c = read_good("{" QWEN2 ",\"attention_bias\":false,\"mlp_bias\":true}");
    assert_true(c.qkv_bias && !c.o_bias && !c.mlp_bias);
    c = read_good("{\"model_type\":\"qwen3\"," SIZES
                  ",\"num_key_value_heads\":2,\"attention_bias\":true,\"mlp_bias\":true}");
    assert_true(c.qkv_bias && c.o_bias && !c.mlp_bias);
    refuse("{\"model_type\":\"qwen3\"," SIZES ",\"num_key_value_heads\":2,\"rms_norm_eps\":0}", "epsilon");
}

/* The head size may stand by itself, and part of it may rotate. */
static void head_sizes(void **state) {
    (void)state;
#define LINEAR ",\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2}"
    ModelConfig c = read_good("{" QWEN2 ",\"head_dim\":128,\"partial_rotary_factor\":0.25" LINEAR "}");
    assert_true(c.head_dim == 128 && c.rope.dim == 32);
    c = read_good("{" QWEN2 ",\"head_dim\":128,\"partial_rotary_factor\":0.25}"); /* unscaled: nobody looks */
    assert_true(c.head_dim == 128 && c.rope.dim == 128);
    c = read_good("{" QWEN2
                  ",\"head_dim\":null,\"rope_parameters\":{\"rope_type\":\"default\",\"partial_rotary_factor\":0.5}}");
    assert_true(c.head_dim == 16 && c.rope.dim == 16);
    refuse("{" QWEN2 ",\"head_dim\":15}", "rotary|even");
    refuse("{" QWEN2 ",\"partial_rotary_factor\":0.05" LINEAR "}", "rotary|got 0");
    refuse("{" QWEN2 ",\"partial_rotary_factor\":1.5}", "partial_rotary_factor");
}

/* Keys that would change the computation are refused unless they have their default; the rest are let be. */
static void keys_are_known(void **state) {
    (void)state;
    static const char *const refused[][2] = {
        {"\"is_causal\":false", "is_causal false is not supported: expected true"},
        {"\"is_causal\":null", "is_causal null"},
        {"\"is_encoder_decoder\":true", "is_encoder_decoder true"},
        {"\"add_cross_attention\":true", "add_cross_attention"},
        {"\"use_bidirectional_attention\":true", "use_bidirectional_attention"},
        {"\"use_bidirectional_attention\":\"\\u001b[2J\"", "use_bidirectional_attention"},
        {"\"use_mrope\":true", "use_mrope"},
        {"\"attention_chunk_size\":4", "attention_chunk_size 4"},
        {"\"pruned_heads\":{\"0\":[1]}", "pruned_heads"},
        {"\"per_layer_config\":{\"1\":{\"hidden_act\":\"gelu\"}}", "per_layer_config"},
        {"\"compression_config\":{\"format\":\"x\"}", "compression_config"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char json[512];
        snprintf(json, sizeof json, "{" QWEN2 ",%s}", refused[i][0]);
        refuse(json, refused[i][1]);
    }
    read_good("{" QWEN2 ",\"is_causal\":true,\"is_encoder_decoder\":false,\"add_cross_attention\":false,"
              "\"use_bidirectional_attention\":null,\"use_mrope\":false,\"attention_chunk_size\":null,"
              "\"pruned_heads\":{},\"per_layer_config\":null,\"initializer_range\":0.5,\"a_new_key\":7}");
    ModelConfig c =
        read_good("{\"model_type\":\"llama\"," SIZES /* Llama's code has no layer types */
                  ",\"layer_types\":[\"sliding_attention\"],\"sliding_window\":8,\"use_sliding_window\":true}");
    assert_true(c.window[0] == 0);
    c = read_good("{\"model_type\":\"mistral\",\"num_key_value_heads\":2," SIZES
                  ",\"sliding_window\":8,\"layer_types\":"
                  "[\"full_attention\",\"full_attention\",\"full_attention\"]}");
    assert_true(c.window[0] == 8 && c.window[2] == 8);
}

/* Sliding windows: by switch and first layer, by list, for Mistral on all layers. */
static void windows(void **state) {
    (void)state;
    ModelConfig c = read_good("{" QWEN2 ",\"use_sliding_window\":true,\"sliding_window\":8,\"max_window_layers\":1}");
    assert_true(c.window[0] == 0 && c.window[1] == 8 && c.window[2] == 8);
    c = read_good("{" QWEN2 ",\"use_sliding_window\":true,\"sliding_window\":8}");
    assert_true(c.window[0] == 0 && c.window[2] == 0); /* max_window_layers is 28 */
    c = read_good("{" QWEN2 ",\"use_sliding_window\":true,\"max_window_layers\":0}");
    assert_true(c.window[0] == 4096);
    c = read_good("{" QWEN2 ",\"use_sliding_window\":false,\"sliding_window\":8,\"max_window_layers\":0}");
    assert_true(c.window[0] == 0);
    c = read_good("{" QWEN2 ",\"use_sliding_window\":true,\"sliding_window\":null,\"max_window_layers\":0}");
    assert_true(c.window[0] == 0);
    c = read_good("{" QWEN2 ",\"use_sliding_window\":true,\"sliding_window\":8,\"max_window_layers\":0,"
                  "\"layer_types\":[\"full_attention\",\"sliding_attention\",\"full_attention\"]}");
    assert_true(c.window[0] == 0 && c.window[1] == 8 && c.window[2] == 0);
    c = read_good("{\"model_type\":\"mistral\",\"num_key_value_heads\":2," SIZES ",\"sliding_window\":null}");
    assert_true(c.window[0] == 0);
    refuse("{" QWEN2 ",\"layer_types\":[\"sliding_attention\",\"full_attention\",\"full_attention\"]}",
           "layer 0|no sliding_window");
    refuse("{" QWEN2 ",\"layer_types\":[\"full_attention\"]}", "layer_types|3 names");
    refuse("{" QWEN2 ",\"layer_types\":[\"full_attention\",\"full_attention\",\"linear_attention\"]}",
           "layer 2|linear_attention");
    refuse("{" QWEN2 ",\"layer_types\":[1,2,3]}", "layer 0|no string");
    refuse("{" QWEN2 ",\"sliding_window\":0}", "sliding_window");
}

/* Ids of the end: one, a list, none; ids past the vocabulary can never come. */
static void token_ids(void **state) {
    (void)state;
    ModelConfig c = read_good("{" QWEN2 ",\"eos_token_id\":[3,511,512,-1],\"bos_token_id\":512,\"pad_token_id\":-1}");
    assert_true(c.eos_count == 2 && c.eos[0] == 3 && c.eos[1] == 511 && c.bos == -1 && c.pad == -1);
    c = read_good("{\"model_type\":\"llama\"," SIZES
                  ",\"eos_token_id\":null,\"bos_token_id\":null,\"pad_token_id\":7}");
    assert_true(c.eos_count == 0 && c.bos == -1 && c.pad == 7);
    c = read_good("{\"model_type\":\"llama\",\"hidden_size\":4,\"intermediate_size\":4,\"num_hidden_layers\":1,"
                  "\"num_attention_heads\":1,\"vocab_size\":1}");
    assert_true(c.eos_count == 0 && c.bos == -1); /* the family's own defaults, 2 and 1, are past it too */
    refuse("{" QWEN2 ",\"eos_token_id\":\"</s>\"}", "eos_token_id");
    refuse("{" QWEN2 ",\"eos_token_id\":[1,2.5]}", "eos_token_id");
    refuse("{" QWEN2 ",\"bos_token_id\":[1]}", "bos_token_id");
    refuse("{" QWEN2 ",\"eos_token_id\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}", "at most 16|got 17");
}

/* ---- Rotary embedding ------------------------------------------------------------------------------------------- */

/* Old and new spellings, and which wins: rope_scaling over rope_parameters, inner theta over outer, outer original over
 * inner. */
static void rope_spellings(void **state) {
    (void)state;
    ModelConfig c = read_good("{" QWEN2 ",\"rope_theta\":500.0,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}");
    assert_true(c.rope.type == ROPE_LINEAR && c.rope.factor == 2 && c.rope.theta == 500);
    c = read_good(
        "{" QWEN2
        ",\"rope_theta\":500,\"rope_parameters\":{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":600}}");
    assert_true(c.rope.type == ROPE_LINEAR && c.rope.theta == 600);
    c = read_good("{" QWEN2 ",\"rope_scaling\":{\"rope_type\":\"linear\",\"type\":\"yarn\",\"factor\":3},"
                  "\"rope_parameters\":{\"rope_theta\":5}}");
    assert_true(c.rope.type == ROPE_LINEAR && c.rope.factor == 3 && c.rope.theta == 10000);
    c = read_good("{" QWEN2 ",\"rope_scaling\":null,\"rope_theta\":500}");
    assert_true(c.rope.type == ROPE_DEFAULT && c.rope.theta == 500);
    c = read_good("{" QWEN2
                  ",\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"linear\",\"factor\":2,\"rope_theta\":7.0},"
                  "\"sliding_attention\":{\"factor\":2,\"rope_theta\":7.0,\"rope_type\":\"linear\"}}}");
    assert_true(c.rope.type == ROPE_LINEAR && c.rope.factor == 2 && c.rope.theta == 7);
    c = read_good("{" QWEN2 ",\"original_max_position_embeddings\":99,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":2,"
                  "\"original_max_position_embeddings\":77}}");
    assert_int_equal(c.rope.original_max, 99);
    refuse("{" QWEN2 ",\"rope_parameters\":{\"full_attention\":{\"factor\":2},\"sliding_attention\":{\"factor\":3}}}",
           "differ between layer types");
    refuse("{" QWEN2 ",\"rope_parameters\":{\"full_attention\":{},\"rope_theta\":5}}", "mixes");
    refuse("{" QWEN2 ",\"rope_parameters\":[]}", "rope_parameters|object");
}

/* YaRN as in Qwen's recipe: the factor as given, whatever the lengths say; attention factor given or derived. */
static void rope_yarn(void **state) {
    (void)state;
    ModelConfig c =
        read_good("{" QWEN2 ",\"max_position_embeddings\":32768,\"rope_scaling\":{\"type\":\"yarn\",\"factor\":4.0,"
                  "\"original_max_position_embeddings\":32768}}");
    assert_true(c.rope.type == ROPE_YARN && c.rope.factor == 4 && c.rope.original_max == 32768 && c.rope.truncate);
    assert_true(c.rope.beta_fast == 32 && c.rope.beta_slow == 1 && near(c.rope.attention_factor, 0.1 * log(4) + 1));
    c = read_good(ROPE("\"type\":\"yarn\",\"factor\":8,\"beta_fast\":16,\"beta_slow\":0,\"truncate\":false,"
                       "\"attention_factor\":null"));
    assert_true(c.rope.original_max == 32768 && c.rope.beta_fast == 16 && c.rope.beta_slow == 1 && !c.rope.truncate);
    c = read_good(ROPE("\"type\":\"yarn\",\"factor\":8,\"attention_factor\":0.5"));
    assert_true(c.rope.attention_factor == 0.5);
    c = read_good(ROPE("\"type\":\"yarn\",\"factor\":1"));
    assert_true(c.rope.attention_factor == 1);
    c = read_good(ROPE("\"type\":\"yarn\",\"factor\":40,\"mscale\":1.0,\"mscale_all_dim\":0.707"));
    assert_true(near(c.rope.attention_factor, (0.1 * log(40) + 1) / (0.0707 * log(40) + 1)));
    c = read_good(ROPE("\"type\":\"yarn\",\"factor\":40,\"mscale\":2.0"));
    assert_true(near(c.rope.attention_factor, 0.1 * log(40) + 1));
    refuse(ROPE("\"type\":\"yarn\""), "factor is missing");
    refuse(ROPE("\"type\":\"yarn\",\"factor\":0.5"), "factor");
    refuse(ROPE("\"type\":\"yarn\",\"factor\":4,\"beta_fast\":1,\"beta_slow\":2"), "beta_fast >= beta_slow");
    refuse(ROPE("\"type\":\"yarn\",\"factor\":4,\"attention_factor\":-1"), "attention_factor");
    refuse(ROPE("\"type\":\"yarn\",\"factor\":4,\"original_max_position_embeddings\":0"),
           "original_max_position_embeddings");
}

/* LongRoPE: lists of half the rotated channels; factor given or from the lengths. */
static void rope_longrope(void **state) {
    (void)state;
#define LISTS "\"type\":\"longrope\",\"short_factor\":[1,1,1,1,1,1,1,1.5],\"long_factor\":[1,2,3,4,5,6,7,8]"
    ModelConfig c = read_good(ROPE(LISTS ",\"original_max_position_embeddings\":4096"));
    assert_true(c.rope.type == ROPE_LONGROPE && c.rope.factor == 8 && c.rope.original_max == 4096);
    assert_true(c.rope.short_factor[7] == 1.5 && c.rope.long_factor[6] == 7);
    assert_true(near(c.rope.attention_factor, sqrt(1 + log(8) / log(4096))));
    c = read_good(ROPE(LISTS ",\"original_max_position_embeddings\":4096,\"factor\":2.0"));
    assert_true(near(c.rope.attention_factor, sqrt(1 + log(2) / log(4096))));
    c = read_good(ROPE(LISTS ",\"attention_factor\":1.25"));
    assert_true(c.rope.attention_factor == 1.25 && c.rope.factor == 1);
    refuse(ROPE("\"type\":\"longrope\",\"short_factor\":[1,1,1,1,1,1,1,1]"), "long_factor is missing");
    refuse(ROPE("\"type\":\"longrope\",\"short_factor\":[1],\"long_factor\":[1,2,3,4,5,6,7,8]"),
           "short_factor|8 numbers");
    refuse(ROPE("\"type\":\"longrope\",\"short_factor\":[1,1,1,1,1,1,1,0],\"long_factor\":[1,2,3,4,5,6,7,8]"),
           "short_factor|item 7");
    refuse(ROPE("\"type\":\"longrope\",\"short_factor\":\"x\",\"long_factor\":[1,2,3,4,5,6,7,8]"), "short_factor");
#undef LISTS
}

/* Linear, dynamic and Llama 3 scaling, and what they need. */
static void rope_others(void **state) {
    (void)state;
    ModelConfig c = read_good(ROPE("\"rope_type\":\"dynamic\",\"factor\":4.0,\"attention_factor\":2"));
    assert_true(c.rope.type == ROPE_DYNAMIC && c.rope.factor == 4 && c.rope.attention_factor == 1);
    c = read_good(ROPE("\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
                       "\"original_max_position_embeddings\":8192"));
    assert_true(c.rope.type == ROPE_LLAMA3 && c.rope.low_freq_factor == 1 && c.rope.high_freq_factor == 4 &&
                c.rope.original_max == 8192);
    refuse(ROPE("\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,\"high_freq_factor\":4"),
           "high_freq_factor > low_freq_factor");
    refuse(ROPE("\"rope_type\":\"llama3\",\"factor\":8,\"low_freq_factor\":1"), "high_freq_factor is missing");
    refuse(ROPE("\"rope_type\":\"llama3\",\"low_freq_factor\":1,\"high_freq_factor\":4"), "factor is missing");
    refuse(ROPE("\"rope_type\":\"linear\""), "factor is missing");
    refuse(ROPE("\"rope_type\":\"dynamic\",\"factor\":null"), "factor is missing");
    refuse(ROPE("\"rope_type\":\"dynamic\",\"factor\":\"4\""), "factor|number");
    refuse(ROPE("\"rope_type\":\"mrope\""), "rope_type|mrope");
    refuse(ROPE("\"rope_type\":3"), "rope_type|string");
    refuse("{" QWEN2 ",\"rope_theta\":1}", "theta|> 1");
    refuse("{" QWEN2 ",\"rope_theta\":-5}", "rope_theta");
    refuse("{" QWEN2 ",\"head_dim\":2,\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}}", "rotary|from 4 to 2");
}

/* ---- What is refused -------------------------------------------------------------------------------------------- */

/* Other models, activations and quantisations are named. */
static void unknown_models(void **state) {
    (void)state;
    refuse("{}", "model_type|expected one of qwen2, qwen3, llama, mistral|nothing");
    refuse("{\"model_type\":\"gpt2\"}", "model_type|gpt2");
    refuse("{\"model_type\":\"qwen2_moe\"," SIZES "}", "qwen2_moe");
    refuse("{\"model_type\":5}", "model_type|string");
    refuse("{" QWEN2 ",\"hidden_act\":\"gelu\"}", "hidden_act|silu|gelu");
    read_good("{" QWEN2 ",\"hidden_act\":\"swish\",\"anything\":[{}],\"use_mrope\":false}");
    refuse("{" QWEN2 ",\"quantization_config\":{\"quant_method\":\"gptq\"}}", "gptq");
    refuse("[]", "object");
    refuse("", "not valid JSON");
    refuse("{\"model_type\":\"qwen2\",\"model_type\":\"qwen2\"}", "duplicate");
}

/* Sizes that are missing, no integers, not positive, or beyond any model. */
static void sizes_are_checked(void **state) {
    (void)state;
    static const char *const keys[] = {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                                       "vocab_size"};
    static const char *const values[] = {NULL, "null", "0", "-4", "4.0", "\"4\"", "2147483648", "9223372036854775807"};
    for (size_t k = 0; k < 5; k++)
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            Text json = {0};
            text_line(&json, "{\"model_type\":\"qwen2\",\"num_key_value_heads\":2");
            for (size_t i = 0; i < 5; i++)
                if (i != k) text_line(&json, ",\"%s\":4", keys[i]);
                else if (values[v]) text_line(&json, ",\"%s\":%s", keys[i], values[v]);
            text_line(&json, "}");
            refuse(json.data, keys[k]);
            text_free(&json);
        }
    refuse("{" QWEN2 ",\"num_hidden_layers_\":1,\"max_position_embeddings\":0}", "max_position_embeddings");
    refuse("{\"model_type\":\"qwen2\",\"num_key_value_heads\":3," SIZES "}", "4 heads|3 key/value heads");
    refuse("{\"model_type\":\"qwen2\",\"num_key_value_heads\":8," SIZES "}", "key/value heads|1 to 4");
    refuse("{" QWEN2 ",\"head_dim\":4096}", "head_dim|1024");
    refuse("{" QWEN2 ",\"rms_norm_eps\":2}", "rms_norm_eps");
    refuse("{" QWEN2 ",\"tie_word_embeddings\":\"yes\"}", "tie_word_embeddings");
    refuse("{\"model_type\":\"qwen2\",\"hidden_size\":65,\"intermediate_size\":1,\"num_hidden_layers\":1,"
           "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":5}",
           "65|no multiple|4");
    refuse("{\"model_type\":\"qwen2\",\"hidden_size\":64,\"intermediate_size\":1,\"num_hidden_layers\":1025,"
           "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"vocab_size\":5}",
           "layers|1024");
}

/* Folders: config.json, the end ids of generation_config.json, and what is missing. */
static void folders(void **state) {
    (void)state;
    char folder[] = "/tmp/qwenmesh-test-XXXXXX";
    Err err = {0};
    ModelConfig c;
    assert_non_null(mkdtemp(folder));
    char *config = path_join(folder, "config.json", &err),
         *generation = path_join(folder, "generation_config.json", &err);
    assert_false(config_at(&c, folder, &err));
    say(err.text, "config.json|*.gguf");
    err = (Err){0};
    const char *json = "{" QWEN2 "}", *eos = "{\"eos_token_id\":[5,6]}", *bad = "{\"eos_token_id\":{}}";
    assert_true(file_write(config, json, strlen(json), &err) && file_write(generation, eos, strlen(eos), &err));
    assert_true(config_at(&c, folder, &err) && c.eos_count == 2 && c.eos[1] == 6);
    json = "{" QWEN2 ",\"eos_token_id\":9}";
    assert_true(file_write(config, json, strlen(json), &err));
    assert_true(config_at(&c, folder, &err) && c.eos_count == 1 && c.eos[0] == 9);
    json = "{" QWEN2 "}";
    assert_true(file_write(config, json, strlen(json), &err) && file_write(generation, bad, strlen(bad), &err));
    assert_false(config_at(&c, folder, &err));
    say(err.text, "generation_config.json|eos_token_id");
    err = (Err){0};
    assert_true(file_write(config, "{", 1, &err));
    assert_false(config_at(&c, folder, &err));
    say(err.text, "config.json is not valid JSON");
    unlink(config), unlink(generation), rmdir(folder);
    free(config), free(generation);
}

/* ---- GGUF ------------------------------------------------------------------------------------------------------- */

/* The keys a model needs, less those named in `without`. */
static GgufWriter model_keys(const char *arch, const char *without) {
    static const struct { const char *name; uint32_t value; } keys[] = {
        {"block_count", 2},           {"context_length", 512},     {"embedding_length", 64},
        {"feed_forward_length", 192}, {"attention.head_count", 4},
    };
    GgufWriter w = {0};
    char key[64];
    float table[128 * 64] = {0};
    gw_text(&w, "general.architecture", arch);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        snprintf(key, sizeof key, "%s.%s", arch, keys[i].name);
        if (strcmp(keys[i].name, without) != 0) gw_u32(&w, key, keys[i].value);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    if (strcmp("attention.layer_norm_rms_epsilon", without) != 0) gw_f32(&w, key, 1e-5f);
    gw_tensor(&w, "token_embd.weight", DTYPE_F32, 2, (int64_t[]){128, 64}, table, sizeof table);
    return w;
}

/* Reads what was written; expects an error with `words`, or success when NULL. */
static ModelConfig gguf_config(GgufWriter *w, const char *words) {
    ModelConfig c = {0};
    Gguf gguf;
    Err err = {0};
    Text file = gw_file(w);
    if (!gguf_parse(&gguf, (const uint8_t *)file.data, file.bytes, "file", &err)) fail_msg("%s", err.text);
    bool ok = config_from_gguf(&c, &gguf, &err);
    if (!words && !ok) fail_msg("%s", err.text);
    if (words && ok) fail_msg("accepted, expected '%s'", words);
    if (words) say(err.text, words);
    gguf_close(&gguf);
    text_free(&file);
    return c;
}

/* Keys, defaults, and what the tensors say: tied, biases, vocabulary. */
static void gguf_keys(void **state) {
    (void)state;
    GgufWriter w = model_keys("qwen2", "");
    ModelConfig c = gguf_config(&w, NULL);
    assert_string_equal(c.architecture, "qwen2");
    assert_true(c.layers == 2 && c.max_positions == 512 && c.hidden == 64 && c.ffn == 192 && c.heads == 4 &&
                c.kv_heads == 4);
    assert_true(c.head_dim == 16 && c.vocab == 128 && c.tied && !c.qkv_bias && c.rope.theta == 10000 &&
                c.rope.dim == 16);
    assert_true(c.rms_norm_eps == (double)1e-5f && c.bos == -1 && c.pad == -1 && c.eos_count == 0);
    w = model_keys("qwen3", "");
    gw_u32(&w, "qwen3.attention.key_length", 24), gw_u32(&w, "qwen3.attention.value_length", 24);
    gw_u32(&w, "qwen3.attention.sliding_window", 9);
    c = gguf_config(&w, NULL);
    assert_true(!strcmp(c.architecture, "qwen3") && c.head_dim == 24 && c.qk_norm && c.window[0] == 0);
    w = model_keys("llama", "");
    gw_array(&w, "llama.attention.head_count_kv", GGUF_I32, (int32_t[]){2, 2}, 2, 8);
    gw_u32(&w, "llama.attention.key_length", 32), gw_u32(&w, "llama.attention.value_length", 32);
    gw_u32(&w, "llama.rope.dimension_count", 8), gw_f32(&w, "llama.rope.freq_base", 5000);
    gw_u32(&w, "llama.vocab_size", 120), gw_u32(&w, "llama.attention.sliding_window", 100);
    gw_u32(&w, "tokenizer.ggml.eos_token_id", 5), gw_u32(&w, "tokenizer.ggml.eot_token_id", 6);
    gw_u32(&w, "tokenizer.ggml.bos_token_id", 1), gw_u32(&w, "tokenizer.ggml.padding_token_id", 128);
    for (int i = 0; i < 4; i++) {
        static const char *const names[] = {"output.weight", "blk.0.attn_q.bias", "blk.0.attn_output.bias",
                                            "blk.0.ffn_down.bias"};
        gw_tensor(&w, names[i], DTYPE_F32, 1, (int64_t[]){1}, "abcd", 4);
    }
    c = gguf_config(&w, NULL);
    assert_true(c.kv_heads == 2 && c.head_dim == 32 && c.rope.dim == 8 && c.rope.theta == 5000 && c.vocab == 128);
    assert_true(!c.tied && c.qkv_bias && c.o_bias && c.mlp_bias && c.window[0] == 100 && c.window[1] == 100);
    assert_true(c.eos_count == 2 && c.eos[0] == 5 && c.eos[1] == 6 && c.bos == 1 && c.pad == -1);
}

/* Rotary scaling: linear, with and without its type, YaRN, divisors. */
static void gguf_rope(void **state) {
    (void)state;
    float divisors[] = {1, 1, 1, 1, 2, 4, 8, 8};
    GgufWriter w = model_keys("qwen2", "");
    gw_f32(&w, "qwen2.rope.scaling.factor", 4);
    ModelConfig c = gguf_config(&w, NULL);
    assert_true(c.rope.type == ROPE_LINEAR && c.rope.factor == 4);
    w = model_keys("qwen2", "");
    gw_text(&w, "qwen2.rope.scaling.type", "yarn"), gw_f32(&w, "qwen2.rope.scaling.factor", 4);
    gw_u32(&w, "qwen2.rope.scaling.original_context_length", 128), gw_f32(&w, "qwen2.rope.scaling.attn_factor", 2);
    c = gguf_config(&w, NULL);
    assert_true(c.rope.type == ROPE_YARN && c.rope.factor == 4 && c.rope.original_max == 128);
    assert_true(near(c.rope.attention_factor, 2 * (0.1 * log(4) + 1)) && c.rope.beta_fast == 32);
    w = model_keys("llama", "");
    gw_text(&w, "llama.rope.scaling.type", "none"), gw_f32(&w, "llama.rope.scaling.factor", 4);
    gw_tensor(&w, "rope_freqs.weight", DTYPE_F32, 1, (int64_t[]){8}, divisors, sizeof divisors);
    c = gguf_config(&w, NULL);
    assert_true(c.rope.type == ROPE_LONGROPE && c.rope.attention_factor == 1 && c.rope.original_max == 512);
    for (int i = 0; i < 8; i++)
        assert_true(c.rope.short_factor[i] == (double)divisors[i] && c.rope.long_factor[i] == (double)divisors[i]);
    static const struct { const char *type; float factor; int64_t divisors; const char *words; } bad[] = {
        {"yarn", 0.5f, 0, "factor|0.5"},
        {"yarn", NAN, 0, "factor"},
        {"linear", INFINITY, 0, "factor"},
        {"su", 1, 0, "rope.scaling.type|su"},
        {"longrope", 4, 0, "rope_factors_long.weight is missing"},
        {"none", 1, 7, "rope_freqs.weight|8 f32"},
        {"yarn", 4, 8, "does not go with"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        w = model_keys("qwen2", "");
        gw_text(&w, "qwen2.rope.scaling.type", bad[i].type), gw_f32(&w, "qwen2.rope.scaling.factor", bad[i].factor);
        if (bad[i].divisors)
            gw_tensor(&w, "rope_freqs.weight", DTYPE_F32, 1, &bad[i].divisors, divisors, 4 * (size_t)bad[i].divisors);
        gguf_config(&w, bad[i].words);
    }
    divisors[3] = 0;
    w = model_keys("qwen2", "");
    gw_tensor(&w, "rope_freqs.weight", DTYPE_F32, 1, (int64_t[]){8}, divisors, sizeof divisors);
    gguf_config(&w, "rope_freqs.weight|item 3");
}

/* Llama 3's divisors give the frequencies that its formula gives. */
static void gguf_llama3_twin(void **state) {
    (void)state;
    Err err = {0};
    ModelConfig a, b;
    char path[] = "/tmp/qwenmesh-test-XXXXXX";
    close(mkstemp(path));
    if (!twin_gguf("tests/golden/llama3", DTYPE_F32, path, &err) || !config_at(&a, "tests/golden/llama3", &err) ||
        !config_at(&b, path, &err))
        fail_msg("%s", err.text);
    unlink(path);
    assert_true(b.rope.type == ROPE_LONGROPE && b.rope.long_factor[0] == 1 &&
                b.rope.long_factor[a.rope.dim / 2 - 1] == a.rope.factor);
    assert_true(b.rope.long_factor[3] >= 1 && b.rope.long_factor[3] <= a.rope.factor);
    assert_int_equal(parameters_of(&a), parameters_of(&b));
}

/* Missing keys, other architectures, sizes that cannot be, experts. */
static void gguf_is_checked(void **state) {
    (void)state;
    static const char *const needed[] = {"block_count", "context_length", "embedding_length", "feed_forward_length",
                                         "attention.head_count", "attention.layer_norm_rms_epsilon"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        GgufWriter w = model_keys("qwen2", needed[i]);
        gguf_config(&w, needed[i]);
    }
    static const struct { const char *key; uint32_t value; const char *words; } bad[] = {
        {"llama.block_count", 0, "layers"},
        {"llama.block_count", 1u << 31, "layers|1024"},
        {"llama.attention.head_count", 0, "heads"},
        {"llama.attention.head_count", UINT32_MAX, "heads"},
        {"llama.embedding_length", UINT32_MAX, "hidden"},
        {"llama.context_length", 0, "positions"},
        {"llama.feed_forward_length", 0, "feed-forward"},
        {"llama.attention.head_count_kv", 3, "4 heads|3"},
        {"llama.attention.key_length", 0, "head size"},
        {"llama.attention.value_length", 8, "value_length|16|8"},
        {"llama.rope.dimension_count", 7, "rotary|7"},
        {"llama.rope.dimension_count", 18, "rotary|18"},
        {"llama.expert_count", 8, "experts"},
        {"split.count", 2, "2 parts"},
        {"llama.rope.scaling.original_context_length", 0, "original"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *name = strchr(bad[i].key, '.') + 1;
        GgufWriter w = model_keys("llama", name);
        gw_u32(&w, bad[i].key, bad[i].value);
        gguf_config(&w, bad[i].words);
    }
    GgufWriter w = model_keys("gemma", "");
    gguf_config(&w, "general.architecture|one of qwen2, qwen3, llama|gemma");
    gw_u32(&w, "general.alignment", 32);
    gguf_config(&w, "general.architecture is missing");
    w = model_keys("llama", "attention.head_count");
    gw_array(&w, "llama.attention.head_count", GGUF_U32, (uint32_t[]){4, 2}, 2, 8);
    gguf_config(&w, "same value for all layers");
}

/* A published GGUF file, by its own name and by its folder. */
static void smollm2(void **state) {
    (void)state;
    const char *path = smollm_path();
    if (!file_exists(path)) {
        printf("SKIP %s is not here: `make model` brings it\n", path);
        skip();
    }
    ModelConfig c;
    Err err = {0};
    if (!config_at(&c, path, &err)) fail_msg("%s", err.text);
    assert_string_equal(c.architecture, "llama");
    assert_int_equal(parameters_of(&c), 134515008);
    assert_true(c.heads == 9 && c.kv_heads == 3 && c.rope.theta == 100000 && c.tied && c.rms_norm_eps == (double)1e-5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_sizes), cmocka_unit_test(golden_checkpoints),
        cmocka_unit_test(defaults),        cmocka_unit_test(biases),
        cmocka_unit_test(head_sizes),      cmocka_unit_test(keys_are_known),
        cmocka_unit_test(windows),         cmocka_unit_test(token_ids),
        cmocka_unit_test(rope_spellings),  cmocka_unit_test(rope_yarn),
        cmocka_unit_test(rope_longrope),   cmocka_unit_test(rope_others),
        cmocka_unit_test(unknown_models),  cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(folders),         cmocka_unit_test(gguf_keys),
        cmocka_unit_test(gguf_rope),       cmocka_unit_test(gguf_llama3_twin),
        cmocka_unit_test(gguf_is_checked), cmocka_unit_test(smollm2),
    };
    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}
