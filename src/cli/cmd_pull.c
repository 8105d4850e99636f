/* cmd_pull.c: `qwenmesh pull`: a model from the Hugging Face hub into a folder that the other commands read as it
 * is. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "../io/download.h"
#include "../io/libraries.h"
#include "../io/source.h"
#include "cli.h"
#include "watch_terminal.h"

enum { GLOBS_LIMIT = 64, PAGES_LIMIT = 64, ANSWER_LIMIT = 16 << 20, TOKEN_LIMIT = 4096 };

typedef struct Pull {
    const char *repo, *revision, *out, *token_file;     /* as given */
    const char *globs[GLOBS_LIMIT];
    size_t glob_count;
    int64_t stall_seconds;
    bool quiet, chosen;                                 /* globs are the user's */
    char *endpoint, *folder;                            /* owned */
    char commit[HUB_COMMIT_TEXT];
    HubFiles files;
    Http *http;
} Pull;

/* Set by Ctrl-C, read by the transfer: the one thing a signal handler can reach. */
static volatile sig_atomic_t interrupted;
static void on_interrupt(int signal_number) {
    (void)signal_number;
    interrupted = 1;
}

/* ---- Token ------------------------------------------------------------------------------------------------------- */

/* From the file, else from HF_TOKEN; NULL without an error when there is none. */
static char *token_find(const char *file, Err *err) {
    const char *from_environment = getenv("HF_TOKEN");
    char *token = NULL;
    if (file) token = file_read(file, TOKEN_LIMIT, NULL, err);
    else if (from_environment && *from_environment && !(token = strdup(from_environment)))
        err_as(err, QM_MEMORY, "out of memory: token");
    if (token) token[strcspn(token, "\r\n")] = 0;
    if (token && !*token) {
        err_set(err, "token: %s is empty", file ? file : "HF_TOKEN");
        free(token);
        return NULL;
    }
    return token;
}

static bool is_local(const char *endpoint) {
    static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        size_t n = strlen(hosts[i]);
        if (!strncasecmp(endpoint, hosts[i], n) && (!endpoint[n] || strchr(":/", endpoint[n])) &&
            !strchr(endpoint, '@'))
            return true;
    }
    return false;
}

/* ---- The list of files ------------------------------------------------------------------------------------------- */

/* Reads every page of the list; pages must come from the endpoint. */
static bool list_pages(Pull *pull, Err *err) {
    char *url = hub_api_url(pull->endpoint, pull->repo, "tree", pull->commit, err);
    if (url) {
        Text whole = {0};
        text_line(&whole, "%s?recursive=true", url);
        free(url);
        url = text_ok(&whole, "URL", err) ? whole.data : NULL;
    }
    bool ok = url != NULL;
    for (int page = 1; ok && url; page++) {
        size_t bytes;
        char *link = NULL, *answer = http_get_text(pull->http, url, ANSWER_LIMIT, &bytes, &link, err);
        free(url);
        url = NULL;
        ok = answer && hub_files_add(&pull->files, answer, bytes, pull->globs, pull->glob_count, err);
        free(answer);
        if (ok && link) url = hub_next_page(link, err);
        free(link);
        size_t n = strlen(pull->endpoint);
        if (url && page == PAGES_LIMIT) ok = err_as(err, QM_LIMIT, "the list of files has more than %d pages", page);
        else if (url && (strncmp(url, pull->endpoint, n) != 0 || url[n] != '/'))
            ok = err_set(err, "refused: the list of files goes on at another server");
    }
    free(url);
    return ok && !err->kind;
}

static bool list_files(Pull *pull, Err *err) {
    size_t bytes;
    char *url = hub_api_url(pull->endpoint, pull->repo, "revision", pull->revision, err);
    char *answer = url ? http_get_text(pull->http, url, ANSWER_LIMIT, &bytes, NULL, err) : NULL;
    bool ok = answer && hub_commit(answer, bytes, pull->commit, err) && list_pages(pull, err);
    free(url);
    free(answer);
    if (ok && pull->files.count == 0) {
        Text globs = {0};
        for (size_t i = 0; i < pull->glob_count; i++) text_line(&globs, " %s", pull->globs[i]);
        ok = err_set(err, "none of its %zu files is named like%s; --include GLOB chooses others", pull->files.seen,
                     globs.data ? globs.data : "");
        text_free(&globs);
    }
    if (!ok) err_prefix(err, "%s at %s", pull->repo, pull->revision);
    return ok;
}

/* ---- Folders and space ------------------------------------------------------------------------------------------- */

