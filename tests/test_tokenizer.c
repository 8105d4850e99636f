/* test_tokenizer.c: encoding and decoding against golden data and against the definition of byte-pair encoding. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <pthread.h>
#include "../src/io/json.h"
#include "../src/text/stream.h"
#include "../src/text/tokenizer.h"
#include "../src/text/unicode.h"
#include "fixture.h"
#include "cpu_time.h"

/* Calls `each` with every line's JSON value. Returns the number of lines. */
static int each_line(const char *path, void (*each)(const json_t *line, int number, void *context), void *context) {
    Err err = {0};
    size_t bytes;
    char *data = file_read(path, 16 << 20, &bytes, &err);
    if (!data) fail_msg("%s", err.text);
    int number = 0;
    for (char *p = data, *end; p < data + bytes; p = end + 1) {
        end = memchr(p, '\n', (size_t)(data + bytes - p));
        if (!end) end = data + bytes;
        json_t *line = json_text(p, (size_t)(end - p), path, &err);
        if (!line) fail_msg("line %d: %s", number + 1, err.text);
        each(line, ++number, context);
        json_decref(line);
    }
    free(data);
    return number;
}

static int64_t encode(const QmTokenizer *t, const char *text, size_t bytes, bool special, int32_t **ids) {
    Err err = {0};
    int64_t count = qm_tokenizer_encode(t, text, bytes, special, ids, &err);
    if (count < 0) fail_msg("%s", err.text);
    return count;
}

/* Decodes at once and as a stream, which must be the same. */
static char *decode(const QmTokenizer *t, const int32_t *ids, int64_t count, bool skip_special, size_t *bytes) {
    Err err = {0};
    char *text = qm_tokenizer_decode(t, ids, count, skip_special, bytes, &err);
    if (!text) fail_msg("%s", err.text);
    assert_int_equal(text[*bytes], 0);
    TextStream stream = {.tokenizer = t, .skip_special = skip_special};
    Text out = {0};
    text_add(&out, "", 0);
    for (int64_t i = 0; i < count; i++) {
        size_t before = out.bytes;
        assert_true(text_stream_push(&stream, ids[i], &out, &err));
        assert_true(utf8_valid((const uint8_t *)out.data + before, out.bytes - before));
    }
    text_stream_end(&stream, &out);
    assert_int_equal(out.bytes, *bytes);
    assert_memory_equal(out.data, text, *bytes);
    text_free(&out);
    return text;
}

/* ---- Golden data --------------------------------------------------------------------------------------------- */

static void golden_line(const json_t *line, int number, void *context) {
    const QmTokenizer *t = context;
    const json_t *text = json_object_get(line, "text"), *ids = json_object_get(line, "ids"),
                 *decoded = json_object_get(line, "decoded");
    int32_t *got;
    int64_t count = encode(t, json_string_value(text), json_string_length(text), true, &got);
    size_t bytes;
    if (count != (int64_t)json_array_size(ids)) fail_msg("line %d: %lld ids", number, (long long)count);
    for (int64_t i = 0; i < count; i++)
        if (got[i] != json_integer_value(json_array_get(ids, (size_t)i)))
            fail_msg("line %d: id %lld is %d", number, (long long)i, (int)got[i]);
    char *back = decode(t, got, count, false, &bytes);
    if (bytes != json_string_length(decoded) || memcmp(back, json_string_value(decoded), bytes))
        fail_msg("line %d: decoded '%s'", number, back);
    free(back);
    free(got);
}

/* Ids and decoded text of Qwen2.5 are Hugging Face's, line by line. */
static void golden_qwen(void **state) {
    (void)state;
    assert_int_equal(each_line("tests/golden/tokenizer/qwen2.5.jsonl", golden_line, qwen), 300);
    assert_int_equal(qm_tokenizer_vocab(qwen), 151665);
    assert_int_equal(qm_tokenizer_eos(qwen), 151645);
    assert_int_equal(qm_tokenizer_id(qwen, "<|im_end|>"), 151645);
    assert_int_equal(qm_tokenizer_id(qwen, " the"), 279);
    assert_int_equal(qm_tokenizer_id(qwen, "no such token"), -1);
}

