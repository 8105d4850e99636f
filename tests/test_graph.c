/* test_graph.c: the op table, factor strings, partitions and reduction trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/graph/program.h"
#include "../src/model/family.h"
#include "../src/ops/call.h"

/* Every row is complete, or says why not; names are unique. */
static void table_walk(void **state) {
    (void)state;
    for (int i = 0; op_table[i]; i++) {
        const OpRow *r = op_table[i];
        Factors f;
        Err err = {0};
        assert_true(r->name && r->factors && r->shape && r->units && r->run && r->reference && r->cost);
        if (!factors_parse(r->factors, &f, &err)) fail_msg("%s: %s", r->name, err.text);
        for (int a = 0; a < FACETS; a++)
            if (op_has(r, (Facet)a) == (r->none[a] != NULL))
                fail_msg("%s: %s %s", r->name, facet_names[a], r->none[a] ? "and a reason why not" : "is missing");
        for (int j = 0; j < i; j++) assert_string_not_equal(r->name, op_table[j]->name);
    }
}

static void config_of(ModelConfig *c, int64_t kv, int64_t group) {
    *c = (ModelConfig){.architecture = "qwen2",
                       .layers = 2,
                       .hidden = 64,
                       .ffn = 1184,
                       .vocab = 1000,
                       .heads = kv * group,
                       .kv_heads = kv,
                       .head_dim = 8,
                       .max_positions = 128,
                       .rms_norm_eps = 1e-6,
                       .qkv_bias = true,
                       .rope = {.theta = 1e4, .dim = 8, .factor = 1, .attention_factor = 1}};
}

/* Ops that only adapters bring in: test_lora.c. */
static const char *const elsewhere[] = {"scale", "chosen_scale", "scale_columns"};

static bool is_elsewhere(const char *op) {
    for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++)
        if (!strcmp(elsewhere[i], op)) return true;
    return false;
}

/* Each op of the table is in the model's program or is a collective; two all-reduces per layer and one
 * reduce_argmax. */
static void collectives(void **state) {
    (void)state;
    static const char *const meshes[] = {"1x1", "2x4", "1x8", "8x4", "1x32", "5x3"};
    for (int m = 0; m < 6; m++) {
        ModelConfig c;
        ModelGraph g;
        Partition p;
        Program program;
        Mesh mesh;
        Err err = {0};
        config_of(&c, 4, 7);
        assert_true(mesh_parse(&mesh, meshes[m], &err) && partition_new(&p, &c, &mesh, false, &err));
        c.qk_norm = true;
        assert_true(model_graph(&g, &c, 8, 64, false, &err) && program_new(&program, &g.graph, &p, &err));
        assert_int_equal(program_collectives(&program, "all_reduce"), 2 * c.layers);
        assert_int_equal(program_collectives(&program, "reduce_argmax"), 1);
        assert_int_equal(program_collectives(&program, NULL), 2 * c.layers + 1);
        for (int i = 0; op_table[i]; i++) {
            /* What only training has: test_train.c. */
            bool used = is_elsewhere(op_table[i]->name) || op_trains(op_table[i]);
            for (int n = 1; n < program.graph.count; n++) used |= program.graph.nodes[n].op == op_table[i];
            if (!used) fail_msg("%s is in no program: no test runs it", op_table[i]->name);
        }
        program_free(&program);
        model_graph_free(&g);
        partition_free(&p);
    }
}

/* A model of kv x group heads on n devices. */
static void partition_on(ModelConfig *c, Partition *p, int64_t kv, int64_t group, int n) {
    char text[16];
    Mesh mesh;
    Err err = {0};
    config_of(c, kv, group);
    snprintf(text, sizeof text, "%d", n);
    assert_true(mesh_parse(&mesh, text, &err) && partition_new(p, c, &mesh, false, &err));
}

/* Every head, ffn column and vocabulary entry is held exactly once (key/value heads at least once), on 1 to 40
 * devices. */
static void partitions_cover(void **state) {
    (void)state;
    static const int64_t grids[][2] = {{4, 7}, {2, 7}, {3, 3}, {8, 5}, {8, 8}, {1, 1}, {2, 6}};
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++)
        for (int n = 1; n <= 40; n++) {
            ModelConfig c;
            Partition p;
            int held[64] = {0};
            int64_t ffn = 0, vocab = 0;
            partition_on(&c, &p, grids[i][0], grids[i][1], n);
            for (int d = 0; d < n; d++) {
                Range kv = partition_range(&p, AXIS_KV_HEAD, d), group = partition_range(&p, AXIS_GROUP, d);
                for (int64_t k = kv.first; k < kv.last; k++)
                    for (int64_t g = group.first; g < group.last; g++) held[k * grids[i][1] + g]++;
                ffn += partition_range(&p, AXIS_FFN, d).last - partition_range(&p, AXIS_FFN, d).first;
                vocab += partition_range(&p, AXIS_VOCAB, d).last - partition_range(&p, AXIS_VOCAB, d).first;
            }
            for (int h = 0; h < c.heads; h++) assert_int_equal(held[h], 1);
            assert_int_equal(ffn, c.ffn);
            assert_int_equal(vocab, c.vocab);
            partition_free(&p);
        }
}

