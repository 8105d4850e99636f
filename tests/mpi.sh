# mpi.sh: sourced after tap.sh by the shell tests of several processes.
#   mpi_or_skip NAME                   ends the test as skipped where Open MPI's mpirun or our library is missing
#   spread RANKS ARGUMENTS...          as run, under mpirun
#   spread_as RANK VARIABLE=VALUE RANKS ARGUMENTS...     likewise; one rank has that in its environment
#   behind RANKS ARGUMENTS...          as spread, in the background
#   endless RANKS ARGUMENTS...         likewise, work without end; returns when it runs, $running: how many ranks do
#                                      until=FILE: when that is there
#   signal NAME                        to mpirun, whose number `launched` prints
#   each_in_its_folder                 makes $work/each.sh FOLDER COMMAND...: every rank runs it in FOLDER/RANK
#   ended                              waits for its end: $status, $took seconds, $left ranks that are still there
root='' until=''
[ "$(id -u)" != 0 ] || root=--allow-run-as-root
export OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_base_warn_component_unused=0 ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0" # MPI's own leaks

mpi_or_skip() {
    why=
    command -v mpirun >/dev/null || why="mpirun is missing"
    library=$(dirname "$QWENMESH")/qwenmesh-mpi.so
    [ -n "$why" ] || [ -e "$library" ] || why="$library is missing: built where mpicc is"
    case $(mpirun --version 2>/dev/null) in
    *"Open MPI"*) ;;
    *) why=${why:-"these flags are those of Open MPI's mpirun"} ;;
    esac
    [ -n "$why" ] || return 0
    skip "$1" "$why"
    finish
    exit 0
}

spread() {
    ranks=$1
    shift
    status=0
    # shellcheck disable=SC2086 # root is a flag or nothing
    timeout 100 mpirun $root --oversubscribe -n "$ranks" "$QWENMESH" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}
spread_as() {
    only=$1 variable=$2 ranks=$3
    shift 3
    status=0
    # shellcheck disable=SC2086,SC2016
    timeout 100 mpirun $root --oversubscribe -n "$ranks" \
        sh -c '[ "$OMPI_COMM_WORLD_RANK" != "$0" ] || export "$1"; shift; exec "$@"' "$only" "$variable" "$QWENMESH" "$@" \
        >"$work/out" 2>"$work/err" </dev/null || status=$?
}

each_in_its_folder() {
    cat >"$work/each.sh" <<'SCRIPT'
#!/bin/sh
cd "$1/$OMPI_COMM_WORLD_RANK" || exit 9
shift
exec "$@"
SCRIPT
    chmod +x "$work/each.sh"
}

# alive: how many of the ranks are; one that ended and that nobody has waited for yet is not.
alive() {
    for file in "$work"/pid.*; do
        grep -q '^State:[[:space:]]*[^ZX]' "/proc/$(cat "$file")/status" 2>/dev/null && echo
    done | wc -l
}
behind() {
    rm -f "$work"/pid.*
    ranks=$1
    shift
    # shellcheck disable=SC2086,SC2016
    timeout 100 mpirun $root --oversubscribe -n "$ranks" sh -c 'echo $$ >"$0/pid.$OMPI_COMM_WORLD_RANK"; exec "$@"' "$work" \
        "$QWENMESH" "$@" >"$work/out" 2>"$work/err" </dev/null &
    launcher=$!
}
endless() {
    behind "$@"
    for wait in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
        [ "$wait" -gt 8 ] && [ -z "$until" ] && break
        [ -n "$until" ] && [ -e "$until" ] && break
        sleep 0.5
    done
    running=$(alive)
}
launched() { tr -d ' ' <"/proc/$launcher/task/$launcher/children"; } # timeout's child
signal() { kill "-$1" "$(launched)"; }
ended() {
    began=$(date +%s)
    status=0
    wait "$launcher" || status=$?
    took=$(($(date +%s) - began))
    for second in 1 2 3; do
        left=$(alive)
        [ "$left" = 0 ] || sleep "$second"
    done
}
