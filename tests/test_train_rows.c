/* test_train_rows.c: rows of training data: blocks, packing plans, what is cut and dropped, order and split; labels of
 * classes and answers. */
#include "../src/train/train_order.h"
#include "../src/train/train_pack.h"
#include "../src/train/train_show.h"
#include "train_data_files.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_blocks), cmocka_unit_test(golden_plans), cmocka_unit_test(any_plan),
        cmocka_unit_test(golden_packed_rows), cmocka_unit_test(cut_and_dropped), cmocka_unit_test(orders),
        cmocka_unit_test(sequence_classes), cmocka_unit_test(token_classes), cmocka_unit_test(answer_spans),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
