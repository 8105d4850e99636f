/* tt_desc.c: see tt_desc.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include "../base/program_path.h"
#include "tt_desc.h"

bool tt_desc_find(const char *name, char *out, size_t size, Err *err) {
    if (strchr(name, '/') || strchr(name, '.')) {
        if ((size_t)snprintf(out, size, "%s", name) >= size)
            return err_set(err, "system description: expected a path of less than %zu bytes", size);
        return file_exists(out) || err_set(err, "no system description at %s: expected a .ttsys file", out);
    }
    char program[PROGRAM_FOLDER_BYTES];
    if (!program_folder(program, err)) return false;
    const char *const places[][2] = {{program, "/tests/data/tt"}, {".", "/tests/data/tt"},
                                     {program, "/../share/qwenmesh/tt"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if ((size_t)snprintf(out, size, "%s%s/%s.ttsys", places[i][0], places[i][1], name) < size && file_exists(out))
            return true;
    return err_set(err,
                   "no system description '%s': expected a file, or %s.ttsys in %.300s/tests/data/tt, ./tests/data/tt "
                   "or %.300s/../share/qwenmesh/tt (known: n150, n300, n300-llmbox, p150, galaxy-32)",
                   name, name, program, program);
}

int tt_load_lock(void) {
    enum { TRIES = 600 };
    const char *parent = getenv("TMPDIR");
    char path[512];
    if (snprintf(path, sizeof path, "%s/qwenmesh-tt-%u.lock", parent && *parent ? parent : "/tmp",
                 (unsigned)getuid()) >= (int)sizeof path)
        return -1;
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    for (int i = 0; lock >= 0 && i < TRIES && flock(lock, LOCK_EX | LOCK_NB) != 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    return lock;
}
