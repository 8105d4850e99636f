#!/bin/sh
# test_embed.sh: `embed`, and `forward` on models with other heads.
set -u
. tests/tap.sh
golden=tests/golden/embed

# near FILE TENSOR GOLDEN TENSOR: whether two f32 tensors of safetensors files agree to 1e-5.
near() {
    python3 - "$@" <<'P'
import json, struct, sys
def load(path, name):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    t = json.loads(data[8:8 + n])[name]
    a, b = t["data_offsets"]
    return t["shape"], struct.unpack("<%df" % ((b - a) // 4), data[8 + n + a:8 + n + b])
a, b = load(*sys.argv[1:3]), load(*sys.argv[3:5])
sys.exit(a[0] != b[0] or max(abs(x - y) for x, y in zip(a[1], b[1])) > 1e-5)
P
}
vectors() { # of JSON lines, as text
    python3 -c 'import json, sys
for line in sys.stdin: print(["%.5f" % x for x in json.loads(line)["embedding"]])'
}
for pooling in last mean; do
    tensor=$pooling
    [ $pooling = mean ] || tensor=last_token
    run embed -m $golden --in $golden/golden.safetensors --pooling $pooling --out "$work/v.safetensors"
    check "golden: $pooling" 'is 0' 'near "$work/v.safetensors" embeddings $golden/golden.safetensors $tensor'
    run embed -m $golden --in $golden/golden.safetensors --pooling $pooling --no-normalize --out "$work/raw.safetensors" \
        --mesh 2x4
    check "golden: $pooling, not normalised, on a mesh" 'is 0' \
        'near "$work/raw.safetensors" embeddings $golden/golden.safetensors ${tensor}_raw'
    run embed -m $golden --in $golden/golden.safetensors --pooling $pooling --out "$work/w.safetensors" --mesh 1x8
    check "the same bits on a mesh: $pooling" 'is 0' 'cmp "$work/v.safetensors" "$work/w.safetensors"'
done

# ---- Texts
model=$work/model
mkdir "$model"
cp tests/golden/tiny/* "$model" && chmod -R u+w "$model"
cp tests/data/bytes/tokenizer.json "$model"
printf 'one text\nand another\nthird\n' >"$work/texts"
run embed -m "$model" -f "$work/texts"
cp "$work/out" "$work/lines"
check "a line each, of a causal model without its head" 'is 0' '[ "$(wc -l <"$work/out")" = 3 ]' 'out "{\"index\":2,"'
run embed -m "$model" -p "and another"
check "a text alone is the same as among others" 'is 0' '[ "$(vectors <"$work/out")" = "$(sed -n 2p "$work/lines" | vectors)" ]'
printf '"one text"\n{"text": "and another"}\n"third"\n' >"$work/texts.jsonl"
run embed -m "$model" --jsonl -f "$work/texts.jsonl"
check "JSON lines" 'is 0' 'cmp "$work/out" "$work/lines"'
run embed -m "$model" -f "$work/texts" --out "$work/out.safetensors"
check "into safetensors" 'is 0' '[ -s "$work/out.safetensors" ]' 'grep -aq embeddings "$work/out.safetensors"'
run embed -m "$model" -f "$work/texts" --prompt "one "
cp "$work/out" "$work/prompted"
printf 'one one text\none and another\none third\n' >"$work/longer"
run embed -m "$model" -f "$work/longer"
check "a prompt goes before every text" 'is 0' 'cmp "$work/out" "$work/prompted"'

# ---- What a folder of sentence-transformers says
cat >"$model/modules.json" <<'J'
[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
 {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
J
mkdir "$model/1_Pooling"
echo '{"word_embedding_dimension": 64, "pooling_mode_mean_tokens": true, "pooling_mode_lasttoken": false}' >"$model/1_Pooling/config.json"
echo '{"prompts": {"query": "one ", "document": ""}, "default_prompt_name": null}' >"$model/config_sentence_transformers.json"
run embed -m "$model" -p "some text"
cp "$work/out" "$work/mean"
mv "$model/modules.json" "$work/"
run embed -m "$model" -p "some text" --pooling mean --no-normalize
check "modules.json: mean, not normalised" 'is 0' 'cmp "$work/out" "$work/mean"'
mv "$work/modules.json" "$model/"
run embed -m "$model" -p "one text" --pooling last
cp "$work/out" "$work/prompted"
run embed -m "$model" -p "text" --pooling last --prompt-name query
check "a prompt by its name" 'is 0' 'cmp "$work/out" "$work/prompted"'
run embed -m "$model" -p "text" --prompt-name nothing
check "a name that is none" 'is 2' 'err "expected query, document, got '\''nothing'\''"'
echo '{"max_seq_length": 4}' >"$model/sentence_bert_config.json"
run embed -m "$model" -p "abcdefgh"
cp "$work/out" "$work/cut"
run embed -m "$model" -p "abcd"
check "longer texts are cut as the folder says" 'is 0' 'cmp "$work/out" "$work/cut"'
echo '{"pooling_mode_cls_token": true}' >"$model/1_Pooling/config.json"
run embed -m "$model" -p x
check "a pooling that is not there" 'is 1' 'err "expected lasttoken or mean, got cls_token"'
echo '[{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]' >"$model/modules.json"
run embed -m "$model" -p x
check "a module that is not there" 'is 1' 'err "module sentence_transformers.models.Dense is not supported"'
rm "$model/modules.json"

# A tokenizer that ends texts with a token, as those for embeddings do.
python3 - "$model/tokenizer.json" <<'P'
import json, sys
t = json.load(open(sys.argv[1]))
name = t["added_tokens"][0]["content"]
t["post_processor"] = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
    {"SpecialToken": {"id": name, "type_id": 0}}], "pair": [],
    "special_tokens": {name: {"id": name, "ids": [t["added_tokens"][0]["id"]], "tokens": [name]}}}
json.dump(t, open(sys.argv[1], "w"))
open(sys.argv[1] + ".name", "w").write(name)
P
run embed -m "$model" -p "abc"
cp "$work/out" "$work/ended"
cp tests/data/bytes/tokenizer.json "$model/"
run embed -m "$model" -p "abc$(cat "$model/tokenizer.json.name")"
rm "$model/tokenizer.json.name" "$model/sentence_bert_config.json"
run embed -m "$model" -p "abc$(python3 -c 'import json; print(json.load(open("tests/data/bytes/tokenizer.json"))["added_tokens"][0]["content"])')"
check "the token that ends a text" 'is 0' 'cmp "$work/out" "$work/ended"'

# ---- Bad input
run embed -m "$model" -p ""
check "an empty text" 'is 1' 'err "no tokens"'
printf '"a"\n{"txt": 1}\n' >"$work/bad.jsonl"
run embed -m "$model" --jsonl -f "$work/bad.jsonl"
check "a line without a text" 'is 1' 'err "line 2: expected a text, or an object with \"text\""'
run embed -m "$model" -p x --pooling first
check "no such pooling" 'is 2' 'err "expected last or mean"'
run embed -m "$model" -p x --in $golden/golden.safetensors
check "two sources of texts" 'is 2'
run embed -m "$model" -f "$work/texts" --out "$work/./texts"
check "onto its own texts" 'is 1' 'err "expected another file"' '[ "$(wc -l <"$work/texts")" = 3 ]'

# ---- forward
for head in seqcls tokcls reward; do
    run forward -m tests/golden/$head --in tests/golden/$head/golden.safetensors --out "$work/$head.safetensors"
    check "forward: $head" 'is 0' '[ $head = tokcls ] || near "$work/$head.safetensors" logits tests/golden/$head/golden.safetensors logits'
done
run forward -m tests/golden/seqcls --in tests/golden/seqcls/golden.safetensors --out "$work/o.safetensors"
check "forward: the loss of labels" 'out "loss 1.172452"'
run forward -m tests/golden/tokcls --in tests/golden/tokcls/golden.safetensors --out "$work/o.safetensors"
check "forward: the loss of tokens' labels" 'out "loss 1.471311"'
run forward -m tests/golden/qa --in tests/golden/qa/golden.safetensors --out "$work/o.safetensors"
check "forward: begins and ends" 'is 0' 'grep -aq start_logits "$work/o.safetensors"' 'grep -aq end_logits "$work/o.safetensors"' 'out loss'
run forward -m tests/golden/embed --in tests/golden/embed/golden.safetensors --out "$work/o.safetensors"
check "forward: without a head" 'is 0' 'grep -aq last_hidden_state "$work/o.safetensors"'
run run -m tests/golden/seqcls -p hi
check "run needs a causal head" 'is 1' "err \"this model's head is 'sequence'\""
cp -r tests/golden/seqcls "$work/odd" && chmod -R u+w "$work/odd"
sed -i 's/Qwen2ForSequenceClassification/Qwen2ForRewardModel/' "$work/odd/config.json"
run forward -m "$work/odd" --in tests/golden/seqcls/golden.safetensors --out "$work/o.safetensors"
check "a class that is none" 'is 1' 'err "architectures: expected a class that ends in"'
finish
