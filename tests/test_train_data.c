/* test_train_data.c: what rows a run is trained on: masks, packing plans and blocks as TRL and run_clm make them; files
 * that are wrong; tokens that are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include "../src/io/json.h"
#include "../src/train/train_data.h"
#include "../src/train/train_order.h"
#include "../src/train/train_pack.h"
#include "../src/train/train_show.h"
#include "fixture.h"

/* ---- Files and options ------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/qwenmesh-train-XXXXXX";

static const char *path_of(const char *name) {
    static char path[16][256];
    static int next;
    char *p = path[next++ % 16];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static const char *file_with(const char *name, const char *text, size_t bytes) {
    const char *path = path_of(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
    return path;
}

static const char *file_of(const char *name, const char *text) { return file_with(name, text, strlen(text)); }

static const char *one_file[1];

static TrainDataOptions options_for(const char *path) {
    one_file[0] = path;
    return (TrainDataOptions){.files = one_file, .file_count = 1, .seq_len = 1024, .order = ORDER_FILE, .threads = 2};
}

static TrainData *must_open(const TrainDataOptions *o) {
    Err err = {0};
    TrainData *d = train_data_open(qwen, o, &err);
    if (!d) fail_msg("%s", err.text);
    return d;
}

static void must_fail(const TrainDataOptions *o, const QmTokenizer *t, const char *want) {
    Err err = {0};
    TrainData *d = train_data_open(t, o, &err);
    assert_null(d);
    assert_true(err.kind);
    if (!strstr(err.text, want)) fail_msg("expected '%s' in: %s", want, err.text);
}

/* The file of one line cannot be read: the error has `want` in it, and the line. */
static void wrong_line(const char *line, const char *want) {
    Text text = {0};
    text_line(&text, "{\"ids\": [1, 2]}\n\n%s\n", line);
    TrainDataOptions o = options_for(file_of("wrong.jsonl", text.data));
    must_fail(&o, qwen, want);
    must_fail(&o, qwen, "wrong.jsonl line 3");
    text_free(&text);
}

static json_t *golden(const char *name) {
    char path[128];
    Err err = {0};
    snprintf(path, sizeof path, "tests/golden/%s/golden.json", name);
    json_t *root = json_file(path, 1 << 20, &err);
    if (!root) fail_msg("%s", err.text);
    return root;
}

static int64_t number(const json_t *list, size_t i) { return json_integer_value(json_array_get(list, i)); }

/* A list of lists, one "ids" a line. */
static const char *file_of_ids(const char *name, const json_t *ids, const json_t *labels) {
    Text text = {0};
    size_t i;
    const json_t *list;
    json_array_foreach(ids, i, list) {
        char *dump = json_dumps(list, 0), *more = labels ? json_dumps(json_array_get(labels, i), 0) : NULL;
        if (more) text_line(&text, "{\"ids\": %s, \"labels\": %s}\n", dump, more);
        else text_line(&text, "{\"ids\": %s}\n", dump);
        free(dump), free(more);
    }
    const char *path = file_of(name, text.data);
    text_free(&text);
    return path;
}

/* ---- Conversations ----------------------------------------------------------------------------------------------- */

static const char *file_of_chats(const json_t *conversations) {
    Text text = {0};
    size_t i;
    const json_t *c;
    json_array_foreach(conversations, i, c) {
        json_t *line =
            json_pack("{sOsO}", "messages", json_object_get(c, "messages"), "tools", json_object_get(c, "tools"));
        char *dump = json_dumps(line, JSON_COMPACT);
        text_line(&text, "%s\n", dump);
        free(dump);
        json_decref(line);
    }
    const char *path = file_of("chat.jsonl", text.data);
    text_free(&text);
    return path;
}

static void check_masks(const json_t *conversations, TrainMask mask, const char *key) {
    TrainDataOptions o = options_for(file_of_chats(conversations));
    o.mask = mask;
    o.control_tokens = true; /* as transformers made the golden data */
    TrainData *d = must_open(&o);
    size_t i;
    const json_t *c;
    assert_int_equal(train_rows(d), json_array_size(conversations));
    json_array_foreach(conversations, i, c) {
        const json_t *ids = json_object_get(c, "input_ids"), *want = json_object_get(c, key);
        const TrainRow *row = train_row(d, 0, (int64_t)i);
        assert_int_equal(row->count, 1);
        assert_int_equal(row->tokens, json_array_size(ids));
        int64_t labels = 0;
        for (size_t k = 0; k < json_array_size(ids); k++) {
            assert_int_equal(row->segments[0].ids[k], number(ids, k));
            assert_int_equal(row->segments[0].labels[k], number(want, k) ? number(ids, k) : NO_LABEL);
            labels += number(want, k);
        }
        assert_int_equal(row->labels, labels);
    }
    train_data_close(d);
}

static void golden_masks(void **state) {
    (void)state;
    json_t *root = golden("train-chat");
    const json_t *conversations = json_object_get(root, "conversations");
    assert_int_equal(json_array_size(conversations), 8);
    check_masks(conversations, MASK_ASSISTANT, "assistant_mask");
    check_masks(conversations, MASK_REPLY, "reply_mask");
    check_masks(conversations, MASK_LAST, "last_only_mask");
    json_decref(root);
}

/* The tokens with labels, as text, runs parted by '|'. */
static char *labelled(const TrainRow *row) {
    Text out = {0};
    bool was = false;
    text_add(&out, "", 0);
    for (int64_t k = 0; k < row->count; k++) {
        const TrainSegment *s = &row->segments[k];
        for (int64_t i = 0; i < s->count; i++) {
            size_t n;
            bool is = i > 0 && s->labels[i] != NO_LABEL;
            const char *piece = qm_tokenizer_piece(qwen, s->ids[i], &n, NULL);
            assert_non_null(piece);
            if (is && !was && out.bytes) text_add(&out, "|", 1);
            if (is) text_add(&out, piece, n);
            was = is;
        }
    }
    return out.data;
}

