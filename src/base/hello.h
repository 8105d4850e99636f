/* hello.h: what the ranks tell each other when they first meet, and what they must agree in. */
#ifndef HELLO_H
#define HELLO_H
#include <sched.h>
#include "base.h"

enum { HELLO_ARGUMENTS = 4096 };

typedef struct Hello {
    char version[16], host[64];
    cpu_set_t cores; /* that the rank may use */
    char arguments[HELLO_ARGUMENTS]; /* after the program's name, each ended by NUL, then an empty one */
} Hello;

void hello_fill(Hello *h, int argc, char **argv);
/* Whether all have rank 0's version and arguments. Ends the texts in `all`, which may come from anywhere. */
bool hellos_agree(Hello *all, int ranks, Err *err);
/* Ranks that may use the same cores of one host share them: each keeps every n-th, at least one. False: this rank keeps
 * what it has. *crowded: ranks outnumber cores. */
bool hello_share(const Hello *all, int ranks, int rank, cpu_set_t *share, bool *crowded);
#endif
