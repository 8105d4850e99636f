/* test_turn.c: a lock that is had in the order in which it was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <cmocka.h>
#include "../src/base/turn.h"

static Turn turn = TURN_INITIALIZER;
static atomic_bool ends;
static _Atomic long taken; /* by the greedy one */

/* Takes it again and again, and another time within. */
static void *greedy(void *unused) {
    (void)unused;
    while (!ends) {
        turn_take(&turn);
        turn_take(&turn);
        taken++;
        turn_end(&turn);
        turn_end(&turn);
    }
    return NULL;
}

static void nobody_is_kept_out(void **state) {
    enum { TIMES = 2000 };
    pthread_t thread;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, greedy, NULL), 0);
    while (!taken) continue;
    for (int i = 0; i < TIMES; i++) {
        turn_take(&turn);
        long before = taken;
        assert_int_equal(before, taken); /* it is ours */
        turn_end(&turn);
    }
    ends = true;
    pthread_join(thread, NULL);
    assert_int_equal(turn.asked, turn.over);
    assert_int_equal(turn.depth, 0);
    turn_destroy(&turn);
}

static Turn order = TURN_INITIALIZER;
static int came[4];
static _Atomic int arrivals;

static void *one(void *number) {
    turn_take(&order);
    came[arrivals++] = *(const int *)number;
    turn_end(&order);
    return NULL;
}

static void first_come_first_served(void **state) {
    pthread_t thread[4];
    static const int number[4] = {0, 1, 2, 3};
    (void)state;
    turn_take(&order);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, one, (void *)(uintptr_t)&number[i]), 0);
        for (bool asked = false; !asked;) { /* until it waits */
            pthread_mutex_lock(&order.lock);
            asked = order.asked == (uint64_t)i + 2;
            pthread_mutex_unlock(&order.lock);
        }
    }
    turn_end(&order);
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    for (int i = 0; i < 4; i++) assert_int_equal(came[i], i);
    turn_destroy(&order);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_kept_out),
        cmocka_unit_test(first_come_first_served),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
