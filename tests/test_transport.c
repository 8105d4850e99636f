/* test_transport.c: devices over ranks, the subtrees each adds up, the part of a weight it packs; and what is said when
 * there is no MPI library. What goes between processes: tests/test_mpi.sh. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <unistd.h>
#include "../src/base/hello.h"
#include "../src/cpu/spread.h"
#include "../src/infer/orders.h"
#include "../src/model/family.h"
#include "at_path.h"

static const char *const models[] = {"tests/golden/heads28-4", "tests/golden/heads14-2", "tests/golden/llama-9-3",
                                     "tests/golden/tiny"};
static const char *const meshes[] = {"1x1", "1x8", "2x4", "8x4", "1x32", "3", "dp2,tp4", "dp3,tp5"};
enum { MODELS = 4, MESHES = 8, MOST_RANKS = 9 };

typedef struct Placed { ModelConfig config; ModelGraph model; Partition partition; Program program; } Placed;

static void placed_new(Placed *p, const char *model, const char *mesh_text) {
    Err err = {0};
    Mesh mesh;
    *p = (Placed){0};
    if (!config_at(&p->config, model, &err) || !mesh_parse(&mesh, mesh_text, &err) ||
        !partition_new(&p->partition, &p->config, &mesh, false, &err) ||
        !model_graph(&p->model, &p->config, 8, 64, false, &err) ||
        !program_new(&p->program, &p->model.graph, &p->partition, &err))
        fail_msg("%s on %s: %s", model, mesh_text, err.text);
}

static void placed_free(Placed *p) {
    program_free(&p->program);
    model_graph_free(&p->model);
    partition_free(&p->partition);
}

/* Every device has one rank, ranks in order, none with two devices more than another. */
static void check_devices(const Spread *s) {
    const Mesh *mesh = &s->partition->mesh;
    int64_t next = 0, least = INT64_MAX, most = 0;
    for (int rank = 0; rank < s->ranks; rank++) {
        int64_t mine = 0;
        for (int replica = 0; replica < mesh->dp; replica++) {
            Range d = spread_devices(s, rank, replica);
            if (d.first == d.last) continue;
            assert_int_equal(next, (int64_t)replica * mesh->tp + d.first);
            next += d.last - d.first;
            mine += d.last - d.first;
        }
        if (mine < least) least = mine;
        if (mine > most) most = mine;
    }
    assert_int_equal(next, (int64_t)mesh->dp * mesh->tp);
    assert_true(most - least <= 1);
}

/* Blocks of a sum hold each leaf that is not empty once, belong to who has its device, and are the fewest: no two that
 * are the halves of one subtree have one owner. */
static void check_sums(const Spread *s, int replica, const char *letters) {
    const SumTree *sum = partition_sum(s->partition, letters);
    const Tree *tree = &sum->tree;
    const Sums *sums = spread_sums(s, replica, letters);
    const TreeNode *given = sum->nodes;
    int given_count = sum->count;
    for (int64_t leaf = 0; leaf < (int64_t)1 << tree->levels; leaf++) {
        int found = 0, owner = -1, device = -1;
        for (int i = 0; i < sums->count; i++)
            if (leaf >> sums->nodes[i].level == sums->nodes[i].index) found++, owner = sums->nodes[i].device;
        for (int i = 0; i < given_count; i++)
            if (leaf >> given[i].level == given[i].index) device = given[i].device;
        if (tree->first[leaf] == tree->last[leaf]) continue;
        assert_int_equal(found, 1);
        Range d = spread_devices(s, owner, replica);
        if (s->ranks > 1) assert_true(device >= d.first && device < d.last);
    }
    for (int i = 1; s->ranks > 1 && i < sums->count; i++) {
        const TreeNode *a = &sums->nodes[i - 1], *b = &sums->nodes[i];
        assert_true(a->device <= b->device);
        if (a->device == b->device) assert_false(a->level == b->level && (a->index ^ 1) == b->index);
    }
}

