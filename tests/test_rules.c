/* test_rules.c: the rules by which gradients are made: of each op that has one the gradient of every weight before it
 * is what differences of the loss say; an op that has none is an error that names it.
 *
 * All is computed by the plain references, which round every value to f32 and no sum, and the loss from their logits
 * in double. A derivative is (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / 12h: its error is h^4/30 of the fifth derivative,
 * and the rounding of the logits over h. At h = 1/32 the former is 3e-8 of a derivative that is some hundred times the
 * first: DIFFERENCE of a tensor's largest gradient. Logits are about 1 and rounded by 2^-25; in the mean of ten rows
 * that is 1e-8, and more behind some ops, over h: ROUNDING.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "plain_program.h"
#include "rule_cases.h"

static const double step = 1.0 / 32, DIFFERENCE = 2e-5, ROUNDING = 1e-6;

/* Odd sizes, two heads of three, half of the channels turned; no more weights than can be moved one by one. */
static const int64_t small[] = {6, 5, 19, 2, 3, 4, 2};
static const int64_t lengths[] = {7, 1, 5};
enum { SEQUENCES = 3, ROWS = 13 };

typedef struct Ruled {
    const RuleCase *c;
    Graph g;
    Partition partition;
    Program program;
    Plainly plain;
    StepRows rows;
    Gradient walked;
    Tensor logits;
} Ruled;

static void rows_fill(StepRows *s) {
    int64_t begins[SEQUENCES + 1] = {0}, labelled[SEQUENCES + 1] = {0};
    for (int q = 0; q < SEQUENCES; q++) {
        for (int64_t i = 0; i < lengths[q]; i++) {
            int64_t t = s->rows++;
            s->token[t] = (int32_t)((q * 31 + i * i * 7 + 3) % config.vocab);
            s->slot[t] = q;
            s->index[t] = i;
            s->position[t] = (int32_t)i;
            s->length[t] = lengths[q];
            s->place[t] = t;
            if (i % 3 == 1) continue;
            s->logit_row[s->logit_rows] = (int32_t)t;
            s->label[s->logit_rows++] = (int32_t)((q * 17 + i * 11 + config.vocab - 1) % config.vocab);
        }
        begins[q + 1] = s->rows;
        labelled[q + 1] = s->logit_rows;
    }
    lanes_plan(&s->lanes[STEP_ROWS], SEQUENCES, 0, SEQUENCES, begins);
    lanes_plan(&s->lanes[LOGIT_ROWS], SEQUENCES, 0, SEQUENCES, labelled);
    s->scalars = (StepScalars){.loss_weight = 1 / (double)s->logit_rows, .label_smoothing = 0.1, .z_loss = 0.02,
                               .clip = 1, .step = 1};
}

static void ruled_open(Ruled *r, const RuleCase *c, bool recompute) {
    Mesh mesh;
    Err err = {0};
    *r = (Ruled){.c = c};
    shape_set(small);
    graph_init(&r->g, &config, ROWS, ROWS);
    r->g.trains = true;
    r->logits = ruled_graph(&r->g, c, recompute, &r->walked, &err);
    if (r->g.err.kind || err.kind || !mesh_parse(&mesh, "1x1", &err) ||
        !partition_new(&r->partition, &config, &mesh, false, &err) ||
        !program_new(&r->program, &r->g, &r->partition, &err))
        fail_msg("%s: %s%s", c->name, r->g.err.text, err.text);
    random_state = 88172645463325252u;
    plainly_new(&r->plain, &r->program, ROWS, SEQUENCES);
    assert_true(step_rows_new(&r->rows, ROWS, &err));
    rows_fill(&r->rows);
}

static void ruled_close(Ruled *r) {
    step_rows_free(&r->rows);
    plainly_free(&r->plain);
    program_free(&r->program);
    partition_free(&r->partition);
    gradient_free(&r->walked);
    graph_free(&r->g);
}

static void stages_run(Ruled *r, Stage first, Stage last) {
    for (Stage s = first; s <= last; s++) {
        r->rows.first = r->rows.last = s;
        plainly_step(&r->plain, &r->rows);
    }
}

