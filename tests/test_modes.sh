#!/bin/sh
# test_modes.sh: every way to generate, on every mesh, with other slots, rows, workers and kernels, and left-padded: the same
# tokens, scores and log-probabilities, byte for byte. The model is small and random; its tokens are bytes.
set -u
. tests/tap.sh
model=$work/model
mkdir "$model"
cp tests/golden/tiny/* "$model" && chmod -R u+w "$model"
cp tests/data/bytes/tokenizer.json "$model"
echo '{"eos_token_id": 511}' >"$model/generation_config.json"

# A line each: parameters. Those that do without a search run in batches.
cat >"$work/plain" <<'END'
"repetition_penalty":1.8
"encoder_repetition_penalty":2.5
"presence_penalty":2.0
"frequency_penalty":2.0
"no_repeat_ngram_size":1
"encoder_no_repeat_ngram_size":1
"bad_words_ids":[[340],[7],[101],[46],[228],[401],[253]]
"eos_token_id":GREEDY,"min_length":16
"eos_token_id":GREEDY,"min_new_tokens":6
"forced_eos_token_id":33
"suppress_tokens":[GREEDY]
"begin_suppress_tokens":[GREEDY]
"eos_token_id":44,"exponential_decay_length_penalty":[3,9.0]
"sequence_bias":[[[GREEDY],-90.0],[[3],20.0]]
"logit_bias":{"5":90}
"do_sample":true,"remove_invalid_values":true,"renormalize_logits":true
"do_sample":true,"temperature":2.5
"do_sample":true,"temperature":3.0,"top_k":3
"do_sample":true,"temperature":3.0,"top_p":0.5
"do_sample":true,"temperature":3.0,"min_p":0.2
"do_sample":true,"temperature":3.0,"typical_p":0.5
"do_sample":true,"temperature":3.0,"epsilon_cutoff":0.004
"do_sample":true,"temperature":3.0,"eta_cutoff":0.2
"do_sample":true,"seed":77
"regex":"[a-f]{4}[0-9]+x"
"grammar":"root ::= (\"yes\" | \"no\") \" \" root"
"json_schema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}
"do_sample":true,"regex":"(ab|cd|ef)+"
END
cat >"$work/search" <<'END'
"num_beams":4,"num_return_sequences":4
"num_beams":4,"length_penalty":-1.0,"early_stopping":true,"eos_token_id":[GREEDY,511]
"num_beams":3,"num_return_sequences":3,"do_sample":true,"top_k":40,"temperature":2.0
"num_beams":6,"num_beam_groups":3,"diversity_penalty":1.5,"num_return_sequences":6
"num_beams":3,"regex":"[a-f]{4}[0-9]+"
"penalty_alpha":0.6,"top_k":4
"do_sample":true,"num_return_sequences":3,"best_of":6
"prompt_lookup_num_tokens":6,"max_new_tokens":30
"prompt_lookup_num_tokens":6,"do_sample":true,"temperature":0.4
END

# $1: parameters, one a line; then a sed script for the ids, "[" at the start of the list.
requests() {
    sed "s/GREEDY/$greedy/; s/^/{\"ids\":[215,442,328,278,253,401,75,81,245,235,208,502,440],\"max_new_tokens\":12,\"logprobs\":2,/; s/\$/}/" "$1" |
        sed 's/\("max_new_tokens":12,\)\(.*\)\("max_new_tokens":30\)/\2\3/'
}
answer() { # FILE OPTIONS...: into $work/out
    file=$1
    shift
    run generate -m "$model" --in "$file" --out - --ctx 64 "$@"
}
echo '{"ids":[215,442,328,278,253,401,75,81,245,235,208,502,440],"max_new_tokens":12,"logprobs":2}' >"$work/greedy.jsonl"
answer "$work/greedy.jsonl"
check "greedy, with log-probabilities" 'is 0' '[ "$(grep -o "\"top\":\[" "$work/out" | wc -l)" = 12 ]'
cp "$work/out" "$work/greedy.out"
greedy=$(sed 's/^{"ids":\[\([0-9]*\),.*/\1/' "$work/greedy.out")
for kind in plain search; do
    requests "$work/$kind" >"$work/$kind.jsonl"
    answer "$work/$kind.jsonl" --slots 7
    cp "$work/out" "$work/$kind.out"
    check "$kind: all of them answered" 'is 0' '[ "$(wc -l <"$work/$kind.out")" = "$(wc -l <"$work/$kind")" ]'
