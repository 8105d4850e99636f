/* packed.h: one file with everything a model needs to run, its matrices already in the form the CPU engine computes
 * with, so that they are used where the file is mapped. Written by `qwenmesh pack`.
 *
 *   0   "QMPACKED"                       8   u32 version, u32 0           16  u64 bytes of the JSON
 *   24  u64 bytes of the file            32  SHA-256 of bytes 0..31 and the JSON
 *   64  JSON, then zeros up to a multiple of 4096, where the data begins; all numbers little-endian
 *
 *   {"layout": name of the panels' layout, "weights": "file", "bf16", "8bit" or "4bit", "error": of quantising,
 *    "sections": [{"kind", "name", "offset", "bytes", "sha256", and of weights "type", "stored", "shape"}]}
 *
 * Sections stand in the order of the list, each at a multiple of 4096 bytes from the data's beginning. Multiples of
 * 16 MiB of the file cut a section into pieces; its digest is the SHA-256 of the SHA-256s of its pieces, so that they
 * are hashed in parallel, when writing and when verifying. The header's digest is checked at every opening; the
 * sections' only when asked for.
 *
 * Pieces are also what is written at once: the page cache then holds the file in pages of 2 MiB, and reading the
 * mapped file is as fast as reading memory of huge pages. */
#ifndef PACKED_H
#define PACKED_H
#include <stdatomic.h>
#include "../base/output.h"
#include "dtype.h"
#include "names.h"

enum { PACKED_VERSION = 1, PACKED_ALIGN = 4096, PACKED_HEADER = 64, PACKED_PIECE = 16 << 20, SHA_BYTES = 32 };

typedef enum SectionKind {
    SECTION_FILE,   /* a file of the model's folder as it is: config.json, tokenizer.json, ...                        */
    SECTION_GGUF,   /* what config and tokenizer need of a GGUF file, as a GGUF file of its own (gguf_extract)        */
    SECTION_ROWS,   /* a vector, or a table whose rows are looked up: rows of `stored`                                */
    SECTION_PANELS, /* a matrix in panels of type `type`; the layout's owner knows its size                           */
    SECTION_KINDS
} SectionKind;

typedef struct PackedSection {
    SectionKind kind;
    const char *name;       /* of the file, or the weight's Hugging Face name     */
    const char *type;       /* SECTION_PANELS: name of the packed type, else ""   */
    DType stored;           /* weights: the type of rows; of panels, the source's */
    int rank;               /* weights: 1 or 2                                    */
    int64_t dim[2];
    size_t offset, bytes;   /* offset: from where the data begins                 */
    size_t at;              /* where it stands in the file                        */
    uint8_t digest[SHA_BYTES];
    const uint8_t *data;    /* in the mapped file                                 */
} PackedSection;

typedef struct Packed {
    MappedFile file;
    const char *layout, *weights;
    double error;           /* relative, root mean square, of what was quantised when packing; 0: nothing was */
    PackedSection *sections;
    int64_t count;
    Name *index;            /* "kind:name", item = place in sections */
    Arena arena;
} Packed;

bool packed_is(const char *path); /* does the file begin with the magic? */
/* Everything is checked before use: sizes against the file, the header's digest, kinds, types and shapes, no overlap,
 * no section twice. What panels take is checked by who knows the layout. */
bool packed_open(Packed *packed, const char *path, Err *err);
bool packed_parse(Packed *packed, const uint8_t *data, size_t bytes, const char *path, Err *err); /* bytes outlive it */
void packed_close(Packed *packed);
const PackedSection *packed_find(const Packed *packed, SectionKind kind, const char *name); /* NULL if absent */

/* The digest of a section from its pieces' digests. */
bool packed_digest(const uint8_t *pieces, size_t count, uint8_t out[SHA_BYTES]);
static inline size_t packed_pieces(const PackedSection *s) {
    return (s->at + s->bytes - 1) / PACKED_PIECE - s->at / PACKED_PIECE + 1;
}
/* Where a piece begins in its section; its bytes. */
size_t packed_piece(const PackedSection *section, size_t piece, size_t *bytes);
bool packed_verify(const Packed *packed, const PackedSection *section, Err *err);

/* ---- Writing ------------------------------------------------------------------------------------------------------
 * add all sections; start; put every piece of every section, from any thread; finish. The file is written beside
 * `path` under a name of its own, and takes that name only when complete and on disk. close removes what is not. */

typedef struct PackedWriter {
    char *path;
    Output out;
    int fd;                 /* of out */
    PackedSection *sections;
    int64_t count;
    size_t capacity;
    uint8_t **digests;      /* [count][pieces][32] */
    size_t header, bytes;   /* of the header, blanks included; of the file  */
    const char *layout, *weights;
    Arena arena;
} PackedWriter;

/* Refuses a `path` that is there and is no packed file. */
bool packed_writer_open(PackedWriter *w, const char *path, Err *err);
/* Copies name and type; places and digest are filled in. */
bool packed_writer_add(PackedWriter *w, const PackedSection *section, Err *err);
/* Reserves the whole file, so that a full disk is known before the work. layout and weights outlive the writer. */
bool packed_writer_start(PackedWriter *w, const char *layout, const char *weights, Err *err);
bool packed_writer_put(PackedWriter *w, int64_t section, size_t piece, const void *data, Err *err);
bool packed_writer_finish(PackedWriter *w, double error, Err *err);
void packed_writer_close(PackedWriter *w);

/* Names of kinds in the JSON. */
extern const char *const packed_kinds[SECTION_KINDS];
/* SHA-256 of a, then b (b may be NULL). False where it cannot be had. */
bool packed_sha(const void *a, size_t a_bytes, const void *b, size_t b_bytes, uint8_t out[SHA_BYTES]);
#endif
