/* tensor_names.c: see tensor_names.h. */
#include <string.h>
#include "tensor_names.h"

static const NamePair *translate(const NamePair *table, const char *name, size_t bytes) {
    for (; table->gguf; table++)
        if (strlen(table->gguf) == bytes && !memcmp(table->gguf, name, bytes)) return table;
    return NULL;
}

RowHeads tensor_name(const TensorNames *names, GgufText name, char out[128]) {
    const char *data = name.data, *end = data + name.bytes, *dot = end;
    const NamePair *pair;
    while (dot > data && dot[-1] != '.') dot--; /* after the last dot: "weight" or "bias" */
    size_t stem = dot > data ? (size_t)(dot - 1 - data) : 0;
    snprintf(out, 128, "%.*s", (int)name.bytes, data);
    if (!(end - dot == 6 && !memcmp(dot, "weight", 6)) && !(end - dot == 4 && !memcmp(dot, "bias", 4)))
        return ROWS_PLAIN;
    if (stem < 4 || memcmp(data, "blk.", 4) != 0) {
        pair = translate(names->outer, data, stem);
        if (pair) snprintf(out, 128, "%s.%.*s", pair->hf, (int)(end - dot), dot);
    } else {
        size_t digits = strspn(out + 4, "0123456789"), part = 4 + digits + 1;
        if (digits == 0 || part >= stem || data[4 + digits] != '.') return ROWS_PLAIN;
        pair = translate(names->layer, data + part, stem - part);
        if (pair)
            snprintf(out, 128, "%s%.*s.%s.%.*s", names->layers, (int)digits, data + 4, pair->hf, (int)(end - dot), dot);
    }
    return pair && names->permuted ? pair->rows : ROWS_PLAIN;
}

static const NamePair *translate_back(const NamePair *table, const char *name, size_t bytes) {
    for (; table->gguf; table++)
        if (strlen(table->hf) == bytes && !memcmp(table->hf, name, bytes)) return table;
    return NULL;
}

bool tensor_gguf_name(const TensorNames *names, const char *name, char out[128], RowHeads *rows) {
    size_t layers = strlen(names->layers);
    const char *dot = strrchr(name, '.');
    if (!dot || (strcmp(dot, ".weight") && strcmp(dot, ".bias"))) return false;
    const NamePair *pair;
    if (strncmp(name, names->layers, layers) != 0) {
        pair = translate_back(names->outer, name, (size_t)(dot - name));
        if (pair) snprintf(out, 128, "%s%s", pair->gguf, dot);
    } else {
        const char *number = name + layers, *part = number + strspn(number, "0123456789");
        if (part == number || *part != '.' || part >= dot) return false;
        pair = translate_back(names->layer, part + 1, (size_t)(dot - part - 1));
        if (pair) snprintf(out, 128, "blk.%.*s.%s%s", (int)(part - number), number, pair->gguf, dot);
    }
    *rows = pair && names->permuted ? pair->rows : ROWS_PLAIN;
    return pair != NULL;
}
