#!/bin/sh
# test_train.sh: `train` at the command line: what it takes and refuses, what it leaves, and that whatever ends a run, what
# was reported saved is there, and the run that goes on ends with the bytes of one that was never ended.
set -u
. tests/tap.sh
model=$work/model data=$work/data.jsonl
mkdir "$model"
cp tests/golden/tiny/* "$model" && chmod -R u+w "$model"
cp tests/data/bytes/tokenizer.json tests/data/bytes/tokenizer_config.json "$model"
i=0
while [ $i -lt 40 ]; do
    echo "{\"prompt\":\"$i plus $((i * 7 % 13)) is \",\"completion\":\"$((i + i * 7 % 13)), I think\"}"
    i=$((i + 1))
done >"$data"
options="--data $data --batch-size 4 --seq-len 64 --learning-rate 1e-3 --eval-split 0.1 --eval-steps 6 --save-steps 4"
train() { # FOLDER OPTIONS...
    to=$1
    shift
    # shellcheck disable=SC2086 # words
    run train -m "$model" $options -o "$work/$to" --log "$work/$to.jsonl" "$@"
}
same() { cmp -s "$work/whole/$2" "$work/$1/$2"; }
untimed() { sed 's/,"[a-z_]*seconds":[^}]*//' "$work/$1.jsonl"; }
same_as() { cmp -s "$work/$1/$3" "$work/$2/$3"; }
same_log() { [ "$(untimed whole)" = "$(untimed "$1")" ]; }
lines() { grep -c "$1" "$2"; }

# ---- What it is told -------------------------------------------------------------------------------------------------
refused() { # NAME TEXT OPTIONS...: a usage error
    name=$1 text=$2
    shift 2
    run train "$@"
    check "refused: $name" 'is 2' 'err "$text"' '[ ! -e "$work/none" ]'
}
base="-m $model --data $data -o $work/none"
refused "no model" "no model: expected -m MODEL" --data "$data" -o "$work/none"
refused "no data" "no data: expected --data FILE" -m "$model" -o "$work/none"
refused "no folder" "expected -o DIR" -m "$model" --data "$data"
# shellcheck disable=SC2086 # words
{
    refused "a schedule that is none" "--lr-scheduler-type: expected constant|linear|cosine|wsd, got 'poly'" $base --lr-scheduler-type poly
    refused "a rate that is no number" "--learning-rate: expected a number from 0 to 1000, got '5e-5x'" $base --learning_rate 5e-5x
    refused "batches that do not agree" "--batch-size: expected 6" $base -b 5 --per_device_train_batch_size 3 --gradient_accumulation_steps 2
    refused "evaluation without data" "--eval-steps: expected --eval-data or --eval-split" $base --eval-steps 5
    refused "the best without evaluation" "--load-best-model-at-end: expected --eval-data" $base --load-best-model-at-end
    refused "alpha without a rank" "--lora-alpha: expected --lora-r" $base --lora-alpha 16
    refused "a model and a configuration" "expected -m MODEL or --init CONFIG.json, got both" $base --init "$model/config.json"
    refused "another program's name" "unknown option --output-dir: here it is --out" $base --output_dir x
    refused "what it always does" "unknown option --do-train: leave it out" $base --do_train
    refused "activations in 8 bits" "activations: training computes in f32 or bf16, got 'int8'" $base --act int8
    refused "a key/value cache" "unknown option --cache-type" $base --cache-type bf16
    refused "no folder to write but the model's" "expected another folder to write" -m "$model" --data "$data" -o "$model"
}
run train --help
check "help has the names of Trainer" 'is 0' 'out "--num-train-epochs E"' 'out "--gradient-accumulation-steps N"' 'out "Ctrl-C saves a checkpoint"'

