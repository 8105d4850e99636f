/* config_keys.c: every key of config.json that the families have or that transformers writes, and what is done about
 * it. Used: read elsewhere. Harmless: no number of inference depends on it. Default: changes the computation in
 * transformers 5.24, and we only have its default. Any other key gets a word. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "../base/watch.h"
#include "config_check.h"
#include "json.h"

/* partial_rotary_factor counts with scaled rotary types only; layer_types, use_sliding_window and max_window_layers in
 * Qwen2, sliding_window in Qwen2 and Mistral, attention_bias and mlp_bias in Llama: the code of the others does not
 * look. */
static const char *const used[] = {
    "model_type",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "original_max_position_embeddings",
    "quantization_config",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "sliding_window",
    "attention_bias",
    "mlp_bias",
    "architectures",
    "id2label",
    "num_labels",
    "problem_type",
};

static const char *const harmless[] = {
    "transformers_version",
    "torch_dtype",
    "dtype",
    "initializer_range",
    "use_cache",
    "attention_dropout",
    "hidden_dropout",
    "attn_pdrop",
    "resid_pdrop",
    "embd_pdrop",
    "classifier_dropout",
    "pretraining_tp",
    "tie_encoder_decoder",
    "is_decoder",
    "cross_attention_hidden_size",
    "chunk_size_feed_forward",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "use_return_dict",
    "torchscript",
    "use_bfloat16",
    "tf_legacy_loss",
    "finetuning_task",
    "label2id",
    "tokenizer_class",
    "prefix",
    "task_specific_params",
    "sep_token_id",
    "unk_token_id",
    "decoder_start_token_id",
    "attn_implementation",
    "use_flash_attn",
    "use_flash_attention_2",
    "use_parallel_residual",
    "gradient_checkpointing",
    "unsloth_fixed",
    "unsloth_version",
    "model_name",
    "seq_length",
    "max_sequence_length",
    "vocab_file",
};

/* `allowed`: the values, as JSON, with which nothing changes. To transformers null is a false is_causal. */
static const struct {
    const char *name, *allowed;
} defaults[] = {
    {"is_causal", "[true]"},
    {"is_encoder_decoder", "[false, null]"},
    {"add_cross_attention", "[false, null]"},
    {"use_bidirectional_attention", "[false, null]"},
    {"use_mrope", "[false, null]"},
    {"attention_chunk_size", "[null]"},
    {"pruned_heads", "[null, {}, []]"},
    {"per_layer_config", "[null, {}, []]"},
    {"compression_config", "[null, {}]"},
    {"sparsity_config", "[null, {}]"},
};

static bool listed(const char *const *list, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++)
        if (!strcmp(list[i], name)) return true;
    return false;
}

/* The values of a key that must have its default; NULL: it is none of those. */
static const char *allowed_values(const char *name) {
    for (size_t i = 0; i < sizeof defaults / sizeof *defaults; i++)
        if (!strcmp(defaults[i].name, name)) return defaults[i].allowed;
    return NULL;
}

static bool check_default(const char *name, const char *values, const json_t *value, const char *where, Err *err) {
    json_t *allowed = json_loads(values, JSON_DECODE_ANY, NULL), *item;
    bool good = false;
    size_t i;
    if (!allowed) return err_as(err, QM_MEMORY, "out of memory: %s", name);
    json_array_foreach(allowed, i, item) good = good || json_equal(item, value);
    char *text = good ? NULL : json_dump(value, JSON_ENCODE_ANY | JSON_COMPACT, where, NULL);
    char *first = good ? NULL : json_dumps(json_array_get(allowed, 0), JSON_ENCODE_ANY | JSON_COMPACT);
    if (!good)
        err_set(err, "%s: %s %s is not supported: expected %s", where, name,
                text ? name_text(text, strlen(text)).text : "?", first ? first : "none");
    json_decref(allowed);
    free(text);
    free(first);
    return good;
}

bool config_keys_check(const json_t *root, const char *where, Err *err) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)root, name, value) {
        const char *values = allowed_values(name);
        if (values && !check_default(name, values, value, where, err)) return false;
    }
    return true;
}

static bool is_known(const char *name) {
    return listed(used, sizeof used / sizeof *used, name) ||
           listed(harmless, sizeof harmless / sizeof *harmless, name) || allowed_values(name);
}

/* A value that says nothing, or a name that is a library's own. */
static bool is_silent(const char *name, const json_t *value) {
    return name[0] == '_' || json_is_null(value) || json_is_false(value) ||
           (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

void config_keys_warn(const json_t *root, const char *where) {
    static _Atomic bool said; /* a model's configuration is read more than once in a run */
    Text list = {0};
    const char *name;
    json_t *value;
    int count = 0;
    json_object_foreach((json_t *)(uintptr_t)root, name, value) {
        if (is_known(name) || is_silent(name, value)) continue;
        if (++count <= 8) text_line(&list, "%s%s", count > 1 ? ", " : "", name_text(name, strlen(name)).text);
    }
    if (count && list.data && !atomic_exchange(&said, true))
        watch_say(QM_WARNING, "%s: not known and not used: %s%s", where, list.data,
                  count > 8 ? ", ..." : "");
    text_free(&list);
}
