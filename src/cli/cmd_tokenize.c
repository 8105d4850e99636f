/* cmd_tokenize.c: the command that shows what a model is given: text or chats to ids, and ids to text. */
#include <stdlib.h>
#include <string.h>
#include "../base/lines.h"
#include "../io/json_python.h"
#include "json_lines.h"
#include "model_options.h"
#include "render.h"

enum { STDIN_LIMIT = 1 << 30 };

typedef struct Tokenize {
    ModelOptions m;      /* model, chat_template and template_args alone */
    const char *chat;
    bool pieces, jsonl, decode, no_special, skip_special, ids, no_generation_prompt, render, generation;
    QmTokenizer *tokenizer;
} Tokenize;

/* ---- Output -------------------------------------------------------------------------------------------------- */

static void print_ids(const int32_t *ids, int64_t count, const char *between) {
    for (int64_t i = 0; i < count; i++) printf("%s%d", i ? between : "", (int)ids[i]);
}

/* One id a line with its piece: what can be seen as it is, other bytes and parts of characters as \xNN. */
static void print_pieces(const QmTokenizer *tokenizer, const int32_t *ids, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        size_t bytes = 0;
        const char *piece = qm_tokenizer_piece(tokenizer, ids[i], &bytes, NULL);
        json_t *whole = json_stringn(piece, bytes); /* NULL unless it is UTF-8 */
        printf("%d\t", (int)ids[i]);
        for (size_t k = 0; k < bytes; k++) {
            uint8_t c = (uint8_t)piece[k];
            if (c == '\n') fputs("\\n", stdout);
            else if (c == '\\') fputs("\\\\", stdout);
            else if (c < 0x20 || c == 0x7F || (c >= 0x80 && !whole)) printf("\\x%02X", c);
            else putchar(c);
        }
        putchar('\n');
        json_decref(whole);
    }
}

/* ---- One text, chat or list of ids --------------------------------------------------------------------------- */

static bool encode_one(const Tokenize *o, const char *text, size_t bytes, Err *err) {
    int32_t *ids;
    int64_t count = qm_tokenizer_encode(o->tokenizer, text, bytes, !o->no_special, &ids, err);
    if (count < 0) return false;
    if (o->pieces) {
        print_pieces(o->tokenizer, ids, count);
    } else {
        print_ids(ids, count, " ");
        putchar('\n');
    }
    free(ids);
    return true;
}

static bool decode_one(const Tokenize *o, const char *text, Err *err) {
    int32_t *ids = NULL;
    size_t count = 0, capacity = 0, bytes;
    bool ok = true;
    while (ok && *(text += strspn(text, " \t\r\n,"))) {
        char word[32];
        int64_t id = 0;
        size_t n = strcspn(text, " \t\r\n,");
        snprintf(word, sizeof word, "%.*s", (int)(n < 31 ? n : 31), text);
        if (!parse_int(word, 0, INT32_MAX, &id)) ok = err_set(err, "expected token ids, got '%s'", word);
        else if ((ok = mem_grow((void **)&ids, &capacity, count + 1, sizeof *ids, "token ids", err)))
            ids[count++] = (int32_t)id;
        text += n;
    }
    char *decoded = ok ? qm_tokenizer_decode(o->tokenizer, ids, (int64_t)count, o->skip_special, &bytes, err) : NULL;
    ok = decoded && file_put(stdout, decoded, bytes, "standard output", err) &&
         file_put(stdout, "\n", 1, "standard output", err);
    free(decoded);
    free(ids);
    return ok;
}

static bool chat_one(const Tokenize *o, Err *err) {
    Text input = {0};
    int32_t *ids = NULL;
    char *text = NULL;
    int64_t count = -1;
    if (lines_all(o->chat, STDIN_LIMIT, &input, err)) {
        count = qm_tokenizer_chat(o->tokenizer, input.data, input.bytes, !o->no_generation_prompt, &ids, &text, err);
        if (count < 0) err_prefix(err, "%s", strcmp(o->chat, "-") ? o->chat : "standard input");
    }
    if (count >= 0 && o->pieces) print_pieces(o->tokenizer, ids, count);
    else if (count >= 0 && o->ids) {
        print_ids(ids, count, " ");
        putchar('\n');
    } else if (count >= 0) fputs(text, stdout);
    text_free(&input);
    free(ids);
    free(text);
    return count >= 0;
}

