#!/bin/sh
# tests/fuzz/run.sh SECONDS FUZZER...: runs each libFuzzer program that long, on a copy of its corpus beside it.
# Inputs that crash, hang or take too much memory are left there as <fuzzer>.crash-<sha1> and the like; any fails the run.
set -u
seconds=$1
shift
failed=
for fuzzer in "$@"; do
    name=${fuzzer##*/}
    rm -rf "$fuzzer.corpus"
    mkdir -p "$fuzzer.corpus"
    cp "tests/fuzz/corpus/${name#fuzz_}"/* "$fuzzer.corpus/" 2>/dev/null
    echo "$name: $seconds s"
    if ! "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -artifact_prefix="$fuzzer." "$fuzzer.corpus" >"$fuzzer.log" 2>&1; then
        failed="$failed $name"
        grep -E -m 1 -A 12 'ERROR|runtime error' "$fuzzer.log"
    fi
    grep -E 'DONE' "$fuzzer.log" | sed 's/^/  /'
done
[ -z "$failed" ] && exit 0
echo "findings in:$failed (inputs beside the programs)"
exit 1
