/* fake_slow_keys.c: to be preloaded: every wait for input and every read of it begins 10 ms late, so that what comes
 * just before one does so always. */
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SEEN __attribute__((visibility("default")))

static void pause_a_little(void) {
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do clock_gettime(CLOCK_MONOTONIC, &now); /* a sleep would end with the signal */
    while ((now.tv_sec - begin.tv_sec) * 1000000000 + now.tv_nsec - begin.tv_nsec < 10000000);
}

SEEN ssize_t read(int file, void *to, size_t bytes) {
    if (file == STDIN_FILENO) pause_a_little();
    return syscall(SYS_read, file, to, bytes);
}

SEEN int poll(struct pollfd *files, nfds_t n, int wait) {
    pause_a_little();
    return (int)syscall(SYS_poll, files, n, wait);
}