/* From the logits alone, by loss.c's formula. */
static double loss_now(Ruled *r) {
    const StepRows *s = &r->rows;
    stages_run(r, STAGE_FORWARD, STAGE_HEAD);
    const float *z = plainly_value(&r->plain, program_tensor(&r->program, r->logits));
    double loss = 0;
    for (int64_t i = 0; i < s->logit_rows; i++, z += config.vocab) {
        double sum = 0, mean = 0, e = s->scalars.label_smoothing;
        for (int64_t v = 0; v < config.vocab; v++)
            sum += exp((double)z[v]), mean += (double)z[v] / (double)config.vocab;
        double of = log(sum);
        loss += (1 - e) * (of - (double)z[s->label[i]]) + e * (of - mean) + s->scalars.z_loss * of * of;
    }
    return loss * s->scalars.loss_weight;
}

/* The derivative of the loss by a number. */
static double difference(Ruled *r, float *at) {
    static const double weights[] = {1, -8, 8, -1}, places[] = {-2, -1, 1, 2};
    float was = *at;
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        *at = (float)((double)was + places[i] * step);
        sum += weights[i] * loss_now(r);
    }
    *at = was;
    return sum / (12 * step);
}

/* The gradient of number `at` of a weight: of all its uses; of a gain that heads share, of all heads. */
static double gradient_of(const Ruled *r, Tensor weight, int64_t at) {
    int64_t size = node_size(graph_node(&r->g, weight));
    double sum = 0;
    for (int i = 0; i < r->walked.weight_count; i++) {
        if (r->walked.weights[i].weight.id != weight.id) continue;
        Tensor of = r->walked.weights[i].sum;
        const float *held = plainly_value(&r->plain, program_tensor(&r->program, of));
        for (int64_t k = at; k < node_size(graph_node(&r->g, of)); k += size) sum += (double)held[k];
    }
    return sum;
}

static void weight_check(Ruled *r, Tensor weight) {
    const Node *n = graph_node(&r->g, weight);
    float *value = plainly_value(&r->plain, program_tensor(&r->program, weight));
    double most = 0;
    int uses = 0;
    for (int i = 0; i < r->walked.weight_count; i++) uses += r->walked.weights[i].weight.id == weight.id;
    if (!uses) fail_msg("%s: %s has no gradient", r->c->name, n->name);
    for (int64_t i = 0; i < node_size(n); i++) most = fmax(most, fabs(gradient_of(r, weight, i)));
    for (int64_t i = 0; i < node_size(n); i++) {
        double got = gradient_of(r, weight, i), want = difference(r, &value[i]);
        if (!(fabs(got - want) <= DIFFERENCE * most + ROUNDING))
            fail_msg("%s: %s, number %lld: the gradient is %.8g, differences of the loss say %.8g", r->c->name, n->name,
                     (long long)i, got, want);
    }
}

/* The losses of the rows, which the graph computes, add up to it. */
static void loss_check(Ruled *r) {
    double sum = 0, want = loss_now(r);
    for (int id = 1; id < r->g.count; id++)
        for (int64_t i = 0; r->g.nodes[id].op == &token_loss_row && i < r->rows.logit_rows; i++)
            sum += (double)plainly_value(&r->plain, program_tensor(&r->program, (Tensor){id}))[i];
    sum *= r->rows.scalars.loss_weight;
    if (!(fabs(sum - want) <= 1e-7 * want)) fail_msg("%s: a loss of %.9g, expected %.9g", r->c->name, sum, want);
}

static void rules_are_right(void **state) {
    bool *seen = *state;
    for (int c = 0; c < RULE_CASES; c++) {
        Ruled r;
        if (!rule_is_there(&rule_cases[c])) continue;
        ruled_open(&r, &rule_cases[c], false);
        loss_check(&r);
        stages_run(&r, STAGE_FORWARD, STAGE_GRADIENT);
        for (int id = 1; id < r.walked.count; id++) {
            const Node *n = &r.g.nodes[id];
            if (n->kind == NODE_WEIGHT) weight_check(&r, (Tensor){id});
            for (int i = 0; n->op && op_table[i]; i++) seen[i] |= n->op == op_table[i];
        }
        ruled_close(&r);
    }
}

static void all_are_tested(void **state) {
    const bool *seen = *state;
    for (int i = 0; op_table[i]; i++)
        if (op_table[i]->gradient && !seen[i]) fail_msg("%s has a rule and is in no case", op_table[i]->name);
}

