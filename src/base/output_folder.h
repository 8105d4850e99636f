/* output_folder.h: a folder of files that is there whole or not at all, whatever ends the program: written beside its
 * place, brought to the disk, then renamed. */
#ifndef OUTPUT_FOLDER_H
#define OUTPUT_FOLDER_H
#include "base.h"

/* FOLDER_REPLACE: what had the name before is gone at once and as a whole. FOLDER_ADD: where the folder is there, the
 * files go in beside others that it holds. */
typedef enum FolderWay { FOLDER_REPLACE, FOLDER_ADD } FolderWay;

typedef struct OutputFolder {
    FolderWay way;
    char *target;    /* as it will be called                              */
    char *path;      /* where its files are written until it is committed */
    int lock;        /* held while the writer lives                       */
    int place;       /* guard_temporary                                   */
} OutputFolder;

/* Makes an empty folder o->path. What dead writers of this folder left is removed, and what one of them had committed,
 * but not moved to its place, is moved. False and an error with nothing to close. */
bool output_folder_open(OutputFolder *o, const char *target, FolderWay way, Err *err);
/* Everything in o->path reaches the disk and takes its place. A file that this process has read is not written over.
 * FOLDER_ADD into a folder that is there: `key` is a file without which nobody takes the folder for whole
 * (config.json): it goes first and comes last. Of the files that are there and not in o->path, those that `stale` names
 * are removed (NULL: none). An error leaves what was there as it was, unless a file that is complete could not be given
 * its name. */
typedef bool FolderStale(const char *name);
bool output_folder_commit(OutputFolder *o, const char *key, FolderStale *stale, Err *err);
/* Removes what is not committed. Safe on a zeroed OutputFolder and after a failed open. */
void output_folder_close(OutputFolder *o);
/* commit if `ok`, then close. */
bool output_folder_end(OutputFolder *o, bool ok, const char *key, FolderStale *stale, Err *err);

/* Takes a folder away: from the first moment nobody finds it under its name. */
bool output_folder_remove(const char *path, Err *err);
/* Removes what dead writers left in `folder` under names that begin so. */
void output_folder_sweep(const char *folder, const char *begin);
/* Makes a folder and those above it that are missing. */
bool folder_make(const char *path, Err *err);
#endif