# ---- What it will take -----------------------------------------------------------------------------------------------
run plan tests/golden/configs/0.5b.json --train --seq-len 512 --memory 12
check "plan --train: 494 M parameters in f32 with two moments: 1885 and 3769 MiB" 'is 0' 'out "training 494.033 M of 494.0 M"' 'grep -qE "^ +0 +1884.6 .* 3769.2 " "$work/out"' 'out "DOES NOT FIT"'
run plan tests/golden/configs/0.5b.json --train --seq-len 512 --mesh 2x4 --memory 12
check "plan --train: on 8 devices it fits" 'is 0' 'out "GiB of 12.00 GiB: fits"' '[ "$(grep -cE "^ +[0-7] " "$work/out")" = 8 ]'
run plan tests/golden/configs/0.5b.json --train --lora-r 16 --lora-targets all-linear
check "plan --train: an adapter of all linears" 'is 0' 'out "training 8.798 M of 502.8 M"'
run plan tests/golden/tiny --train --mesh dp2,tp2 --program --micro-batch 2 --seq-len 32
check "plan --train --program: gradients are summed over replicas" 'is 0' 'grep -q "^== .*all_reduce" "$work/out"' '[ "$(grep -c "^==" "$work/out")" -gt 39 ]'
run plan tests/golden/configs/0.5b.json --train --seq-len 512 --optim muon --mesh 1x2
check "plan --train: muon has one moment, and its matrices whole" 'is 0' 'out "by muon"' 'grep -qE "^ +1 +1884.5 +7538.1 +1884.8 " "$work/out"'
run plan tests/golden/configs/0.5b.json --train --seq-len 512 --moments 8bit
check "plan --train: moments in 8 bits" 'is 0' 'out "most moments in 8 bits"' 'grep -qE "^ +0 +1884.6 .* 17[0-9][0-9]\.[0-9] " "$work/out"'
run plan tests/golden/configs/0.5b.json --train --seq-len 512 --act bf16
check "plan --train in bf16: weights and moments as in f32" 'is 0' 'out "in bf16 with masters in f32"' 'grep -qE "^ +0 +1884.6 .* 3769.2 " "$work/out"'
run plan tests/golden/tiny --train --act int8
check "plan --train: activations that are none" 'is 2' 'err "--act: expected f32 or bf16, got '"'"'int8'"'"'"'
run plan tests/golden/tiny --train --optim adam
check "plan --train: an optimizer that is none" 'is 2' 'err "--optim: expected adamw, sgd or muon"'

# ---- Data alone ------------------------------------------------------------------------------------------------------
run train -m "$model" --data "$data" --max-steps 0 --show 1 --write-samples "$work/rows.jsonl" --data-order file
check "--max-steps 0 reads the data and shows it" 'is 0' 'out "0 plus 0 is [[0, I think"' 'err "40 samples"'
check "--write-samples has a line a row" '[ "$(wc -l <"$work/rows.jsonl")" = 40 ]' 'head -n 1 "$work/rows.jsonl" | grep -q "\"lengths\": \[[0-9]*\]}$"'
echo '{"prompt":1}' >>"$data"
run train -m "$model" --data "$data" --max-steps 0
check "a wrong line is named" 'is 1' 'err "data.jsonl line 41"'
sed -i '$d' "$data"

# ---- A run -----------------------------------------------------------------------------------------------------------
train whole --html "$work/whole.html" --gradients "$work/g.st"
check "a run: 3 epochs of 9 steps" 'is 0' 'out "27 steps"' 'out "the model is in"' 'err "step 24: checkpoint saved"'
check "the log has a line a step and an evaluation" '[ "$(lines "\"loss\"" "$work/whole.jsonl")" = 27 ]' '[ "$(lines eval_loss "$work/whole.jsonl")" = 5 ]' \
    'grep -q "^{\"step\":27,\"epoch\":3.0,\"loss\":[0-9.]*,\"grad_norm\":[0-9.]*,\"learning_rate\":[0-9.e-]*,\"labels\":[0-9]*,\"tokens\":[0-9]*,\"seconds\":[0-9.e-]*}$" "$work/whole.jsonl"'
check "the page is whole, and asks for nothing" 'grep -q "27 of 27" "$work/whole.html"' '! grep -q "http-equiv=.refresh" "$work/whole.html"' '! grep -oE "(src|href)=" "$work/whole.html"'
check "gradients and checkpoints are there" '[ -s "$work/g.st" ]' '[ -s "$work/whole/checkpoint-4/optimizer.safetensors" ]' '[ -s "$work/whole/checkpoint-27/trainer_state.json" ]'
run run -m "$work/whole" -p "1 plus 7 is " -n 3
check "what was saved runs" 'is 0'
run forward -m "$work/whole/checkpoint-8" --in tests/golden/tiny/golden.safetensors --out "$work/f.st"
check "a checkpoint is a model too" 'is 0'
train whole
check "a run does not mix with one that is there" 'is 1' 'err "is there already: expected --resume"'
run train -m "$model" --data "$data" -o "$work/none" --log "$work/whole.jsonl"
check "nor its log" 'is 1' 'err "whole.jsonl is there already"' '[ "$(lines "\"loss\"" "$work/whole.jsonl")" = 27 ]'

