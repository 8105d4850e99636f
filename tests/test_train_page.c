/* test_train_page.c: curves of runs of any length, and the page that shows them: well-formed while it grows and at its
 * end, whatever the numbers and names. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/base/watch.h"
#include "../src/train/train_page.h"

/* ---- Curves ------------------------------------------------------------------------------------------------------ */

static void curves(void **state) {
    (void)state;
    static Curve c;
    for (int n = 1; n <= 100000; n++) {
        curve_add(&c, n, n % 2 ? 1 : 3);
        curve_add(&c, n, NAN);
        if (c.count > CURVE_POINTS || c.x[c.count - 1] != n) fail_msg("%d: %d points", n, c.count);
        if (n == CURVE_POINTS) assert_true(c.count == n && c.y[0] == 1 && c.y[1] == 3);
    }
    assert_true(c.each == 128 && c.count == (100000 + 127) / 128);
    for (int i = 0; i < c.count; i++) assert_true(c.y[i] == 2 && (i == 0 || c.x[i] > c.x[i - 1]));
}

/* ---- Form -------------------------------------------------------------------------------------------------------- */

/* Every element that is opened is closed in its turn, and no text has a bare '<' or '&'. */
static void well_formed(const char *text) {
    char open[32][16];
    int depth = 0;
    for (const char *p = text; *p; p++) {
        if (*p == '&' && !strchr("alqg#", p[1])) fail_msg("a bare &: %.40s", p);
        if (*p != '<' || p[1] == '!') continue;
        bool closes = p[1] == '/';
        const char *name = p + 1 + closes, *end = strchr(p, '>');
        size_t bytes = strcspn(name, " />");
        if (!end || bytes == 0 || bytes > 15) fail_msg("no tag: %.40s", p);
        if (closes) {
            if (depth == 0 || strlen(open[depth - 1]) != bytes || strncmp(open[--depth], name, bytes))
                fail_msg("closed out of turn: %.40s", p);
        } else if (end[-1] != '/' && strncmp(name, "meta", bytes)) {
            assert_true(depth < 32);
            snprintf(open[depth++], 16, "%.*s", (int)bytes, name);
        }
    }
    if (depth) fail_msg("<%s> is not closed", open[depth - 1]);
}

static char *page_of(const char *path) {
    Err err = {0};
    size_t bytes;
    char *text = file_read(path, 1 << 22, &bytes, &err);
    if (!text) fail_msg("%s", err.text);
    return text;
}

static int count_of(const char *text, const char *word) {
    int n = 0;
    for (; (text = strstr(text, word)); text++) n++;
    return n;
}

static void page(void **state) {
    (void)state;
    char folder[] = "/tmp/train_page.XXXXXX", path[64];
    Err err = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/p.html", folder);
    TrainPage *p = train_page_open(path, "<b> & \"model\"", "a=1\nb=<x>&y\nc", &err);
    if (!p) fail_msg("%s", err.text);
    for (int64_t i = 1; i <= 3; i++) train_page_earlier(p, &(TrainEvent){.kind = TRAIN_STEPPED, .step = i, .loss = 5});
    train_page_tell(p, &(TrainEvent){.kind = TRAIN_BEGUN, .step = 3, .steps = 9});
    char *early = page_of(path);
    well_formed(early);
    assert_int_equal(count_of(early, "http-equiv=\"refresh\""), 1);
    assert_int_equal(count_of(early, "&lt;b&gt; &amp; &quot;model&quot;"), 2);
    free(early);
    for (int64_t i = 4; i <= 9; i++) {
        TrainEvent e = {.kind = TRAIN_STEPPED, .step = i, .steps = 9, .loss = i == 5 ? NAN : 1e4 / (double)(i * i * i),
                        .grad_norm = i == 5 ? INFINITY : 0, .learning_rate = 1e-5, .tokens = 9, .seconds = 0.1,
                        .skipped = i == 5 ? "not finite" : NULL};
        train_page_tell(p, &e);
    }
    TrainEvent last_one = {.kind = TRAIN_EVALUATED, .step = 9, .steps = 9, .loss = 900, .perplexity = INFINITY};
    train_page_tell(p, &last_one);
    train_page_close(p, "x < y");
    char *last = page_of(path);
    well_formed(last);
    assert_int_equal(count_of(last, "refresh"), 0);
    assert_int_equal(count_of(last, "x &lt; y"), 1);
    assert_int_equal(count_of(last, "<svg"), 4); /* no finite perplexity: no chart of it */
    assert_int_equal(count_of(last, "1 steps of this run"), 1);
    assert_int_equal(count_of(last, "<td>&lt;x&gt;&amp;y</td>"), 1);
    if (strstr(last, "http:") && !strstr(last, "http://www.w3.org/2000/svg")) fail_msg("it asks the network");
    free(last);
    unlink(path), rmdir(folder);
}

/* A page that cannot be written any more is said once, and ends nothing. */
static int said;
static void on_message(void *owner, QmLevel level, const char *text) {
    (void)owner;
    said += level == QM_WARNING && strstr(text, "--html") != NULL;
}

static void lost_page(void **state) {
    (void)state;
    char folder[] = "/tmp/train_page.XXXXXX", path[64];
    Err err = {0};
    assert_null(train_page_open("/tmp/there/is/no/folder/p.html", "", "", &err));
    assert_int_equal(err.kind, QM_IO);
    err = (Err){0};
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/p.html", folder);
    TrainPage *p = train_page_open(path, "m", "", &err);
    assert_non_null(p);
    rmdir(folder);
    qm_watch(&(QmWatch){.message = on_message});
    train_page_tell(p, &(TrainEvent){.kind = TRAIN_BEGUN, .steps = 2});
    train_page_close(p, "done");
    qm_watch(NULL);
    assert_int_equal(said, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(curves), cmocka_unit_test(page), cmocka_unit_test(lost_page)};
    return cmocka_run_group_tests_name("train page", tests, NULL, NULL);
}