/* Makes every folder on the way to `path`, and `path` itself unless it is a file's. */
static bool make_folders(const char *path, bool is_file, Err *err) {
    char *copy = strdup(path);
    if (!copy) return err_as(err, QM_MEMORY, "out of memory: %s", path);
    bool ok = true;
    for (char *slash = copy; ok && (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        ok = mkdir(copy, 0777) == 0 || errno == EEXIST;
        *slash = '/';
    }
    if (ok && !is_file) ok = mkdir(copy, 0777) == 0 || errno == EEXIST;
    if (!ok) err_as(err, QM_IO, "cannot make a folder for %s: %s", path, strerror(errno));
    free(copy);
    return ok;
}

/* Bytes of `folder`/`name``suffix`, 0 when it is not there. */
static int64_t bytes_there(const char *folder, const char *name, const char *suffix) {
    Text path = {0};
    struct stat st;
    text_line(&path, "%s/%s%s", folder, name, suffix);
    int64_t bytes = !path.failed && stat(path.data, &st) == 0 && S_ISREG(st.st_mode) ? st.st_size : 0;
    text_free(&path);
    return bytes;
}

/* Says before the first byte that they will not all fit. */
static bool enough_space(const Pull *pull, Err *err) {
    struct statvfs fs;
    double need = 0;
    for (size_t i = 0; i < pull->files.count; i++) {
        const HubFile *file = &pull->files.file[i];
        if (bytes_there(pull->folder, file->path, "") == file->bytes) continue;
        int64_t part = bytes_there(pull->folder, file->path, ".part");
        need += (double)(file->bytes - (part <= file->bytes ? part : 0));
    }
    if (statvfs(pull->folder, &fs) != 0) return true; /* the write will tell */
    double free_bytes = (double)fs.f_bavail * (double)fs.f_frsize;
    return need <= free_bytes || err_set(err, "disk full: %s needs %.2f GB more, %s has room for %.2f GB", pull->repo,
                                         need / 1e9, pull->folder, free_bytes / 1e9);
}

/* ---- The command ------------------------------------------------------------------------------------------------- */

static bool pull_file(Pull *pull, size_t i, Err *err) {
    const HubFile *file = &pull->files.file[i];
    char *url = hub_file_url(pull->endpoint, pull->repo, pull->commit, file->path, err);
    char *path = url ? path_join(pull->folder, file->path, err) : NULL;
    Downloaded result = DOWNLOAD_FAILED;
    if (path && make_folders(path, true, err)) result = download_file(pull->http, url, file, path, err);
    if (result != DOWNLOAD_FAILED && !pull->quiet)
        fprintf(stderr, "[%zu/%zu] %s: %lld bytes, %s%s\n", i + 1, pull->files.count,
                name_text(file->path, strlen(file->path)).text, (long long)file->bytes,
                file->kind == HUB_SHA256 ? "SHA-256 right" : "git SHA-1 right",
                result == DOWNLOAD_KEPT ? ", already here" : "");
    free(url);
    free(path);
    return result != DOWNLOAD_FAILED;
}

/* Leaves of the list what the loaders read; the index is brought first, for it names the files of the weights. */
static bool choose_files(Pull *pull, Err *err) {
    char *index = NULL, *path = NULL;
    size_t bytes = 0, i = 0;
    bool has_weights = false, ok = true;
    if (hub_needs_index(&pull->files)) {
        while (strcmp(pull->files.file[i].path, MODEL_INDEX)) i++;
        ok = pull_file(pull, i, err) && (path = path_join(pull->folder, MODEL_INDEX, err)) &&
             (index = file_read(path, ANSWER_LIMIT, &bytes, err));
    }
    ok = ok && hub_choose(&pull->files, index, bytes, &has_weights, err);
    if (!ok) err_prefix(err, "%s at %s", pull->repo, pull->revision);
    bool has_tokenizer = false, gguf = false;
    for (i = 0; ok && i < pull->files.count; i++) {
        const char *name = pull->files.file[i].path, *end = strrchr(name, '.');
        has_tokenizer = has_tokenizer || !strcmp(name, "tokenizer.json");
        gguf = gguf || (end && !strcasecmp(end, ".gguf")); /* it holds its tokenizer */
    }
    if (ok && !has_tokenizer && !gguf)
        fprintf(stderr, "qwenmesh pull: warning: %s has no tokenizer.json, without which only ids can be run\n",
                pull->repo);
    if (ok && !has_weights)
        fprintf(stderr,
                "qwenmesh pull: warning: %s has no weights that are read here: no " MODEL_WEIGHTS ", " MODEL_INDEX
                " or *.gguf\n",
                pull->repo);
    free(index);
    free(path);
    return ok;
}

static bool pull_all(Pull *pull, Err *err) {
    if (!list_files(pull, err) || !make_folders(pull->folder, false, err) ||
        (!pull->chosen && !choose_files(pull, err)) || !enough_space(pull, err))
        return false;
    for (size_t i = 0; i < pull->files.count; i++)
        if (!pull_file(pull, i, err)) return false;
    return true;
}

/* Opens what the options name, and brings the files. */
static bool pull_model(Pull *pull, Err *err) {
    const char *slash = strrchr(pull->repo, '/');
    pull->folder = pull->out ? strdup(pull->out) : path_join("models", slash ? slash + 1 : pull->repo, err);
    if (!pull->folder) return err_as(err, QM_MEMORY, "out of memory: folder");
    char *token = token_find(pull->token_file, err);
    if (token && !strncmp(pull->endpoint, "http://", 7) && !is_local(pull->endpoint))
        fprintf(stderr, "qwenmesh pull: warning: the token goes to %s unencrypted\n", pull->endpoint);
    const HttpOptions options = {.endpoint = pull->endpoint, .token = token, .stall_seconds = pull->stall_seconds,
                                 .interrupted = &interrupted};
    bool ok = !err->kind && (pull->http = http_new(&options, err)) && pull_all(pull, err);
    http_free(pull->http);
    hub_files_free(&pull->files);
    free(token);
    return ok;
}

/* Takes every `--include GLOB` and `--include=GLOB` out of argv, for an option table holds one value each. */
static bool take_includes(Pull *pull, int *argc, char **argv) {
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        const char *glob = NULL;
        if (!strncmp(argv[i], "--include=", 10)) glob = argv[i] + 10;
        else if (!strcmp(argv[i], "--include") && i + 1 < *argc) glob = argv[++i];
        if (glob && pull->glob_count == GLOBS_LIMIT) return false;
        if (glob) pull->globs[pull->glob_count++] = glob;
        else argv[kept++] = argv[i];
    }
    argv[*argc = kept] = NULL;
    return true;
}

