/* axis.c: THE TABLE of axes, and that of sums over them. A new axis is one row here. */
#include <string.h>
#include "../ops/pack.h"
#include "axis.h"

Range range_part(int64_t size, int parts, int part) {
    int64_t each = size / parts, more = size % parts;
    int64_t first = part * each + (part < more ? part : more);
    return (Range){first, first + each + (part < more)};
}

static int64_t hidden(const ModelConfig *c) { return c->hidden; }
static int64_t ffn(const ModelConfig *c) { return c->ffn; }
static int64_t vocabulary(const ModelConfig *c) { return c->vocab; }
static int64_t kv_heads(const ModelConfig *c) { return c->kv_heads; }
static int64_t group(const ModelConfig *c) { return c->heads / c->kv_heads; }
static int64_t channels(const ModelConfig *c) { return c->head_dim; }
static int64_t labels(const ModelConfig *c) { return c->labels; }
static int64_t adapter_rank(const ModelConfig *c) { return c->adapter_rank; }

/* ---- How axes are dealt ------------------------------------------------------------------------------------------ */

static bool has_heads(const AxisGrid *g, int device) { return device < g->kv_parts * g->group_parts; }

static Range deal_kv(const AxisGrid *g, int64_t size, int device) {
    return has_heads(g, device) ? range_part(size, g->kv_parts, device / g->group_parts) : (Range){0, 0};
}

static Range deal_group(const AxisGrid *g, int64_t size, int device) {
    return has_heads(g, device) ? range_part(size, g->group_parts, device % g->group_parts) : (Range){0, 0};
}

static Range deal_leaves(const AxisGrid *g, int64_t size, int device) {
    Range leaves = range_part(FFN_LEAVES, g->devices, device);
    if (leaves.first == leaves.last) return (Range){0, 0};
    return (Range){tree_range(size, leaves.first).first, tree_range(size, leaves.last - 1).last};
}

/* The leaves that sum_panels makes: so many panels of 16 each. */
static Range deal_panels(const AxisGrid *g, int64_t size, int device) {
    Range leaves = range_part(VOCAB_LEAVES, g->devices, device);
    if (leaves.first == leaves.last) return (Range){0, 0};
    return (Range){tree_panel_range(size, leaves.first).first, tree_panel_range(size, leaves.last - 1).last};
}

const AxisRow axis_table[AXES] = {
    {.letter = AXIS_STEP_ROW, .noun = "rows of a step", .role = AXIS_ROWS, .rows = STEP_ROWS},
    {.letter = AXIS_LOGIT_ROW, .noun = "rows whose logits are asked for", .role = AXIS_ROWS, .rows = LOGIT_ROWS},
    {.letter = AXIS_HIDDEN, .noun = "hidden", .size = hidden},
    {.letter = AXIS_FFN, .noun = "ffn (intermediate)", .role = AXIS_TREE, .size = ffn, .deal = deal_leaves},
    /* An embedding table stays whole for all that (`!v` in embed's factors): rows are looked up by every device. */
    {.letter = AXIS_VOCAB, .noun = "vocabulary", .role = AXIS_TREE, .size = vocabulary, .deal = deal_panels},
    {.letter = AXIS_POSITION, .noun = "cache positions"},
    {.letter = AXIS_LABEL, .noun = "labels of a head", .size = labels}, /* few: not worth a collective */
    {.letter = AXIS_KV_HEAD, .noun = "key/value heads", .role = AXIS_TREE, .size = kv_heads, .deal = deal_kv},
    {.letter = AXIS_GROUP, .noun = "query heads per key/value head", .role = AXIS_TREE, .size = group,
     .deal = deal_group},
    {.letter = AXIS_CHANNEL, .noun = "channels of a head", .size = channels},
    {.letter = AXIS_ADAPTER, .noun = "rank of an adapter", .size = adapter_rank},
};

/* ---- How they are summed ----------------------------------------------------------------------------------------- */

static bool sum_heads(Tree *t, const ModelConfig *c, Err *err) {
    return tree_grid(t, c->kv_heads, group(c), c->head_dim, err);
}
static bool sum_kv(Tree *t, const ModelConfig *c, Err *err) { return tree_grid(t, c->kv_heads, 1, c->head_dim, err); }
static bool sum_ffn(Tree *t, const ModelConfig *c, Err *err) { return tree_ranges(t, c->ffn, err); }
static bool sum_panels(Tree *t, const ModelConfig *c, Err *err) { return tree_panels(t, c->vocab, err); }
static bool sum_group_heads(Tree *t, const ModelConfig *c, Err *err) { return tree_grid(t, 1, group(c), 1, err); }

const SumRow sum_table[SUMS] = {
    {.letters = "kg", .tree = sum_heads, .each = channels},
    {.letters = "f", .tree = sum_ffn},
    {.letters = "v", .tree = sum_panels},
    {.letters = "k", .tree = sum_kv, .each = channels}, /* a head that several devices hold is the first one's */
    {.letters = "g", .tree = sum_group_heads},
    {.letters = "t"},
};

/* ---- Questions --------------------------------------------------------------------------------------------------- */

const AxisRow *axis_row(char letter) {
    for (int i = 0; i < AXES; i++)
        if (axis_table[i].letter == letter) return &axis_table[i];
    return NULL;
}

bool axis_is_split(char letter) {
    const AxisRow *row = axis_row(letter);
    return row && (row->role == AXIS_TREE);
}

int sum_of(const char *letters) {
    char one[2] = {AXIS_STEP_ROW, 0};
    if (axis_is_rows(letters[0]) && !letters[1]) letters = one;
    for (int i = 0; letters[0] && i < SUMS; i++)
        if (strlen(letters) == strlen(sum_table[i].letters) &&
            strspn(letters, sum_table[i].letters) == strlen(letters))
            return i;
    return -1;
}

const char *axis_sum_letters(const char *letters) {
    const char *widest = "";
    for (int i = 0; i < SUMS; i++) {
        const char *of = sum_table[i].letters;
        bool all = sum_table[i].tree != NULL;
        for (const char *l = of; *l; l++) all &= strchr(letters, *l) != NULL;
        if (all && strlen(of) > strlen(widest)) widest = of;
    }
    return widest;
}

int64_t axis_leaf_end(const char *letters, int64_t size, int64_t channels_of_head, int64_t at) {
    int sum = sum_of(axis_sum_letters(letters));
    int64_t end = size;
    if (sum < 0) return size;
    if (sum_table[sum].each) end = (at / channels_of_head + 1) * channels_of_head;
    for (int64_t leaf = 0; sum_table[sum].tree == sum_ffn && leaf < FFN_LEAVES; leaf++) {
        Range r = tree_range(size, leaf);
        if (at >= r.first && at < r.last) end = r.last;
    }
    return end < size ? end : size;
}
