#!/bin/sh
# test_runner.sh: tests/run.sh itself: what cannot be told from success must count as failed.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0

# expect NAME STATUS LAST_LINE SCRIPT [WALL SECONDS]: the runner's exit status and last line over a test made of SCRIPT.
expect() {
    number=$((number + 1))
    printf '#!/bin/sh\n%s\n' "$4" >"$work/case"
    chmod +x "$work/case"
    TEST_LOGS=$work/log TEST_SECONDS=1 TEST_WALL=${5:-20} tests/run.sh "$work/case" >"$work/out" 2>&1
    status=$?
    last=$(tail -n 1 "$work/out")
    if [ "$status" = "$2" ] && [ "$last" = "$3" ]; then
        echo "ok $number - $1"
    else
        echo "not ok $number - $1"
        echo "# expected status $2 and '$3', got status $status and '$last'"
    fi
}

echo 1..11
expect "all pass" 0 "2 passed, 0 failed, 0 skipped" 'printf "1..2\nok 1 - a\nok 2 - b\n"'
expect "a failed test" 1 "1 passed, 1 failed, 0 skipped" 'printf "1..2\nok 1 - a\nnot ok 2 - b\n"; exit 1'
expect "a skipped test, TAP" 0 "1 passed, 0 failed, 1 skipped" 'printf "1..2\nok 1 - a\nok 2 - b # SKIP none\n"'
expect "a skipped test, cmocka" 0 "1 passed, 0 failed, 1 skipped" 'printf "1..2\nok 1 - a\nnone\nnot ok 2 # SKIP b\n"'
expect "nothing but skips is not success" 1 "0 passed, 0 failed, 1 skipped" 'printf "1..1\nok 1 - b # SKIP none\n"'
expect "fewer tests than planned" 1 "1 passed, 1 failed, 0 skipped" 'printf "1..2\nok 1 - a\n"'
expect "no output" 1 "0 passed, 1 failed, 0 skipped" 'exit 0'
expect "a crash after the last test" 1 "1 passed, 1 failed, 0 skipped" 'printf "1..1\nok 1 - a\n"; kill -SEGV $$'
expect "a test that hangs" 1 "1 passed, 1 failed, 0 skipped" 'printf "1..2\nok 1 - a\n"; exec sleep 30' 1
expect "two plans add up" 0 "2 passed, 0 failed, 0 skipped" 'printf "1..1\nok 1 - a\n1..1\nok 1 - b\n"'
expect "a test that works for ever" 1 "1 passed, 1 failed, 0 skipped" 'printf "1..2\nok 1 - a\n"; while :; do :; done'
