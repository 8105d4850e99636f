/* transport.c: the MPI library found and loaded, the first meeting of the ranks, and messages with a watchdog. */
#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include "watch.h"
#include "guard.h"
#include "hello.h"
#include "program_path.h"
#include "transport.h"
#include "transport_library.h"

/* POLLS_YIELDING: looks with a yield after the busy ones, a millisecond or two; whoever waits longer, as one replica for
 * another, naps between looks and leaves the core to others. */
enum { POLLS_BUSY = 2000, POLLS_YIELDING = 2000, POLLS_SHORT_NAPS = 8000, SHORT_NAP = 50000, LONG_NAP = 1000000, DEFAULT_TIMEOUT = 120 };

static const TransportLibrary *library;
static int rank_here, rank_count = 1;
static int polls_busy = POLLS_BUSY; /* looks before the first yield; 0 where ranks outnumber cores */
static double timeout_seconds = DEFAULT_TIMEOUT;
static bool met; /* all ranks fit together */

int transport_rank(void) { return rank_here; }
int transport_ranks(void) { return rank_count; }

/* ---- Messages ---------------------------------------------------------------------------------------------------- */

void transport_fail(const char *format, ...) {
    va_list args;
    char what[2048];
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    watch_say(QM_FATAL, "rank %d of %d: %s", rank_here, rank_count, what);
    guard_remove();
    if (library) library->abort(1);
    _exit(1);
}

/* "0, 2": each peer once. */
static const char *peers_text(const Message *m, int count, char *out, size_t size) {
    size_t at = 0;
    out[0] = 0;
    for (int peer = 0; peer < rank_count; peer++)
        for (int i = 0; i < count; i++) {
            if (m[i].peer != peer) continue;
            if (at < size) at += (size_t)snprintf(out + at, size - at, "%s%d", at ? ", " : "", peer);
            break;
        }
    return out;
}

static void begin(TransportWay way, const Message *m, int count, const char *what) {
    for (int i = 0; i < count; i++)
        if (m[i].bytes && !library->post(way, m[i].peer, m[i].send, m[i].data, m[i].bytes))
            transport_fail("%s: cannot begin a message with rank %d", what, m[i].peer);
}

static bool through(TransportWay way, const char *what) {
    int all = library->test(way);
    if (all < 0) transport_fail("%s: a message failed: %s", what, library->why());
    return all > 0;
}

/* m: the messages that are waited for. */
static void finish(TransportWay way, const Message *m, int count, Patience patience, const char *what) {
    char peers[64];
    double start = 0, longest = timeout_seconds * (int)patience;
    for (int64_t polls = 0; !through(way, what); polls++) {
        if (polls < polls_busy) continue;
        if (patience == PATIENCE_FOREVER) {
            nanosleep(&(struct timespec){.tv_nsec = polls < POLLS_SHORT_NAPS ? SHORT_NAP : LONG_NAP}, NULL);
            continue;
        }
        if (polls < polls_busy + POLLS_YIELDING) {
            sched_yield();
            continue;
        }
        nanosleep(&(struct timespec){.tv_nsec = SHORT_NAP}, NULL);
        double now = clock_seconds();
        if (start == 0) start = now;
        if (now - start > longest)
            transport_fail("%s: no answer in %.0f s from one of the ranks %s (QWENMESH_MPI_TIMEOUT)", what,
                           longest, peers_text(m, count, peers, sizeof peers));
    }
}

void transport_exchange(const Message *m, int count, Patience patience, const char *what) {
    begin(WAY_STEP, m, count, what);
    finish(WAY_STEP, m, count, patience, what);
}

void transport_begin(const Message *m, int count, const char *what) { begin(WAY_BESIDE, m, count, what); }
bool transport_through(const char *what) { return through(WAY_BESIDE, what); }
void transport_finish(const Message *m, int count, const char *what) { finish(WAY_BESIDE, m, count, PATIENCE_STEP, what); }

