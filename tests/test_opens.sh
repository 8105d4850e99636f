#!/bin/sh
# test_opens.sh: a command opens every file of its model at most once, whatever the model is: configuration, weights,
# tokenizer and generation defaults come from one source.
set -u
. tests/tap.sh
smollm2=${QWENMESH_SMOLLM2:-models/SmolLM2-135M-Instruct.Q4_1.gguf}
folder=$work/folder
finish() {
    echo "1..$number"
    exit 0
}
command -v strace >/dev/null || { skip "files of a model" "no strace"; finish; }
strace -o "$work/trace" true 2>/dev/null || { skip "files of a model" "strace may not trace here"; finish; }

mkdir "$folder"
cp tests/golden/tiny/config.json tests/golden/tiny/generation_config.json tests/golden/tiny/model* "$folder"
cp tests/data/bytes/tokenizer.json tests/data/bytes/tokenizer_config.json "$folder"

# traced ARGUMENTS...: as run; $work/opened then has the files of the model that were opened, each with how often.
traced() {
    status=0
    strace -f -e trace=open,openat -o "$work/trace" "$QWENMESH" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    grep -v ENOENT "$work/trace" | grep -o '"[^"]*"' | grep -F -e "\"$folder" -e "\"$smollm2" -e "\"$work/packed" |
        sort | uniq -c >"$work/opened"
    cat "$work/opened" >>"$work/err"
}
files() { [ "$(wc -l <"$work/opened")" = "$1" ]; }
each_once() { awk '$1 != 1 {wrong = 1} END {exit wrong}' "$work/opened"; }
not_opened() { ! grep -qF -e "$1" "$work/opened"; }

traced run -m "$folder" -p hi -n 2
check "run, a folder: every file once" 'is 0' 'files 11' each_once
traced generate -m "$folder" --in /dev/null --out -
check "generate, a folder" 'is 0' 'files 11' each_once
traced tokenize -m "$folder" hi
check "tokenize, a folder: no weights" 'is 0' 'files 3' each_once 'not_opened safetensors'
mkdir "$folder/1_Pooling"
echo '[{"type": "x.Transformer", "path": ""}, {"type": "x.Pooling", "path": "1_Pooling"}]' >"$folder/modules.json"
echo '{"pooling_mode_mean_tokens": true}' >"$folder/1_Pooling/config.json"
echo '{"prompts": {"query": "a "}}' >"$folder/config_sentence_transformers.json"
echo '{"max_seq_length": 9}' >"$folder/sentence_bert_config.json"
traced embed -m "$folder" -p hi --prompt-name query
check "embed, a folder of sentence-transformers" 'is 0' 'files 14' each_once
rm -r "$folder/modules.json" "$folder/1_Pooling" "$folder"/*sentence*
traced plan "$folder" --mesh 2x4
check "plan, a folder" 'is 0' each_once
echo "The cat sat on the mat." >"$work/text"
traced eval compare "$folder" "$folder" -f "$work/text" --mesh-b 2x4
check "eval compare: two meshes of one model, once" 'is 0' 'files 10' each_once
run pack "$folder" -o "$work/packed.qm"
traced run -m "$work/packed.qm" -p hi -n 2
check "run, a packed file" 'is 0' 'files 1' each_once
if [ -e "$smollm2" ]; then
    traced run -m "$smollm2" -p hi -n 2
    check "run, a GGUF file" 'is 0' 'files 1' each_once
    mkdir "$work/folder2"
    ln -s "$(realpath "$smollm2")" "$work/folder2/model.gguf"
    folder=$work/folder2
    traced run -m "$folder" -p hi -n 2
    check "run, a folder with a GGUF file alone" 'is 0' each_once 'files 2'
    run pack "$smollm2" -o "$work/packed-gguf.qm"
    traced chat -m "$work/packed-gguf.qm"
    check "chat, a packed GGUF file" 'is 0' 'files 1' each_once
else
    skip "run, a GGUF file" "no $smollm2"
fi
finish
