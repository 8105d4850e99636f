#!/bin/sh
# test_bench.sh: the tests of `bench` and its four formats; what it refuses.
set -u
. tests/tap.sh
tiny=tests/golden/tiny
python=$(command -v python3 || true)
# The table without its padding.
tight() { tr -s ' ' <"$work/out" >"$work/tight" && mv "$work/tight" "$work/out"; }

run bench -m $tiny --mesh 1x1,dp2,tp4,2x4 -p 8,16 -n 2 -d 0,5 -b 1,3 -r 2
cp "$work/out" "$work/md" && tight
check "md: columns are as wide as their widest field, and numbers end together" \
    '[ "$(grep "± " "$work/md" | awk "{print length}" | sort -u | wc -l)" = 1 ]' '[ "$(grep -c "| pp8 .* | tg2" "$work/md")" = 0 ]' \
    '[ "$(sed -n 2p "$work/md" | tr -d "|:\n-" | wc -c)" = 0 ]'
check "what it is doing goes to standard error" 'err "bench: opening tiny on mesh dp2,tp4"' 'err "bench: pp16 @ d5 on 3 meshes, repetition 1 of 2, about "'
check "md: prompts, depths and batches on three meshes, with a ratio to the first" 'is 0' \
    '[ "$(grep -c "| pp8 |" "$work/out")" = 3 ]' '[ "$(grep -c "| tg2 @ d5 x 3 |" "$work/out")" = 3 ]' \
    '[ "$(grep -c "| 1x1 | [pt][pg].* ± .* | 1.000 |" "$work/out")" = 8 ]' 'out "| dp2,tp4 | pp16 @ d5 |"' 'out "peak memory"'
run bench -m $tiny --mesh 1x1,2x4 -p 8 -n 2 -r 2 --apart -o csv
check "csv: a header and a line a test, all with as many fields" 'is 0' '[ "$(wc -l <"$work/out")" = 5 ]' \
    '[ "$(awk -F, "{print NF}" "$work/out" | sort -u)" = 26 ]'
run bench --random tests/golden/heads28-4/config.json -p 8 -n 2 -r 1 --act bf16 && tight
check "md: says which activations" 'is 0' 'out " act bf16 | "'
run bench -m $tiny --act bf8 && tight
check "activations that do not exist" 'is 2' 'err "activations: expected auto, f32, int8 or bf16, got '"'"'bf8'"'"'"'
run bench -m $tiny -p 8 -n 2 -r 3 -o json --mesh 1x1,2x4
check "json: samples of every test" 'is 0' 'out "\"samples_ts\": ["' '[ "$(grep -c n_prompt "$work/out")" = 4 ]'
if [ -n "$python" ]; then
    check "json: another reader agrees; rates and limits are above zero" \
        '"$python" -c "import json,sys; r = json.load(open(sys.argv[1])); assert all(x[k] > 0 for x in r for k in (\"avg_ts\", \"gb_s\", \"read_share\", \"read_gb_s\", \"gflop_s\", \"peak_gflop_s\", \"open_s\", \"peak_memory_bytes\")); assert all(len(x[\"samples_ts\"]) == 3 for x in r)" "$work/out"'
    cat >"$work/ratio.py" <<'P'
import json, statistics, sys
r = json.load(open(sys.argv[1]))
for first, second in (r[0:2], r[2:4]):
    pairs = list(zip(second["samples_ts"], first["samples_ts"]))
    assert abs(second["ratio"] / statistics.median(a / b for a, b in pairs) - 1) < 1e-3, second
    assert abs(second["avg_ts"] / statistics.mean(second["samples_ts"]) - 1) < 1e-3, second
    assert abs(second["stddev_ts"] - statistics.stdev(second["samples_ts"])) < 1e-3 * second["avg_ts"], second
P
    check "the ratio is the median over neighbours; mean and deviation" '"$python" "$work/ratio.py" "$work/out"'
else
    skip "json: another reader agrees; ratio, mean, deviation" "no python3"
fi
run bench -m $tiny -p 8 -n 2 -r 2 --phases --mesh 1x1,2x4 && tight
check "phases: a line each, and what lies between steps, of every test and mesh" 'is 0' \
    '[ "$(grep -c "^| [pt][pg][82] | [12]x[14] | gate_proj, up_proj | .* % | [0-9.]* |$" "$work/out")" = 4 ]' \
    '[ "$(grep -c "| attention | .* % | |$" "$work/out")" = 4 ]' '[ "$(grep -c "| between steps |" "$work/out")" = 4 ]'
if [ -n "$python" ]; then
    run bench -m $tiny -p 8 -n 4 -r 2 -d 3 --phases --mesh 1x1,2x4 -o json
    cat >"$work/phases.py" <<'P'