void transport_share(void *all, size_t each, Patience patience, const char *what) {
    Err err = {0};
    int others = rank_here ? 1 : rank_count - 1;
    Message *m = mem_new((size_t)others + 1, sizeof *m, what, &err);
    if (!m) transport_fail("%s", err.text);
    for (int i = 0; i < others; i++) { /* to rank 0, which then tells all of it to each */
        int peer = rank_here ? 0 : i + 1;
        m[i] = (Message){peer, rank_here != 0, (char *)all + (size_t)(rank_here ? rank_here : peer) * each, each};
    }
    transport_exchange(m, others, patience, what);
    for (int i = 0; i < others; i++) m[i] = (Message){m[i].peer, rank_here == 0, all, (size_t)rank_count * each};
    transport_exchange(m, others, patience, what);
    free(m);
}

bool transport_agree(bool ok, const char *what, Err *err) {
    typedef struct Said { uint8_t ok; Err err; } Said;
    Said *all = rank_count > 1 ? mem_new((size_t)rank_count, sizeof *all, what, err) : NULL;
    if (rank_count == 1) return ok;
    if (!all) transport_fail("%s", err->text);
    all[rank_here].ok = ok;
    if (!ok) all[rank_here].err = *err;
    transport_share(all, sizeof *all, PATIENCE_OPEN, what);
    int r = 0;
    while (r < rank_count && all[r].ok) r++;
    if (r < rank_count) {
        Err *said = &all[r].err;
        said->text[sizeof said->text - 1] = 0;
        if (said->kind <= QM_OK || said->kind > QM_INTERNAL) said->kind = QM_INTERNAL;
        if (r == 0) err_from(err, said);
        else err_as(err, said->kind, "rank %d: %s", r, said->text);
    }
    free(all);
    return r == rank_count;
}

/* ---- The first meeting ------------------------------------------------------------------------------------------- */

static int64_t environment_int(const char *name) {
    const char *text = getenv(name);
    int64_t value = 0;
    return text && parse_int(text, 0, 1 << 20, &value) ? value : 0;
}

bool transport_wanted(void) {
    return environment_int("OMPI_COMM_WORLD_SIZE") > 1 || environment_int("PMI_SIZE") > 1 ||
           (getenv("PMIX_RANK") && environment_int("SLURM_NTASKS") > 1);
}

/* qwenmesh-mpi.so, as told, where `make install` puts it if the program is in a bin folder, else beside the program. */
static bool library_path(char *out, size_t size, Err *err) {
    const char *told = getenv("QWENMESH_MPI_LIBRARY");
    if (told && *told && !strchr(told, '/')) /* dlopen would search for it */
        return err_set(err, "QWENMESH_MPI_LIBRARY: expected a path, got '%.200s'", told);
    if (told && *told) return snprintf(out, size, "%s", told) < (int)size || err_as(err, QM_LIMIT,
                                                                                    "MPI library: path too long");
    char folder[PROGRAM_FOLDER_BYTES];
    if (!program_folder(folder, err)) return false;
    size_t bytes = strlen(folder);
    bool installed = bytes > 4 && !strcmp(folder + bytes - 4, "/bin");
    return snprintf(out, size, "%s/%sqwenmesh-mpi.so", folder, installed ? "../lib/qwenmesh/" : "") < (int)size ||
           err_as(err, QM_LIMIT, "MPI library: path too long");
}

static bool library_load(Err *err) {
    char path[4096];
    if (!library_path(path, sizeof path, err)) return false;
    /* Open MPI's own plugins look for its symbols in the global scope. */
    void *handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (!handle)
        return err_set(err, "started by mpirun, but %s does not load (%s): expected it built by make where mpicc is",
                       path, dlerror());
    library = dlsym(handle, TRANSPORT_LIBRARY_SYMBOL);
    if (!library) return err_set(err, "%s: expected the symbol " TRANSPORT_LIBRARY_SYMBOL, path);
    if (library->version != TRANSPORT_LIBRARY_VERSION) {
        int version = library->version;
        library = NULL;
        return err_set(err, "%s: expected version %d, got %d: build it again", path, TRANSPORT_LIBRARY_VERSION,
                       version);
    }
    return true;
}