# Trainer's names, another mesh, other threads and micro-batches: the same bytes.
train twin --mesh 2x4 --threads 2 --micro_batch 3
check "the same bytes on 8 devices" 'is 0' 'same twin model.safetensors' 'same twin checkpoint-12/optimizer.safetensors' 'same_log twin'
train twin2 --mesh dp2,tp3 --threads 1 --micro-batch 1 --isa reference
check "the same bytes on 2 replicas, by plain C" 'is 0' 'same twin2 model.safetensors' 'same_log twin2'

# Operands of linears in bf16: bytes of their own, the same on every mesh, and after a resume.
train half --act bf16 --max-steps 6 --mesh 1x1 --eval-steps 3
check "in bf16" 'is 0' 'out "6 steps"' '! same_as half whole model.safetensors'
train half2 --act bf16 --max-steps 6 --mesh dp2,tp3 --threads 3 --micro-batch 1 --recompute --eval-steps 3
check "the same bytes in bf16 on 2 replicas" 'is 0' 'same_as half half2 model.safetensors' 'same_as half half2 checkpoint-6/optimizer.safetensors' \
    '[ "$(untimed half)" = "$(untimed half2)" ]'
rm -r "$work/half2/checkpoint-6"
train half2 --act bf16 --max-steps 6 --mesh 2x4 --eval-steps 3 --resume "$work/half2"
check "and after a resume on another mesh" 'is 0' 'same_as half half2 model.safetensors' '[ "$(untimed half)" = "$(untimed half2)" ]'
rm -r "$work/half2/checkpoint-6"
train half2 --max-steps 6 --eval-steps 3 --resume "$work/half2"
check "a resume that goes on in f32 says so" 'is 0' 'err "is of a run with other numbers: act: \"bf16\" there, not here"' '! same_as half half2 model.safetensors'

# ---- Ends of runs ----------------------------------------------------------------------------------------------------
begin() { # NAME OPTIONS...: in the background
    to=$1
    shift
    # shellcheck disable=SC2086 # words
    "$QWENMESH" train -m "$model" $options -o "$work/$to" --log "$work/$to.jsonl" "$@" >"$work/out" 2>"$work/err" &
    child=$!
}
steps_of() { lines "\"loss\"" "$work/$1.jsonl" 2>/dev/null | grep . || echo 0; }
until_step() { # NAME N
    i=0
    while [ "$(steps_of "$1")" -lt "$2" ] && kill -0 $child 2>/dev/null && [ $i -lt 1200 ]; do sleep 0.02; i=$((i + 1)); done
}
end() { # SIGNAL
    kill -"$1" $child 2>/dev/null
    status=0
    wait $child 2>/dev/null || status=$?
}
begin int --micro-batch 1
until_step int 2
end INT
check "Ctrl-C saves, says how to go on, and leaves with 130" 'is 130' 'err "--resume $work/int goes on"' 'ls "$work/int" | grep -q checkpoint-'
saved=$(steps_of int)
check "the last step that it told of is in the checkpoint" '[ -d "$work/int/checkpoint-$saved" ]' '[ "$saved" -lt 27 ]'
train int --resume "$work/int" --mesh 1x3
check "resumed on another mesh: the same bytes and log" 'is 0' 'same int model.safetensors' 'same int checkpoint-27/optimizer.safetensors' 'same_log int'

begin kill
until_step kill 1
end KILL
rounds=0
while [ $rounds -lt 20 ]; do
    rounds=$((rounds + 1))
    begin kill --resume "$work/kill"
    ls "$work/kill" 2>/dev/null | grep -q '^checkpoint-[0-9]*$' || { end KILL; rm -rf "$work/kill" "$work/kill.jsonl"; begin kill; }
    sleep 0.$((rounds * 37 % 23 + 10))
    end KILL
done
ls "$work/kill" 2>/dev/null | grep -q '^checkpoint-[0-9]*$' && train kill --resume "$work/kill" || { rm -rf "$work/kill" "$work/kill.jsonl"; train kill; }
check "kill -9 at 20 moments: the same bytes and log in the end" 'is 0' 'same kill model.safetensors' 'same kill checkpoint-27/optimizer.safetensors' 'same_log kill'