/* The subtrees that devices hand over hold every leaf once, and the finish adds all of them. */
static void trees_finish(void **state) {
    (void)state;
    for (int n = 1; n <= 40; n++) {
        ModelConfig c;
        Partition p;
        partition_on(&c, &p, 4, 7, n);
        const SumTree *heads = partition_sum(&p, "kg");
        int steps[256], depth, pushed = 0, added = 0,
                               count = tree_finish(&heads->tree, heads->nodes, heads->count, steps, &depth);
        for (int i = 0; i < count; i++) steps[i] < 0 ? added++ : pushed++;
        assert_int_equal(pushed, heads->count);
        assert_int_equal(added, heads->count - 1);
        assert_true(depth <= TREE_MAX_LEVELS);
        partition_free(&p);
    }
}

/* Between devices the largest wins, a tie goes to the lowest id, and a device without vocabulary never does. */
static void argmax_ties(void **state) {
    (void)state;
    const float pairs[] = {2, 7, 5, 90, 5, 101, 9, -1, /* row 1 */ -3, 4, -8, 60, -3, 110, -9, -1};
    float out[4];
    Call c = {.in = {pairs}, .out = out, .row1 = 2, .pairs.devices = 4};
    reduce_argmax_row.run(&c, 0, reduce_argmax_row.units(&c));
    assert_true(out[0] == 5 && out[1] == 90 && out[2] == -3 && out[3] == 4);
}

/* ---- Split sums -------------------------------------------------------------------------------------------------- */

/* The sum of a subtree of x [index], `each` columns an index; false: it is empty. */
static bool subtree_sum(const Tree *t, int64_t each, const float *x, int level, int64_t index, float *out) {
    float right;
    if (level == 0) {
        *out = 0;
        for (int64_t k = t->first[index]; k < t->last[index]; k++) *out += x[k / each];
        return t->first[index] < t->last[index];
    }
    bool left = subtree_sum(t, each, x, level - 1, 2 * index, out);
    if (!subtree_sum(t, each, x, level - 1, 2 * index + 1, &right)) return left;
    *out = left ? *out + right : right;
    return true;
}

/* By the subtrees that devices hand over, then as they finish. */
static float handed_sum(const SumTree *sum, int64_t each, const float *x) {
    float stack[64];
    int depth, top = 0, *steps = calloc((size_t)sum->count * 2, sizeof *steps);
    int count = tree_finish(&sum->tree, sum->nodes, sum->count, steps, &depth);
    for (int i = 0; i < count; i++) {
        if (steps[i] < 0) top--, stack[top - 1] += stack[top];
        else {
            const TreeNode *n = &sum->nodes[steps[i]];
            assert_true(top < 64 && subtree_sum(&sum->tree, each, x, n->level, n->index, &stack[top++]));
        }
    }
    assert_int_equal(top, 1);
    free(steps);
    return stack[0];
}

/* Whatever is summed over devices or replicas has the same bits on any number of them, and every owner hands over what
 * it has. */
static void sums_same_bits(void **state) {
    (void)state;
    static float x[1 << 11];
    for (int i = 0; i < 1 << 11; i++) x[i] = 1.0f / (float)(i * 37 % 101 + 1) * (i % 3 ? 1 : -1);
    static const int64_t grids[][2] = {{4, 7}, {3, 3}, {8, 5}, {1, 1}};
    for (size_t i = 0; i < sizeof grids / sizeof *grids; i++) {
        float want[SUMS] = {0};
        for (int n = 1; n <= 40; n++) {
            ModelConfig c;
            Partition p;
            partition_on(&c, &p, grids[i][0], grids[i][1], n);
            for (int s = 0; s < SUMS; s++) {
                if (!sum_table[s].tree) continue;
                const SumTree *sum = partition_sum(&p, sum_table[s].letters);
                float got = handed_sum(sum, sum_table[s].each ? sum_table[s].each(&c) : 1, x);
                if (n == 1) want[s] = got;
                if (memcmp(&got, &want[s], sizeof got))
                    fail_msg("sum over %s: other bits on %d", sum_table[s].letters, n);
            }
            partition_free(&p);
        }
    }
}