/* Each rank tells rank 0 who it is, and rank 0 tells all. */
static bool meet(int argc, char **argv, Err *err) {
    Hello *all = mem_new((size_t)rank_count, sizeof *all, "ranks", err);
    cpu_set_t share;
    bool crowded;
    if (!all) transport_fail("%s", err->text);
    hello_fill(&all[rank_here], argc, argv);
    transport_share(all, sizeof *all, PATIENCE_STEP, "first meeting");
    bool ok = hellos_agree(all, rank_count, err);
    if (ok && hello_share(all, rank_count, rank_here, &share, &crowded)) {
        if (crowded) polls_busy = 0;
        sched_setaffinity(0, sizeof share, &share);
    }
    free(all);
    return ok;
}

/* The launcher ends its ranks by SIGTERM, also on Ctrl-C: rank 0 says so for all. */
static void on_terminated(int number) {
    guard_remove();
    static const char text[] = "qwenmesh: interrupted: the launcher ended all ranks\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    (void)ignored;
    _exit(128 + number);
}

static const int end_signal[END_SIGNALS] = {SIGINT, SIGTERM, SIGUSR1};
static void (*volatile end_handler)(int);
static volatile sig_atomic_t terminated; /* by a launcher, maybe: it may serve its ranks no more */

static void on_end_signal(int number) {
    if (number == SIGTERM) terminated = 1;
    if (end_handler) end_handler(number);
}

void end_signals_take(EndSignals *taken, void (*handler)(int), bool term) {
    const struct sigaction ours = {.sa_handler = on_end_signal, .sa_flags = SA_RESTART};
    end_handler = handler;
    for (int i = 0; i < END_SIGNALS; i++) {
        taken->taken[i] = end_signal[i] == SIGINT || rank_count > 1 || (term && end_signal[i] == SIGTERM);
        if (taken->taken[i]) sigaction(end_signal[i], &ours, &taken->before[i]);
    }
}

void end_signals_back(EndSignals *taken) {
    for (int i = 0; i < END_SIGNALS; i++)
        if (taken->taken[i]) sigaction(end_signal[i], &taken->before[i], NULL);
    *taken = (EndSignals){0};
}

static void on_gone(int number) {
    guard_remove();
    _exit(128 + number);
}

static void on_first_terminated(int number) {
    terminated = 1;
    signal(number, on_gone);
}

void end_signals_follow(void) {
    signal(SIGINT, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGTERM, on_first_terminated);
}

bool transport_start(int argc, char **argv, Err *err) {
    int64_t seconds = environment_int("QWENMESH_MPI_TIMEOUT");
    if (seconds) timeout_seconds = (double)seconds;
    signal(SIGRTMIN, on_gone);
    prctl(PR_SET_PDEATHSIG, SIGRTMIN); /* no rank outlives its launcher: a signal that means nothing else */
    if (!library_load(err)) return false;
    if (!library->start(&rank_here, &rank_count)) return err_set(err, "MPI_Init_thread failed");
    if (rank_here == 0) signal(SIGTERM, on_terminated), signal(SIGUSR1, on_terminated);
    return met = meet(argc, argv, err);
}

/* MPI's own end waits for every rank. One that never comes, as it hangs or is no qwenmesh, does not hold the others. */
static void on_late(int number) {
    static const char text[] = "qwenmesh: error: some rank does not end\n";
    (void)number;
    if (terminated) _exit(128 + SIGTERM);
    if (met && write(STDERR_FILENO, text, sizeof text - 1) < 0) _exit(1);
    _exit(1);
}

void transport_end(void) {
    enum { AFTER_ERROR = 5, AFTER_TERMINATED = 2 };
    if (!library) return;
    signal(SIGALRM, on_late);
    alarm(terminated ? AFTER_TERMINATED : met ? (unsigned)timeout_seconds : AFTER_ERROR);
    library->end();
    alarm(0);
    library = NULL;
}