/* The same for SmolLM2, from a GGUF file's metadata. */
static void golden_smollm(void **state) {
    (void)state;
    Err err = {0};
    if (!file_exists(smollm_path())) {
        print_message("SKIP %s is missing (make model)\n", smollm_path());
        skip();
    }
    QmTokenizer *t = qm_tokenizer_open(smollm_path(), &err);
    if (!t) fail_msg("%s", err.text);
    assert_int_equal(each_line("tests/golden/tokenizer/smollm2.jsonl", golden_line, t), 300);
    assert_int_equal(qm_tokenizer_vocab(t), 49152);
    assert_int_equal(qm_tokenizer_eos(t), 2);
    qm_tokenizer_close(t);
}

/* decode(encode(x)) is x in form C. */
static void round_trip(const char *text, size_t bytes) {
    int32_t *ids;
    Text nfc = {0};
    Err err = {0};
    size_t back_bytes;
    text_add(&nfc, "", 0);
    assert_true(nfc_add((const uint8_t *)text, bytes, &nfc, &err));
    for (int special = 0; special < 2; special++) {
        int64_t count = encode(qwen, text, bytes, special, &ids);
        char *back = decode(qwen, ids, count, false, &back_bytes);
        assert_int_equal(back_bytes, nfc.bytes);
        assert_memory_equal(back, nfc.data, nfc.bytes);
        free(back);
        free(ids);
    }
    text_free(&nfc);
}

static void gsm8k_line(const json_t *line, int number, void *context) {
    (void)number;
    (void)context;
    const json_t *question = json_object_get(line, "question"), *answer = json_object_get(line, "answer");
    round_trip(json_string_value(question), json_string_length(question));
    round_trip(json_string_value(answer), json_string_length(answer));
}

/* All of GSM8K comes back as it was. */
static void gsm8k_round_trip(void **state) {
    (void)state;
    assert_int_equal(each_line("tests/data/gsm8k/test.jsonl", gsm8k_line, NULL), 1319);
}

/* Random characters come back in form C. */
static void random_round_trip(void **state) {
    (void)state;
    for (int turn = 0; turn < 2000; turn++) {
        Text text = {0};
        text_add(&text, "", 0);
        for (uint32_t n = random_below(40); n > 0; n--) {
            uint8_t utf8[4];
            int32_t code = (int32_t)random_below(random_below(2) ? 0x400 : 0x20000);
            if (code < 0xD800 || code > 0xDFFF) text_add(&text, (char *)utf8, (size_t)utf8_write(code, utf8));
        }
        round_trip(text.data, text.bytes);
        text_free(&text);
    }
}

/* Random ids decode to valid UTF-8, at once and as a stream, special tokens kept or dropped. */
static void random_ids(void **state) {
    (void)state;
    for (int turn = 0; turn < 3000; turn++) {
        int32_t ids[40];
        int64_t count = (int64_t)random_below(40);
        for (int64_t i = 0; i < count; i++) /* single bytes, specials, anything */
            ids[i] = (int32_t)(turn % 3 == 0   ? random_below(256)
                               : turn % 3 == 1 ? 151643 + random_below(22)
                                               : random_below(151665));
        size_t bytes, fewer;
        char *text = decode(qwen, ids, count, false, &bytes), *short_text = decode(qwen, ids, count, true, &fewer);
        assert_true(utf8_valid((const uint8_t *)text, bytes));
        if (turn % 3 == 0) assert_int_equal(bytes, fewer);
        free(text);
        free(short_text);
    }
}

/* Ids outside the vocabulary are errors that say its size; in a stream, where a model may draw one, they add no
 * text. */
