#!/bin/sh
# dev/make.sh TARGET...: make, quietly, but saying how far it is: at a terminal in one line, else a line now and then.
set -u
cd "$(dirname "$0")/.."
total=$(make -n "$@" 2>/dev/null | grep -c -- ' -c -o ')
status=$(mktemp)
trap 'rm -f "$status"' EXIT
live=$([ -t 2 ] && echo 1 || echo 0)
{
    make -j"$(nproc)" "$@" 2>&1
    echo $? >"$status"
} | awk -v total="$total" -v live="$live" '
    function say(text) { if (live) printf "\r\033[K%s", text; else print text; fflush() }
    / -c -o / {
        n++
        if (live || n % 40 == 1) say("building: " n " of " total " files")
        next
    }
    /(error|warning|undefined|Error [0-9])/ { bad = 1 }
    bad { if (live) printf "\r\033[K"; print }
    END { if (live) printf "\r\033[K"; else if (n) print "building: done" }' >&2
exit "$(cat "$status")"
