/* follow.h: the life of a rank other than 0. */
#ifndef FOLLOW_H
#define FOLLOW_H

/* Until rank 0 ends. Returns the exit code. */
int follow(void);
#endif
