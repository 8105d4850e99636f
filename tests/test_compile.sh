#!/bin/sh
# test_compile.sh: compile reports what a plugin's compiler made of every bucket, from config.json alone, and refuses what
# the plugin would end the process on. Tenstorrent's without hardware, on the descriptions of tests/data/tt.
set -u
. tests/tap.sh
unset TT_COMPILE_ONLY_SYSTEM_DESC
configs=tests/golden/configs
# What plugins never free is theirs.
printf 'leak:libtt.so\nleak:pjrt_c_api_cpu_plugin.so\n' >"$work/suppressions"
export LSAN_OPTIONS="suppressions=$work/suppressions:print_suppressions=0"
has() { "$QWENMESH" env --plugin "$1" 2>/dev/null | grep -q 'platform\|api' || [ -e "plugins/$2" ]; }
field() { grep -o "\"$1\": [a-z0-9]*" "$work/out" | head -n "${2:-1}" | tail -n 1 | sed 's/.*: //'; }

run compile
check "no model" 'is 2' 'err "no model"'
run compile $configs/7b.json --weights 4bit
check "a wrong type" 'is 2' 'err "expected bf16 or f32"'
run compile $configs/7b.json -o xml
check "a wrong format" 'is 2' 'err "expected md or json"'
run compile "$work/none" --system-desc n150
check "a folder that is not there" 'is 1' 'err "none"'
head -c 100 $configs/7b.json >"$work/cut.json"
run compile "$work/cut.json" --system-desc n150
check "a broken config" 'is 1' 'err "cut.json"'
run compile $configs/7b.json --system-desc n151
check "a description of no known name" 'is 1' 'err "no system description '"'n151'"'"' 'err galaxy-32'
run compile $configs/7b.json --system-desc "$work/none.ttsys"
check "a description that is not there" 'is 1' 'err "none.ttsys"'

if has tt libtt.so; then
    mkdir "$work/model"
    cp $configs/0.5b.json "$work/model/config.json"
    run compile "$work/model" --system-desc n150 -o json
    check "a folder with nothing but config.json: five programs on one chip, nothing on the host, and it fits" 'is 0' \
        '[ "$(grep -c "\"compile_seconds\"" "$work/out")" = 5 ]' '[ "$(grep -c "\"host_ops\": 0" "$work/out")" = 5 ]' \
        '[ "$(grep -c "\"host_moves\": 0" "$work/out")" = 5 ]' '[ "$(field all_reduce)" = "" ]' \
        '[ "$(field dram_bytes)" = 12884901888 ]' 'out "\"fits\": true"' 'out "\"arch\": \"wormhole_b0\""'
    check "weights are parameters, prepared once; caches and inputs are not" '[ "$(field parameters)" = 290 ]' \
        '[ "$(field inputs)" = 52 ]' '[ "$(field const_evals)" -gt 100 ]' '[ "$(field prepared_bytes)" -gt 900000000 ]'
    run compile tests/golden/qwen3-10-2t --system-desc n300-llmbox --mesh 2x4 --slots 2 --rows 8 --ctx 64
    check "Qwen3 on 2x4: every norm of heads is the chip's own" 'is 0' 'out "| ttnn.rms_norm | 9 | 9 | 9 |"' 'out "0, 0"'
    run compile $configs/7b.json --system-desc n300-llmbox --mesh 2x4 --slots 8 --rows 32
    check "7B on 2x4: collectives by layer and axis, what fits" 'is 0' \
        'out "all_reduce 2 a layer on x, all_reduce 2 a layer on y, all_gather 1 on x, all_gather 1 on y"' \
        'out "| ttnn.all_reduce | 112 |"' 'out "0, 0"' 'out ": fits."' 'out "decode 8x1"' 'out "prefill 1x32 all logits"'
    run compile tests/golden/heads14-2 --train --system-desc n300-llmbox --mesh dp2,tp4 --seq-len 32 -b 4
    check "a training step on dp2,tp4: two programs, replicas' sums on x, nothing on the host, what a chip holds" 'is 0' \
        '[ "$(grep -c "| 0, 0 |" "$work/out")" = 2 ]' 'out "| gradients |"' 'out "all_reduce 26 on x (13 a layer)"' \
        'out "| update |"' 'out "| none | 0, 0 |"' 'out "moments and averages 4.1 MiB"' 'out ": fits."'
    run compile tests/golden/heads14-2 --train --system-desc n300-llmbox --mesh 2x4 --seq-len 32 -b 4 --lora-r 4 --recompute -o json
    check "an adapter, layers computed again: JSON" 'is 0' '[ "$(grep -c "\"host_ops\": 0" "$work/out")" = 2 ]' \
        '[ "$(field all_gather)" = "" ]' 'out "\"name\": \"update\""' 'out "\"fits\": true"'
    run compile tests/golden/heads14-2 --train --system-desc n300 --mesh 1x2 --seq-len 512 -b 2 --act f32
    check "a head of 1024 rows in two parts, five all-reduces more than in one, in f32" 'is 0' 'out "f32 with f32 masters"' \
        'out "all_reduce 23 on y (11 a layer)"' 'out "| 0, 0 |"'
    mkdir "$work/wide"
    sed 's/"num_hidden_layers": [0-9]*/"num_hidden_layers": 1/' $configs/7b.json >"$work/wide/config.json"
    run compile "$work/wide" --train --system-desc n150 --seq-len 64 -b 1
    check "a step that exceeds a chip's memory fails" 'is 1' 'out "DOES NOT FIT"' 'err "of which it has 11.96 for programs"'
    run compile tests/golden/heads14-2 --train --system-desc n150 --lora-r 2 --lora-targets foo
    check "an adapter of a linear that is none" 'is 2' 'err "no linear called foo"'
    run compile $configs/7b.json --system-desc n150 --rows 1
    check "7B on one chip does not fit" 'is 0' 'out "DOES NOT FIT"'
    run compile $configs/0.5b.json --system-desc p150 --rows 1 -o json
    check "a Blackhole chip has its own DRAM" 'is 0' 'out "\"arch\": \"blackhole\""' '[ "$(field dram_bytes)" -gt 30000000000 ]'
    run compile $configs/7b.json --system-desc n300-llmbox --mesh 8x4
    check "a mesh larger than the description" 'is 1' 'err "expected 32 devices, got 8"'
    run compile $configs/7b.json --system-desc tests/data/README.md
    check "a description that is none" 'is 1' 'err "expected a Tenstorrent system description"'
    if [ ! -d /dev/tenstorrent ]; then
        run compile $configs/7b.json
        check "no description and no hardware" 'is 1' 'err "expected Tenstorrent hardware"'
    fi
else
    skip "Tenstorrent's compiler" "no tt plugin: run make plugins"
fi

if has cpu pjrt_c_api_cpu_plugin.so; then
    run compile tests/golden/tiny --plugin cpu --mesh 1x2 --rows 32
    check "XLA CPU: time and size" 'is 0' 'out "| program | compile s | size MiB |"' 'out "decode 1x1"' 'no_out ttnn'
    run compile tests/golden/tiny --plugin cpu --system-desc n150
    check "a description for another plugin" 'is 1' 'err "a system description is for the tt plugin"'
else
    skip "XLA CPU" "no cpu plugin: run make plugins"
fi
finish