static void unknown_ids(void **state) {
    (void)state;
    static const int32_t wrong[] = {-1, 151665, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++) {
        Err err = {0};
        size_t bytes;
        Text out = {0};
        TextStream stream = {.tokenizer = qwen};
        assert_null(qm_tokenizer_decode(qwen, &wrong[i], 1, false, &bytes, &err));
        assert_non_null(strstr(err.text, "expected 0 to 151664"));
        err = (Err){0};
        assert_true(text_stream_push(&stream, wrong[i], &out, &err));
        assert_int_equal(out.bytes, 0);
        assert_null(qm_tokenizer_piece(qwen, wrong[i], &bytes, NULL));
        text_free(&out);
    }
}

/* Invalid input bytes are U+FFFD, as if the text had been repaired before. */
static void invalid_utf8(void **state) {
    (void)state;
    for (int turn = 0; turn < 3000; turn++) {
        char text[24];
        size_t bytes = random_below(24);
        static const uint8_t lead[] = {0xE2, 0x82, 0xAC, 0xF0, 0x9F, 0x99, 0x82, 0xC3, 0xA9, 0xED, 0xFF, 'a', ' '};
        for (size_t i = 0; i < bytes; i++)
            text[i] = (char)(random_below(3) ? lead[random_below(sizeof lead)] : random_below(256));
        Text repaired = {0};
        text_add(&repaired, "", 0);
        utf8_repair((const uint8_t *)text, bytes, &repaired);
        int32_t *a, *b;
        int64_t n = encode(qwen, text, bytes, true, &a), m = encode(qwen, repaired.data, repaired.bytes, true, &b);
        assert_int_equal(n, m);
        assert_memory_equal(a, b, (size_t)n * sizeof *a);
        free(a);
        free(b);
        text_free(&repaired);
    }
}

/* ---- Special tokens ------------------------------------------------------------------------------------------ */

/* Without parse_special the text of every added token is plain text: other ids, the same text. */
static void special_stays_text(void **state) {
    (void)state;
    for (int32_t id = 151643; id < 151665; id++) {
        size_t bytes, back_bytes;
        bool special;
        const char *piece = qm_tokenizer_piece(qwen, id, &bytes, &special);
        assert_int_equal(special, id < 151657);
        int32_t *ids;
        int64_t count = encode(qwen, piece, bytes, true, &ids);
        assert_int_equal(count, 1);
        assert_int_equal(ids[0], id);
        free(ids);
        count = encode(qwen, piece, bytes, false, &ids);
        assert_true(count > 1);
        for (int64_t i = 0; i < count; i++) assert_true(ids[i] < 151643);
        char *back = decode(qwen, ids, count, true, &back_bytes);
        assert_int_equal(back_bytes, bytes);
        assert_memory_equal(back, piece, bytes);
        free(back);
        free(ids);
    }
}

/* Added tokens count only inside the open spans; text between them is encoded as one piece. */
static void spans(void **state) {
    (void)state;
    static const char text[] = "<|im_start|>a<|im_end|>b<|im_end|>";
    const Span open[] = {{0, 13}, {24, 34}};
    Ids out = {0};
    Err err = {0};
    assert_true(tokenizer_encode(qwen, (const uint8_t *)text, strlen(text), open, 2, &out, &err));
    int32_t *middle;
    int64_t count = encode(qwen, "a<|im_end|>b", 12, false, &middle);
    assert_int_equal(out.count, count + 2);
    assert_int_equal(out.data[0], 151644);
    assert_memory_equal(out.data + 1, middle, (size_t)count * sizeof *middle);
    assert_int_equal(out.data[count + 1], 151645);
    free(middle);
    out.count = 0;
    const Span cut[] = {{0, 11}, {30, 34}}; /* each ends or starts inside a token */
    assert_true(tokenizer_encode(qwen, (const uint8_t *)text, strlen(text), cut, 2, &out, &err));
    for (size_t i = 0; i < out.count; i++) assert_true(out.data[i] < 151643);
    free(out.data);
}

/* ---- Merging ------------------------------------------------------------------------------------------------- */

