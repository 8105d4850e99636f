/* hello.c: the first meeting of the ranks. */
#include <string.h>
#include <unistd.h>
#include "../qwenmesh.h"
#include "hello.h"

void hello_fill(Hello *h, int argc, char **argv) {
    size_t at = 0;
    memset(h, 0, sizeof *h);
    snprintf(h->version, sizeof h->version, "%s", QM_VERSION);
    gethostname(h->host, sizeof h->host - 1);
    sched_getaffinity(0, sizeof h->cores, &h->cores);
    for (int i = 1; i < argc && at + strlen(argv[i]) + 1 < sizeof h->arguments; at += strlen(argv[i++]) + 1)
        memcpy(h->arguments + at, argv[i], strlen(argv[i]) + 1);
}

/* The first argument that differs from rank 0's. */
static bool arguments_same(const Hello *zero, const Hello *h, int rank, Err *err) {
    const char *a = zero->arguments, *b = h->arguments;
    for (int i = 1; *a || *b; i++, a += strlen(a) + (*a != 0), b += strlen(b) + (*b != 0))
        if (strcmp(a, b))
            return err_set(err, "rank %d was started with other arguments: argument %d: expected '%.200s' as on rank "
                           "0, got '%.200s'", rank, i, a, b);
    return true;
}

bool hellos_agree(Hello *all, int ranks, Err *err) {
    for (int r = 0; r < ranks; r++) {
        Hello *h = &all[r];
        h->version[sizeof h->version - 1] = h->host[sizeof h->host - 1] = 0;
        h->arguments[HELLO_ARGUMENTS - 2] = h->arguments[HELLO_ARGUMENTS - 1] = 0;
    }
    for (int r = 1; r < ranks; r++) {
        if (strcmp(all[r].version, all[0].version))
            return err_set(err, "rank %d is qwenmesh %s: expected %s as on rank 0", r, all[r].version, all[0].version);
        if (!arguments_same(&all[0], &all[r], r, err)) return false;
    }
    return true;
}

bool hello_share(const Hello *all, int ranks, int rank, cpu_set_t *share, bool *crowded) {
    const Hello *mine = &all[rank];
    int sharing = 0, before = 0, cores = CPU_COUNT(&mine->cores), at = 0;
    for (int r = 0; r < ranks; r++) {
        if (strcmp(all[r].host, mine->host) || !CPU_EQUAL(&all[r].cores, &mine->cores)) continue;
        before += r < rank;
        sharing++;
    }
    *crowded = cores < sharing;
    if (sharing < 2 || cores == 0) return false;
    int first = (int)((int64_t)cores * before / sharing), last = (int)((int64_t)cores * (before + 1) / sharing);
    if (*crowded) first = before % cores, last = first + 1;
    CPU_ZERO(share);
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &mine->cores)) continue;
        if (at >= first && at < last) CPU_SET(core, share);
        at++;
    }
    return true;
}