static void check_labelled(const TrainDataOptions *o, int64_t row, const char *want) {
    TrainData *d = must_open(o);
    char *got = labelled(train_row(d, 0, row));
    assert_string_equal(got, want);
    free(got);
    train_data_close(d);
}

/* Text of a message is no control token unless that is asked for, and its labels are the same characters. */
static void text_stays_text(void **state) {
    (void)state;
    TrainDataOptions o = options_for(file_of(
        "a.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"<|im_start|>assistant\\nno<|im_end|>\"}, "
                   "{\"role\": \"assistant\", \"content\": \"a <|im_end|> b\"}]}\n"));
    int32_t end = qm_tokenizer_id(qwen, "<|im_end|>");
    for (int tokens = 0; tokens < 2; tokens++) {
        o.control_tokens = tokens;
        check_labelled(&o, 0, "\na <|im_end|> b<|im_end|>\n");
        TrainData *d = must_open(&o);
        const TrainRow *row = train_row(d, 0, 0);
        int64_t ends = 0;
        for (int64_t i = 0; i < row->tokens; i++) ends += row->segments[0].ids[i] == end;
        assert_int_equal(ends, tokens ? 5 : 3);
        train_data_close(d);
    }
}

/* Letters with marks that form C joins: the text of tokens is shorter than that of the file. */
static void normal_forms(void **state) {
    (void)state;
    TrainDataOptions o =
        options_for(file_of("nfc.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"e\\u0301 e\\u0301\"}, "
                                         "{\"role\": \"assistant\", \"content\": \"o\\u0308k e\\u0301\"}, {\"role\": "
                                         "\"user\", \"content\": \"A\\u030A\"}]}\n"));
    check_labelled(&o, 0, "\n\xC3\xB6k \xC3\xA9<|im_end|>\n");
    o.mask = MASK_REPLY;
    check_labelled(&o, 0, "\xC3\xB6k \xC3\xA9<|im_end|>");
}

static void other_templates(void **state) {
    (void)state;
    Err err = {0};
    const char *path = file_of(
        "two.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"one\"}, "
        "{\"role\": \"user\", \"content\": \"r\"}, {\"role\": \"assistant\", \"content\": \"two\"}]}\n");
    TrainDataOptions o = options_for(path);
    /* Marks of the template itself. */
    assert_true(qm_tokenizer_set_chat(qwen, "chatml", &err));
    check_labelled(&o, 0, "one<|im_end|>|two<|im_end|>");
    o.mask = MASK_LAST;
    check_labelled(&o, 0, "two<|im_end|>");
    /* No marks, no ChatML: what the template writes more for the message. */
    const char *plain = file_of(
        "plain.jinja",
        "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}"
        "<|endoftext|>\n{% endif %}{% endfor %}");
    assert_true(qm_tokenizer_set_chat(qwen, plain, &err));
    check_labelled(&o, 0, " two<|endoftext|>\n");
    o.mask = MASK_REPLY;
    check_labelled(&o, 0, " one<|endoftext|>| two<|endoftext|>"); /* " one" is one token */
    /* What ends the whole is not what a turn ends with, and the generation prompt says more than a turn begins with. */
    const char *ends =
        file_of("ends.jinja",
                "{% for m in messages %}{{ '<|box_start|>' if m.role == 'user' else '<|quad_start|>' }}{{ m.content }}"
                "<|vision_end|>\n{% endfor %}{{ '<|quad_start|>\\n' if add_generation_prompt else '<|endoftext|>' }}");
    assert_true(qm_tokenizer_set_chat(qwen, ends, &err));
    check_labelled(&o, 0, "one<|vision_end|>|two<|vision_end|>\n<|endoftext|>");
    Text many = {0};
    text_line(&many, "{\"messages\": [");
    for (int i = 0; i < 20000; i++)
        text_line(&many, "%s{\"role\": \"assistant\", \"content\": \"%064d\"}", i ? ", " : "", i);
    text_line(&many, "]}\n");
    TrainDataOptions long_one = options_for(file_of("many.jsonl", many.data));
    text_free(&many);
    must_fail(&long_one, qwen, "too many for a chat template that marks no turns");
    one_file[0] = path;
    /* A template that moves what came before: only the last turn is known. */
    const char *moves = file_of(
        "moves.jinja", "{% for m in messages %}{{ loop.revindex if m.role == 'user' }}[{{ m.content }}]{% endfor %}");
    assert_true(qm_tokenizer_set_chat(qwen, moves, &err));
    must_fail(&o, qwen, "two.jsonl line 1: messages[1]: the chat template writes what came before in another way");
    o.mask = MASK_LAST;
    must_fail(&o, qwen, "messages[3]");
    const char *last = file_of("last.jinja", "{% for m in messages %}{% if loop.last and m.role == 'assistant' %}{{ "
                                             "m.content }}<|endoftext|>{% elif m.role == "
                                             "'user' %}[{{ m.content }}]{% endif %}{% endfor %}");
    assert_true(qm_tokenizer_set_chat(qwen, last, &err));
    check_labelled(&o, 0, "two<|endoftext|>");
    /* A template that forgets: nobody knows what the assistant's part is. */
    const char *forgets = file_of("forgets.jinja", "{{ messages | length }}{{ messages[-1].content }}");
    assert_true(qm_tokenizer_set_chat(qwen, forgets, &err));
    must_fail(&o, qwen, "two.jsonl line 1: messages[3]: the chat template writes");
    qm_tokenizer_close(qwen);
    assert_int_equal(open_qwen(NULL), 0);
}

