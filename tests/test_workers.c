/* test_workers.c: workers meet, sleep and are woken; how many decode beside other programs; quotas of control
 * groups. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "../src/base/cgroup.h"
#include "../src/base/cpu.h"
#include "../src/cpu/crowd.h"
#include "../src/cpu/workers.h"

/* ---- Workers ----------------------------------------------------------------------------------------------------- */

enum { COUNT = 6, ROUNDS = 300, MEETINGS = 5 };

/* Every worker adds to the round's sum, and all see the whole sum after the barrier. */
typedef struct Round {
    Workers *workers;
    atomic_int sum[MEETINGS], wrong, ran;
    int late; /* a worker that comes late to every meeting, by more than others spin; -1: none */
} Round;

static void meet(void *argument, int worker) {
    Round *r = argument;
    int active = workers_active(r->workers);
    atomic_fetch_add(&r->ran, 1);
    if (worker >= active) atomic_fetch_add(&r->wrong, 1);
    for (int m = 0; m < MEETINGS; m++) {
        if (worker == r->late) nanosleep(&(struct timespec){0, 300000}, NULL);
        atomic_fetch_add(&r->sum[m], worker + 1);
        workers_barrier(r->workers, worker);
        if (atomic_load(&r->sum[m]) != active * (active + 1) / 2) atomic_fetch_add(&r->wrong, 1);
    }
}

static void rounds_meet(Workers *w, int rounds, bool late) {
    for (int i = 0; i < rounds; i++) {
        int active = i * 7 % 11 % COUNT + 1;
        Round r = {.workers = w, .late = late ? i % active : -1};
        double slept = workers_run_some(w, active, meet, &r);
        assert_int_equal(r.ran, active);
        assert_int_equal(r.wrong, 0);
        assert_true(slept >= 0);
        if (late && active > 1) assert_true(slept > 0); /* the others slept for it */
    }
}

static void workers_meet(void **state) {
    (void)state;
    Err err = {0};
    Workers *w = workers_new(COUNT, false, &err);
    assert_non_null(w);
    assert_int_equal(workers_count(w), COUNT);
    rounds_meet(w, ROUNDS, false);
    rounds_meet(w, 20, true);
    workers_free(w);
}

/* Between jobs workers fall asleep, those without a job too; a job wakes whom it needs. */
static void sleeping_workers_wake(void **state) {
    (void)state;
    Err err = {0};
    Workers *w = workers_new(3, false, &err);
    assert_non_null(w);
    static const int active[] = {3, 1, 1, 3, 2, 3, 1, 2};
    for (size_t i = 0; i < sizeof active / sizeof *active; i++) {
        Round r = {.workers = w, .late = -1};
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        workers_run_some(w, active[i], meet, &r);
        assert_int_equal(r.ran, active[i]);
        assert_int_equal(r.wrong, 0);
    }
    workers_free(w);
    w = workers_new(3, false, &err); /* freed asleep, before any job */
    nanosleep(&(struct timespec){0, 2000000}, NULL);
    workers_free(w);
}

/* ---- Crowd ------------------------------------------------------------------------------------------------------- */

/* Steps of a made machine: seconds[n] with n workers, of which they sleep a part. Returns the workers after `until`,
 * and the seconds of a step on average. */
typedef struct Machine { double seconds[9], sleeping, clock; } Machine;

static int machine_run(Crowd *c, Machine *m, double until, double *average) {
    int steps = 0;
    double begin = m->clock;
    while (m->clock < until) {
        int n = crowd_workers(c);
        double seconds = m->seconds[n];
        m->clock += seconds;
        crowd_learn(c, 1, seconds, n > 1 ? seconds * (n - 1) * m->sleeping : 0, m->clock);
        steps++;
    }
    if (average) *average = (m->clock - begin) / steps;
    return c->active;
}

static void a_quiet_machine_keeps_all(void **state) {
    (void)state;
    Crowd c;
    double average;
    Machine m = {.seconds = {0, .010, .005}, .sleeping = 0.01};
    crowd_init(&c, 2);
    assert_int_equal(machine_run(&c, &m, 20, &average), 2);
    assert_true(average < .00501); /* no step was tried with one */
    Machine noisy = {.seconds = {0, .010, .005}, .sleeping = 0.3};
    crowd_init(&c, 2);
    assert_int_equal(machine_run(&c, &noisy, 20, &average), 2);
    assert_true(average < .005 * 1.05); /* trials are paid for */
}