cp -r "$work/whole" "$work/torn"
rm -rf "$work/torn/checkpoint-27"
head -c 1000 "$work/whole/checkpoint-24/optimizer.safetensors" >"$work/torn/checkpoint-24/optimizer.safetensors"
cp "$work/whole.jsonl" "$work/torn.jsonl"
train torn --resume "$work/torn"
check "a checkpoint that was cut off is passed over, and said" 'is 0' 'err "checkpoint-24 is not whole"' 'err "optimizer.safetensors: expected"' 'same torn model.safetensors' 'same_log torn'
train torn2 --resume "$work/whole/checkpoint-24" --optim sgd
check "another optimizer's checkpoint is refused, and why" 'is 1' 'err "the checkpoint is of another model or optimizer"'
train other --resume "$work/whole/checkpoint-24" --learning-rate 2e-3
check "other numbers are said" 'is 0' 'err "learning_rate: 0.001 there, 0.002 here"'
# The limit is of a file: the weights fit, the moments do not, as on a disk that is full.
status=0
# shellcheck disable=SC2086 # words
sh -c 'ulimit -f 2000; trap "" XFSZ; exec "$@"' sh "$QWENMESH" train -m "$model" $options -o "$work/full" >"$work/out" 2>"$work/err" || status=$?
check "no room for a checkpoint: an error that says so, and nothing half" 'is 1' 'err "was not saved"' 'err "File too large"' '[ ! -e "$work/full/checkpoint-4" ]'

# ---- A task ----------------------------------------------------------------------------------------------------------
sed -i 's/"max_position_embeddings": *[0-9]*/"max_position_embeddings": 8192/' "$model/config.json"
train task --max-steps 2 --eval gsm8k --limit 2 --task-data tests/data/gsm8k
check "--eval gsm8k: a score at each evaluation, in the log" 'is 0' '! out nan' 'err "% right"' 'grep -q "\"gsm8k\":0.[05]" "$work/task.jsonl"' '[ ! -e "$work/task/scored" ]'
run train -m "$model" --data "$data" -o "$work/none" --eval gsm8k --task-data "$work/nowhere"
check "a task without data is an error before the first step" 'is 1' 'err "test.jsonl"' '[ ! -e "$work/none" ]'
run train -m "$model" --data "$data" -o "$data" --max-steps 1
check "a file where the model is to be: an error before the first step" 'is 1' 'err "expected a folder, got a file"' '! err "loss"'