/* Layers that are computed again give the same gradients to the bit. */
static void again_the_same(void **state) {
    int more = 0;
    (void)state;
    for (int c = 0; c < RULE_CASES; c++) {
        Ruled r[2];
        if (!rule_is_there(&rule_cases[c])) continue;
        for (int again = 0; again < 2; again++) {
            ruled_open(&r[again], &rule_cases[c], again);
            stages_run(&r[again], STAGE_FORWARD, STAGE_GRADIENT);
        }
        assert_int_equal(r[0].walked.weight_count, r[1].walked.weight_count);
        more += r[1].g.count - r[0].g.count;
        for (int i = 0; i < r[0].walked.weight_count; i++) {
            const Node *weight = graph_node(&r[0].g, r[0].walked.weights[i].weight);
            const float *sum[2];
            for (int a = 0; a < 2; a++)
                sum[a] = plainly_value(&r[a].plain, program_tensor(&r[a].program, r[a].walked.weights[i].sum));
            assert_int_equal(r[1].walked.weights[i].weight.id, r[0].walked.weights[i].weight.id);
            int64_t size = node_size(graph_node(&r[0].g, r[0].walked.weights[i].sum));
            if (memcmp(sum[0], sum[1], (size_t)size * sizeof(float)))
                fail_msg("%s: %s has another gradient", rule_cases[c].name, weight->name);
        }
        for (int a = 0; a < 2; a++) ruled_close(&r[a]);
    }
    assert_true(more > 2 * RULE_CASES); /* nodes that are computed again */
}

/* Each op without a rule in the place of one that has one. */
static void no_rule(void **state) {
    static const OpRow test_row = {.name = "test_only"};
    (void)state;
    for (int i = 0;; i++) {
        const OpRow *row = op_table[i] ? op_table[i] : &test_row;
        Graph g;
        Gradient b;
        Err err = {0};
        char want[160];
        if (!row->gradient) {
            shape_set(small);
            graph_init(&g, &config, ROWS, ROWS);
            Tensor gain = weight(&g, "d", "gain");
            graph_node(&g, gain)->trained = true;
            Tensor x = rms_norm(&g, rows_of(&g), gain, 1e-6), y = scale(&g, x, 2);
            graph_node(&g, x)->op = row;
            assert_false(gradient_walk(&b, &g, y, rows_of(&g), false, &err));
            snprintf(want, sizeof want, "%s: no rule for its gradient: %s", row->name,
                     row->none[FACET_GRADIENT] ? row->none[FACET_GRADIENT] : "none is written");
            assert_string_equal(err.text, want);
            assert_int_equal(err.kind, QM_INTERNAL);
            graph_node(&g, x)->op = &rms_norm_row; /* whose attributes it has */
            graph_free(&g);
        }
        if (!op_table[i]) break;
    }
}

/* Nothing is computed for what no trained weight is behind, nor asked of an op there. */
static void only_what_is_trained(void **state) {
    Graph g;
    Gradient b;
    Err err = {0};
    (void)state;
    shape_set(small);
    graph_init(&g, &config, ROWS, ROWS);
    Tensor x = rows_of(&g), frozen = linear(&g, x, weight(&g, "fd", "gate"), NO_TENSOR);
    Tensor up = weight(&g, "fd", "up"), down = weight(&g, "df", "down");
    graph_node(&g, up)->trained = true;
    graph_node(&g, frozen)->op = &argmax_row; /* which has no rule */
    Tensor y = linear(&g, silu_mul(&g, frozen, linear(&g, x, up, NO_TENSOR)), down, NO_TENSOR);
    int before = g.count, products = 0, sums = 0;
    if (!gradient_walk(&b, &g, y, x, false, &err)) fail_msg("%s", err.text);
    for (int id = before; id < g.count; id++) {
        products += g.nodes[id].op == &linear_dx_row;
        sums += g.nodes[id].kind == NODE_STATE;
    }
    assert_int_equal(products, 1); /* of down, to silu_mul */
    assert_int_equal(sums, 1);
    assert_true(b.weight_count == 1 && b.weights[0].weight.id == up.id);
    gradient_free(&b);
    graph_node(&g, frozen)->op = &linear_row;
    graph_free(&g);
}

int main(void) {
    static bool seen[128];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(rules_are_right, seen),
        cmocka_unit_test_prestate(all_are_tested, seen),
        cmocka_unit_test(again_the_same),
        cmocka_unit_test(no_rule),
        cmocka_unit_test(only_what_is_trained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