/* A machine that stands still for a moment now and then is not crowded: nothing is tried. */
static void a_pause_is_no_crowd(void **state) {
    (void)state;
    Crowd c;
    double clock = 0;
    crowd_init(&c, 2);
    for (int step = 0; step < 4000; step++) {
        double pause = step % 25 == 24 ? .008 : 0, seconds = .004 + pause;
        assert_int_equal(crowd_workers(&c), 2);
        clock += seconds;
        crowd_learn(&c, 1, seconds, pause, clock);
    }
}

static void a_crowded_machine_decodes_with_fewer(void **state) {
    (void)state;
    Crowd c;
    double average;
    Machine m = {.seconds = {0, .014, .300}, .sleeping = 0.8};
    crowd_init(&c, 2);
    machine_run(&c, &m, 2, NULL); /* the first steps, with two, are dear */
    assert_int_equal(machine_run(&c, &m, 60, &average), 1);
    assert_true(average < .014 / .95);
    m.seconds[2] = .007; /* the other program ends */
    m.sleeping = 0.01;
    machine_run(&c, &m, m.clock + 8, NULL);
    assert_int_equal(machine_run(&c, &m, m.clock + 2, &average), 2);
    assert_true(average < .0071);
}

/* One core of eight is taken: seven stay. */
static void one_core_of_eight_is_taken(void **state) {
    (void)state;
    Crowd c;
    Machine m = {.seconds = {0, .08, .04, .027, .02, .016, .0134, .0115, .02}, .sleeping = 0.4};
    crowd_init(&c, 8);
    for (int i = 0; i < 50; i++) {
        m.sleeping = crowd_workers(&c) > 7 ? 0.4 : 0.02;
        machine_run(&c, &m, m.clock + 0.2, NULL);
    }
    assert_true(c.active == 6 || c.active == 7);
    m.seconds[8] = .01;
    m.sleeping = 0.01;
    assert_int_equal(machine_run(&c, &m, m.clock + 10, NULL), 8);
}

/* ---- Control groups ---------------------------------------------------------------------------------------------- */

static char root[] = "/tmp/qwenmesh-cgroup-XXXXXX";

static void put(const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(path, 0777);
        *at = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static double cpus(void) {
    char groups[512];
    snprintf(groups, sizeof groups, "%s/groups", root);
    return cgroup_cpus(groups, root);
}

static void quotas_are_read(void **state) {
    (void)state;
    assert_non_null(mkdtemp(root));
    assert_true(cpus() == 0); /* nothing there */
    put("groups", "0::/a/b\n");
    assert_true(cpus() == 0);
    put("a/b/cpu.max", "max 100000\n");
    assert_true(cpus() == 0);
    put("a/cpu.max", "250000 100000\n");
    assert_true(cpus() == 2.5);
    put("a/b/cpu.max", "50000 100000\n");
    assert_true(cpus() == 0.5);
    put("a/b/cpu.max", "900000 100000\n"); /* the parent's is tighter */
    assert_true(cpus() == 2.5);
    put("cpu.max", "1000 0\n"); /* no quota that can be */
    assert_true(cpus() == 2.5);
    put("groups", "0::/../../elsewhere\n"); /* a container shows its own root only */
    put("cpu.max", "150000 100000\n");
    assert_true(cpus() == 1.5);
    put("groups", "12:cpuset:/x\n4:cpu,cpuacct:/x\n0::/none\n");
    put("cpu.max", "max 100000\n");
    put("cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
    put("cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    assert_true(cpus() == 0);
    put("cpu,cpuacct/x/cpu.cfs_quota_us", "300000\n");
    assert_true(cpus() == 3);
    put("cpu,cpuacct/cpu.cfs_quota_us", "200000\n");
    put("cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    assert_true(cpus() == 2);
    put("groups", "4:cpuset,cpuacct:/x\n");
    assert_true(cpus() == 0);
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    assert_int_equal(system(command), 0);
    assert_true(cgroup_threads() >= 1 && cgroup_threads() <= cpu_cores_usable());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_meet),
        cmocka_unit_test(sleeping_workers_wake),
        cmocka_unit_test(a_quiet_machine_keeps_all),
        cmocka_unit_test(a_pause_is_no_crowd),
        cmocka_unit_test(a_crowded_machine_decodes_with_fewer),
        cmocka_unit_test(one_core_of_eight_is_taken),
        cmocka_unit_test(quotas_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
