/* fuzz_train_orders.c: what rank 0 says to ranks that train with it, as arbitrary bytes. The first byte chooses what they
 * are: 0 mod 3: options of a trainer to open; else orders to a trainer on one device (1) or on four (2), each with the
 * messages that belong to it, until one is refused. What is obeyed runs, and its losses are numbers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../src/io/json.h"
#include "../../src/io/source.h"
#include "../../src/train/follow_train.h"
#include "../../src/train/initial.h"
#include "messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { ORDERS_MOST = 8, SEQ_LEN = 12 };

static void check_open(Bytes b) {
    static TrainOpen open, again;
    TrainerOptions o;
    Err err = {0};
    if (!hear(&b, &open, sizeof open, &err)) return;
    if (!train_open_read(&open, &o, &err)) {
        if (!err.kind) abort();
        return;
    }
    if (!train_open_write(&again, o.engine.model, &o, &err)) abort(); /* texts that were read fit */
}

/* A folder with a small model of random weights. */
static const char *model_path(void) {
    static char folder[] = "/tmp/fuzz-train-XXXXXX", model[64];
    static const char config[] =
        "{\"model_type\":\"qwen2\",\"architectures\":[\"Qwen2ForCausalLM\"],\"hidden_size\":32,"
        "\"intermediate_size\":64,\"num_hidden_layers\":1,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
        "\"vocab_size\":40,\"max_position_embeddings\":256,\"rms_norm_eps\":1e-6,\"rope_theta\":10000.0,"
        "\"hidden_act\":\"silu\",\"tie_word_embeddings\":false}";
    Err err = {0};
    char path[64];
    if (model[0]) return model;
    if (!mkdtemp(folder)) abort();
    snprintf(path, sizeof path, "%s/config.json", folder);
    snprintf(model, sizeof model, "%s/model", folder);
    FILE *f = fopen(path, "w");
    if (!f || fputs(config, f) < 0 || fclose(f)) abort();
    QmSource *source = source_open(path, &err);
    if (!source || !initial_model(source, NULL, 1, model, &err)) abort();
    source_close(source);
    return model;
}

/* One for each mesh, for all inputs: what orders leave of it is as good as random weights. */
static TrainFollower *follower_of(bool four) {
    static TrainFollower follower[2];
    TrainFollower *f = &follower[four];
    Err err = {0};
    if (f->trainer) return f;
    TrainerOptions o = {.engine = {.size = sizeof o.engine, .model = model_path(), .mesh = four ? "dp2,tp2" : "1x1", .threads = 1},
                        .seq_len = SEQ_LEN, .micro_batch = 3};
    f->source = source_open(o.engine.model, &err);
    f->seq_len = SEQ_LEN;
    if (!f->source || !(f->trainer = trainer_open_as(f->source, &o, &err))) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return f;
}

static void check_orders(Bytes b, bool four) {
    Err err = {0};
    Order o;
    for (int i = 0; i < ORDERS_MOST && hear(&b, &o, sizeof o, &err); i++) {
        if (o.number[0] == TRAIN_CLOSE) continue; /* it stays for the next input */
        if (!train_follower_obey(follower_of(four), &o, hear, &b, &err)) {
            if (!err.kind) abort();
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 1) return 0;
    Bytes b = {data + 1, bytes - 1};
    if (data[0] % 3 == 0) check_open(b);
    else check_orders(b, data[0] % 3 == 2);
    return 0;
}
