#!/bin/sh
# test_train_tasks.sh: `train --task seqcls | tokcls | qa` at the command line: a causal model gets a head and learns a small
# set; what is saved loads with the head and its names, and `forward` finds the loss that the evaluation told.
set -u
. tests/tap.sh
model=$work/model
mkdir "$model"
cp tests/golden/train/config.json tests/golden/train/model.safetensors tests/data/bytes/tokenizer.json \
    tests/data/bytes/tokenizer_config.json "$model"

# Data as texts (T.jsonl), and as ids (T-ids.jsonl) with the same rows as a batch for forward (T.safetensors).
python3 - "$work" <<'P'
import json, random, struct, sys
work, draw = sys.argv[1], random.Random(5)

def lines(name, rows):
    with open(f"{work}/{name}.jsonl", "w") as f:
        for row in rows: f.write(json.dumps(row) + "\n")

def tensors(name, **all):
    head, data = {}, b""
    for key, (kind, shape, values) in all.items():
        raw = struct.pack(f"<{len(values)}{'f' if kind == 'F32' else 'i'}", *values)
        head[key] = {"dtype": kind, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    open(f"{work}/{name}.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)

words, towns = ["good", "great", "fine", "bad", "awful", "poor"], ["Paris", "Rome", "Bonn", "Oslo"]
lines("seqcls", [{"text": f"film {i}: {words[i % 6]}", "text_pair": "seen" if i % 2 else None,
                  "label": "praise" if i % 6 < 3 else "blame"} for i in range(18)])
lines("tokcls", [{"tokens": ["Ann", "Lee", "is", "in", towns[i % 4], "."],
                  "tags": ["B-PER", "I-PER", "O", "O", "B-LOC", "O"]} for i in range(12)])
qa = []
for i in range(12):
    context = f"{'AB'[i % 2]} lives in {towns[i % 4]} now."
    qa.append({"question": "Where?", "context": context,
               "answers": {"text": [towns[i % 4]], "answer_start": [context.index(towns[i % 4])]}})
lines("qa", qa)
lines("number", [{"text": f"row {chr(97 + i % 7)}", "label": i % 7 / 2 - 1.25} for i in range(14)])

B, S = 6, 10
ids = [[draw.randrange(3, 250) for _ in range(S)] for _ in range(B)]
flat = [i for row in ids for i in row]
tags = [[draw.randrange(4) if i % 3 else -100 for i in range(S)] for _ in range(B)]
lines("seqcls-ids", [{"ids": ids[b], "label": b % 3} for b in range(B)])
tensors("seqcls", input_ids=("I32", [B, S], flat), labels=("I32", [B], [b % 3 for b in range(B)]))
lines("tokcls-ids", [{"ids": ids[b], "labels": tags[b]} for b in range(B)])
tensors("tokcls", input_ids=("I32", [B, S], flat), labels=("I32", [B, S], [t for row in tags for t in row]))
lines("qa-ids", [{"ids": ids[b], "start": b, "end": b + b % 3} for b in range(B)])
tensors("qa", input_ids=("I32", [B, S], flat), start_positions=("I32", [B], list(range(B))),
        end_positions=("I32", [B], [b + b % 3 for b in range(B)]))
lines("number-ids", [{"ids": ids[b], "label": b / 2 - 1.25} for b in range(B)])
tensors("number", input_ids=("I32", [B, S], flat), labels=("F32", [B], [b / 2 - 1.25 for b in range(B)]))
P

options="-m $model --num-train-epochs 20 --batch-size 6 --seq-len 64 --learning-rate 4e-3 --lr-scheduler-type constant"
task_of() { [ "$1" = number ] && echo seqcls || echo "$1"; }
train() { # KIND DATA FOLDER OPTIONS...
    kind=$1 data=$work/$2.jsonl to=$3
    shift 3
    # shellcheck disable=SC2086 # words
    run train $options --task "$(task_of "$kind")" -d "$data" --eval-data "$data" -o "$work/$to" --log "$work/$to.log" \
        --save-steps 0 "$@"
}
# The log's last value of a key is at least, or at most, a number; and is what forward told.
least() { tail -n 1 "$work/$1.log" | python3 -c 'import json, sys; sys.exit(json.loads(sys.stdin.read())[sys.argv[1]] < float(sys.argv[2]))' "$2" "$3"; }
most() { tail -n 1 "$work/$1.log" | python3 -c 'import json, sys; sys.exit(json.loads(sys.stdin.read())[sys.argv[1]] > float(sys.argv[2]))' "$2" "$3"; }
loss_is_forwards() { # FOLDER FILE
    python3 - "$work/$1.log" "$2" <<'P'
import json, struct, sys
told = json.loads(open(sys.argv[1]).readlines()[-1])["eval_loss"]
raw = open(sys.argv[2], "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
at = json.loads(raw[8:8 + n])["loss"]["data_offsets"][0] + 8 + n
loss = struct.unpack("<f", raw[at:at + 4])[0]
sys.exit(not abs(loss - told) <= 1e-6 + 1e-5 * told)
P
}
class_is() { grep -q "\"Qwen2For$2\"" "$work/$1/config.json"; }

# ---- Texts -----------------------------------------------------------------------------------------------------------
train seqcls seqcls t-seqcls
check "classes of texts are learnt" 'is 0' 'class_is t-seqcls SequenceClassification' 'least t-seqcls eval_accuracy 1' 'least t-seqcls eval_f1 1' 'least t-seqcls eval_matthews_correlation 1' 'err "accuracy 1.0000"' 'no_err perplexity'
check "their names are saved, in order" 'grep -q "\"0\": \"blame\"" "$work/t-seqcls/config.json"' 'grep -q "\"praise\": 1" "$work/t-seqcls/config.json"'
train tokcls tokcls t-tokcls
check "tags of words are learnt" 'is 0' 'class_is t-tokcls TokenClassification' 'least t-tokcls eval_f1 1' 'least t-tokcls eval_precision 1' 'least t-tokcls eval_recall 1' 'grep -q "\"B-LOC\": 0" "$work/t-tokcls/config.json"'
train qa qa t-qa
check "answers are learnt" 'is 0' 'class_is t-qa QuestionAnswering' 'least t-qa eval_exact_match 0.9' 'least t-qa eval_f1 0.9'
train number number t-number
check "numbers are learnt" 'is 0' 'class_is t-number SequenceClassification' 'least t-number eval_pearson 0.95' 'least t-number eval_spearmanr 0.95'

# ---- What is saved is what was trained -------------------------------------------------------------------------------
for kind in seqcls tokcls qa number; do
    train $kind $kind-ids $kind
    check "$kind of ids is learnt" 'is 0' 'most $kind eval_loss 0.05'
    run forward -m "$work/$kind" --in "$work/$kind.safetensors" --out "$work/$kind.out" --mesh 1x2
    check "$kind: forward finds the evaluation's loss" 'is 0' 'loss_is_forwards $kind "$work/$kind.out"'
    train $kind $kind-ids l-$kind --lora-r 4 --lora-targets all-linear --num-train-epochs 30 --learning-rate 2e-2
    check "$kind: an adapter learns it with its head" 'is 0' 'most l-$kind eval_loss 0.2' 'grep -q "modules_to_save.: \[" "$work/l-$kind/adapter_config.json"'
    run forward -m "$model" --lora "$work/l-$kind" --in "$work/$kind.safetensors" --out "$work/$kind.out"
    check "$kind: forward with the adapter finds its loss" 'is 0' 'loss_is_forwards l-$kind "$work/$kind.out"'
done

# ---- A model that has the head ---------------------------------------------------------------------------------------
sed 's/"praise"/"joy"/' "$work/seqcls.jsonl" >"$work/other.jsonl"
run train -m "$work/t-seqcls" --task seqcls -d "$work/other.jsonl" -o "$work/none" --max-steps 1
check "a class that the model does not know" 'is 1' 'err "expected one of the model'\''s 2 classes (blame, praise), got '\''joy'\''"' '[ ! -e "$work/none" ]'
run train -m "$work/t-seqcls" --task seqcls -d "$work/seqcls.jsonl" --eval-data "$work/seqcls.jsonl" -o "$work/more" --max-steps 1 --learning-rate 0 --log "$work/more.log"
check "its head and its names go on" 'is 0' 'least more eval_accuracy 1' 'cmp "$work/more/model.safetensors" "$work/t-seqcls/model.safetensors"' 'cmp "$work/more/config.json" "$work/t-seqcls/config.json"'
run train -m tests/golden/train-seqcls --task seqcls --tokenizer "$model" -d "$work/seqcls.jsonl" -o "$work/none" --max-steps 1
check "another number of labels" 'is 1' 'err "the model'\''s head '\''sequence'\'' has 3 labels: expected 2, as many as the data"'
run train -m "$work/t-seqcls" --task tokcls -d "$work/tokcls.jsonl" -o "$work/none" --max-steps 1
check "another head" 'is 1' 'err "the model'\''s head is '\''sequence'\'': expected '\''token'\''"'
finish
