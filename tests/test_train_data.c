/* test_train_data.c: what training data of every form becomes: conversations with their masks, texts, wrong lines,
 * tokens that are kept, and how it is shown. */
#include "../src/train/train_show.h"
#include "train_data_files.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_masks), cmocka_unit_test(text_stays_text), cmocka_unit_test(normal_forms),
        cmocka_unit_test(other_templates), cmocka_unit_test(other_forms), cmocka_unit_test(prompts_and_texts),
        cmocka_unit_test(torn_prompt), cmocka_unit_test(text_blocks), cmocka_unit_test(text_documents),
        cmocka_unit_test(wrong_lines), cmocka_unit_test(first_wrong_line), cmocka_unit_test(wrong_options),
        cmocka_unit_test(interrupted), cmocka_unit_test(cache), cmocka_unit_test(shown),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
