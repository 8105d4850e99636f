/* test_hub.c: names, lists and links of the hub, read from a server that may lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "../src/io/hub.h"

#define SHA1 "0123456789abcdef0123456789abcdef01234567"
#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A repository is one or two plain names; what could change the URL's path is refused. */
static void repo_names(void **state) {
    (void)state;
    static const char *const good[] = {"gpt2", "Qwen/Qwen2.5-0.5B-Instruct", "a/b", "A_b/c.d-e"};
    static const char *const bad[] = {"",     "/",      "a/",    "/a",   "a/b/c", "..",        "a/..",
                                      "../a", "a..b/c", ".a/b",  "-a/b", "a/.b",  "a/-b",      "a b",
                                      "a?b",  "a#b",    "a%2fb", "a\\b", "a\nb",  "\xc3\xa9/b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_true(hub_repo_valid(good[i], NULL));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Err err = {0};
        if (hub_repo_valid(bad[i], &err)) fail_msg("accepted '%s'", bad[i]);
        assert_true(err.kind);
    }
}

/* A path stays below the folder, whatever it is. */
static void path_names(void **state) {
    (void)state;
    static const char *const good[] = {"config.json", "a/b/c.json",         "...",          "a..b",
                                       ".hidden",     "onnx/model q4.onnx", "\xc3\xa9.json"};
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "/",
                                      "/etc/passwd",
                                      "a/",
                                      "a//b",
                                      "./a",
                                      "a/.",
                                      "../a",
                                      "a/../b",
                                      "a/..",
                                      "a\\b",
                                      "a\nb",
                                      "a\177b",
                                      "\x1b[2J",
                                      "a.part",
                                      "x/y.part"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!hub_path_safe(good[i])) fail_msg("refused '%s'", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hub_path_safe(bad[i])) fail_msg("accepted '%s'", bad[i]);
    char name[1200];
    memset(name, 'a', sizeof name);
    name[240] = 0;
    assert_true(hub_path_safe(name));
    name[240] = 'a', name[241] = 0;
    assert_false(hub_path_safe(name));
    for (size_t i = 100; i < sizeof name; i += 100) name[i] = '/';
    memset(name + 241, 'b', 59);
    name[300] = '/', name[1024] = 0;
    assert_true(hub_path_safe(name));
    name[1024] = 'a', name[1025] = 0;
    assert_false(hub_path_safe(name));
}

/* Files are chosen by glob; '*' stops at '/'; large files take size and hash from "lfs"; folders are passed over. */
static void lists(void **state) {
    (void)state;
    static const char list[] =
        "[{\"type\":\"directory\",\"path\":\"model\",\"oid\":\"" SHA1 "\",\"size\":0},"
        "{\"type\":\"file\",\"path\":\"config.json\",\"oid\":\"" SHA1 "\",\"size\":663},"
        "{\"type\":\"file\",\"path\":\"sub/config.json\",\"oid\":\"" SHA1 "\",\"size\":1},"
        "{\"type\":\"file\",\"path\":\"model.safetensors\",\"oid\":\"" SHA1 "\",\"size\":135,"
        "\"lfs\":{\"oid\":\"" SHA256 "\",\"size\":988097824,\"pointerSize\":135},\"xetHash\":\"ab\"}]";
    static const char *const globs[] = {"config.json", "model*", "*.json"};
    HubFiles files = {0};
    Err err = {0};
    assert_true(hub_files_add(&files, list, sizeof list - 1, globs, 3, &err));
    assert_int_equal(files.count, 2);
    assert_int_equal(files.seen, 3);
    assert_string_equal(files.file[0].path, "config.json");
    assert_int_equal(files.file[0].bytes, 663);
    assert_int_equal(files.file[0].kind, HUB_GIT_SHA1);
    assert_string_equal(files.file[0].hash, SHA1);
    assert_string_equal(files.file[1].path, "model.safetensors");
    assert_int_equal(files.file[1].bytes, 988097824);
    assert_int_equal(files.file[1].kind, HUB_SHA256);
    assert_string_equal(files.file[1].hash, SHA256);
    assert_true(hub_files_add(&files, list, sizeof list - 1, globs, 3, &err)); /* a second page */
    assert_int_equal(files.count, 4);
    hub_files_free(&files);
}

