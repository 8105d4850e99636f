/* base.h: what every other folder stands on: errors, checked memory, files, growing text, clock. */
#ifndef BASE_H
#define BASE_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "../qwenmesh.h"

/* ---- Errors: the first one wins; what, where, expected, got -------------------------------------------------- */

typedef QmErr Err;
/* All return false, for `return err_set(...)`. An error of kind QM_INPUT; of another kind; one that another function gave,
 * kind and all. */
bool err_set(Err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool err_as(Err *err, QmErrKind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
bool err_from(Err *err, const Err *from);
int err_exit_code(const Err *err); /* of the program: 0 no error, 2 usage, 130 interrupted, else 1 */
/* Puts "context: " before an error already set, unless it begins with that. */
void err_prefix(Err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- Memory: zeroed, overflow-checked; NULL and an error when there is none ---------------------------------- */

void *mem_new(size_t count, size_t size, const char *what, Err *err);
/* Grows *array (of `size`-byte items, capacity *capacity) to hold `need` items; false on error, array kept. */
bool mem_grow(void **array, size_t *capacity, size_t need, size_t size, const char *what, Err *err);
/* Large zeroed pages aligned to 2 MiB, huge where the kernel allows; free with mem_pages_free. */
void *mem_pages_new(size_t bytes, const char *what, Err *err);
void mem_pages_free(void *pages, size_t bytes);
bool size_mul(size_t a, size_t b, size_t *out); /* false when it would wrap */
bool size_add(size_t a, size_t b, size_t *out);

/* An arena hands out memory that is freed all at once. */
typedef struct Arena { struct ArenaBlock *block; } Arena;
void *arena_new(Arena *arena, size_t count, size_t size, const char *what, Err *err); /* zeroed, 16-byte aligned */
char *arena_text(Arena *arena, const char *text, size_t bytes, Err *err);             /* NUL-terminated copy     */
void arena_free(Arena *arena);

/* ---- Files ----------------------------------------------------------------------------------------------------- */

typedef struct MappedFile { const uint8_t *data; size_t bytes; char *path; } MappedFile;
bool file_map(MappedFile *file, const char *path, Err *err);  /* read-only mmap; an empty file is an error */
void file_unmap(MappedFile *file);
/* The program (guard_start) remembers every file that is mapped or read by these functions or lines.h: */
struct stat;
bool file_read_note(int fd, const char *path, bool mapped, Err *err);
bool file_was_read(const struct stat *st);  /* by device and inode */
/* False and an error that names a mapped file whose bytes were changed in place since: what was made of them is not to
 * be trusted. */
bool files_unchanged(Err *err);
bool file_exists(const char *path);
bool folder_exists(const char *path);
/* Whole file, malloc'ed, NUL-terminated; an error past `limit` bytes. */
char *file_read(const char *path, size_t limit, size_t *bytes, Err *err);
/* A stream to its end in the same way; `name` is for messages. */
char *stream_read(FILE *file, const char *name, size_t limit, size_t *bytes, Err *err);
/* "folder/name", malloc'ed. */
char *path_join(const char *folder, const char *name, Err *err);
/* Writes and flushes at once, for text that is watched as it comes; says why it could not. */
bool file_put(FILE *file, const char *data, size_t bytes, const char *path, Err *err);
/* Flushes and closes an output; reports a full disk or a closed pipe that only shows now. stdout is flushed, not
 * closed. */
bool file_finish(FILE *file, const char *path, Err *err);

/* ---- Growing text: NUL-terminated; `failed` is kept until asked ------------------------------------------------- */

typedef struct Text { char *data; size_t bytes, capacity; bool failed; } Text;
void text_add(Text *text, const char *data, size_t bytes);
void text_line(Text *text, const char *format, ...) __attribute__((format(printf, 2, 3))); /* printf onto the end */
bool text_ok(const Text *text, const char *what, Err *err);   /* false and an error if any addition failed */
void text_free(Text *text);

/* ---- Text of files as it may be shown: control characters and broken UTF-8 become '?' --------------------------- */

/* A name from a file for messages, cut to fit; line ends are controls here. */
typedef struct NameText { char text[96]; } NameText;
NameText name_text(const char *data, size_t bytes);
/* In place; line ends stay. Every Err goes through it. */
void text_printable(char *text);

/* ---- Numbers read from people: whole string, in range ----------------------------------------------------------- */

bool parse_int(const char *text, int64_t low, int64_t high, int64_t *out);
bool parse_float(const char *text, double low, double high, double *out); /* refuses nan and inf */

double clock_seconds(void); /* monotonic */
#endif