/* ---- Lines of JSON ------------------------------------------------------------------------------------------- */

static bool encode_line(const Tokenize *o, const json_t *value, Err *err) {
    int32_t *ids;
    if (!json_is_text(value)) return err_set(err, "expected a JSON string");
    int64_t count = qm_tokenizer_encode(o->tokenizer, json_string_value(value), json_string_length(value),
                                        !o->no_special, &ids, err);
    if (count < 0) return false;
    putchar('[');
    print_ids(ids, count, ", ");
    fputs("]\n", stdout);
    free(ids);
    return true;
}

static bool decode_line(const Tokenize *o, const json_t *value, Err *err) {
    size_t count = json_array_size(value), bytes = 0;
    if (!json_is_array(value)) return err_set(err, "expected a JSON array of token ids");
    int32_t *ids = mem_new(count, sizeof *ids, "token ids", err);
    bool ok = ids != NULL;
    for (size_t i = 0; ok && i < count; i++) {
        const json_t *item = json_array_get(value, i);
        json_int_t id = json_integer_value(item);
        if (!json_is_integer(item) || id < 0 || id > INT32_MAX) ok = err_set(err, "item %zu: expected a token id", i);
        else ids[i] = (int32_t)id;
    }
    char *decoded = ok ? qm_tokenizer_decode(o->tokenizer, ids, (int64_t)count, o->skip_special, &bytes, err) : NULL;
    Text out = {0};
    if (decoded) python_json_text(decoded, bytes, &out);
    ok = decoded && text_ok(&out, "decoded text", err);
    text_add(&out, "\n", 1);
    ok = ok && file_put(stdout, out.data, out.bytes, "standard output", err);
    text_free(&out);
    free(decoded);
    free(ids);
    return ok;
}

static bool answer_line(void *tokenize, const json_t *value, Err *err) {
    const Tokenize *o = tokenize;
    return o->decode ? decode_line(o, value, err) : encode_line(o, value, err);
}

/* ---- The command --------------------------------------------------------------------------------------------- */

/* The text at hand: arguments joined by spaces, or standard input. */
static bool plain(const Tokenize *o, int argc, char **argv, Err *err) {
    Text input = {0};
    bool ok = true;
    for (int i = 0; i < argc; i++) text_line(&input, "%s%s", i ? " " : "", argv[i]);
    if (argc == 0) ok = lines_all("-", STDIN_LIMIT, &input, err);
    ok = ok && text_ok(&input, "text", err) &&
         (o->decode ? decode_one(o, input.data, err) : encode_one(o, input.data, input.bytes, err));
    text_free(&input);
    return ok;
}

/* By the model's template, or without a model by the one that was named. */
static bool render_all(const Tokenize *o, Err *err) {
    if (o->tokenizer) return render_lines(qm_tokenizer_template(o->tokenizer), o->generation, err);
    QmTemplate *chat = qm_template_open(o->m.chat_template, err);
    bool ok = chat != NULL;
    for (int i = 0; ok && i < o->m.template_args.count; i++)
        ok = qm_template_argument(chat, o->m.template_args.item[i], err);
    ok = ok && render_lines(chat, o->generation, err);
    qm_template_close(chat);
    return ok;
}

static const char notes[] =
    "Without TEXT, standard input is read, its last line end included. A folder needs only tokenizer.json, and\n"
    "tokenizer_config.json for chats. Examples:\n"
    "  qwenmesh tokenize -m DIR 'Hello, world!'\n"
    "  qwenmesh tokenize -m DIR --decode 9707 11 1879 0\n"
    "  echo '[{\"role\": \"user\", \"content\": \"hi\"}]' | qwenmesh tokenize -m DIR --chat - --ids\n"
    "  qwenmesh tokenize --chat-template F.jinja --render --jsonl <requests.jsonl";

