/* test_metrics.c: metrics against values worked out by hand from their definitions. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>
#include "../src/train/metrics.h"

static void near(double got, double want) {
    if (!(fabs(got - want) < 1e-12)) fail_msg("expected %.15g, got %.15g", want, got);
}

static ClassMetrics classes_of(const int32_t *got, const int32_t *want, int64_t count, int classes) {
    Err err = {0};
    ClassMetrics m;
    assert_true(metric_classes(got, want, count, classes, &m, &err));
    return m;
}

static void classes(void **state) {
    (void)state;
    static const int32_t got[] = {1, 1, 0, 0, 1, 0}, want[] = {1, 0, 0, 1, 1, 0};
    ClassMetrics m = classes_of(got, want, 6, 2); /* 2 true positives, 2 true negatives, 1 of each error */
    near(m.accuracy, 4 / 6.0);
    near(m.f1, 4 / 6.0);
    near(m.f1_macro, 4 / 6.0);
    near(m.mcc, 1 / 3.0);
    static const int32_t got3[] = {0, 2, 9, 2, 2, 0, 0}, want3[] = {0, 1, NO_LABEL, 2, 2, 1, 0};
    m = classes_of(got3, want3, 7, 4);
    assert_int_equal(m.count, 6);
    near(m.accuracy, 4 / 6.0);
    near(m.f1, 0);
    near(m.f1_macro, 1.6 / 3);
    near(m.mcc, 12 / sqrt(18 * 24));
    static const int32_t same[] = {1, 1};
    m = classes_of(same, same, 2, 2);
    near(m.accuracy, 1);
    near(m.mcc, 0); /* one class alone: nothing is correlated */
    m = classes_of(same, same, 0, 2);
    near(m.accuracy, 0);
}

static void correlations(void **state) {
    (void)state;
    Err err = {0};
    double r;
    static const double x[] = {1, 2, 3, 4, 5}, y[] = {1, 2, 3, 5, 4};
    near(metric_pearson(x, y, 5), 0.9);
    assert_true(metric_spearman(x, y, 5, &r, &err));
    near(r, 0.9);
    static const double a[] = {1, 7, 7, 90}, b[] = {-1, 3, 2, 4}; /* ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4 */
    assert_true(metric_spearman(a, b, 4, &r, &err));
    near(r, 4.5 / sqrt(4.5 * 5));
    static const double flat[] = {2, 2, 2, 2};
    assert_true(isnan(metric_pearson(flat, b, 4)));
    assert_true(metric_spearman(a, b, 1, &r, &err));
    assert_true(isnan(r));
}

static void check_entities(const char *const *got, const char *const *want, int64_t n, int64_t g, int64_t w,
                           int64_t right) {
    EntityTally t = {0};
    entities_add(&t, got, want, n);
    assert_int_equal(t.got, g);
    assert_int_equal(t.want, w);
    assert_int_equal(t.right, right);
}

static void entities(void **state) {
    (void)state;
    static const char *const want[] = {"B-PER", "I-PER", "O", "B-LOC", "O"};
    static const char *const same[] = {"I-PER", "I-PER", "O", "I-LOC", "O"};   /* an I- begins one where none is open */
    static const char *const other[] = {"B-PER", "O", "O", "B-ORG", "B-LOC"};  /* too short, another type, elsewhere  */
    static const char *const turns[] = {"B-PER", "I-LOC", "I-LOC", "B-LOC", "I-LOC"}; /* another type, another one */
    static const char *const ends[] = {"B-PER", "E-PER", "S-X", "S-LOC", "O"};
    check_entities(want, want, 5, 2, 2, 2);
    check_entities(same, want, 5, 2, 2, 2);
    check_entities(other, want, 5, 3, 2, 0);
    check_entities(turns, want, 5, 3, 2, 0);
    check_entities(ends, want, 5, 3, 2, 2);
    EntityTally t = {0};
    near(entities_f1(&t), 0);
    entities_add(&t, ends, want, 5);
    entities_add(&t, other, want, 5);
    near(entities_precision(&t), 2 / 6.0);
    near(entities_recall(&t), 2 / 4.0);
    near(entities_f1(&t), 4 / 10.0);
}

static void check_answer(const char *got, const char *first, const char *second, double exact, double f1) {
    Err err = {0};
    double e, f;
    const char *want[] = {first, second};
    assert_true(metric_answer(got, want, (first != NULL) + (second != NULL), &e, &f, &err));
    near(e, exact);
    near(f, f1);
}

static void answers(void **state) {
    (void)state;
    check_answer("The Cat,  sat.", "cat sat", NULL, 1, 1);
    check_answer("a big dog", "the dog house", NULL, 0, 0.5);
    check_answer("a big dog", "the dog house", "Big dog!", 1, 1);
    check_answer("dog dog cat", "dog", NULL, 0, 0.5); /* a word counts as often as both have it */
    check_answer("cat sat", "sat cat", NULL, 0, 1);
    check_answer("Theatre", "atre", NULL, 0, 0);      /* the article is a word of its own */
    check_answer("", NULL, NULL, 1, 1);
    check_answer("the", NULL, NULL, 1, 1);
    check_answer("x", NULL, NULL, 0, 0);
    check_answer("\xC3\x84RGER\xC2\xA0" "b\xFF", "\xC3\xA4rger b\xEF\xBF\xBD", NULL, 1, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(classes), cmocka_unit_test(correlations),
                                       cmocka_unit_test(entities), cmocka_unit_test(answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