/* What is not such a list is an error, and what was read before stays whole. */
static void bad_lists(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",
        "{}",
        "[1]",
        "[{}]",
        "[{\"type\":\"file\"}]",
        "[{\"type\":1,\"path\":\"a\"}]",
        "[{\"type\":\"file\",\"path\":\"a\"}]",
        "[{\"type\":\"file\",\"path\":\"a\",\"size\":1}]",
        "[{\"type\":\"file\",\"path\":\"a\",\"size\":1.5,\"oid\":\"" SHA1 "\"}]",
        "[{\"type\":\"file\",\"path\":\"a\",\"size\":-1,\"oid\":\"" SHA1 "\"}]",
        "[{\"type\":\"file\",\"path\":\"a\",\"size\":9223372036854775807,\"oid\":\"" SHA1 "\"}]",
        "[{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"" SHA256 "\"}]",
        "[{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"0123456789ABCDEF0123456789abcdef01234567\"}]",
        "[{\"type\":\"file\",\"path\":\"a\",\"size\":1,\"oid\":\"" SHA1 "\",\"lfs\":{\"size\":1,\"oid\":\"" SHA1
        "\"}}]",
        "[{\"type\":\"file\",\"path\":\"../a\",\"size\":1,\"oid\":\"" SHA1 "\"}]",
    };
    static const char *const globs[] = {"*", "*/*"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        HubFiles files = {0};
        Err err = {0};
        if (hub_files_add(&files, texts[i], strlen(texts[i]), globs, 2, &err)) fail_msg("accepted %s", texts[i]);
        assert_true(err.kind);
        assert_int_equal(files.count, 0);
        hub_files_free(&files);
    }
}

static void add_file(Text *list, const char *path) {
    text_line(list, "%s{\"type\":\"file\",\"path\":\"%s\",\"size\":1,\"oid\":\"" SHA1 "\"}", list->bytes > 1 ? "," : "",
              path);
}

/* What a model needs of a repository: the names that are kept, or what the error says. */
static void choices(void **state) {
    (void)state;
    static const struct {
        const char *files[8], *index, *kept, *says;
        bool none;
    } cases[] = {
        {{"config.json", "chat_template.jinja", "model.safetensors", "tokenizer.json", "model-q4.gguf",
          "x.safetensors"},
         NULL,
         "config.json chat_template.jinja model.safetensors tokenizer.json",
         NULL,
         false},
        {{"b-2.safetensors", "a.safetensors", "model.safetensors.index.json", "x.safetensors", "tokenizer_config.json"},
         "{\"weight_map\":{\"t\":\"a.safetensors\",\"u\":\"b-2.safetensors\",\"v\":\"a.safetensors\"}}",
         "b-2.safetensors a.safetensors model.safetensors.index.json tokenizer_config.json",
         NULL,
         false},
        {{"model.safetensors.index.json", "a"}, "{\"weight_map\":{\"t\":\"b\"}}", NULL, "names b, which", false},
        {{"model.safetensors.index.json", "a"}, "{\"weight_map\":{\"t\":3}}", NULL, "names no file", false},
        {{"model.safetensors.index.json"}, "{}", NULL, "expected a weight_map", false},
        {{"model.safetensors.index.json"}, "version https://git-lfs.github.com/spec/v1\n", NULL, "Git LFS", false},
        {{"config.json", "m.GGUF"}, NULL, "config.json m.GGUF", NULL, false},
        {{"config.json", "q4.gguf", "q8.gguf"}, NULL, NULL, "choose one with --include NAME: q4.gguf q8.gguf", false},
        {{"config.json", "pytorch_model.bin"}, NULL, "config.json", NULL, true},
    };
    static const char *const all[] = {"*"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        HubFiles files = {0};
        Err err = {0};
        Text list = {0}, kept = {0};
        bool has = false;
        text_add(&list, "[", 1);
        for (int k = 0; k < 8 && cases[i].files[k]; k++) add_file(&list, cases[i].files[k]);
        text_add(&list, "]", 1);
        text_add(&kept, "", 0);
        assert_true(hub_files_add(&files, list.data, list.bytes, all, 1, &err));
        assert_int_equal(hub_needs_index(&files), cases[i].index != NULL);
        bool ok = hub_choose(&files, cases[i].index, cases[i].index ? strlen(cases[i].index) : 0, &has, &err);
        for (size_t k = 0; k < files.count; k++) text_line(&kept, "%s%s", k ? " " : "", files.file[k].path);
        if (ok != !cases[i].says || (!ok && !strstr(err.text, cases[i].says))) fail_msg("case %zu: %s", i, err.text);
        if (ok) assert_string_equal(kept.data, cases[i].kept);
        if (ok) assert_int_equal(has, !cases[i].none);
        text_free(&list);
        text_free(&kept);
        hub_files_free(&files);
    }
}

