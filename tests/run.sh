#!/usr/bin/env bash
# tests/run.sh COMMAND...: runs test commands ("build/tests/test_text", "QWENMESH=build/asan/qwenmesh tests/test_cli.sh")
# two at a time, reads the TAP they print, and shows what failed or was skipped and why.
# Fails when anything failed. The last line: N passed, N failed, N skipped.
#
# A command fails as a whole when it exits non-zero without naming a failed test, when one of its processes takes more
# than TEST_SECONDS of a core or it runs for more than TEST_WALL (a busy machine makes no test fail), or when it reports
# fewer tests than it planned: a crash cannot pass for success. Its output is kept in TEST_LOGS.
set -u
limit=${TEST_SECONDS:-600}
wall=${TEST_WALL:-1800}
jobs=${TEST_JOBS:-2}
logs=${TEST_LOGS:-build/log}
export CMOCKA_MESSAGE_OUTPUT=TAP
# Sanitizers keep their own report of a crash (cmocka would catch the signal) and stop at the first finding.
export ASAN_OPTIONS=handle_segv=2:handle_sigbus=2:handle_abort=2:handle_sigfpe=2:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 TSAN_OPTIONS=halt_on_error=1
# Thread and address sanitizers cannot place their shadow on every randomised layout.
fixed_layout=$(setarch -R true 2>/dev/null && echo setarch -R)

TIMEFORMAT=%U+%S
rm -rf "$logs"
mkdir -p "$logs"

# tap EXIT_STATUS <output: one "result|name|reason" line per test, and one for the command if it failed as a whole.
tap() {
    awk -v status="$1" -v limit="$limit" -v wall="$wall" '
        function name_of(line) { sub(/^(not )?ok *[0-9]* *(- )?/, "", line); return line }
        /^1\.\.[0-9]+/ { plan += substr($1, 4); planned = 1; said = ""; next }
        /^Bail out!/ { bail = $0; next }
        /^(not )?ok( |$)/ {
            run++
            name = name_of($0)
            if (match(name, /# *[Ss][Kk][Ii][Pp]/)) {
                reason = substr(name, RSTART + RLENGTH); name = substr(name, 1, RSTART - 1)
                gsub(/^[ :]+|[ ]+$/, "", reason); gsub(/[ ]+$/, "", name)
                # cmocka prints the name where the reason belongs; the test printed the reason on the line before.
                if (name == "") { name = reason; reason = said; sub(/^SKIP:? */, "", reason) }
                print "skipped|" name "|" (reason == "" ? "no reason given" : reason)
            } else if ($1 == "not") { bad++; print "failed|" name "|" }
            else print "passed|" name "|"
            said = ""; next
        }
        { said = $0; gsub(/\|/, "/", said) }
        END {
            if (status == 124) whole = "killed after " wall " s"
            else if (status == 137 || status == 152) whole = "killed after " limit " s of a core"
            else if (bail != "") whole = bail
            else if (!planned) whole = "printed no test plan (exit status " status ")"
            else if (run + 0 != plan) whole = "ran " run + 0 " of " plan " tests (exit status " status ")"
            else if (status != 0 && !bad) whole = "exit status " status
            if (whole != "") print "failed|(the command)|" whole
        }'
}

# Runs one command and prints its lines at once; counts go to a file of their own.
run_one() {
    local number=$1 item=$2 log="$logs/$1.log" start now status results passed failed skipped took cpu
    local prefix=
    case $item in */asan/* | */tsan/*) prefix=$fixed_layout ;; esac
    start=$(date +%s%N)
    # shellcheck disable=SC2086 # an item is words: assignments, a program, its arguments
    cpu=$({ time (
        ulimit -t "$limit"
        timeout -k 10 "$wall" $prefix env $item >"$log" 2>&1 </dev/null
        echo $? >"$logs/$number.status"
    ); } 2>&1)
    status=$(cat "$logs/$number.status" 2>/dev/null || echo 1)
    cpu=$(awk -F+ '{ printf "%.1f", $1 + $2 }' <<<"$cpu")
    now=$(date +%s%N)
    results=$(tap "$status" <"$log")
    passed=$(grep -c '^passed|' <<<"$results")
    failed=$(grep -c '^failed|' <<<"$results")
    skipped=$(grep -c '^skipped|' <<<"$results")
    took=$(((now - start) / 100000000))
    {
        printf '%-6s %-58s %4d passed %7d.%d s %7s s of a core\n' "$([ "$failed" = 0 ] && echo ok || echo FAILED)" \
            "$item" "$passed" $((took / 10)) $((took % 10)) "$cpu"
        grep '^skipped|' <<<"$results" | while IFS='|' read -r _ name reason; do echo "       skip $name: $reason"; done
        grep '^failed|' <<<"$results" | while IFS='|' read -r _ name reason; do echo "       FAIL $name${reason:+: $reason}"; done
        if [ "$failed" != 0 ]; then
            echo "       ---- $log"
            sed -e '/^ok /d' -e '/^Shadow bytes/,/ABORTING/d' "$log" | tail -n 40 | sed 's/^/       | /'
        fi
    } >"$logs/$number.report"
    cat "$logs/$number.report"
    echo "$passed $failed $skipped $cpu" >"$logs/$number.count"
}

echo "$# test commands, $jobs at a time; a line for each that has ended"
number=0
for item in "$@"; do
    number=$((number + 1))
    if ((number > jobs)); then wait -n; fi
    run_one $number "$item" &
done
wait

# A command without counts was lost: it counts as failed.
total_passed=0 total_failed=0 total_skipped=0 total_cpu=0
for ((i = 1; i <= number; i++)); do
    passed=0 failed=1 skipped=0 cpu=0
    [ -f "$logs/$i.count" ] && read -r passed failed skipped cpu <"$logs/$i.count"
    total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed)) total_skipped=$((total_skipped + skipped))
    total_cpu=$(awk "BEGIN { print $total_cpu + $cpu }")
done
awk "BEGIN { printf \"tests took %.1f minutes of a core\\n\", $total_cpu / 60 }"
echo "$total_passed passed, $total_failed failed, $total_skipped skipped" | tee "$logs/total"
[ "$total_failed" = 0 ] && [ "$total_passed" != 0 ]
