/* axis.h: the axes of a model: what each dimension letter means, how it is dealt to devices, and in which order it is
 * summed where devices share it. Whoever wants to know something of a letter asks here: nobody else compares letters.
 */
#ifndef AXIS_H
#define AXIS_H
#include "../io/config.h"
#include "tree.h"

/* Letters by name, for those who want the size of one axis. */
typedef enum Axis {
    AXIS_STEP_ROW = 't', AXIS_LOGIT_ROW = 'r', AXIS_HIDDEN = 'd', AXIS_FFN = 'f', AXIS_VOCAB = 'v',
    AXIS_POSITION = 's', AXIS_LABEL = 'n', AXIS_KV_HEAD = 'k', AXIS_GROUP = 'g', AXIS_CHANNEL = 'c',
    AXIS_ADAPTER = 'l',
} Axis;
enum { AXES = 11, SUMS = 6 };

/* ROLE_ROWS: of a step, dealt to the replicas by sequence. ROLE_TREE: to the devices of a replica, in leaves of the
 * tree that a sum over it goes by. ROLE_WHOLE: every device has all. */
typedef enum AxisRole { AXIS_WHOLE, AXIS_ROWS, AXIS_TREE } AxisRole;

/* Which list of a step's rows a value has a row for. */
typedef enum RowKind { NO_ROWS, STEP_ROWS, LOGIT_ROWS, ROW_KINDS } RowKind;

Range range_part(int64_t size, int parts, int part); /* as even as can be, the first ones larger */

/* What a model's sizes and a mesh leave to be dealt. */
typedef struct AxisGrid { int kv_parts, group_parts, devices; } AxisGrid;

typedef struct AxisRow {
    char letter;
    const char *noun;
    AxisRole role;
    RowKind rows;
    int64_t (*size)(const ModelConfig *config);  /* NULL: of the step, not of the model */
    /* Part `part` of an axis of `size`: of a device of a replica, or of a replica; NULL: all of it. */
    Range (*deal)(const AxisGrid *grid, int64_t size, int part);
} AxisRow;

/* The order of a sum over letters that devices share. */
typedef struct SumRow {
    const char *letters; /* outermost first: "kg" is summed over a grid of heads */
    bool (*tree)(Tree *tree, const ModelConfig *config, Err *err); /* NULL: of sequences, by lanes (ops/lanes.h) */
    int64_t (*each)(const ModelConfig *config); /* elements of the dimension for one index of the letters; NULL: 1 */
} SumRow;

extern const AxisRow axis_table[AXES];
extern const SumRow sum_table[SUMS];

/* The row of a letter; NULL: there is no such axis. */
const AxisRow *axis_row(char letter);
static inline bool axis_is_rows(char letter) { return axis_row(letter) && axis_row(letter)->role == AXIS_ROWS; }
/* Whether the devices of a replica share a dimension of this letter. */
bool axis_is_split(char letter);
/* The number of the sum over just these letters, in any order; -1: there is none. Rows of any list are summed by
 * sequence. */
int sum_of(const char *letters);
/* Of a dimension of these letters: those of the widest sum that devices share within it; "": none. */
const char *axis_sum_letters(const char *letters);
/* Of a dimension of these letters and this size: where what no device parts ends, that column `at` is in: its leaf of that
 * sum; all of it where devices share none. channels: of a head. */
int64_t axis_leaf_end(const char *letters, int64_t size, int64_t channels, int64_t at);
#endif
