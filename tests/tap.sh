# tap.sh: sourced by the shell tests. QWENMESH is the program under test; `work` a folder that goes away with the test.
#   run ARGUMENTS...      runs the program; $status, $work/out and $work/err hold what came of it
#   is STATUS             the exit status of the last run
#   out TEXT, err TEXT    the last run printed that text (a fixed string) on that stream;  no_out, no_err: it did not
#   until_ready LOG [PROCESS]  waits until a server's log says that it is ready, or PROCESS ended: at most a minute
#   check NAME CONDITION... one test: every condition, a command line each, holds
QWENMESH=${QWENMESH:-./qwenmesh}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0 status=0

run() {
    status=0
    "$QWENMESH" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}
is() { [ "$status" = "$1" ]; }
out() { grep -qF -e "$1" "$work/out"; }
err() { grep -qF -e "$1" "$work/err"; }
no_out() { ! out "$1"; }
no_err() { ! err "$1"; }

until_ready() {
    tries=0
    while ! grep -q '[ "]ready: ' "$1" 2>/dev/null && [ $tries -lt 1200 ]; do
        [ -z "${2-}" ] || kill -0 "$2" 2>/dev/null || return 0
        tries=$((tries + 1))
        sleep 0.05
    done
}

check() {
    number=$((number + 1))
    name=$1
    shift
    for condition in "$@"; do
        if ! eval "$condition"; then
            echo "not ok $number - $name"
            echo "# does not hold: $condition (exit status $status)"
            tail -n 20 "$work/out" "$work/err" | sed 's/^/# /'
            return
        fi
    done
    echo "ok $number - $name"
}

skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# The plan, last: as many tests as ran. A script that ends before this line has no plan and fails.
finish() { echo "1..$number"; }