import json, sys
for r in json.load(open(sys.argv[1])):
    steps, tokens = (4, 4) if r["n_gen"] else (1, 8)
    total = sum(tokens / rate for rate in r["samples_ts"])
    assert 0 < sum(p["seconds"] for p in r["phases"]) < total * 1.00001, r
    assert abs(sum(p["weight_bytes"] for p in r["phases"]) / (2 * steps * r["weight_bytes"]) - 1) < 1e-4, r
    assert len({p["name"] for p in r["phases"]}) == len(r["phases"]) > 10, r
P
    check "phases: their matrices are all of the model's, and no step of another test counts" '"$python" "$work/phases.py" "$work/out"'
else
    skip "phases: their matrices are all of the model's" "no python3"
fi
run bench -m $tiny -p 8 -n 2 -r 1 -o json
check "phases: only if asked for" 'is 0' 'out "\"phases\": []"'
run bench -m $tiny -p 8 -n 2 -r 1 -o svg --mesh 1x1,3
check "svg: a bar a test and mesh" 'is 0' 'out "</svg>"' '[ "$(grep -o "<rect" "$work/out" | wc -l)" = 5 ]'
for type in f32 bf16 q8_0 q4_1; do
    run bench --random tests/golden/heads28-4/config.json --random-type $type -p 4 -n 2 -r 1 --mesh 1x1,8x4 && tight
    case $type in
    q*) act="int8 (auto: weights are quantised" ;;
    *) act="f32 (auto: no quantised weights)" ;;
    esac
    check "generated weights: $type, and activations by their type" 'is 0' "out \"config.json $type |\"" 'no_out nan' \
        '[ "$(grep -c " act ${act%% *} | " "$work/out")" = 4 ]' 'out "activations $act"'
done
run bench --random $tiny/config.json --random-type i32 -p 4 -n 0 -r 1 && tight
check "generated weights: no weight type" 'is 1' 'err "i32"'
run bench --random $tiny/config.json --random-type none -p 4 -n 0 -r 1 && tight
check "generated weights: no type" 'is 2' 'err "expected f32, bf16"'
run bench --random $tiny/config.json -m $tiny && tight
check "a model and a shape" 'is 2' 'err "not both"'
for bad in "-p x" "-p 1,,2" "-n 5," "-d -1" "-b 0" "-b 2000" "-o pdf" "-o csv --phases" "-o svg --phases" "--mesh ,"; do
    # shellcheck disable=SC2086 # two words
    run bench -m $tiny $bad && tight
    check "refused: $bad" 'is 2' 'err "expected"'
done
odd=$(printf '%s/a|b "c,<d>&\n\033[31m\377e' "$work")
ln -s "$PWD/$tiny" "$odd"
run bench -m "$odd" -p 4 -n 0 -r 1
check "a model of any name: one row of a table, nothing that acts on a terminal" 'is 0' 'out "| a\\|b \"c,<d>&"' \
    '[ "$(grep -c "^| a.* act f32 | .* |$" "$work/out")" = 1 ]' '! LC_ALL=C grep -q "$(printf "\033")" "$work/out"'
if [ -n "$python" ]; then
    cat >"$work/odd.py" <<'P'
import csv, json, sys, xml.dom.minidom
kind, path = sys.argv[1:]
if kind == "csv":
    rows = list(csv.reader(open(path, newline="")))
    assert [len(r) for r in rows] == [26, 26] and rows[1][0].startswith('a|b "c,<d>&'), rows
elif kind == "json": assert json.load(open(path))[0]["model"].startswith('a|b "c,<d>&')
else: xml.dom.minidom.parse(path)
P
    for format in csv json svg; do
        run bench -m "$odd" -p 4 -n 0 -r 1 -o $format
        check "a model of any name: another reader takes the $format" 'is 0' '"$python" "$work/odd.py" $format "$work/out"'
    done
else
    skip "a model of any name: another reader" "no python3"
fi
long=$work/$(printf 'é%.0s' $(seq 1 100))
ln -s "$PWD/$tiny" "$long"
run bench -m "$long" -p 4 -n 0 -r 1 -o json
check "a long name is cut, and still UTF-8" 'is 0' 'out "\"n_prompt\": 4"'
run bench --random $tiny/config.json --random-type Q8_0 -p 4 -n 0 -r 1
check "generated weights: capitals of a type do not matter" 'is 0' 'out " q8_0 |"'
run bench -m $tiny --eval gsm8k -o csv
check "--eval has one format" 'is 2' 'err "--eval: expected neither --phases nor -o csv with it"'
run bench -m $tiny --html "$work/page"
check "--html needs --eval" 'is 2' 'err "expected --eval with them"' '[ ! -e "$work/page" ]'
finish