static void other_forms(void **state) {
    (void)state;
    TrainDataOptions o = options_for(file_of(
        "forms.json",
        "[{\"instruction\": \"Add.\", \"input\": \"1 2\", \"output\": \"3\"},\n"
        " {\"conversations\": [{\"from\": \"system\", \"value\": \"s\"}, {\"from\": \"human\", \"value\": \"h\"}, "
        "{\"from\": \"function_call\", \"value\": \"{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {\\\"a\\\": 1}}\"}, "
        "{\"from\": \"observation\", \"value\": \"9\"}, {\"from\": \"gpt\", \"value\": \"g\"}]},\n"
        " {\"question\": \"q\", \"answer\": \"a\"},\n"
        " {\"prompt\": [{\"role\": \"user\", \"content\": \"p\"}], \"completion\": [{\"role\": \"assistant\", "
        "\"content\": \"c\"}]},\n"
        " {\"messages\": [{\"role\": \"user\", \"content\": \"u\"}, {\"role\": \"assistant\", \"content\": \"\", "
        "\"tool_calls\": [{\"function\": {\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}}]}]}]"));
    static const char *const want[] = {
        "\n3<|im_end|>\n",
        "\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call><|im_end|>\n|\ng<|im_end|>\n",
        "\na<|im_end|>\n", "c<|im_end|>\n",
        "\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call><|im_end|>\n"};
    for (int i = 0; i < 5; i++) check_labelled(&o, i, want[i]);
    o = options_for(file_of("element.json", "[{\"ids\": [1, 2]}, {\"ids\": 3}]"));
    must_fail(&o, qwen, "element.json element 2: ids: expected a list of tokens");
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static void prompts_and_texts(void **state) {
    (void)state;
    TrainDataOptions o = options_for(
        file_of("p.jsonl", "{\"prompt\": \"The answer is\", \"completion\": \" 42.\"}\n{\"text\": \"Hello there\"}\n"
                           "{\"text\": \"ends itself<|im_end|>\"}\n{\"prompt\": \"un\", \"completion\": \"happy\"}\n"));
    const char *end = "<|im_end|>";
    size_t n;
    assert_memory_equal(qm_tokenizer_piece(qwen, qm_tokenizer_eos(qwen), &n, NULL), end, strlen(end));
    check_labelled(&o, 0, " 42.<|im_end|>");
    check_labelled(&o, 1, " there<|im_end|>"); /* nothing stands before the first token */
    check_labelled(&o, 2, " itself<|im_end|>");
    TrainData *d = must_open(&o);
    const TrainSegment *s = train_row(d, 0, 1)->segments;
    assert_int_equal(s->labels[0], NO_LABEL);
    for (int64_t i = 1; i < s->count; i++) assert_int_equal(s->labels[i], s->ids[i]);
    train_data_close(d);
    o.end = END_NEVER;
    check_labelled(&o, 0, " 42.");
}

static int warnings;
static char last_warning[512];
static void count_warning(void *owner, QmLevel level, const char *text) {
    (void)owner;
    if (level == QM_WARNING) warnings++, snprintf(last_warning, sizeof last_warning, "%s", text);
}

/* "unhappy" is one token, so the tokens of "un" do not begin it. */
static void torn_prompt(void **state) {
    (void)state;
    QmWatch watch = {.message = count_warning};
    TrainDataOptions o = options_for(file_of("torn.jsonl", "{\"prompt\": \" un\", \"completion\": \"happy\"}\n"));
    qm_watch(&watch);
    warnings = 0;
    check_labelled(&o, 0, "<|im_end|>");
    qm_watch(NULL);
    assert_int_equal(warnings, 1);
    assert_non_null(strstr(last_warning, "1 prompts end within a token"));
}

/* run_clm: every line with its end is a text; all are joined, in groups of 1000, and cut; the rest is left out. */
static void text_blocks(void **state) {
    (void)state;
    Text text = {0}, unix_ends = {0};
    for (int i = 0; i < 2100; i++) {
        text_line(&text, "Line %d of the text.\r\n%s", i, i % 7 ? "" : "\r\n");
        text_line(&unix_ends, "Line %d of the text.\n%s", i, i % 7 ? "" : "\n");
    }
    TrainDataOptions o = options_for(file_with("book.txt", text.data, text.bytes));
    o.seq_len = 32;
    TrainData *d = must_open(&o);
    assert_int_equal(train_packing(d), PACKING_BLOCKS);
    int32_t *group = malloc(sizeof *group * 64 * 1000);
    int64_t row = 0, rest = 0, have = 0, lines = 0;
    for (const char *p = unix_ends.data, *next; *p; p = next) {
        next = strchr(p, '\n') + 1;
        int32_t *ids;
        Err err = {0};
        int64_t n = qm_tokenizer_encode(qwen, p, (size_t)(next - p), true, &ids, &err);
        memcpy(group + have, ids, (size_t)n * sizeof *ids);
        have += n;
        free(ids);
        if (++lines % 1000 != 0 && *next) continue;
        for (int64_t at = 0; at + 32 <= have; at += 32, row++) {
            const TrainRow *r = train_row(d, 0, row);
            assert_int_equal(r->tokens, 32);
            assert_int_equal(r->labels, 31);
            assert_int_equal(r->count, 1);
            assert_memory_equal(r->segments[0].ids, group + at, 32 * sizeof *group);
            assert_memory_equal(r->segments[0].labels + 1, group + at + 1, 31 * sizeof *group);
        }
        rest += have % 32;
        have = 0;
    }
    assert_int_equal(lines, 2400);
    assert_int_equal(row, train_rows(d));
    assert_int_equal(train_counts(d)->rest, rest);
    free(group);
    train_data_close(d);
    text_free(&text);
    text_free(&unix_ends);
}

static void text_documents(void **state) {
    (void)state;
    TrainDataOptions o = options_for(file_of("tales.txt", "First tale.\n<|im_end|>\nSecond\ntale.\n<|im_end|>\n \n"));
    o.documents = true;
    TrainData *d = must_open(&o);
    assert_int_equal(train_packing(d), PACKING_NONE);
    assert_int_equal(train_rows(d), 2);
    train_data_close(d);
    check_labelled(&o, 0, " tale.\n<|im_end|>");
    check_labelled(&o, 1, "\ntale.\n<|im_end|>");
}

/* ---- Blocks and plans -------------------------------------------------------------------------------------------- */

static void golden_blocks(void **state) {
    (void)state;
    json_t *root = golden("train-clm");
    const json_t *documents = json_object_get(root, "documents");
    int64_t block = json_integer_value(json_object_get(root, "block_size"));
    TrainDataOptions o = options_for(file_of_ids("documents.jsonl", documents, NULL));
    o.packing = PACKING_BLOCKS;
    o.seq_len = block;
    o.eval_split = 0.1;
    o.order = ORDER_SHUFFLE; /* the first documents are for evaluation all the same */
    TrainData *d = must_open(&o);
    assert_int_equal(train_rows(d), json_integer_value(json_object_get(root, "train_blocks")));
    assert_int_equal(train_eval_rows(d), json_integer_value(json_object_get(root, "validation_blocks")));
    train_data_close(d);
    o.order = ORDER_FILE;
    d = must_open(&o);
    int64_t at = 0, total = 0;
    size_t i, k;
    const json_t *document, *id;
    json_array_foreach(documents, i, document) {
        if (i == 4) at = 0;
        json_array_foreach(document, k, id) {
            int64_t row = at / block, rows = i < 4 ? train_eval_rows(d) : train_rows(d);
            if (row < rows) {
                const TrainRow *r = i < 4 ? train_eval_row(d, row) : train_row(d, 1, row);
                assert_int_equal(r->segments[0].ids[at % block], json_integer_value(id));
                assert_int_equal(r->segments[0].labels[at % block], at % block ? json_integer_value(id) : NO_LABEL);
            }
            at++, total++;
        }
    }
    assert_int_equal(train_counts(d)->tokens + train_counts(d)->rest + train_eval_counts(d)->tokens +
                         train_eval_counts(d)->rest,
                     total);
    train_data_close(d);
    json_decref(root);
}

static int64_t *lengths_of(const json_t *list, int64_t *count) {
    *count = (int64_t)json_array_size(list);
    int64_t *out = malloc((size_t)*count * sizeof *out);
    for (int64_t i = 0; i < *count; i++) out[i] = number(list, (size_t)i);
    return out;
}

static void check_plan(const PackPlan *p, const json_t *rows, bool pairs) {
    assert_int_equal(p->rows, json_array_size(rows));
    for (int64_t r = 0; r < p->rows; r++) {
        const json_t *row = json_array_get(rows, (size_t)r);
        assert_int_equal(p->row[r + 1] - p->row[r], json_array_size(row));
        for (int64_t i = p->row[r]; i < p->row[r + 1]; i++) {
            const json_t *want = json_array_get(row, (size_t)(i - p->row[r]));
            if (pairs) {
                assert_int_equal(p->piece[i].sample, number(want, 0));
                assert_int_equal(p->piece[i].count, number(want, 1));
            } else assert_int_equal(p->piece[i].sample, json_integer_value(want));
        }
    }
}

static void golden_plans(void **state) {
    (void)state;
    Err err = {0};
    PackPlan p;
    int64_t count;
    json_t *root = golden("train-packed");
    const json_t *bfd = json_object_get(root, "bfd"), *cut = json_object_get(root, "bfd_split"),
                 *wrapped = json_object_get(root, "wrapped");
    int64_t *lengths = lengths_of(json_object_get(bfd, "lengths"), &count);
    assert_int_equal(count, 60);
    assert_true(pack_bfd(lengths, count, 128, false, &p, &err));
    check_plan(&p, json_object_get(bfd, "rows"), false);
    pack_free(&p);
    assert_true(pack_joined(lengths, count, 128, 0, true, &p, &err));
    check_plan(&p, json_object_get(wrapped, "rows"), false);
    for (int64_t r = 0; r < p.rows; r++) {
        int64_t n = 0;
        for (int64_t i = p.row[r]; i < p.row[r + 1]; i++) n += p.piece[i].count;
        assert_int_equal(n, number(json_object_get(wrapped, "row_lengths"), (size_t)r));
    }
    pack_free(&p);
    free(lengths);
    lengths = lengths_of(json_object_get(cut, "lengths"), &count);
    assert_true(pack_bfd(lengths, count, 128, true, &p, &err));
    check_plan(&p, json_object_get(cut, "rows"), true);
    pack_free(&p);
    free(lengths);
    json_decref(root);
}

/* Every piece of every sample is in one row, none is too long, and no two rows would fit into one. */
static void any_plan(void **state) {
    (void)state;
    Err err = {0};
    for (int round = 0; round < 200; round++) {
        int64_t count = 1 + random_below(300), capacity = 1 + random_below(round % 2 ? 10 : 9000), total = 0, got = 0;
        int64_t *lengths = malloc((size_t)count * sizeof *lengths);
        for (int64_t i = 0; i < count; i++) total += lengths[i] = 1 + random_below((uint32_t)capacity * 3);
        PackPlan p;
        assert_true(round % 3 ? pack_bfd(lengths, count, capacity, true, &p, &err)
                              : pack_joined(lengths, count, capacity, 0, true, &p, &err));
        int64_t short_rows = 0;
        for (int64_t r = 0; r < p.rows; r++) {
            int64_t n = 0;
            for (int64_t i = p.row[r]; i < p.row[r + 1]; i++) {
                assert_true(p.piece[i].count > 0);
                assert_true(p.piece[i].first + p.piece[i].count <= lengths[p.piece[i].sample]);
                n += p.piece[i].count;
            }
            assert_true(n > 0 && n <= capacity);
            short_rows += 2 * n < capacity; /* two of these would have been one */
            got += n;
        }
        assert_true(short_rows <= 1);
        assert_int_equal(got, total);
        assert_int_equal(p.row[p.rows], p.pieces);
        pack_free(&p);
        free(lengths);
    }
}

static void golden_packed_rows(void **state) {
    (void)state;
    json_t *root = golden("train-packed");
    const json_t *ids = json_object_get(root, "sequences_in"), *labels = json_object_get(root, "labels_in"),
                 *rows = json_object_get(root, "rows");
    TrainDataOptions o = options_for(file_of_ids("packed.jsonl", ids, labels));
    o.packing = PACKING_BFD;
    o.seq_len = 64;
    TrainData *d = must_open(&o);
    assert_int_equal(train_rows(d), json_array_size(rows));
    bool used[64] = {false};
    for (int64_t r = 0; r < train_rows(d); r++) {
        const TrainRow *row = train_row(d, 0, r);
        const json_t *want = json_array_get(rows, (size_t)r);
        int64_t counted = 0;
        assert_int_equal(row->count, json_array_size(want));
        for (int64_t k = 0; k < row->count; k++) {
            const TrainSegment *s = &row->segments[k];
            assert_int_equal(s->count, number(want, (size_t)k));
            size_t which = 0;
            while (used[which] || (int64_t)json_array_size(json_array_get(ids, which)) != s->count) which++;
            used[which] = true;
            for (int64_t i = 0; i < s->count; i++) {
                assert_int_equal(s->ids[i], number(json_array_get(ids, which), (size_t)i));
                int64_t label = number(json_array_get(labels, which), (size_t)i);
                assert_int_equal(s->labels[i], i ? label : NO_LABEL);
                counted += i && label != NO_LABEL;
            }
        }
        assert_int_equal(row->labels, counted);
    }
    train_data_close(d);
    json_decref(root);
}

/* ---- Cut, dropped, split, order --------------------------------------------------------------------------------- */

static void cut_and_dropped(void **state) {
    (void)state;
    TrainDataOptions o = options_for(file_of(
        "cut.jsonl",
        "{\"ids\": [1, 2, 3, 4, 5]}\n{\"ids\": [1, 2, 3, 4], \"labels\": [-100, -100, -100, 4]}\n{\"ids\": [9]}\n"
        "{\"input_ids\": [6, 7], \"labels\": [6, -100]}\n{\"ids\": [8, 9]}\n{\"ids\": []}\n"));
    o.seq_len = 3;
    TrainData *d = must_open(&o);
    const TrainCounts *c = train_counts(d);
    assert_int_equal(c->samples, 6);
    assert_int_equal(c->cut, 2);
    assert_int_equal(c->dropped, 4);
    assert_int_equal(c->rows, 2);
    assert_int_equal(c->tokens, 5);
    assert_int_equal(c->labels, 3);
    assert_int_equal(train_row(d, 0, 0)->segments[0].count, 3);
    assert_int_equal(train_row(d, 0, 1)->segments[0].ids[1], 9);
    Text said = {0};
    train_counts_text(d, &said);
    assert_string_equal(said.data,
                        "training: 6 samples, 2 of them cut, 4 dropped that have no label; 2 rows of 5 tokens, 3 "
                        "of them labels; 3 tokens are in no row\n");
    text_free(&said);
    train_data_close(d);
    o.packing = PACKING_BFD_SPLIT;
    d = must_open(&o);
    assert_int_equal(train_counts(d)->cut, 0);
    assert_int_equal(train_counts(d)->dropped, 3);
    assert_int_equal(train_counts(d)->tokens, 11);
    train_data_close(d);
    o = options_for(file_of("none.jsonl", "{\"ids\": [1]}\n"));
    must_fail(&o, qwen, "no row is left to train on: 1 samples, 1 of them without a label");
}

static void orders(void **state) {
    (void)state;
    Text text = {0};
    for (int i = 0; i < 200; i++) text_line(&text, "{\"ids\": [%d, 1]}\n", i);
    TrainDataOptions o = options_for(file_of("order.jsonl", text.data));
    o.order = ORDER_SHUFFLE;
    o.seed = 7;
    o.eval_split = 0.05;
    TrainData *d = must_open(&o);
    assert_int_equal(train_rows(d), 190);
    assert_int_equal(train_eval_rows(d), 10);
    int64_t drawn[2][190], same = 0;
    for (int64_t epoch = 0; epoch < 2; epoch++) {
        bool seen[200] = {false};
        for (int64_t i = 0; i < 190; i++) {
            int32_t id = train_row(d, epoch, i)->segments[0].ids[0];
            assert_false(seen[id]);
            seen[id] = true;
            drawn[epoch][i] = id;
        }
        for (int64_t i = 0; i < 10; i++) assert_false(seen[train_eval_row(d, i)->segments[0].ids[0]]);
    }
    for (int64_t i = 0; i < 190; i++) same += drawn[0][i] == drawn[1][i];
    assert_true(same < 20);
    /* Any epoch at any time, by any number of threads. */
    o.threads = 5;
    TrainData *again = must_open(&o);
    for (int64_t i = 189; i >= 0; i--) assert_int_equal(train_row(again, 1, i)->segments[0].ids[0], drawn[1][i]);
    for (int64_t i = 0; i < 190; i++) assert_int_equal(train_row(again, 0, i)->segments[0].ids[0], drawn[0][i]);
    train_data_close(again);
    train_data_close(d);
    /* Written down: another order would be another run. */
    int64_t order[8];
    train_order(42, DRAW_EPOCH_ORDER, 3, 8, order);
    static const int64_t want[8] = {2, 7, 1, 5, 3, 4, 0, 6};
    assert_memory_equal(order, want, sizeof want);
    /* In the order of the file, with a file for evaluation. */
    const char *more[] = {file_of("more.jsonl", "{\"ids\": [5, 6, 7]}\n")};
    o.order = ORDER_FILE;
    o.eval_split = 0;
    o.eval_files = more;
    o.eval_file_count = 1;
    d = must_open(&o);
    for (int64_t i = 0; i < 200; i++) assert_int_equal(train_row(d, 5, i)->segments[0].ids[0], i);
    assert_int_equal(train_eval_rows(d), 1);
    assert_int_equal(train_eval_row(d, 0)->tokens, 3);
    train_data_close(d);
    text_free(&text);
}

/* ---- Wrong files ------------------------------------------------------------------------------------------------- */

static void wrong_lines(void **state) {
    (void)state;
    wrong_line("{\"ids\": [1, 2}", "JSON");
    wrong_line("[1, 2]", "expected a sample for clm with \"messages\"");
    wrong_line("{\"txt\": \"a\"}", "got \"txt\"");
    wrong_line("{\"prompt\": \"a\"}", "expected a sample for clm");
    wrong_line("{\"text\": 1}", "text: expected a text, got something else");
    wrong_line("{\"ids\": [1, -1]}", "ids[1]: expected a token from 0 to ");
    wrong_line("{\"ids\": [1, 99999999999]}", "got 99999999999");
    wrong_line("{\"ids\": [1, \"a\"]}", "got no integer");
    wrong_line("{\"ids\": [1, 2], \"labels\": [1]}", "labels: expected a list of 2 numbers");
    wrong_line("{\"ids\": [1, 2], \"labels\": [1, 3]}", "labels[1]: expected -100 or ids[1], which is 2, got 3");
    wrong_line("{\"messages\": []}", "messages: expected at least one, got none");
    wrong_line("{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}",
               "no token of the conversation has a label");
    wrong_line("{\"messages\": {}}", "messages: expected a list");
    wrong_line("{\"messages\": [{\"role\": \"assistant\", \"content\": 5}]}", "line 3");
    wrong_line("{\"prompt\": \"a\", \"completion\": []}", "two texts or two lists of messages");
    wrong_line("{\"conversations\": [{\"from\": \"alien\", \"value\": \"a\"}]}", "got 'alien'");
    wrong_line("{\"conversations\": [7]}", "conversations[0]: expected an object");
    wrong_line("{\"conversations\": [{\"from\": \"function_call\", \"value\": \"no\"}]}", "conversations[0]");
    wrong_line("{\"instruction\": \"a\", \"output\": 3}", "output: expected a text");
    wrong_line("{\"instruction\": \"a\", \"output\": \"b\", \"history\": [[1]]}", "history[0]");
    wrong_line("{\"messages\": [{\"role\": \"assistant\", \"content\": \"a\"}], \"tools\": \"[\"}", "tools");
    wrong_line("\xff\xfe", "JSON");
}

/* The first of several wrong lines is told, whatever thread comes upon it. */
static void first_wrong_line(void **state) {
    (void)state;
    Text text = {0};
    for (int i = 1; i <= 400; i++) text_line(&text, i >= 150 ? "{\"ids\": [%d, x]}\n" : "{\"ids\": [%d, 2]}\n", i);
    TrainDataOptions o = options_for(file_of("many.jsonl", text.data));
    for (o.threads = 1; o.threads < 9; o.threads++) must_fail(&o, qwen, "many.jsonl line 150");
    text_free(&text);
}

static bool stop_now(void) { return true; }

static void interrupted(void **state) {
    (void)state;
    Err err = {0};
    TrainDataOptions o = options_for(file_of("stop.jsonl", "{\"ids\": [1, 2]}\n"));
    o.stop = stop_now;
    assert_null(train_data_open(qwen, &o, &err));
    assert_int_equal(err.kind, QM_INTERRUPTED);
}

static void wrong_options(void **state) {
    (void)state;
    TrainDataOptions o = options_for(file_of("empty.jsonl", ""));
    must_fail(&o, qwen, "empty.jsonl is empty");
    o = options_for(file_of("blank.jsonl", "\n  \n"));
    must_fail(&o, qwen, "holds no sample");
    o = options_for(path_of("missing.jsonl"));
    must_fail(&o, qwen, "cannot open");
    o = options_for(folder);
    must_fail(&o, qwen, "folder");
    o = options_for(file_of("ok.jsonl", "{\"ids\": [1, 2, 3]}\n{\"text\": \"a b\"}\n"));
    must_fail(&o, NULL, "ok.jsonl line 2: a text needs a tokenizer");
    o.vocab = 3;
    must_fail(&o, qwen, "line 1: ids[2]: expected a token from 0 to 2, got 3");
    o.vocab = 0;
    o.seq_len = 1;
    must_fail(&o, qwen, "tokens of a row");
    o.seq_len = 8;
    o.eval_split = 0.1;
    must_fail(&o, qwen, "no sample of 2 is for evaluation");
    o.eval_split = 0;
    o.task = TASK_SEQCLS;
    o.packing = PACKING_BFD;
    must_fail(&o, qwen, "packing bfd is for clm");
}

/* ---- Classes and answers ----------------------------------------------------------------------------------------- */

static TrainDataOptions task_options(TrainTask task, const char *lines) {
    TrainDataOptions o = options_for(file_of("task.jsonl", lines));
    o.task = task;
    return o;
}

static void sequence_classes(void **state) {
    (void)state;
    TrainDataOptions o = task_options(
        TASK_SEQCLS,
        "{\"text\": \"good\", \"label\": \"pos\"}\n{\"text\": \"bad\", \"text_pair\": \" very\", \"label\": \"neg\"}\n"
        "{\"ids\": [5], \"label\": \"pos\"}\n");
    TrainData *d = must_open(&o);
    assert_int_equal(train_name_count(d), 2);
    assert_string_equal(train_name(d, 0), "neg");
    assert_string_equal(train_name(d, 1), "pos");
    static const int want[] = {1, 0, 1};
    for (int i = 0; i < 3; i++) {
        const TrainRow *row = train_row(d, 0, i);
        assert_int_equal(train_target(d, row->segments)->label, want[i]);
        assert_int_equal(row->labels, 1);
    }
    const TrainSegment *pair = train_row(d, 0, 1)->segments;
    assert_int_equal(pair->count, 2);
    assert_int_equal(pair->ids[1], qm_tokenizer_id(qwen, " very"));
    assert_false(train_is_regression(d));
    train_data_close(d);
    static const char *const names[] = {"pos", "neg", "odd"};
    o.names = names; /* the model's own keep their numbers */
    o.name_count = 3;
    d = must_open(&o);
    assert_int_equal(train_target(d, train_row(d, 0, 1)->segments)->label, 1);
    assert_int_equal(train_name_count(d), 3);
    train_data_close(d);
    o.name_count = 1;
    must_fail(&o, qwen, "task.jsonl line 2: label: expected one of the model's 1 classes (pos), got 'neg'");
    o = task_options(TASK_SEQCLS, "{\"ids\": [5], \"label\": 0}\n{\"ids\": [5], \"label\": 2}\n");
    d = must_open(&o);
    assert_int_equal(train_name_count(d), 3);
    assert_string_equal(train_name(d, 2), "LABEL_2");
    assert_int_equal(train_target(d, train_row(d, 0, 1)->segments)->label, 2);
    train_data_close(d);
    o = task_options(TASK_SEQCLS, "{\"ids\": [5], \"label\": 3}\n{\"ids\": [5], \"label\": -0.5}\n");
    d = must_open(&o);
    assert_true(train_is_regression(d));
    assert_int_equal(train_name_count(d), 0);
    assert_true(train_target(d, train_row(d, 0, 0)->segments)->value == 3);
    assert_true(train_target(d, train_row(d, 0, 1)->segments)->value == -0.5f);
    train_data_close(d);
    o = task_options(TASK_SEQCLS, "{\"ids\": [5], \"label\": 3}\n{\"ids\": [5], \"label\": \"x\"}\n");
    must_fail(&o, qwen, "task.jsonl: labels: expected names or numbers throughout, got both");
    o = task_options(TASK_SEQCLS, "{\"ids\": [5], \"label\": true}\n");
    must_fail(&o, qwen, "line 1: label: expected a name or a number, got true");
    o = task_options(TASK_SEQCLS, "{\"ids\": [5], \"label\": 70000}\n{\"ids\": [5], \"label\": 1e99}\n");
    must_fail(&o, qwen, "line 2: label: expected a class from 0 to 65535, got 1e+99");
    o = task_options(TASK_SEQCLS, "{\"ids\": [5]}\n");
    must_fail(&o, qwen, "expected a sample for seqcls with \"text\" and \"label\"; \"ids\" and \"label\"; got \"ids\"");
}

static void token_classes(void **state) {
    (void)state;
    TrainDataOptions o = task_options(
        TASK_TOKCLS,
        "{\"tokens\": [\"Unbelievable\", \"York\", \"\", \"x\"], \"tags\": [\"O\", \"B-LOC\", \"O\", \"I-LOC\"]}\n");
    TrainData *d = must_open(&o);
    const TrainSegment *s = train_row(d, 0, 0)->segments;
    int32_t *ids;
    Err err = {0};
    int64_t first = qm_tokenizer_encode(qwen, "Unbelievable", 12, true, &ids, &err);
    assert_true(first > 1);
    assert_memory_equal(s->ids, ids, (size_t)first * sizeof *ids);
    free(ids);
    assert_int_equal(s->count, first + 2);
    assert_int_equal(s->ids[first], qm_tokenizer_id(qwen, " York"));
    assert_string_equal(train_name(d, s->labels[0]), "O"); /* what a token is, not what comes next */
    for (int64_t i = 1; i < first; i++) assert_int_equal(s->labels[i], NO_LABEL);
    assert_string_equal(train_name(d, s->labels[first]), "B-LOC");
    assert_string_equal(train_name(d, s->labels[first + 1]), "I-LOC");
    assert_int_equal(train_row(d, 0, 0)->labels, 3);
    train_data_close(d);
    o = task_options(TASK_TOKCLS, "{\"ids\": [4, 5, 6], \"labels\": [1, -100, 0]}\n");
    d = must_open(&o);
    s = train_row(d, 0, 0)->segments;
    assert_int_equal(s->labels[0], 1);
    assert_int_equal(s->labels[1], NO_LABEL);
    assert_int_equal(s->labels[2], 0);
    assert_int_equal(train_name_count(d), 2);
    train_data_close(d);
    o = task_options(TASK_TOKCLS, "{\"tokens\": [\"a\"], \"tags\": []}\n");
    must_fail(&o, qwen, "line 1: tokens and tags: expected two lists of one length, got 1 and 0");
    o = task_options(TASK_TOKCLS, "{\"tokens\": [\"a\"], \"tags\": [0.5]}\n");
    must_fail(&o, qwen, "line 1: tags[0]: expected a class");
    o = task_options(TASK_TOKCLS, "{\"tokens\": [3], \"tags\": [1]}\n");
    must_fail(&o, qwen, "tokens[0]: expected a text");
}

static void answer_spans(void **state) {
    (void)state;
    TrainDataOptions o =
        task_options(TASK_QA, "{\"question\": \"Where?\", \"context\": \"\\u00e9t\\u00e9: in New York now\", "
                              "\"answers\": {\"text\": [\"New York\"], \"answer_start\": [8]}}\n{\"ids\": [1, 2, 3], "
                              "\"start\": 1, \"end\": 2}\n");
    TrainData *d = must_open(&o);
    const TrainSegment *s = train_row(d, 0, 0)->segments;
    const TrainTarget *t = train_target(d, s);
    assert_int_equal(t->end, t->start + 1);
    assert_int_equal(s->ids[t->start], qm_tokenizer_id(qwen, " New"));
    assert_int_equal(s->ids[t->end], qm_tokenizer_id(qwen, " York"));
    t = train_target(d, train_row(d, 0, 1)->segments);
    assert_int_equal(t->start, 1);
    assert_int_equal(t->end, 2);
    train_data_close(d);
    o.seq_len = 5; /* the first answer is cut away */
    d = must_open(&o);
    assert_int_equal(train_rows(d), 1);
    assert_int_equal(train_counts(d)->dropped, 1);
    train_data_close(d);
    o = task_options(
        TASK_QA, "{\"question\": \"q\", \"context\": \"abc\", \"answers\": {\"text\": \"b\", \"answer_start\": 2}}\n");
    must_fail(&o, qwen, "line 1: answers: expected 'b' at character 2 of the context, got 'c'");
    o = task_options(
        TASK_QA, "{\"question\": \"q\", \"context\": \"abc\", \"answers\": {\"text\": [], \"answer_start\": []}}\n");
    must_fail(&o, qwen, "answers: expected {");
    o = task_options(TASK_QA, "{\"ids\": [1, 2], \"start\": 1, \"end\": 0}\n");
    must_fail(&o, qwen, "start and end: expected the first and the last token");
}

/* ---- Tokens that are kept ---------------------------------------------------------------------------------------- */

static char *rows_text(TrainData *d) {
    Text out = {0};
    for (int64_t i = 0; i < train_rows(d); i++) train_row_line(d, train_row(d, 0, i), &out);
    return out.data;
}

static void cache(void **state) {
    (void)state;
    Err err = {0};
    QmWatch watch = {.message = count_warning};
    Text text = {0}, command = {0};
    char keep[256];
    snprintf(keep, sizeof keep, "%s/kept/tokens", folder);
    for (int i = 0; i < 50; i++) text_line(&text, "{\"text\": \"sample %d\"}\n", i);
    TrainDataOptions o = options_for(file_of("kept.jsonl", text.data));
    QmSource *source = qm_source_open("tests/data/qwen2.5", &err);
    assert_non_null(source);
    TrainData *d = must_open(&o);
    char *want = rows_text(d);
    train_data_close(d);
    o.cache = keep;
    o.source = source;
    qm_watch(&watch);
    warnings = 0;
    for (int round = 0; round < 4; round++) {
        d = must_open(&o);
        char *got = rows_text(d);
        assert_string_equal(got, want);
        free(got);
        train_data_close(d);
        if (warnings != (round >= 2)) fail_msg("round %d: %d warnings: %s", round, warnings, last_warning);
        if (round == 1) { /* a byte of the kept file is another one */
            text_line(&command,
                      "f=$(ls %s/*.tokens) && [ $(echo $f | wc -w) = 1 ] && printf X | dd of=$f bs=1 seek=1000 "
                      "conv=notrunc 2>/dev/null",
                      keep);
            assert_int_equal(system(command.data), 0);
        }
    }
    qm_watch(NULL);
    /* Other content, other tokens. */
    text_line(&text, "{\"text\": \"one more\"}\n");
    o = options_for(file_of("kept.jsonl", text.data));
    o.cache = keep;
    o.source = source;
    d = must_open(&o);
    assert_int_equal(train_rows(d), 51);
    train_data_close(d);
    o.end = END_NEVER;
    d = must_open(&o);
    assert_int_equal(train_counts(d)->tokens,
                     train_row(d, 0, 0)->tokens * 10 + (train_row(d, 0, 0)->tokens + 1) * 40 + 2);
    train_data_close(d);
    qm_source_close(source);
    free(want);
    text_free(&text);
    text_free(&command);
}

/* ---- Shown and written ------------------------------------------------------------------------------------------- */

static void shown(void **state) {
    (void)state;
    Err err = {0};
    TrainDataOptions o = options_for(file_of("s.jsonl", "{\"prompt\": \"a\\u001b[0m\", \"completion\": \" b c\"}\n"));
    TrainData *d = must_open(&o);
    char text[4096] = "";
    for (int colour = 0; colour < 2; colour++) {
        FILE *f = tmpfile();
        assert_true(train_show(d, qwen, 5, colour, f, &err));
        rewind(f);
        text[fread(text, 1, sizeof text - 1, f)] = 0;
        fclose(f);
        assert_string_equal(text, colour ? "---- row 1 of 1: 7 tokens, 3 labels\na?[0m\033[32m b c<|im_end|>\033[0m\n"
                                         : "---- row 1 of 1: 7 tokens, 3 labels\na?[0m[[ b c<|im_end|>]]\n");
    }
    train_data_close(d);
    o = options_for(file_of("w.jsonl", "{\"ids\": [1, 2, 3]}\n{\"ids\": [4, 5], \"labels\": [-100, 5]}\n"));
    o.packing = PACKING_BFD;
    d = must_open(&o);
    const char *path = path_of("written.jsonl");
    assert_true(train_write_samples(d, 2, path, &err));
    size_t bytes;
    char *got = file_read(path, 4096, &bytes, &err);
    static const char line[] = "{\"ids\": [1, 2, 3, 4, 5], \"labels\": [-100, 2, 3, -100, 5], \"lengths\": [3, 2]}\n";
    assert_int_equal(bytes, 2 * strlen(line));
    assert_memory_equal(got, line, strlen(line));
    assert_memory_equal(got + strlen(line), line, strlen(line));
    free(got);
    train_data_close(d);
}

static int setup(void **state) { return mkdtemp(folder) ? open_qwen(state) : -1; }

static int teardown(void **state) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) || close_qwen(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_masks),
        cmocka_unit_test(text_stays_text),
        cmocka_unit_test(normal_forms),
        cmocka_unit_test(other_templates),
        cmocka_unit_test(other_forms),
        cmocka_unit_test(prompts_and_texts),
        cmocka_unit_test(torn_prompt),
        cmocka_unit_test(text_blocks),
        cmocka_unit_test(text_documents),
        cmocka_unit_test(golden_blocks),
        cmocka_unit_test(golden_plans),
        cmocka_unit_test(any_plan),
        cmocka_unit_test(golden_packed_rows),
        cmocka_unit_test(cut_and_dropped),
        cmocka_unit_test(orders),
        cmocka_unit_test(wrong_lines),
        cmocka_unit_test(first_wrong_line),
        cmocka_unit_test(wrong_options),
        cmocka_unit_test(interrupted),
        cmocka_unit_test(sequence_classes),
        cmocka_unit_test(token_classes),
        cmocka_unit_test(answer_spans),
        cmocka_unit_test(cache),
        cmocka_unit_test(shown),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