/* The commit is forty digits and nothing else. */
static void commits(void **state) {
    (void)state;
    static const char *const bad[] = {"", "[]", "{}", "{\"sha\":1}", "{\"sha\":\"main\"}", "{\"sha\":\"" SHA256 "\"}",
                                      "{\"sha\":\"../../../../../../../../../../../../../a\"}"};
    char commit[HUB_COMMIT_TEXT];
    Err err = {0};
    const char *good = "{\"id\":\"a/b\",\"sha\":\"" SHA1 "\"}";
    assert_true(hub_commit(good, strlen(good), commit, &err));
    assert_string_equal(commit, SHA1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (Err){0};
        if (hub_commit(bad[i], strlen(bad[i]), commit, &err)) fail_msg("accepted %s", bad[i]);
        assert_true(err.kind);
    }
}

/* Only rel="next" leads on. */
static void links(void **state) {
    (void)state;
    static const char *const none[] = {"",
                                       "<",
                                       "<http://a>",
                                       "<http://a>; rel=\"last\"",
                                       "<http://a; rel=\"next\"",
                                       "rel=\"next\"",
                                       "<http://a>, rel=\"next\""};
    Err err = {0};
    char *url = hub_next_page("<http://a>; rel=\"last\", <http://b?c=d%3D>; rel=\"next\"", &err);
    assert_non_null(url);
    assert_string_equal(url, "http://b?c=d%3D");
    free(url);
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_null(hub_next_page(none[i], &err));
    assert_false(err.kind);
}

/* Whatever stands in a revision or a path stays in its place in the URL. */
static void urls(void **state) {
    (void)state;
    Err err = {0};
    char *url = hub_api_url("https://h", "a/b", "revision", "refs/pr/1?x#y", &err);
    assert_string_equal(url, "https://h/api/models/a/b/revision/refs%2Fpr%2F1%3Fx%23y");
    free(url);
    url = hub_file_url("https://h", "a/b", SHA1, "sub dir/\xc3\xa9+%.json", &err);
    assert_string_equal(url, "https://h/a/b/resolve/" SHA1 "/sub%20dir/%C3%A9%2B%25.json");
    free(url);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repo_names), cmocka_unit_test(path_names), cmocka_unit_test(lists),
        cmocka_unit_test(bad_lists),  cmocka_unit_test(commits),    cmocka_unit_test(links),
        cmocka_unit_test(urls),       cmocka_unit_test(choices),
    };
    return cmocka_run_group_tests_name("hub", tests, NULL, NULL);
}