/* Each rank's part of a weight has all that its devices use; together the ranks have all of it. */
static void check_weights(const Placed *p, int ranks) {
    const Graph *g = &p->program.graph;
    Err err = {0};
    for (int id = 1; id < g->count; id++) {
        const Node *n = &g->nodes[id];
        const Node *w = n->inputs > 1 ? graph_node(g, n->in[1]) : NULL;
        if (n->kind != NODE_OP || n->op->binds == BINDS_TABLE || !w || w->kind != NODE_WEIGHT || w->shape.rank != 2)
            continue;
        char *seen = calloc((size_t)(w->shape.dim[0].size + w->shape.dim[1].size), 1);
        assert_non_null(seen);
        for (int rank = 0; rank < ranks; rank++) {
            Spread s;
            Range rows = {0, 0}, k = {0, 0};
            assert_true(spread_new(&s, &p->partition, rank, ranks, false, &err));
            spread_weight(&s, g, n, &rows, &k);
            assert_true(rows.first >= 0 && rows.last <= w->shape.dim[0].size);
            assert_true(k.first >= 0 && k.last <= w->shape.dim[1].size);
            for (int64_t i = rows.first; i < rows.last; i++) seen[i] = 1;
            for (int64_t i = k.first; i < k.last; i++) seen[w->shape.dim[0].size + i] = 1;
            const SumTree *sum = program_sum(&p->program, n);
            const Sums *sums = sum ? spread_sums(&s, 0, n->partial) : NULL;
            const Tree *tree = sum ? &sum->tree : NULL;
            for (int i = 0; sums && ranks > 1 && i < sums->count; i++) {
                const TreeNode *t = &sums->nodes[i];
                if (t->device != rank) continue;
                for (int64_t leaf = t->index << t->level; leaf < (t->index + 1) << t->level; leaf++)
                    if (tree->first[leaf] < tree->last[leaf])
                        assert_true(tree->first[leaf] >= k.first && tree->last[leaf] <= k.last);
            }
            spread_free(&s);
        }
        for (int64_t i = 0; i < w->shape.dim[0].size + w->shape.dim[1].size; i++) assert_int_equal(seen[i], 1);
        free(seen);
    }
}

static void devices_and_sums(void **state) {
    (void)state;
    Err err = {0};
    for (int m = 0; m < MODELS; m++)
        for (int mesh = 0; mesh < MESHES; mesh++) {
            Placed p;
            placed_new(&p, models[m], meshes[mesh]);
            for (int ranks = 1; ranks <= MOST_RANKS; ranks++) {
                Spread s;
                assert_true(spread_new(&s, &p.partition, ranks - 1, ranks, false, &err));
                check_devices(&s);
                for (int replica = 0; replica < p.partition.mesh.dp; replica++) {
                    check_sums(&s, replica, "kg");
                    check_sums(&s, replica, "f");
                    check_sums(&s, replica, "v");
                }
                spread_free(&s);
            }
            placed_free(&p);
        }
}

static void weights(void **state) {
    (void)state;
    for (int m = 0; m < MODELS; m++)
        for (int mesh = 0; mesh < MESHES; mesh++) {
            Placed p;
            placed_new(&p, models[m], meshes[mesh]);
            for (int ranks = 1; ranks <= 5; ranks++) check_weights(&p, ranks);
            placed_free(&p);
        }
}

/* Aligned ranks hand over one value each; alone none. */
static void sent(void **state) {
    (void)state;
    Placed p;
    Err err = {0};
    placed_new(&p, models[0], "1x8");
    int64_t d = p.config.hidden;
    static const int ranks[] = {1, 2, 4, 8};
    for (int i = 0; i < 4; i++) {
        Spread s;
        assert_true(spread_new(&s, &p.partition, 0, ranks[i], false, &err));
        assert_int_equal(spread_sent(&s, "f", d), (ranks[i] - 1) * d);
        assert_int_equal(spread_kv_heads(&s), ranks[i] <= 4 ? p.config.kv_heads / ranks[i] : 1);
        spread_free(&s);
    }
    placed_free(&p);
}

