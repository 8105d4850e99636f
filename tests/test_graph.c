/* test_graph.c: the op table, factor strings, partitions and reduction trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "../src/graph/program.h"
#include "../src/model/qwen2.h"
#include "../src/ops/call.h"

/* Every row is complete, or says why not; names are unique. */
static void table_walk(void **state) {
    (void)state;
    for (int i = 0; op_table[i]; i++) {
        const OpRow *r = op_table[i];
        Factors f;
        Err err = {0};
        assert_true(r->name && r->factors && r->shape && r->units && r->reference && r->cost);
        if (!factors_parse(r->factors, &f, &err)) fail_msg("%s: %s", r->name, err.text);
        if (!r->gradient && (!r->none || !strstr(r->none, "gradient")))
            fail_msg("%s: no gradient and no reason", r->name);
        if (!r->stablehlo && (!r->none || !strstr(r->none, "stablehlo")))
            fail_msg("%s: no lowering and no reason", r->name);
        if (!r->finish && (!r->none || !strstr(r->none, "finish"))) fail_msg("%s: no finish and no reason", r->name);
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
        assert_true(model_graph(&g, &c, 8, 64, false, &err) && program_new(&program, &g.graph, &p, &err));
        assert_int_equal(program_collectives(&program, "all_reduce"), 2 * c.layers);
        assert_int_equal(program_collectives(&program, "reduce_argmax"), 1);
        assert_int_equal(program_collectives(&program, NULL), 2 * c.layers + 1);
        for (int i = 0; op_table[i]; i++) {
            bool used = false;
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
                const DeviceShard *s = &p.device[d];
                for (int64_t k = s->kv.first; k < s->kv.last; k++)
                    for (int64_t g = s->group.first; g < s->group.last; g++) held[k * grids[i][1] + g]++;
                ffn += s->ffn.last - s->ffn.first;
                vocab += s->vocab.last - s->vocab.first;
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
        int steps[256], depth, pushed = 0, added = 0,
                               count = tree_finish(&p.heads, p.head_nodes, p.head_count, steps, &depth);
        for (int i = 0; i < count; i++) steps[i] < 0 ? added++ : pushed++;
        assert_int_equal(pushed, p.head_count);
        assert_int_equal(added, p.head_count - 1);
        assert_true(depth <= TREE_MAX_LEVELS);
        partition_free(&p);
    }
}

/* Between devices the largest wins, a tie goes to the lowest id, and a device without vocabulary never does. */
static void argmax_ties(void **state) {
    (void)state;
    const float pairs[] = {2, 7, 5, 90, 5, 101, 9, -1, /* row 1 */ -3, 4, -8, 60, -3, 110, -9, -1};
    float out[4];
    Call c = {.in = {pairs}, .out = out, .row1 = 2, .devices = 4};
    reduce_argmax_row.reference(&c, 0, reduce_argmax_row.units(&c));
    assert_true(out[0] == 5 && out[1] == 90 && out[2] == -3 && out[3] == 4);
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
    static const char *const bad[] = {"ti,oi", "t(i->t", "T->t", "abc->a", "t,i,o,d,e->t"};
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
                                       cmocka_unit_test(bad_factors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
