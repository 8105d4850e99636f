/* transport_mpi.c: qwenmesh-mpi.so, built with mpicc: the few calls of MPI that the program needs. */
#include <mpi.h>
#include <stdlib.h>
#include <string.h>
#include "transport_library.h"

enum { TAG = 1, PIECE_BYTES = 1 << 30 }; /* counts of MPI are int */

static MPI_Request *request;
static int count, capacity;

static bool mpi_start(int *rank, int *ranks) {
    int provided;
    return MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided) == MPI_SUCCESS &&
           provided >= MPI_THREAD_SERIALIZED && MPI_Comm_rank(MPI_COMM_WORLD, rank) == MPI_SUCCESS &&
           MPI_Comm_size(MPI_COMM_WORLD, ranks) == MPI_SUCCESS;
}

static bool room(void) {
    if (count < capacity) return true;
    int more = capacity ? 2 * capacity : 64;
    MPI_Request *grown = realloc(request, (size_t)more * sizeof *request);
    if (!grown) return false;
    request = grown;
    capacity = more;
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
        count++;
        done += (size_t)n;
    }
    return true;
}

static int mpi_test(void) {
    int all = 1;
    if (count && MPI_Testall(count, request, &all, MPI_STATUSES_IGNORE) != MPI_SUCCESS) return -1;
    if (all) count = 0;
    return all ? 1 : 0;
}

static void mpi_abort(int code) { MPI_Abort(MPI_COMM_WORLD, code); }

static void mpi_end(void) {
    MPI_Finalize();
    free(request);
    request = NULL;
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
    .abort = mpi_abort,
    .end = mpi_end,
};
