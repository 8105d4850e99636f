/* program_path.c: see program_path.h. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "program_path.h"

bool program_folder(char out[PROGRAM_FOLDER_BYTES], Err *err) {
    ssize_t n = readlink("/proc/self/exe", out, PROGRAM_FOLDER_BYTES);
    if (n <= 0) return err_as(err, QM_IO, "cannot tell where this program is, by /proc/self/exe: %s", strerror(errno));
    if (n == PROGRAM_FOLDER_BYTES)
        return err_as(err, QM_LIMIT, "the path of this program is too long: expected less than %d bytes",
                      PROGRAM_FOLDER_BYTES);
    while (n > 0 && out[n - 1] != '/') n--;
    out[n > 0 ? n - 1 : 0] = 0;
    return true;
}