static Tensor back_of(Graph *g) { /* from logits to what they came of: a sum over the vocabulary */
    Tensor x = select_rows(g, embed(g, input(g, "tokens", "t"), weight(g, "vd", "embed")), input(g, "logit_rows", "r"));
    return linear(g, linear(g, x, weight(g, "vd", "head"), NO_TENSOR), weight(g, "dv", "back"), NO_TENSOR);
}

/* Sums over the vocabulary are completed by the rule that completes those over heads and ffn. */
static void sums_are_completed(void **state) {
    (void)state;
    static const struct { Tensor (*build)(Graph *g); const char *partial, *split; char dealt; } cases[] = {
        {back_of, "v", "", AXIS_LOGIT_ROW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ModelConfig c;
        Partition p;
        Graph g;
        Program program;
        Mesh mesh;
        Err err = {0};
        config_of(&c, 4, 7);
        assert_true(mesh_parse(&mesh, "dp2,tp3", &err) && partition_new(&p, &c, &mesh, false, &err));
        graph_init(&g, &c, 8, 64);
        Tensor last = cases[i].build(&g);
        assert_true(!g.err.kind && program_new(&program, &g, &p, &err));
        const Node *whole = graph_node(&program.graph, program_tensor(&program, last));
        const Node *part = graph_node(&program.graph, whole->in[0]);
        assert_true(whole->op == &all_reduce_row && !whole->partial[0]);
        assert_string_equal(part->partial, cases[i].partial);
        assert_string_equal(part->split, cases[i].split);
        assert_string_equal(whole->split, cases[i].split);
        assert_int_equal(whole->dealt, cases[i].dealt);
        assert_ptr_equal(program_sum(&program, part), partition_sum(&p, cases[i].partial));
        program_free(&program);
        graph_free(&g);
        partition_free(&p);
    }
}

/* An op with two results: a sum over what is split, and what it is the sum of. */
static bool pair_shape(const Graph *g, const Node *n, Shape *out, Err *err) {
    (void)err;
    *out = graph_node(g, n->in[0])->shape;
    if (n->result == 0) out->dim[1] = graph_node(g, n->in[1])->shape.dim[0];
    return true;
}
static const OpRow two_row = {.name = "two", .factors = "tf,df,?d->td,tf", .shape = pair_shape, .finish = all_reduce,
                              .results = 1};

static void further_results(void **state) {
    (void)state;
    ModelConfig c;
    Partition p;
    Graph g;
    Program program;
    Mesh mesh;
    Err err = {0};
    config_of(&c, 4, 7);
    assert_true(mesh_parse(&mesh, "2x3", &err) && partition_new(&p, &c, &mesh, false, &err));
    graph_init(&g, &c, 8, 64);
    Tensor x = embed(&g, input(&g, "tokens", "t"), weight(&g, "vd", "embed"));
    Tensor up = linear(&g, x, weight(&g, "fd", "up"), NO_TENSOR), w = weight(&g, "df", "down");
    Tensor sum = graph_op(&g, &two_row, &(Node){.in = {up, w}}), rest = graph_result(&g, sum, 1);
    Tensor last = add(&g, rest, up);
    assert_true(!g.err.kind && program_new(&program, &g, &p, &err));
    const Node *whole = graph_node(&program.graph, program_tensor(&program, sum));
    const Node *other = graph_node(&program.graph, program_tensor(&program, rest));
    assert_true(whole->op == &all_reduce_row && other->kind == NODE_RESULT && other->op == &two_row);
    assert_ptr_equal(graph_node(&program.graph, other->in[0])->op, &two_row);
    assert_string_equal(graph_node(&program.graph, other->in[0])->partial, "f");
    assert_string_equal(other->split, "f");
    assert_string_equal(other->partial, "");
    assert_int_equal(other->shape.dim[1].size, c.ffn);
    const Node *reader = graph_node(&program.graph, program_tensor(&program, last));
    assert_ptr_equal(graph_node(&program.graph, reader->in[0]), other);
    assert_int_equal(graph_result(&g, sum, 2).id, 0);
    assert_non_null(strstr(g.err.text, "two has no result 2"));
    program_free(&program);
    graph_free(&g);
    partition_free(&p);
}

/* Only what a row marks as optional may be missing, in the middle too. */
static const OpRow middle_row = {.name = "middle", .factors = "td,?d,td->td", .shape = pair_shape};

static void missing_inputs(void **state) {
    (void)state;
    ModelConfig c;
    Graph g;
    config_of(&c, 4, 7);
    graph_init(&g, &c, 8, 64);
    Tensor x = embed(&g, input(&g, "tokens", "t"), weight(&g, "vd", "embed"));
    Node *n = graph_node(&g, graph_op(&g, &middle_row, &(Node){.in = {x, NO_TENSOR, x}, .result = 1}));
    assert_true(n && n->inputs == 3 && !g.err.kind);
    assert_int_equal(graph_op(&g, &middle_row, &(Node){.in = {x}}).id, 0);
    assert_string_equal(g.err.text, "graph: middle: input 2 is missing");
    g.err = (Err){0};
    assert_int_equal(graph_op(&g, &middle_row, &(Node){.in = {x, x, x, x}}).id, 0);
    assert_string_equal(g.err.text, "graph: middle: expected at most 3 inputs, got 4");
    graph_free(&g);
}

/* A state is one of its name, outside the numbers of nodes; what writes it is it. */
static void states(void **state_) {
    (void)state_;
    ModelConfig c;
    Graph g;
    config_of(&c, 4, 7);
    graph_init(&g, &c, 8, 64);
    Tensor x = embed(&g, input(&g, "tokens", "t"), weight(&g, "vd", "embed"));
    Tensor kept = state(&g, "s(kc)", TYPE_CACHE, "cache.%d", 0), sums = state(&g, "d", TYPE_F32, "sums");
    assert_int_equal(kept.id, state(&g, "s(kc)", TYPE_CACHE, "cache.%d", 0).id);
    Tensor k = linear(&g, x, weight(&g, "(kc)d", "k"), NO_TENSOR);
    Tensor after = cache_update(&g, k, k, kept);
    assert_true(!g.err.kind && graph_state(&g, after) == graph_node(&g, kept) && !graph_state(&g, k));
    assert_int_equal(graph_node(&g, kept)->state, 0);
    assert_int_equal(graph_node(&g, sums)->state, 2);
    assert_int_equal(g.states, 3);
    assert_int_equal(graph_node(&g, k)->number, k.id - 2);
    assert_int_equal(graph_node(&g, sums)->value, VALUE_VECTOR);
    cache_update(&g, k, k, sums);
    assert_non_null(strstr(g.err.text, "expected a cache"));
    graph_free(&g);
}

/* Every letter has one row; those that devices share have a way to be dealt and a sum that they are in. */
static void axes(void **state) {
    (void)state;
    for (int i = 0; i < AXES; i++) {
        const AxisRow *a = &axis_table[i];
        bool summed = false;
        assert_ptr_equal(axis_row(a->letter), a);
        assert_true(a->noun && (a->role == AXIS_ROWS) == (a->rows != NO_ROWS));
        assert_true((a->role == AXIS_TREE) == (a->deal != NULL));
        for (int s = 0; s < SUMS; s++) summed |= strchr(sum_table[s].letters, a->letter) != NULL;
        assert_true(summed || a->role == AXIS_WHOLE || sum_of((char[]){a->letter, 0}) >= 0);
    }
    assert_null(axis_row('z'));
    assert_int_equal(sum_of("gk"), sum_of("kg"));
    assert_int_equal(sum_of("c"), -1);
    assert_int_equal(sum_of(""), -1);
}

static void bad_meshes(void **state) {
    (void)state;
    static const char *const bad[] = {
        "0", "0x4", "2x", "x4", "2x4x2", "-1", "a", "", "2000x2", "dp0,tp2", "dp2,", "dp2,dp2", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Mesh mesh;
        Err err = {0};
        if (mesh_parse(&mesh, bad[i], &err)) fail_msg("mesh '%s' was taken", bad[i]);
        assert_non_null(strstr(err.text, "expected"));
    }
}

static void bad_factors(void **state) {
    (void)state;
    static const char *const bad[] = {"ti,oi", "t(i->t", "T->t", "abc->a", "t,i,o,d,e,f,g,h,i->t",
                                      "t->a,b,c,d,e", "t?->t"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Factors f;
        Err err = {0};
        assert_false(factors_parse(bad[i], &f, &err));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(table_walk),       cmocka_unit_test(collectives),
                                       cmocka_unit_test(partitions_cover), cmocka_unit_test(trees_finish),
                                       cmocka_unit_test(argmax_ties),      cmocka_unit_test(bad_meshes),
                                       cmocka_unit_test(further_results), cmocka_unit_test(missing_inputs),
                                       cmocka_unit_test(states), cmocka_unit_test(axes),
                                       cmocka_unit_test(sums_same_bits),
                                       cmocka_unit_test(sums_are_completed),
                                       cmocka_unit_test(bad_factors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
