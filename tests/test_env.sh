#!/bin/sh
# test_env.sh: qwenmesh env, and the manners every command shares.
set -u
. tests/tap.sh

run env --no-bandwidth
check "a markdown list of facts" 'is 0' 'out "- \`qwenmesh\` version: "' 'out "- CPU features: "' 'out "- Cores usable: "' \
    'out "- PJRT plugins: "' 'no_out "Read bandwidth"' '[ ! -s "$work/err" ]'
run env --seconds 0.1
check "measures memory" 'is 0' 'grep -qE "^- Read bandwidth: [0-9]+\.[0-9] GB/s" "$work/out"'
run env --json --seconds 0.1
check "one JSON object" 'is 0' '[ "$(head -c 1 "$work/out")" = "{" ]' '[ "$(tail -n 1 "$work/out")" = "}" ]' \
    'out "\"read_bandwidth\": "' 'out "\"cores_usable\": "' 'no_out "- CPU"'
QWENMESH_PLUGIN_CPU=$0 run env --no-bandwidth
check "plugins are listed without loading them" 'is 0' 'out "- PJRT plugins: cpu $0"' 'no_out "PJRT API"'
QWENMESH_PLUGIN_CPU=README.md run env --no-bandwidth --plugin cpu
check "a name without a folder is the file here, none of the system's" 'is 1' 'err "cannot load the PJRT plugin ./README.md"'
QWENMESH_PLUGIN_CPU=$0 run env --no-bandwidth --plugin cpu
check "a file that is no plugin is named" 'is 1' 'err "cannot load the PJRT plugin $0"'
fake=${BUILD:-build}/tests/fake_plugin.so
if [ -f "$fake" ]; then
    QWENMESH_PLUGIN_CPU=$fake run env --no-bandwidth --plugin cpu --devices 2
    check "a plugin is opened on request" 'is 0' 'out "- PJRT plugin: $fake"' 'out "- PJRT API: 0.114, functions: 138"' \
        'out "- PJRT devices: 2 of kind paper"' 'out "  - plugin.list = 1 2 3"'
    QWENMESH_PLUGIN_CPU=$fake run env --no-bandwidth --plugin cpu --json
    check "a plugin in JSON" 'is 0' 'out "\"pjrt_api\": \"0.114\""' 'out "\"plugin.list\": \"1 2 3\""'
else
    skip "a plugin is opened on request" "no $fake"
fi
# Beside the program, however long its path.
deep=$work/$(printf 'd%.0s' $(seq 200))/$(printf 'e%.0s' $(seq 200))/$(printf 'f%.0s' $(seq 200))
mkdir -p "$deep/tests/data/tt"
cp "$QWENMESH" "$deep/qwenmesh"
cp tests/data/tt/n150.ttsys "$deep/tests/data/tt/of-its-own.ttsys"
status=0
mkdir "$deep/plugins" "$work/we[ir]d" "$work/we[ir]d/plugins"
touch "$deep/plugins/pjrt_c_api_cpu_plugin.so" "$work/we[ir]d/plugins/pjrt_c_api_cpu_plugin.so"
cp "$QWENMESH" "$work/we[ir]d/qwenmesh"
"$deep/qwenmesh" env --no-bandwidth --system-desc of-its-own >"$work/out" 2>"$work/err" || status=$?
check "what lies beside a program in a folder of more than 600 bytes is found" 'is 0' 'out "- CPU features: "' \
    'out "- PJRT plugins: cpu $deep/plugins/pjrt_c_api_cpu_plugin.so"'
"$work/we[ir]d/qwenmesh" env --no-bandwidth >"$work/out" 2>"$work/err" || status=$?
check "a folder's name is no pattern" 'is 0' 'out "- PJRT plugins: cpu $work/we[ir]d/plugins/pjrt_c_api_cpu_plugin.so"'
run env --no-bandwidth --plugin gpu
check "an unknown plugin is named" 'is 2' "err \"unknown PJRT plugin 'gpu': expected cpu, tt, cuda, tpu or a plugin's file\""
run env --help
check "help goes to stdout" 'is 0' 'out "Usage: qwenmesh env"' 'out "--json"' '[ ! -s "$work/err" ]'
run env --wrong
check "an unknown option is named" 'is 2' 'err "unknown option --wrong"' '[ ! -s "$work/out" ]'
run env extra
check "an unexpected argument is named" 'is 2' 'err "unexpected argument '"'extra'"'"'
run env --seconds many
check "a bad number says what was expected" 'is 2' 'err "expected a number from 0 to 60, got '"'many'"'"'
run nonsense
check "an unknown command is named" 'is 2' 'err "unknown command '"'nonsense'"'"' 'no_err "Commands:"'
run
check "no command prints usage on stderr" 'is 2' 'err "Usage: qwenmesh COMMAND"' '[ ! -s "$work/out" ]'
run --version
check "version" 'is 0' 'out "qwenmesh 0."'
if [ -c /dev/full ]; then
    status=0
    "$QWENMESH" env --no-bandwidth >/dev/full 2>"$work/err" || status=$?
    : >"$work/out"
    check "a full disk is an error" 'is 1' 'err "cannot write standard output: No space left on device"'
else
    skip "a full disk is an error" "no /dev/full"
fi
finish
