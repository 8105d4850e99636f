/* transport_library.h: what qwenmesh-mpi.so gives the program: the only code that sees mpi.h, so that one build of the
 * program runs under Open MPI and MPICH, whose ABIs differ, and a machine without MPI needs none. */
#ifndef TRANSPORT_LIBRARY_H
#define TRANSPORT_LIBRARY_H
#include <stdbool.h>
#include <stddef.h>

enum { TRANSPORT_LIBRARY_VERSION = 3 };

/* Messages of a way keep their order between two ranks, and are waited for together; those of another do not meet them. */
typedef enum TransportWay { WAY_STEP, WAY_BESIDE, TRANSPORT_WAYS } TransportWay;

/* One thread at a time calls these (MPI_THREAD_FUNNELED: the one that called start). */
typedef struct TransportLibrary {
    int version;      /* TRANSPORT_LIBRARY_VERSION of its build */
    const char *name; /* of the MPI it was built with           */
    bool (*start)(int *rank, int *ranks);
    /* Begins one message; `data` stays as it is until test says 1. */
    bool (*post)(TransportWay way, int peer, bool send, void *data, size_t bytes);
    int (*test)(TransportWay way); /* 1: all its messages are through; 0: not yet; -1: failed, as `why` says */
    const char *(*why)(void);
    void (*abort)(int code); /* ends all ranks                                             */
    void (*end)(void);
} TransportLibrary;

#define TRANSPORT_LIBRARY_SYMBOL "qwenmesh_transport"
#endif
