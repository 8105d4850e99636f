/* train_data.h: files to the rows that a run is trained on. All samples are read, checked and turned into tokens before
 * the first step, by all cores; a wrong line is an error that names it. What comes out depends on the files, the
 * tokenizer and the options alone.
 *
 * A file named *.txt is text. Any other is JSON: a value a line, or (named *.json) one array of them. Each is, by the
 * keys that it has,
 *   {"text"}                                 a document
 *   {"prompt", "completion"}                 two texts, or two lists of messages: labels on the completion
 *   {"messages", "tools"?}                   a conversation, by the tokenizer's chat template: labels by `mask`
 *   {"conversations": [{"from", "value"}]}   the same as ShareGPT writes it
 *   {"instruction", "input"?, "output"}      the same as Alpaca writes it; also {"question", "answer"}
 *   {"ids", "labels"?}                       tokens; a label is the id beside it, or -100
 * and where classes are learnt ("text" or "ids" in each):
 *   seqcls  {"text", "text_pair"?, "label"}  a name, a whole number from 0 on, or any number (a regression)
 *   tokcls  {"tokens", "tags"}               words with a name or a number each; {"ids", "labels"}
 *   qa      {"question", "context", "answers": {"text", "answer_start"}}; {"ids", "start", "end"} */
#ifndef TRAIN_DATA_H
#define TRAIN_DATA_H
#include "../base/base.h"
#include "rows.h"

/* How samples become rows of at most seq_len tokens. Packed ones do not see each other: they are segments.
 * none: a sample a row, cut. bfd: best-fit decreasing, cut. bfd_split: the same, longer ones in pieces. wrapped: joined
 * and cut anywhere, one segment a row, the last one short. blocks: run_clm's group_texts: joined in groups of 1000,
 * whole rows only. auto: blocks where all files are text, else none. */
typedef enum TrainPacking {
    PACKING_AUTO, PACKING_NONE, PACKING_BFD, PACKING_BFD_SPLIT, PACKING_WRAPPED, PACKING_BLOCKS
} TrainPacking;

/* shuffle: every epoch's rows in an order drawn for (seed, epoch). file: as they come, each epoch. */
typedef enum TrainOrder { ORDER_SHUFFLE, ORDER_FILE } TrainOrder;

/* Which tokens of a conversation have labels. assistant: all of the assistant's turns, as TRL has it: what the template
 * marks by {% generation %}, or, where it marks nothing, all behind the header up to the end of the turn and its
 * newline. reply: what the model writes itself, without white space of the template before and behind. last: the last
 * turn of `assistant` alone. */
typedef enum TrainMask { MASK_ASSISTANT, MASK_REPLY, MASK_LAST } TrainMask;

/* What the end-of-text token is put behind: auto: documents, completions of text; never: nothing. */
typedef enum TrainEnd { END_AUTO, END_NEVER } TrainEnd;

typedef struct TrainDataOptions {
    const char *const *files, *const *eval_files; /* "-": standard input                                             */
    int file_count, eval_file_count;
    TrainTask task;
    TrainPacking packing;
    TrainOrder order;
    TrainMask mask;
    TrainEnd end;
    int64_t seq_len;      /* most tokens of a row, >= 2                                                              */
    int64_t vocab;        /* of the model: ids are below it; 0: the tokenizer's                                      */
    double eval_split;    /* the part of the samples kept for evaluation, where there are no eval_files: the first
                             ones (order file, blocks), or drawn by the seed                                         */
    uint64_t seed;
    bool documents;       /* a text file is documents, parted by the text of the end-of-text token; else, as run_clm
                             reads it, every line with its end is a text                                             */
    bool control_tokens;  /* control tokens in what messages say are such, as transformers has it; else plain text   */
    const char *const *names; /* [name_count] of classes that the model has; none: they come from the data           */
    int name_count;
    int threads;          /* 0: all usable cores                                                                     */
    const char *cache;    /* a folder that keeps the tokens of files by their content; NULL: none                    */
    bool (*stop)(void);   /* asked now and then while files are read, by any thread: true ends with QM_INTERRUPTED;
                             NULL: never                                                                             */
    QmSource *source;     /* of the tokenizer: tokens are kept by its content too; NULL: they are not kept           */
} TrainDataOptions;

/* What is to be said of the data. */
typedef struct TrainCounts {
    int64_t samples;      /* read                                                                                    */
    int64_t cut;          /* longer than seq_len, by packing none and bfd                                            */
    int64_t dropped;      /* left without a label                                                                    */
    int64_t rest;         /* tokens in no row: what was cut, and what blocks leave over                              */
    int64_t rows, tokens, labels; /* of one epoch                                                                    */
} TrainCounts;

typedef struct TrainData TrainData;

/* tokenizer: borrowed for this call; its chat template counts (qm_tokenizer_set_chat). NULL: every sample has ids.
 * NULL on error. Where a prompt's tokens do not begin those of prompt and completion together, a warning says how often
 * (base/watch.h). */
TrainData *train_data_open(const QmTokenizer *tokenizer, const TrainDataOptions *options, Err *err);
void train_data_close(TrainData *data);

/* Row `index` of an epoch, from 0 on; epochs count from 0. Both stay until train_data_close. One thread at a time. */
int64_t train_rows(const TrainData *data);
const TrainRow *train_row(TrainData *data, int64_t epoch, int64_t index);
/* Rows for evaluation, always in the order of the files. */
int64_t train_eval_rows(const TrainData *data);
const TrainRow *train_eval_row(const TrainData *data, int64_t index);
/* Of a segment of these rows; NULL for clm. */
const TrainTarget *train_target(const TrainData *data, const TrainSegment *segment);

TrainTask train_task(const TrainData *data);
TrainPacking train_packing(const TrainData *data); /* never auto */
const TrainCounts *train_counts(const TrainData *data);
const TrainCounts *train_eval_counts(const TrainData *data);
/* The classes: names by number. Names of words are in order of their bytes; numbers from 0 on are LABEL_0, ... as
 * transformers calls them. A regression has none. */
int train_name_count(const TrainData *data);
const char *train_name(const TrainData *data, int i);
bool train_is_regression(const TrainData *data);

/* What the options are called, by their numbers; NULL at the end. */
extern const char *const train_task_names[], *const train_packing_names[], *const train_order_names[],
    *const train_mask_names[];
int train_option(const char *const *names, const char *word); /* -1: none of them */
#endif
