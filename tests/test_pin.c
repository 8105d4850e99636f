/* test_pin.c: the order in which workers take cores, on machines made of files; who reads which weights; memory of two
 * nodes changes no bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <sched.h>
#include <sys/stat.h>
#include "../src/base/cpu.h"
#include "../src/base/cpu_topology.h"
#include "../src/cpu/first_touch.h"
#include "../src/infer/engine.h"

static char root[] = "/tmp/qwenmesh-pin-XXXXXX";

static void put(const char *folder, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "mkdir -p %s/%s", root, folder);
    assert_int_equal(system(path), 0);
    snprintf(path, sizeof path, "%s/%s/%s", root, folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void clear(void) {
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s/*", root);
    assert_int_equal(system(command), 0);
}

static void siblings(int cpu, const char *list) {
    char folder[64];
    snprintf(folder, sizeof folder, "cpu/cpu%d/topology", cpu);
    put(folder, "thread_siblings_list", list);
}

static int setup(void **state) {
    (void)state;
    return mkdtemp(root) ? 0 : -1;
}
static int teardown(void **state) {
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

static void lists_are_read(void **state) {
    static bool set[MAX_CPUS];
    (void)state;
    assert_true(cpu_list("0-2,8,10-11\n", set));
    for (int i = 0; i < MAX_CPUS; i++) assert_int_equal(set[i], i < 3 || i == 8 || i == 10 || i == 11);
    assert_true(cpu_list("", set) && !set[0]);
    assert_true(cpu_list("1000-99999999999999999999", set) && set[1023] && !set[999]);
    static const char *const bad[] = {"x", "1-", "3-1", "1,,2", "1;2", "-1", "1-2-3", ",1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (cpu_list(bad[i], set)) fail_msg("taken for a list: %s", bad[i]);
}

/* Two sockets of two cores of two threads, numbered as servers do: 0-3 are first threads, sockets alternate. */
static void cores_come_before_threads(void **state) {
    static bool usable[MAX_CPUS];
    CpuPlace place[MAX_CPUS];
    (void)state;
    put("node/node0", "cpulist", "0,2,4,6\n");
    put("node/node1", "cpulist", "1,3,5,7\n");
    for (int i = 0; i < 8; i++) {
        char list[16];
        snprintf(list, sizeof list, "%d,%d\n", i % 4, i % 4 + 4);
        siblings(i, list);
        usable[i] = true;
    }
    static const int all[8][3] = {{0, 0, 0}, {2, 0, 0}, {1, 1, 0}, {3, 1, 0},
                                  {4, 0, 1}, {6, 0, 1}, {5, 1, 1}, {7, 1, 1}};
    assert_int_equal(cpu_order(root, usable, place), 8);
    for (int i = 0; i < 8; i++)
        if (place[i].cpu != all[i][0] || place[i].node != all[i][1] || place[i].sibling != all[i][2])
            fail_msg("place %d: cpu %d, node %d, sibling %d", i, place[i].cpu, place[i].node, place[i].sibling);
    assert_int_equal(cpu_nodes(place, 8), 2);
    assert_int_equal(cpu_nodes(place, 2), 1);
    usable[0] = usable[5] = false; /* a thread whose twin is not ours has the core alone */
    static const int some[6] = {2, 4, 1, 3, 6, 7};
    assert_int_equal(cpu_order(root, usable, place), 6);
    for (int i = 0; i < 6; i++) assert_int_equal(place[i].cpu, some[i]);
    clear(); /* a system that says nothing: one node, every CPU a core */
    assert_int_equal(cpu_order(root, usable, place), 6);
    for (int i = 1; i < 6; i++) assert_true(place[i].cpu > place[i - 1].cpu && place[i].node == 0);
}

static void the_caller_is_kept_and_released(void **state) {
    cpu_set_t before, now;
    CpuPlace place[MAX_CPUS], again[MAX_CPUS];
    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    int count = cpu_places(place);
    assert_int_equal(count, cpu_cores_usable());
    assert_true(cpu_keep(&place[count - 1]) && cpu_keep(&place[count - 1])); /* two engines */
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_true(CPU_COUNT(&now) == 1 && CPU_ISSET((size_t)place[count - 1].cpu, &now));
    assert_int_equal(cpu_places(again), count); /* what was usable before */
    cpu_release();
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_int_equal(CPU_COUNT(&now), 1);
    cpu_release();
    assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
    assert_true(CPU_EQUAL(&now, &before));
}

/* ---- The engine -------------------------------------------------------------------------------------------------- */

static QmEngine *open_engine(const char *model, const char *mesh, int threads, bool pin) {
    QmErr err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = model, .mesh = mesh, .threads = threads, .context = 64, .pin = pin};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) fail_msg("%s", err.text);
    return e;
}