static void wanted(void **state) {
    (void)state;
    Err err = {0};
    char *argv[] = {"qwenmesh", "run", NULL};
    unsetenv("OMPI_COMM_WORLD_SIZE");
    unsetenv("PMI_SIZE");
    assert_false(transport_wanted());
    setenv("PMI_SIZE", "1", 1);
    assert_false(transport_wanted());
    setenv("PMI_SIZE", "2", 1);
    assert_true(transport_wanted());
    setenv("QWENMESH_MPI_LIBRARY", "/nowhere/qwenmesh-mpi.so", 1);
    assert_false(transport_start(2, argv, &err));
    assert_non_null(strstr(err.text, "/nowhere/qwenmesh-mpi.so"));
    assert_int_equal(transport_ranks(), 1);
}

/* A library of another version, or none at all, is refused by name. */
static void strange_library(void **state) {
    (void)state;
    Err err = {0};
    char *argv[] = {"qwenmesh", "run", NULL}, path[4096 + 32];
    ssize_t length = readlink("/proc/self/exe", path, 4096);
    assert_true(length > 0);
    path[length] = 0;
    strcpy(strrchr(path, '/'), "/fake_empty.so");
    setenv("QWENMESH_MPI_LIBRARY", path, 1);
    assert_false(transport_start(2, argv, &err));
    assert_non_null(strstr(err.text, "expected the symbol"));
    err = (Err){0};
    setenv("QWENMESH_MPI_LIBRARY", "libm.so.6", 1); /* no path: it could come from anywhere */
    assert_false(transport_start(2, argv, &err));
    assert_non_null(strstr(err.text, "libm.so.6"));
}

static bool no_more(void *owner, void *data, size_t bytes, Err *err) {
    (void)owner, (void)data;
    return err_set(err, "a message of %zu bytes is missing", bytes);
}

static const OrderRow first = {0, 1, 5, 0, 0, 0, 0, 0};

