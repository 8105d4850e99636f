/* fuzz_orders.c: messages from other ranks as arbitrary bytes. The first byte chooses what they are: 0 mod 4: the
 * hellos of two ranks; 1: options of an engine to open; else orders to an engine on one device (2) or on four (3),
 * each with the messages that belong to it, until one is refused. What is obeyed runs, and its results are as any
 * other's. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "../../src/base/hello.h"
#include "../../src/infer/orders.h"
#include "messages.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { RANKS = 2, ORDERS_MOST = 40 };

static void check_hellos(Bytes b) {
    static Hello all[RANKS];
    Err err = {0};
    cpu_set_t share;
    bool crowded;
    memset(all, 0, sizeof all);
    memcpy(all, b.at, b.left < sizeof all ? b.left : sizeof all);
    if (hellos_agree(all, RANKS, &err) == (err.kind != QM_OK)) abort();
    for (int rank = 0; rank < RANKS; rank++)
        if (hello_share(all, RANKS, rank, &share, &crowded) && CPU_COUNT(&share) < 1) abort();
}

static void check_open(Bytes b) {
    OpenOrder open, again;
    QmEngineOptions o;
    Err err = {0};
    if (!hear(&b, &open, sizeof open, &err)) return;
    if (!open_order_read(&open, &o, &err)) {
        if (!err.kind) abort();
        return;
    }
    if (!open_order_write(&again, &o, &err)) abort(); /* texts that were read fit */
}

static const char *model_path(void) {
    static char path[] = "/tmp/fuzz-orders-XXXXXX";
    static bool written;
    static const char config[] =
        "{\"model_type\":\"qwen2\",\"architectures\":[\"Qwen2ForCausalLM\"],\"hidden_size\":32,"
        "\"intermediate_size\":64,\"num_hidden_layers\":1,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
        "\"vocab_size\":40,\"max_position_embeddings\":256,\"rms_norm_eps\":1e-6,\"rope_theta\":10000.0,"
        "\"hidden_act\":\"silu\",\"tie_word_embeddings\":false}";
    int fd = written ? -1 : mkstemp(path);
    if (!written && (fd < 0 || write(fd, config, sizeof config - 1) != sizeof config - 1)) abort();
    if (fd >= 0) close(fd);
    written = true;
    return path;
}

/* One for each mesh, for all inputs: opening takes longer than all that orders do. */
static QmEngine *engine_of(bool four) {
    static QmEngine *engine[2];
    Err err = {0};
    QmEngineOptions options = {.size = sizeof options, .model = model_path(), .random = "f32", .mesh = four ? "dp2,tp2" : "1x1", .threads = 1,
                               .slots = 3, .rows = 12, .context = 130, .hidden = true};
    if (!engine[four] && !(engine[four] = qm_engine_open(&options, &err))) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return engine[four];
}

/* Greedy ids of the last step are in the vocabulary. */
static void check_result(const QmEngine *e) {
    Err err = {0};
    const StepRows *s = e->backend->rows(e->state);
    const float *best = e->backend->read(e->state, program_tensor(&e->program, e->best), &err);
    if (!best) abort();
    for (int64_t i = 0; i < s->logit_rows; i++)
        if (isfinite(best[2 * i]) && !(best[2 * i + 1] >= 0 && best[2 * i + 1] < (float)e->config.vocab)) abort();
}

static void check_orders(Bytes b, bool four) {
    Err err = {0};
    Follower f;
    Order o;
    QmEngine *e = engine_of(four);
    if (!follower_new(&f, e, &err)) abort();
    for (int i = 0; i < ORDERS_MOST && hear(&b, &o, sizeof o, &err); i++) {
        if (!follower_obey(&f, &o, hear, &b, &err)) {
            if (!err.kind) abort();
            break;
        }
        if (o.kind == ORDER_STEP) check_result(e);
    }
    follower_free(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (bytes < 1) return 0;
    Bytes b = {data + 1, bytes - 1};
    if (data[0] % 4 == 0) check_hellos(b);
    else if (data[0] % 4 == 1) check_open(b);
    else check_orders(b, data[0] % 4 == 3);
    return 0;
}
