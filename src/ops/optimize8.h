/* optimize8.h: where the blocks of a moment in 8 bits are (codes8.h). */
#ifndef OPTIMIZE8_H
#define OPTIMIZE8_H
#include "../graph/graph.h"
#include "../graph/tree.h"
#include "codes8.h"

/* The end of the block of columns that begins at `column`, in rows of which `columns` is the dimension. */
int64_t code_block_end(const Graph *g, const Dim *columns, int64_t column);
/* The whole blocks among the columns that are held; of them, bytes of a panel, or those before `column`. */
Range code_columns(const Graph *g, const Dim *columns, Range held);
int64_t code_panel_bytes(const Graph *g, const Dim *columns, Range of);
int64_t code_blocks(const Graph *g, const Dim *columns); /* of a row */
static inline bool node_is_coded(const Node *n) { return n->type == TYPE_FIRST8 || n->type == TYPE_SECOND8; }
static inline CodeKind node_code(const Node *n) { return n->type == TYPE_FIRST8 ? CODE_FIRST : CODE_SECOND; }
#endif