/* The definition, word for word: find the lowest rank, leftmost; merge; repeat. */
static size_t merge_plainly(const Vocab *vocab, const uint8_t *word, size_t bytes, int32_t *id) {
    for (size_t i = 0; i < bytes; i++) id[i] = vocab->byte_id[word[i]];
    for (;;) {
        const MergeSlot *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < bytes; i++) {
            const MergeSlot *slot = vocab_pair(vocab, id[i], id[i + 1]);
            if (slot && (!best || slot->rank < best->rank)) best = slot, at = i;
        }
        if (!best) return bytes;
        id[at] = best->result;
        memmove(id + at + 1, id + at + 2, (bytes - at - 2) * sizeof *id);
        bytes--;
    }
}

/* Short words, long words with the heap, and cached ones are all merged as the definition says. */
static void merges_match(void **state) {
    (void)state;
    Err err = {0};
    Bpe *bpe = bpe_new(&err);
    assert_non_null(bpe);
    for (int turn = 0; turn < 6000; turn++) {
        uint8_t word[400];
        int32_t expected[400];
        Ids out = {0};
        size_t bytes = 1 + random_below(turn % 4 == 0 ? 400 : 70);
        uint32_t letters = 1 + random_below(26);
        for (size_t i = 0; i < bytes; i++)
            word[i] = (uint8_t)(turn % 5 == 0 ? random_below(256) : 'a' + random_below(letters));
        size_t count = merge_plainly(&qwen->vocab, word, bytes, expected);
        for (int again = 0; again < 2; again++) {
            out.count = 0;
            assert_true(bpe_word(bpe, &qwen->vocab, word, bytes, &out, &err));
            assert_int_equal(out.count, count);
            assert_memory_equal(out.data, expected, count * sizeof *expected);
        }
        free(out.data);
    }
    bpe_free(bpe);
}

/* A word of a million bytes is merged in about n log n. */
static void long_word(void **state) {
    (void)state;
    size_t bytes = 1 << 20, back_bytes;
    char *text = calloc(1, bytes);
    assert_non_null(text);
    for (int random = 0; random < 2; random++) {
        for (size_t i = 0; i < bytes; i++) text[i] = (char)(random ? 'a' + random_below(26) : 'a');
        double start = cpu_seconds();
        int32_t *ids;
        int64_t count = encode(qwen, text, bytes, true, &ids);
        assert_true(cpu_seconds() - start < 20);
        char *back = decode(qwen, ids, count, false, &back_bytes);
        assert_int_equal(back_bytes, bytes);
        assert_memory_equal(back, text, bytes);
        free(back);
        free(ids);
    }
    free(text);
}

static void *encode_often(void *expected) {
    static const char text[] =
        "Janet\xE2\x80\x99s ducks lay 16 eggs per day. She eats three for breakfast every morning.";
    bool same = true;
    for (int i = 0; i < 300; i++) {
        Err err = {0};
        int32_t *ids;
        int64_t count = qm_tokenizer_encode(qwen, text, strlen(text), true, &ids, &err);
        Ids *first = expected;
        if (first->count == 0) *first = (Ids){ids, (size_t)count, 0}, ids = NULL;
        else same = same && (size_t)count == first->count && !memcmp(ids, first->data, first->count * sizeof *ids);
        free(ids);
    }
    return same ? expected : NULL;
}

/* Threads share a tokenizer. */
static void threads(void **state) {
    (void)state;
    Ids expected = {0};
    assert_non_null(encode_often(&expected));
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, encode_often, &expected), 0);
    for (int i = 0; i < 4; i++) {
        void *same;
        pthread_join(thread[i], &same);
        assert_non_null(same);
    }
    free(expected.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_qwen),       cmocka_unit_test(golden_smollm),      cmocka_unit_test(gsm8k_round_trip),
        cmocka_unit_test(random_round_trip), cmocka_unit_test(random_ids),         cmocka_unit_test(unknown_ids),
        cmocka_unit_test(invalid_utf8),      cmocka_unit_test(special_stays_text), cmocka_unit_test(spans),
        cmocka_unit_test(merges_match),      cmocka_unit_test(long_word),          cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, open_qwen, close_qwen);
}