/* What a rank says to an order of rank 0 after one row of slot 0. */
static void orders(void **state) {
    (void)state;
    static const struct { Order order; const char *says; } list[] = {
        {{ORDER_STEP, 1, {1, 1}, {{1, 2, 6, 0, 1, 0, 0, 0}}}, NULL},
        {{ORDER_STEP, 1, {1, 1}, {{0, 1, 6, 0, 0, 0, 0, 0}}}, NULL}, /* a session that was cropped */
        {{ORDER_STEP, 1, {0, 0}, {{0}}}, "rows: expected 1 to 12, got 0"},
        {{ORDER_STEP, 1, {13, 0}, {{0}}}, "rows: expected 1 to 12, got 13"},
        {{ORDER_STEP, 1, {12, 0}, {{0, 1, 5, 1, 0, 0, 0, 0}}}, "a message of 160 bytes is missing"},
        {{ORDER_STEP, 1, {1, 2}, {{1, 2, 6, 0, 1, 0, 0, 0}}}, "logit rows: expected 0 to 1, got 2"},
        {{ORDER_STEP, 1, {1, 1}, {{1, 2, 6, 0, 1, 1, 0, 0}}}, "logit row: expected 0 to 0, got 1"},
        {{ORDER_STEP, 1, {1, 1}, {{1, 2, -1, 0, 1, 0, 0, 0}}}, "token: expected 0 to "},
        {{ORDER_STEP, 1, {1, 1}, {{1, 2, 6, 3, 1, 0, 0, 0}}}, "slot: expected 0 to 2, got 3"},
        {{ORDER_STEP, 1, {1, 1}, {{2, 3, 6, 0, 2, 0, 0, 0}}}, "index: expected 0 to 1, got 2"},
        {{ORDER_STEP, 1, {1, 1}, {{1, 2, 6, 1, 1, 0, 0, 0}}}, "index: expected 0 to 0, got 1"},
        {{ORDER_STEP, 1, {1, 1}, {{1, 2, 6, 0, -1, 0, 0, 0}}}, "position: expected 0 to "},
        {{ORDER_STEP, 1, {1, 1}, {{1, 2, 6, 0, 2, 0, 0, 0}}}, "rope length: expected 3 to "},
        {{ORDER_STEP, 1, {2, 0}, {{0, 1, 6, 1, 0, 0, 0, 0}, {1, 2, 6, 0, 1, 0, 0, 0}}}, NULL},
        {{ORDER_STEP, 1, {3, 0}, {{0, 1, 6, 1, 0, 0, 0, 0}, {1, 2, 6, 0, 1, 0, 0, 0}, {1, 2, 6, 1, 1, 0, 0, 0}}},
         "out of turn"},
        {{ORDER_COPY, 1, {0, 1, 1}, {{0}}}, NULL},
        {{ORDER_COPY, 1, {0, 1, 2}, {{0}}}, "positions: expected 0 to 1, got 2"},
        {{ORDER_COPY, 1, {0, 3, 1}, {{0}}}, "to slot: expected 0 to 2, got 3"},
        {{ORDER_READ, 1, {0}, {{0}}}, "node: expected 1 to "},
        {{ORDER_READ, 1, {1}, {{0}}}, "node 1 is no result"},
        {{ORDER_CANDIDATES, 1, {0}, {{0}}}, "has none"},
        {{ORDER_KINDS, 1, {0}, {{0}}}, "expected one of "},
    };
    Err err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = models[0], .threads = 1, .slots = 3, .rows = 12, .context = 64};
    QmEngine *e = qm_engine_open(&o, &err);
    assert_non_null(e);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        Follower f;
        err = (Err){0};
        assert_true(follower_new(&f, e, &err));
        assert_true(follower_obey(&f, &(Order){ORDER_STEP, 1, {1, 1}, {first}}, no_more, NULL, &err));
        bool obeyed = follower_obey(&f, &list[i].order, no_more, NULL, &err);
        follower_free(&f);
        if (obeyed != !list[i].says || (!obeyed && !strstr(err.text, list[i].says)))
            fail_msg("order %zu: expected '%s', got '%s'", i, list[i].says ? list[i].says : "obeyed", err.text);
    }
    qm_engine_close(e);
}

/* Texts of another process that have no end. */
static void endless_texts(void **state) {
    (void)state;
    static Hello all[2];
    OpenOrder open = {.number = {1}};
    QmEngineOptions o;
    Err err = {0};
    char *argv[] = {"qwenmesh", "run", NULL};
    for (int i = 0; i < 2; i++) hello_fill(&all[i], 2, argv);
    assert_true(hellos_agree(all, 2, &err));
    memset(all[1].arguments, 'x', sizeof all[1].arguments);
    assert_false(hellos_agree(all, 2, &err));
    assert_non_null(strstr(err.text, "argument 1: expected 'run' as on rank 0, got 'xxx"));
    err = (Err){0};
    memset(&all[1], 'x', sizeof all[1]);
    assert_false(hellos_agree(all, 2, &err));
    assert_non_null(strstr(err.text, "rank 1 is qwenmesh xxxxxxxxxxxxxxx: expected"));
    err = (Err){0};
    memset(open.text, 'x', sizeof open.text);
    assert_false(open_order_read(&open, &o, &err));
    assert_non_null(strstr(err.text, "the text of model has no end"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_and_sums), cmocka_unit_test(weights), cmocka_unit_test(sent), cmocka_unit_test(wanted),
        cmocka_unit_test(strange_library), cmocka_unit_test(orders), cmocka_unit_test(endless_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
