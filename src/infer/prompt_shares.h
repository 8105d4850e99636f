/* prompt_shares.h: which prompts the rows of a step go to that are left by those that decode. */
#ifndef PROMPT_SHARES_H
#define PROMPT_SHARES_H
#include <stdint.h>

typedef struct PromptShare {
    int64_t left; /* rows that the prompt still needs */
    int64_t rows; /* out: of them in this step        */
} PromptShare;

/* Deals `rows` to the prompts list[count], which stand in the order they came: at least half of them to the earliest, so
 * that nothing stops it, the others to who needs fewest, the earlier of equals. So a short prompt does not wait for a
 * long one that came before, and prompts of one length are read one after the other: then the last is done no later, and
 * each other one earlier, than if they shared. The first gets a row even where there is none. */
void prompt_shares(PromptShare *list, int count, int64_t rows);

/* Rows of prompts beside `decoding` rows that decode, where nobody said how many: PREFILL_LEAST, or PREFILL_EACH for every
 * row that decodes. Rows of prompts are what a neighbour's next token waits for; but the more decode, the longer a step takes
 * without them, so that few rows of prompts would put off the first tokens and hardly bring forward the others. */
int64_t prefill_rows(int64_t decoding);
enum { PREFILL_LEAST = 32, PREFILL_EACH = 4 }; /* docs/measured.md */
#endif