/* What goes together; NULL when all does. */
static const char *clash(const Tokenize *o, int texts) {
    if (o->render && (!o->jsonl || o->chat || o->decode || o->no_special || o->no_generation_prompt))
        return "--render needs --jsonl, and goes with none of --chat, --decode, --no-special and "
               "--no-generation-prompt";
    if (o->generation && !o->render) return "--generation needs --render";
    if (!o->m.engine.model && !o->render) return "expected -m DIR or -m FILE.gguf";
    if (!o->m.engine.model && !o->m.chat_template)
        return "--render: expected --chat-template NAME or FILE, or -m DIR or FILE.gguf";
    if (o->chat && (o->decode || o->jsonl || o->no_special || texts))
        return "--chat goes with none of --decode, --jsonl, --no-special and TEXT";
    if (o->jsonl && (o->pieces || texts))
        return "--jsonl reads standard input, and goes with neither --pieces nor TEXT";
    if (o->decode && (o->pieces || o->no_special)) return "--decode goes with neither --pieces nor --no-special";
    if (o->skip_special && !o->decode) return "--skip-special needs --decode";
    if ((o->ids || o->no_generation_prompt) && !o->chat) return "--ids and --no-generation-prompt need --chat";
    if ((o->m.chat_template || o->m.template_args.count) && !o->chat && !o->render)
        return "--chat-template and --template-arg need --chat or --render";
    return NULL;
}

int cmd_tokenize(int argc, char **argv) {
    Tokenize o = {0};
    Err err = {0};
    int first = 0;
    const Option options[] = {
        TEXT("model", 'm', &o.m.engine.model, "PATH", "folder with tokenizer.json, or a .gguf file"),
        FLAG("pieces", 0, &o.pieces, "one id a line, with its piece"),
        FLAG("no-special", 0, &o.no_special, "text of special tokens is plain text"),
        FLAG("decode", 0, &o.decode, "ids to text"),
        FLAG("skip-special", 0, &o.skip_special, "leave special tokens out of decoded text"),
        FLAG("jsonl", 0, &o.jsonl, "a JSON string a line to an array of ids a line, or back"),
        TEXT("chat", 0, &o.chat, "FILE", "render messages (JSON, - for standard input)"),
        FLAG("ids", 0, &o.ids, "with --chat: ids, not text"),
        FLAG("no-generation-prompt", 0, &o.no_generation_prompt, "with --chat: end after the last message"),
        FLAG("render", 0, &o.render,
             "with --jsonl: an object with messages, tools, variables a line to its text; needs no model"),
        FLAG("generation", 0, &o.generation,
             "with --render: where the template's generation blocks lie, in characters"),
        CHAT_TEMPLATE_OPTION(o.m),
    };
    int code = options_parse(argc, argv, "tokenize -m PATH [options] [TEXT...]", notes, options,
                             sizeof options / sizeof *options, &first);
    if (code >= 0) return code;
    const char *wrong = clash(&o, argc - first);
    if (wrong) return usage_error(argv[0], "%s", wrong);
    bool ok = o.m.engine.model ? (o.tokenizer = model_tokenizer(&o.m, &err)) != NULL : true;
    ok = ok && (o.render  ? render_all(&o, &err)
                : o.chat  ? chat_one(&o, &err)
                : o.jsonl ? json_lines_answer(answer_line, &o, &err)
                          : plain(&o, argc - first, argv + first, &err));
    qm_tokenizer_close(o.tokenizer);
    Err written = {0}; /* what was written before an error is flushed too */
    bool flushed = file_finish(stdout, "standard output", &written);
    if (!ok) return fail(&err);
    return flushed ? EXIT_OK : fail(&written);
}
