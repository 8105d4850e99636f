/* searches.c: the table of policies. */
#include "search.h"

/* The first that applies. */
static const SearchRow *const rows[] = {&beams_row, &samples_row, &contrastive_row, &drafts_row, &token_by_token_row};

const SearchRow *search_of(const GenerationConfig *c, bool draft) {
    int i = 0;
    while (!rows[i]->applies(c, draft)) i++;
    return rows[i];
}

bool search_wanted(const GenerationConfig *c, bool draft) { return search_of(c, draft) != &token_by_token_row; }
int64_t search_slots(const GenerationConfig *c) { return search_of(c, false)->slots(c); }
bool search_hidden(const GenerationConfig *c) { return search_of(c, false)->hidden; }