/* Fills `pull` from the command line; -1 to go on, or an exit code. */
static int pull_options(Pull *pull, int argc, char **argv) {
    const char *endpoint = getenv("HF_ENDPOINT"), *include = NULL;
    if (!endpoint || !*endpoint) endpoint = "https://huggingface.co";
    const Option options[] = {
        TEXT("revision", 0, &pull->revision, "REV", "branch, tag or commit (default main)"),
        TEXT("out", 'o', &pull->out, "DIR", "folder (default models/NAME)"),
        TEXT("include", 0, &include, "GLOB", "these files instead; may be repeated, * stops at /"),
        TEXT("token-file", 0, &pull->token_file, "FILE", "access token for gated models (default: HF_TOKEN)"),
        TEXT("endpoint", 0, &endpoint, "URL", "hub to use (default: HF_ENDPOINT, else the public one)"),
        INT("timeout", 0, &pull->stall_seconds, 1, 3600, "S", "give up on a server that stalls this long (default 60)"),
        FLAG("quiet", 'q', &pull->quiet, "errors only"),
    };
    const char *notes = "Brings what the other commands read: configuration, tokenizer, chat template, and weights as\n"
                        "safetensors or the only GGUF file; checks their hashes. Prints the folder.\n"
                        "Run it again to continue a transfer that was cut off.";
    int first = argc;
    Err err = {0};
    if (!take_includes(pull, &argc, argv)) return usage_error("pull", "--include: expected at most %d", GLOBS_LIMIT);
    int code = options_parse(argc, argv, "pull OWNER/NAME [options]", notes, options,
                             sizeof options / sizeof *options, &first);
    if (code >= 0) return code;
    if (pull->quiet) watch_terminal(QM_FATAL);
    if (first != argc - 1) return usage_error("pull", "expected one repository, as in Qwen/Qwen2.5-0.5B-Instruct");
    pull->repo = argv[first];
    if (!hub_repo_valid(pull->repo, &err)) return usage_error("pull", "%s", err.text);
    pull->chosen = pull->glob_count > 0;
    if (!pull->chosen) {
        static const char *const weights[] = {MODEL_INDEX, "*.safetensors", "*.bin", "*.gguf"};
        memcpy(pull->globs, model_files, sizeof model_files);
        memcpy(pull->globs + MODEL_FILES, weights, sizeof weights);
        pull->glob_count = MODEL_FILES + sizeof weights / sizeof *weights;
    }
    pull->endpoint = strdup(endpoint);
    for (size_t n = pull->endpoint ? strlen(endpoint) : 0; n > 0 && pull->endpoint[n - 1] == '/';)
        pull->endpoint[--n] = 0;
    if (pull->endpoint) return -1;
    err_as(&err, QM_MEMORY, "out of memory: endpoint");
    return fail(&err);
}

int cmd_pull(int argc, char **argv) {
    Pull pull = {.revision = "main", .stall_seconds = 60};
    Err err = {0};
    int code = pull_options(&pull, argc, argv);
    if (code >= 0) return code;
    libraries_start_http();
    struct sigaction old, action = {.sa_handler = on_interrupt};
    sigaction(SIGINT, &action, &old);
    bool ok = pull_model(&pull, &err);
    sigaction(SIGINT, &old, NULL);
    if (ok) printf("%s\n", pull.folder);
    else if (interrupted) err_prefix(&err, "run the same command again to continue");
    ok = file_finish(stdout, "standard output", &err) && ok;
    free(pull.folder);
    free(pull.endpoint);
    return ok ? EXIT_OK : fail(&err);
}
