/* transport_mpi.c: qwenmesh-mpi.so, built with mpicc: the few calls of MPI that the program needs. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "transport_library.h"

enum { TAG = 1, PIECE_BYTES = 1 << 30 }; /* counts of MPI are int */

typedef struct Posted { int peer, bytes; bool send; } Posted;

static MPI_Request *request; /* [capacity] */
static MPI_Status *status;   /* [capacity] */
static Posted *posted;       /* [capacity] what each request is */
static int count, capacity;
static char reason[MPI_MAX_ERROR_STRING + 80];

static bool mpi_start(int *rank, int *ranks) {
    int provided;
    return MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided) == MPI_SUCCESS &&
           provided >= MPI_THREAD_SERIALIZED && MPI_Comm_rank(MPI_COMM_WORLD, rank) == MPI_SUCCESS &&
           MPI_Comm_size(MPI_COMM_WORLD, ranks) == MPI_SUCCESS &&
           MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) == MPI_SUCCESS; /* for `why` */
}

static bool room(void) {
    if (count < capacity) return true;
    size_t more = capacity ? 2 * (size_t)capacity : 64;
    void *a = realloc(request, more * sizeof *request);
    if (a) request = a;
    void *b = realloc(status, more * sizeof *status);
    if (b) status = b;
    void *c = realloc(posted, more * sizeof *posted);
    if (c) posted = c;
    if (!a || !b || !c) return false;
    capacity = (int)more;
    return true;
}

static bool mpi_post(int peer, bool send, void *data, size_t bytes) {
    char *at = data;
    for (size_t done = 0; done < bytes;) {
        int n = bytes - done < PIECE_BYTES ? (int)(bytes - done) : PIECE_BYTES;
        if (!room()) return false;
        int failed = send ? MPI_Isend(at + done, n, MPI_BYTE, peer, TAG, MPI_COMM_WORLD, &request[count])
                          : MPI_Irecv(at + done, n, MPI_BYTE, peer, TAG, MPI_COMM_WORLD, &request[count]);
        if (failed != MPI_SUCCESS) return false;
        posted[count++] = (Posted){peer, n, send};
        done += (size_t)n;
    }
    return true;
}

/* Whether a message that came is as long as the one that was waited for. A longer one is an error of MPI's own. */
static bool whole(int i) {
    int got;
    if (posted[i].send) return true;
    if (MPI_Get_count(&status[i], MPI_BYTE, &got) == MPI_SUCCESS && got == posted[i].bytes) return true;
    snprintf(reason, sizeof reason, "rank %d: expected %d bytes, got %d", posted[i].peer, posted[i].bytes, got);
    return false;
}

static int failed(int code) {
    char text[MPI_MAX_ERROR_STRING] = "";
    int bytes, peer = -1;
    if (code == MPI_ERR_IN_STATUS)
        for (int i = 0; i < count; i++)
            if (status[i].MPI_ERROR != MPI_SUCCESS && status[i].MPI_ERROR != MPI_ERR_PENDING && peer < 0)
                peer = posted[i].peer, code = status[i].MPI_ERROR;
    MPI_Error_string(code, text, &bytes);
    if (peer < 0) snprintf(reason, sizeof reason, "%s", text);
    else snprintf(reason, sizeof reason, "rank %d: %s", peer, text);
    return -1;
}

static int mpi_test(void) {
    int all = 1, n = count;
    int code = count ? MPI_Testall(count, request, &all, status) : MPI_SUCCESS;
    if (code != MPI_SUCCESS) return failed(code);
    if (!all) return 0;
    count = 0;
    for (int i = 0; i < n; i++)
        if (!whole(i)) return -1;
    return 1;
}

static const char *mpi_why(void) { return reason; }

static void mpi_abort(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

static void mpi_end(void) {
    MPI_Finalize();
    free(request), free(status), free(posted);
    request = NULL, status = NULL, posted = NULL;
    count = capacity = 0;
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
