/* program_path.h: where this program is: what lies beside it is found from there, whatever the current folder. */
#ifndef PROGRAM_PATH_H
#define PROGRAM_PATH_H
#include "base.h"

enum { PROGRAM_FOLDER_BYTES = 4096 };
/* The folder's path, links resolved, without a slash at its end. False and an error where it cannot be told. */
bool program_folder(char out[PROGRAM_FOLDER_BYTES], Err *err);
#endif
