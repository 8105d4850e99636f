/* transport_mpi.c: qwenmesh-mpi.so, built with mpicc: the few calls of MPI that the program needs. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "transport_library.h"

enum { TAG = 1, PIECE_BYTES = 1 << 30 }; /* tag: TAG + way; counts of MPI are int */

typedef struct Posted { int peer, bytes; bool send; } Posted;

typedef struct Way {
    MPI_Request *request; /* [capacity] */
    MPI_Status *status;   /* [capacity] */
    Posted *posted;       /* [capacity] what each request is */
    int count, capacity;
} Way;

static Way ways[TRANSPORT_WAYS];
static char reason[MPI_MAX_ERROR_STRING + 80];

static bool mpi_start(int *rank, int *ranks) {
    int provided;
    return MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided) == MPI_SUCCESS &&
           provided >= MPI_THREAD_SERIALIZED && MPI_Comm_rank(MPI_COMM_WORLD, rank) == MPI_SUCCESS &&
           MPI_Comm_size(MPI_COMM_WORLD, ranks) == MPI_SUCCESS &&
           MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) == MPI_SUCCESS; /* for `why` */
}

static bool room(Way *w) {
    if (w->count < w->capacity) return true;
    size_t more = w->capacity ? 2 * (size_t)w->capacity : 64;
    void *a = realloc(w->request, more * sizeof *w->request);
    if (a) w->request = a;
    void *b = realloc(w->status, more * sizeof *w->status);
    if (b) w->status = b;
    void *c = realloc(w->posted, more * sizeof *w->posted);
    if (c) w->posted = c;
    if (!a || !b || !c) return false;
    w->capacity = (int)more;
    return true;
}

static bool mpi_post(TransportWay way, int peer, bool send, void *data, size_t bytes) {
    Way *w = &ways[way];
    char *at = data;
    int tag = TAG + (int)way;
    for (size_t done = 0; done < bytes;) {
        int n = bytes - done < PIECE_BYTES ? (int)(bytes - done) : PIECE_BYTES;
        if (!room(w)) return false;
        int failed = send ? MPI_Isend(at + done, n, MPI_BYTE, peer, tag, MPI_COMM_WORLD, &w->request[w->count])
                          : MPI_Irecv(at + done, n, MPI_BYTE, peer, tag, MPI_COMM_WORLD, &w->request[w->count]);
        if (failed != MPI_SUCCESS) return false;
        w->posted[w->count++] = (Posted){peer, n, send};
        done += (size_t)n;
    }
    return true;
}

/* Whether a message that came is as long as the one that was waited for. A longer one is an error of MPI's own. */
static bool whole(const Way *w, int i) {
    int got;
    if (w->posted[i].send) return true;
    if (MPI_Get_count(&w->status[i], MPI_BYTE, &got) == MPI_SUCCESS && got == w->posted[i].bytes) return true;
    snprintf(reason, sizeof reason, "rank %d: expected %d bytes, got %d", w->posted[i].peer, w->posted[i].bytes, got);
    return false;
}

static int failed(const Way *w, int code) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int bytes, peer = -1;
    if (code == MPI_ERR_IN_STATUS)
        for (int i = 0; i < w->count; i++)
            if (w->status[i].MPI_ERROR != MPI_SUCCESS && w->status[i].MPI_ERROR != MPI_ERR_PENDING && peer < 0)
                peer = w->posted[i].peer, code = w->status[i].MPI_ERROR;
    MPI_Error_string(code, text, &bytes);
    if (peer < 0) snprintf(reason, sizeof reason, "%s", text);
    else snprintf(reason, sizeof reason, "rank %d: %s", peer, text);
    return -1;
}

static int mpi_test(TransportWay way) {
    Way *w = &ways[way];
    int all = 1, n = w->count;
    int code = n ? MPI_Testall(n, w->request, &all, w->status) : MPI_SUCCESS;
    if (code != MPI_SUCCESS) return failed(w, code);
    if (!all) return 0;
    w->count = 0;
    for (int i = 0; i < n; i++)
        if (!whole(w, i)) return -1;
    return 1;
}

static const char *mpi_why(void) { return reason; }

static void mpi_abort(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

static void mpi_end(void) {
    MPI_Finalize();
    for (int i = 0; i < TRANSPORT_WAYS; i++) {
        free(ways[i].request), free(ways[i].status), free(ways[i].posted);
        ways[i] = (Way){0};
    }
}

__attribute__((visibility("default"))) const TransportLibrary qwenmesh_transport = {
    .version = TRANSPORT_LIBRARY_VERSION,
#if defined(OPEN_MPI)
    .name = "Open MPI",
#elif defined(MPICH)
    .name = "MPICH",
#else
    .name = "MPI",
#endif
    .start = mpi_start,
    .post = mpi_post,
    .test = mpi_test,
    .why = mpi_why,
    .abort = mpi_abort,
    .end = mpi_end,
};
