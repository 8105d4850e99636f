// chat.cpp: answers each line of standard input, by a regular expression.   chat MODEL REGEX
//     c++ chat.cpp $(pkg-config --cflags --libs --static qwenmesh) -o chat
#include <qwenmesh.h>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

static std::string quoted(const std::string &text) { // as JSON
    std::string out = "\"";
    for (unsigned char c : text) {
        char code[8];
        std::snprintf(code, sizeof code, c < 32 || c == '"' || c == '\\' ? "\\u%04x" : "%c", c);
        out += code;
    }
    return out + "\"";
}

static bool say(void *answer, const char *text, size_t bytes) {
    static_cast<std::string *>(answer)->append(text, bytes);
    return true;
}

int main(int argc, char **argv) {
    QmErr err = {};
    if (argc != 3) return std::cerr << "usage: chat MODEL REGEX\n", 2;
    QmEngineOptions options;
    qm_engine_options(&options);
    options.model = argv[1];
    options.context = 512;
    std::unique_ptr<QmSource, decltype(&qm_source_close)> source(qm_source_open(argv[1], &err), qm_source_close);
    if (!source) return std::cerr << err.text << "\n", 1;
    std::unique_ptr<QmEngine, decltype(&qm_engine_close)> engine(qm_engine_open_from(source.get(), &options, &err),
                                                                 qm_engine_close);
    std::unique_ptr<QmTokenizer, decltype(&qm_tokenizer_close)> tokenizer(qm_tokenizer_open_from(source.get(), &err),
                                                                          qm_tokenizer_close);
    std::unique_ptr<QmParameters, decltype(&qm_parameters_free)> parameters(qm_parameters_new(source.get(), &err),
                                                                            qm_parameters_free);
    std::string json = "{\"do_sample\": false, \"max_new_tokens\": 64, \"regex\": " + quoted(argv[2]) + "}", messages, line;
    if (!err.kind) qm_parameters_set(parameters.get(), json.data(), json.size(), &err);
    while (!err.kind && std::getline(std::cin, line)) {
        std::string answer;
        int32_t *ids = nullptr;
        messages += (messages.empty() ? "" : ", ") + ("{\"role\": \"user\", \"content\": " + quoted(line) + "}");
        std::string all = "[" + messages + "]";
        int64_t count = qm_tokenizer_chat(tokenizer.get(), all.data(), all.size(), true, &ids, nullptr, &err);
        if (count > 0) qm_generate(engine.get(), tokenizer.get(), ids, count, true, parameters.get(), say, &answer, &err);
        std::free(ids);
        messages += ", {\"role\": \"assistant\", \"content\": " + quoted(answer) + "}";
        if (!err.kind) std::cout << answer << std::endl;
    }
    if (err.kind) std::cerr << err.text << "\n";
    return err.kind != QM_OK;
}
