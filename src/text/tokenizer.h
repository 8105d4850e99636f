/* tokenizer.h: what a QmTokenizer holds, and the encoding that chat prompts need: added tokens in chosen places only.
 */
#ifndef TOKENIZER_H
#define TOKENIZER_H
#include <stdatomic.h>
#include "../io/config.h"
#include "../io/gguf.h"
#include "added.h"
#include "bpe.h"
#include "chat.h"
#include "order.h"
#include "split.h"
#include "vocab.h"

/* Working space kept from one call for the next. Threads that find it taken make their own. */
typedef struct Spare {
    _Atomic(Bpe *) bpe;
    _Atomic(TokenOrder *) order; /* once somebody asked for it */
    _Atomic int32_t turn_end;    /* 2 + what qm_tokenizer_turn_end found; 0: not looked for yet */
} Spare;

struct QmTokenizer {
    Vocab vocab;
    bool nfc;             /* normalise before splitting */
    AddedSet raw;         /* added tokens matched in the text as given ("normalized": false) */
    AddedSet normal;      /* added tokens matched after normalisation */
    Splitter splitter;
    int32_t bos, eos;     /* or -1 */
    int32_t end;          /* ends a text that stands alone, as embedding models want it; -1: nothing does */
    bool add_bos;         /* every encoded text starts with bos, which is >= 0 */
    ChatTemplate chat;
    Spare *spare;
};

/* qm_tokenizer_chat of messages that are read already: numbers that no JSON library writes stay what they are. */
int64_t tokenizer_chat(const QmTokenizer *t, const json_t *messages, bool add_generation_prompt, int32_t **ids,
                       char **text, Err *err);
/* Appends the ids of a rendered prompt: control tokens where the template wrote them only. */
bool tokenizer_prompt(const QmTokenizer *t, const Prompt *prompt, Ids *out, Err *err);

/* ---- Loading: tokenizer_json.c and tokenizer_gguf.c fill an empty tokenizer ---------------------------------- */

QmTokenizer *tokenizer_new(Err *err);
bool tokenizer_load_json(QmTokenizer *t, const uint8_t *data, size_t bytes, const char *where, Err *err);
/* tokenizer_config.json, after tokenizer_load_json; tokenizer_config.c says what is taken from it. `habits`: of the
 * model's family; NULL: it is not known. */
bool tokenizer_load_config(QmTokenizer *t, const json_t *root, const TokenizerHabits *habits, const char *where,
                           Err *err);
/* What tokenizer.ggml.pre calls its pre-tokenizer; NULL: GGUF has no name for it. */
const char *tokenizer_pre_name(const QmTokenizer *t);
bool tokenizer_load_gguf(QmTokenizer *t, const Gguf *gguf, const TokenizerHabits *habits, Err *err);
/* Takes up an added token that none is yet. */
bool tokenizer_add(QmTokenizer *t, const Added *token, bool special, bool normalized, Err *err);
/* Puts an added token among those that are looked for in texts; the set is finished anew afterwards. */
bool tokenizer_place(QmTokenizer *t, const Added *token, bool normalized, Err *err);
/* Sorts and indexes. The loaders end with it. */
bool tokenizer_finish(QmTokenizer *t, Err *err);
int32_t tokenizer_id(const QmTokenizer *t, const char *text, size_t bytes); /* of an exact token text, or -1 */

/* ---- Encoding ------------------------------------------------------------------------------------------------ */

/* Appends the ids of well-formed `text`. Added tokens are recognised only if they lie in one of the `open` spans, which
 * are in order and apart; elsewhere their text is plain text, which never becomes a special token. */
bool tokenizer_encode(const QmTokenizer *t, const uint8_t *text, size_t bytes, const Span *open, size_t open_count,
                      Ids *out, Err *err);
/* Id of the token that the chat template writes after an answer, or -1. */
int32_t qm_tokenizer_turn_end(const QmTokenizer *tokenizer);
#endif
