/* transport.h: messages between the processes (ranks) that share one mesh. A process that no MPI launcher started is
 * rank 0 of 1 and never loads an MPI library. All of it is one thread's at a time; a rank that fails or falls silent
 * ends all. */
#ifndef TRANSPORT_H
#define TRANSPORT_H
#include <signal.h>
#include "base.h"

/* Whether a launcher (mpirun, srun) started this process as one of several. */
bool transport_wanted(void);
/* Loads qwenmesh-mpi.so (QWENMESH_MPI_LIBRARY, else beside the program, or of .../bin in ../lib/qwenmesh), meets the
 * other ranks, checks that all have this version and these arguments, and gives each rank of a host its own share of
 * the cores it may use. */
bool transport_start(int argc, char **argv, Err *err);
/* The last call, also after an error of transport_start, which is to be said before: it waits for all ranks, seconds
 * after an error or a SIGTERM (a launcher that ends its ranks helps them no more), QWENMESH_MPI_TIMEOUT else, and ends
 * the process where one never comes. */
void transport_end(void);
int transport_rank(void);
int transport_ranks(void);

typedef struct Message { int peer; bool send; void *data; size_t bytes; } Message;

/* How long other ranks may take: a step's, or a model's to open. In units of QWENMESH_MPI_TIMEOUT seconds (120). */
typedef enum Patience { PATIENCE_STEP = 1, PATIENCE_OPEN = 20, PATIENCE_FOREVER = 0 } Patience;

/* All messages at once; returns when all are through. A failure ends every rank, saying what was waited for: the
 * others could not be told otherwise. PATIENCE_FOREVER sleeps between looks, for those that have nothing to do. */
void transport_exchange(const Message *messages, int count, Patience patience, const char *what);
/* The same beside work, which waits for none: messages begin, and whoever works asks now and then whether they are
 * through, for they travel only then; `finish` waits a step's time for the rest, and names their ranks. They have an
 * order of their own: messages of transport_exchange may be said in between, on all ranks or on some. */
void transport_begin(const Message *messages, int count, const char *what);
bool transport_through(const char *what);
void transport_finish(const Message *messages, int count, const char *what);
/* all: an entry of `each` bytes a rank, of which this rank has filled its own; then every rank has all of them. */
void transport_share(void *all, size_t each, Patience patience, const char *what);
/* Whether all ranks are `ok`. If not, every rank has an error: its own, else that of the first that is not, named. */
bool transport_agree(bool ok, const char *what, Err *err);
/* What asks a command to end, as it is handled: SIGINT, SIGTERM if `term`; over several ranks SIGTERM always, for mpirun
 * makes it of Ctrl-C, and SIGUSR1, which mpirun passes on without killing its ranks soon after. Elsewhere they end the
 * process, but on ranks that follow: these stay for what rank 0 makes of it. */
enum { END_SIGNALS = 3 };
typedef struct EndSignals { struct sigaction before[END_SIGNALS]; bool taken[END_SIGNALS]; } EndSignals;
void end_signals_take(EndSignals *taken, void (*handler)(int), bool term);
void end_signals_back(EndSignals *taken);
/* Of a rank that follows: the first SIGTERM leaves it to rank 0, the second ends it. */
void end_signals_follow(void);
/* Says why on stderr and ends all ranks. */
void transport_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#endif