typedef struct Seen { const Cpu *cpu; uint8_t *count; } Seen;
static void see(void *context, uint8_t *from, size_t bytes) {
    Seen *seen = context;
    size_t at = (size_t)(from - seen->cpu->load.packed);
    assert_true(at < seen->cpu->load.packed_bytes && bytes <= seen->cpu->load.packed_bytes - at);
    for (size_t i = 0; i < bytes; i++)
        if (seen->count[at + i] < 255) seen->count[at + i]++;
}

/* Every byte of every matrix is some worker's, in whatever mesh and number of workers. */
static void owners_cover_all_weights(void **state) {
    static const char *const meshes[] = {"1x1", "2x4", "8x4", "dp2,tp3"};
    (void)state;
    for (int m = 0; m < 4; m++)
        for (int workers = 1; workers <= 3; workers++) {
            QmEngine *e = open_engine("tests/golden/heads28-4", meshes[m], workers, false);
            Cpu *cpu = e->state;
            Seen seen = {cpu, calloc(cpu->load.packed_bytes, 1)};
            for (int kind = STEP_ROWS; kind < ROW_KINDS; kind++)
                for (int i = 1; i <= cpu->program->partition->mesh.dp; i++) cpu->step.first_row[kind][i] = 1;
            cpu_step_count(cpu);
            for (int w = 0; w < workers; w++) owner_pieces(cpu, w, see, &seen);
            size_t twice = 0;
            for (size_t i = 0; i < cpu->load.packed_bytes; i++) {
                if (!seen.count[i]) fail_msg("mesh %s, %d workers: byte %zu has no owner", meshes[m], workers, i);
                twice += seen.count[i] > 1;
            }
            assert_true(twice < cpu->load.packed_bytes / 4); /* panels at the edge of two heads or shards */
            free(seen.count);
            qm_engine_close(e);
        }
}

static float *logits(QmEngine *e, size_t *bytes) {
    QmErr err = {0};
    int32_t ids[9] = {1, 2, 3, 50, 4, 5, 6, 7, 8};
    *bytes = 9 * (size_t)qm_engine_info(e)->vocab * sizeof(float);
    float *out = malloc(*bytes);
    QmSession *s = qm_session_new(e, &err);
    QmAppend a = {.session = s, .tokens = ids, .count = 9, .logits_from = 9, .logits = out};
    if (!s || !qm_forward(e, &a, 1, &err)) fail_msg("%s", err.text);
    qm_session_free(s);
    return out;
}

/* Two nodes that are not there: the weights are touched by their owners first, and filled as ever. */
static void two_nodes_have_the_same_bits(void **state) {
    CpuPlace place[MAX_CPUS];
    char text[16];
    cpu_set_t before, after;
    (void)state;
    if (cpu_places(place) < 2) skip();
    clear();
    for (int i = 0; i < 2; i++) {
        char folder[32];
        snprintf(folder, sizeof folder, "node/node%d", i);
        snprintf(text, sizeof text, "%d\n", place[i].cpu);
        put(folder, "cpulist", text);
    }
    static const char *const meshes[] = {"1x1", "2x4", "dp2,tp3"};
    for (int m = 0; m < 3; m++) {
        size_t bytes;
        QmEngine *one = open_engine("tests/golden/heads28-4", meshes[m], 2, false);
        assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
        setenv("QWENMESH_SYS", root, 1);
        QmEngine *two = open_engine("tests/golden/heads28-4", meshes[m], 2, true);
        unsetenv("QWENMESH_SYS");
        assert_int_equal(qm_engine_info(two)->nodes, 2);
        float *a = logits(one, &bytes), *b = logits(two, &bytes);
        assert_memory_equal(a, b, bytes);
        free(a), free(b);
        qm_engine_close(two);
        qm_engine_close(one);
        assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
        assert_true(CPU_EQUAL(&before, &after)); /* --pin ends with the engine */
    }
}

static void more_pinned_threads_than_cores(void **state) {
    QmErr err = {0};
    QmEngineOptions o = {.size = sizeof o, .model = "tests/golden/tiny", .threads = cpu_cores_usable() + 1, .pin = true};
    (void)state;
    assert_null(qm_engine_open(&o, &err));
    assert_non_null(strstr(err.text, "at most one for each of"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(cores_come_before_threads),
        cmocka_unit_test(the_caller_is_kept_and_released),
        cmocka_unit_test(owners_cover_all_weights),
        cmocka_unit_test(two_nodes_have_the_same_bits),
        cmocka_unit_test(more_pinned_threads_than_cores),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