done
# Each changes what greedy says (drafts must not), or the comparison below would compare nothing.
line=0
while read -r mode; do
    line=$((line + 1))
    sed -n "${line}p" "$work/plain.out" >"$work/one"
    check "this acts: $mode" '! cmp -s "$work/one" "$work/greedy.out"'
done <"$work/plain"

text() { sed -n "$(grep -nF -e "$1" "$work/plain" | head -n 1 | cut -d: -f1)p" "$work/plain.out" | sed 's/.*"text":"\(\([^"\\]\|\\.\)*\)".*/\1/'; }
check "a regex binds" 'text "\"regex\":\"[a-f]" | grep -qE "^[a-f]{4}[0-9]+x?\$"'
check "a grammar binds" 'text "\"grammar\"" | grep -qE "^((yes|no) ){3}"'
check "a schema binds" 'text "\"json_schema\"" | grep -qE "^ *\{"'

same() { # NAME OPTIONS...
    name=$1
    shift
    for kind in plain search; do
        answer "$work/$kind.jsonl" "$@"
        check "$kind modes: $name" 'is 0' 'cmp "$work/$kind.out" "$work/out"'
    done
}
for mesh in 2x4 1x8 8x4 1x32; do same "mesh $mesh" --mesh $mesh --slots 7; done
same "one slot where none needs more, one worker" --slots 1 --threads 1
same "five slots, steps of 3 rows" --slots 5 --rows 3 --mesh 2x4
same "the reference kernels" --isa reference --slots 7
for kind in plain search; do
    sed 's/"ids":\[/"attention_mask":[0,0,0,1,1,1,1,1,1,1,1,1,1,1,1,1],"ids":[9,9,9,/' "$work/$kind.jsonl" >"$work/padded.jsonl"
    answer "$work/padded.jsonl" --slots 5 --mesh 2x4
    check "$kind modes: left-padded" 'is 0' 'cmp "$work/$kind.out" "$work/out"'
done
for draft in "$model" tests/golden/sliding; do # guesses right every time; guesses wrong
    grep -v -e num_beams -e penalty_alpha -e best_of "$work/plain.jsonl" >"$work/drafted.jsonl"
    for mesh in 1x1 8x4; do
        answer "$work/drafted.jsonl" --draft-model "$draft" --mesh $mesh
        check "plain modes with drafts of $(basename "$draft"), mesh $mesh" 'is 0' 'cmp "$work/plain.out" "$work/out"'
    done
done

# ---- Padding
ask() { # REQUEST
    echo "$1" >"$work/request"
    answer "$work/request"
}
ask '{"ids":[1,2,3],"attention_mask":[0,1],"max_new_tokens":2}'
check "a mask of another length is named" 'is 1' 'err "attention_mask: expected a list of 3"'
ask '{"ids":[1,2,3],"attention_mask":[0,1,2],"max_new_tokens":2}'
check "a mask is zeros and ones" 'is 1' 'err "attention_mask[2]"'
ask '{"ids":[1,2],"attention_mask":[0,0],"max_new_tokens":2}'
check "a mask that leaves nothing is an empty prompt" 'is 1' 'err "prompt is empty"'
ask '{"prompt":"a","attention_mask":[1],"max_new_tokens":2}'
check "a mask needs ids" 'is 1' 'err "expected ids"'

# ---- Time
seconds() { date +%s; }
started=$(seconds)
for mode in '"max_time":0.000001' '"max_time":0.000001,"do_sample":true' '"max_time":0.000001,"num_beams":3' \
    '"max_time":0.000001,"penalty_alpha":0.6,"top_k":4' '"max_time":0.000001,"prompt_lookup_num_tokens":4' \
    '"max_time":0.000001,"do_sample":true,"best_of":3'; do
    ask "{\"ids\":[5,6,7],\"max_new_tokens\":50,\"eos_token_id\":null,$mode}"
    check "out of time: $mode" 'is 0' 'out "\"finish_reason\":\"time\""' '[ "$(tr -cd , <"$work/out" | wc -c)" -lt 12 ]'
done
ask '{"ids":[5,6,7],"max_new_tokens":20,"eos_token_id":null,"max_time":1000}'
check "time enough" 'is 0' 'out "\"finish_reason\":\"length\""'
ask '{"ids":[5,6,7],"max_new_tokens":20,"eos_token_id":null,"max_time":1000,"num_beams":3}'
check "time enough for beams" 'is 0' 'out "\"finish_reason\":\"length\""'
finish