# ---- An adapter ------------------------------------------------------------------------------------------------------
saved="--modules-to-save embed_tokens,norm"
train lora --lora-r 4 --lora-targets all-linear $saved
check "--lora-r: PEFT's two files at the root, and what it began with" 'is 0' 'out "the adapter is in"' '[ -s "$work/lora/adapter_config.json" ]' '[ -s "$work/lora/adapter_model.safetensors" ]' '[ -s "$work/lora/initial/adapter_model.safetensors" ]' '[ ! -e "$work/lora/model.safetensors" ]'
begin lora2 --lora-r 4 --lora-targets all-linear $saved --mesh 2x2
until_step lora2 5
end INT
train lora2 --lora-r 4 --lora-targets all-linear $saved --mesh dp2,tp2 --resume "$work/lora2"
check "--modules-to-save: in its files" 'tr -d " \n" <"$work/lora/adapter_config.json" | grep -q "modules_to_save.:..embed_tokens.,.norm."' 'grep -aq "base_model.model.model.layers.0.input_layernorm.weight" "$work/lora/adapter_model.safetensors"' '! cmp -s "$work/lora/initial/adapter_model.safetensors" "$work/lora/adapter_model.safetensors"'
check "an adapter: the same bytes on another mesh, cut short and resumed" 'is 0' 'same_as lora lora2 adapter_model.safetensors' 'same_as lora lora2 checkpoint-27/optimizer.safetensors'
run forward -m "$model" --lora "$work/lora" --in tests/golden/tiny/golden.safetensors --out "$work/with.st"
check "--lora takes it" 'is 0' '! cmp -s "$work/with.st" "$work/f.st"'
train lora3 --init-adapter "$work/lora" --max-steps 2
check "--init-adapter goes on with it" 'is 0' '[ -s "$work/lora3/adapter_model.safetensors" ]'
run merge "$model" -o "$work/q4.gguf" --save-dtype q4_0
for layout in "1 --mesh 1x1" "2 --mesh dp2,tp2 --micro-batch 1"; do
    # shellcheck disable=SC2086 # words
    run train -m "$work/q4.gguf" --tokenizer "$model" $options -o "$work/quant${layout%% *}" --lora-r 4 --lora-targets all-linear --act bf16 \
        --max-steps 3 ${layout#* }
done
check "an adapter of a base in 4 bits, in bf16: the same bytes on another mesh" 'is 0' 'same_as quant1 quant2 adapter_model.safetensors'
train four --lora-r 4 --max-steps 3 --weights 4bit --mesh 1x1
train four2 --lora-r 4 --max-steps 3 --weights 4bit --mesh 2x3
train four3 --lora-r 4 --max-steps 3
check "--weights 4bit: an adapter of a base quantised at load, its own numbers on any mesh" 'same_as four four2 adapter_model.safetensors' '! cmp -s "$work/four/adapter_model.safetensors" "$work/four3/adapter_model.safetensors"'
for bad in "--lora-r 4 --weights 5bit:expected file, bf16, 8bit or 4bit" "--weights 4bit:expected an adapter"; do
    # shellcheck disable=SC2086 # words
    run train -m "$model" $options -o "$work/five" ${bad%%:*}
    check "refused: ${bad%%:*}" 'is 2' "err '${bad#*:}'" '! err "step 1"'
done
train lora4 --lora-r 4 --lora-targets nothing
check "a target that is none is an error" 'is 2' 'err "no linear called nothing"'
train lora5 --lora-r 4 --modules-to-save lm_head,nothing
check "and a saved module that is none" 'is 2' 'err "no module called nothing"'
train lora6 --modules-to-save lm_head
check "and one without an adapter" 'is 2' 'err "modules-to-save"'

# ---- Other optimizers ------------------------------------------------------------------------------------------------
# alike NAME OPTIONS...: whole, and on other meshes from a checkpoint on.
alike() {
    mode=$1
    shift
    train "$mode" --max-steps 4 --save-steps 2 "$@"
    check "$mode: a run" 'is 0' 'out "4 steps"'
    cp -r "$work/$mode" "$work/$mode.2" && rm -r "$work/$mode.2/checkpoint-4"
    train "$mode.2" --max-steps 4 --save-steps 2 "$@" --resume "$work/$mode.2" --mesh dp2,tp3 --micro-batch 1 --isa reference
    check "$mode: the same bytes on another mesh, from a checkpoint on, by plain C" 'is 0' \
        'cmp "$work/$mode/checkpoint-4/$values.safetensors" "$work/$mode.2/checkpoint-4/$values.safetensors"' \
        'same_as $mode $mode.2 checkpoint-4/optimizer.safetensors'
}
values=model
alike muon --optim muon --muon-lr 0.02 --weight-decay 0.1 --ema 0.9 --gradient-accumulation-steps 2 --per-device-train-batch-size 2
alike moments8 --moments 8bit --weight-decay 0.1 --ema 0.9
size_of() { wc -c <"$work/$1/checkpoint-4/optimizer.safetensors"; }
check "moments in 8 bits: the checkpoint is smaller, and has codes and scales" '[ "$(size_of moments8)" -lt "$(size_of muon)" ]' \
    'head -c 20000 "$work/moments8/checkpoint-4/optimizer.safetensors" | grep -aq "q_proj.weight.exp_avg_sq.scale"'
train torn3 --resume "$work/whole/checkpoint-24" --moments 8bit
check "a checkpoint with moments in f32 does not go on in 8 bits, and why" 'is 1' 'err "exp_avg: expected i8"'
values=adapter_model
alike moments8-lora --moments 8bit --lora-r 64 --lora-targets all-linear --dora --recompute
alike muon-lora --optim muon --muon-adjust-lr match_rms_adamw --lora-r 4 --dora --recompute
run train -m "$model" --data "$data" -o "$work/none" --muon-lr 0.01
check "refused: a rate of muon without it" 'is 2' 'err "--muon-lr: expected --optim muon with it"'
run train -m "$model" --data "$data" -o "$work/none" --optim muon --muon-adjust-lr rms
check "refused: a rule of its rates that is none" 'is 2' 'err "--muon-adjust-lr: expected original|match_rms_adamw"'
run train -m "$model" --data "$data" -o "$work/none" --optim sgd --moments 8bit
check "refused: moments of sgd in 8 bits" 'is 2' 'err "only AdamW"' '[ ! -e "$work/none" ]'
run train -m "$model" --data "$data" -o "$work/none" --moments 8bit --backend pjrt --plugin cpu --mesh 2x4
check "refused: moments in 8 bits on PJRT devices" 'is 2' 'err "on PJRT devices they are f32"' '[ ! -e "$work/none" ]'
run train -m "$model" --data "$data" -o "$work/none" --optim muon --backend pjrt --plugin cpu --mesh 2x4
check "refused: muon on PJRT devices" 'is 2' 'err "muon needs whole matrices"' '[ ! -e "$work/none" ]'

# ---- Classes ---------------------------------------------------------------------------------------------------------
for word in good great fine nice; do echo "{\"text\":\"$word film\",\"label\":\"pos\"}"; echo "{\"text\":\"not $word at all\",\"label\":\"neg\"}"; done >"$work/class.jsonl"
printf '%s\n' '{"tokens":["Anna","lives","in","Bonn"],"tags":["B-PER","O","O","B-LOC"]}' '{"tokens":["Bonn","is","here"],"tags":["B-LOC","O","O"]}' >"$work/words.jsonl"
learn() { # TASK DATA FOLDER OPTIONS...
    task=$1 from=$2 to=$3
    shift 3
    run train -m "$model" --task "$task" --data "$work/$from.jsonl" --eval-data "$work/$from.jsonl" -o "$work/$to" --log "$work/$to.jsonl" --seq-len 64 --max-steps 30 --learning-rate 5e-3 "$@"
}
learn seqcls class classes
check "--task seqcls: a new head with the data's names, and how right it is" 'is 0' 'grep -q "\"0\": \"neg\"" "$work/classes/config.json"' 'grep -q Qwen2ForSequenceClassification "$work/classes/config.json"' \
    'grep -q "\"eval_accuracy\":1.0,\"eval_f1\":1.0" "$work/classes.jsonl"'
learn seqcls class classes2 --mesh dp2,tp2 --micro-batch 3
check "--task seqcls: the same bytes on another mesh" 'is 0' 'same_as classes classes2 model.safetensors'
learn seqcls class classes3 --act bf16 --mesh 2x2
check "--task seqcls in bf16" 'is 0' 'grep -q "\"eval_accuracy\":1.0,\"eval_f1\":1.0" "$work/classes3.jsonl"' '! same_as classes classes3 model.safetensors'
learn tokcls words words2
check "--task tokcls: entities" 'is 0' 'grep -q "Qwen2ForTokenClassification" "$work/words2/config.json"' 'grep -q "\"eval_f1\":1.0" "$work/words2.jsonl"'
run train -m "$work/words2" --task seqcls --data "$work/class.jsonl" -o "$work/none"
check "a head of another task" 'is 1' "err \"the model's head is 'token': expected 'sequence'\""
printf '%s\n' '{"text":"a","label":0.5}' '{"text":"b","label":1.5}' '{"text":"zz","label":2.25}' >"$work/numbers.jsonl"
learn seqcls numbers numbers2
check "--task seqcls: numbers, and how well they go together" 'is 0' 'grep -q LABEL_0 "$work/numbers2/config.json"' 'grep -q "\"eval_pearson\":\(0.99\|1.0\)" "$work/numbers2.jsonl"'
printf '%s\n' '{"question":"who?","context":"Anna is in Bonn","answers":{"text":["Anna"],"answer_start":[0]}}' '{"question":"where?","context":"Anna is in Bonn","answers":{"text":["Bonn"],"answer_start":[11]}}' >"$work/answers.jsonl"
learn qa answers answers2
check "--task qa: answers" 'is 0' 'grep -q Qwen2ForQuestionAnswering "$work/answers2/config.json"' 'grep -q "\"eval_exact_match\":1.0,\"eval_f1\":1.0" "$work/answers2.jsonl"'

# ---- Beginnings ------------------------------------------------------------------------------------------------------
run train --init "$model/config.json" --tokenizer "$model" --data "$data" -o "$work/new" --max-steps 3 --seq-len 64 -b 4
check "--init: from drawn weights" 'is 0' '[ -s "$work/new/initial/model.safetensors" ]' '[ -s "$work/new/tokenizer.json" ]'
run train --init "$model/config.json" --tokenizer "$model" --data "$data" -o "$work/new2" --max-steps 3 --seq-len 64 -b 4 --mesh 2x2 --ema 0.5
check "--init: the same bytes on another mesh; averages beside" 'is 0' 'cmp "$work/new/model.safetensors" "$work/new2/model.safetensors"' '[ -s "$work/new2/ema/model.safetensors" ]'
finish
