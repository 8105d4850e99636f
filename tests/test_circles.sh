#!/bin/sh
# test_circles.sh: no circle of files in src/, by what they call (symbols of the objects) or include: doors stand above,
# types below. Two rooms are one thing each, whose files call each other because what they read is nested: the writer of
# grammars from schemas, and the interpreter of templates.
set -u
. tests/tap.sh
status=0 # of no program: only objects and files are looked at
one_thing() { sed -E 's#infer/(schema_[a-z_]+|grammar_schema)#infer/schema_*#g; s#text/jinja(_[a-z_]+)?#text/jinja_*#g'; }

# A line for every pair: whom the first calls. One process reads all objects: hundreds would take half a minute.
for o in build/src/*.o build/src/*/*.o; do
    case $o in *_mpi.o) continue ;; esac
    c=${o#build/} && [ -f "${c%.o}.c" ] && echo "$o" # else of a file that is gone
done >"$work/objects"
xargs nm -A <"$work/objects" | awk '
    { from = $1; sub(/:.*/, "", from); sub(/^build\/src\//, "", from); sub(/\.o$/, "", from) }
    $(NF - 1) == "U" { used[from " " $NF] }
    $(NF - 1) ~ /^[TDBRVWC]$/ { at[$NF] = from }
    END { for (u in used) { split(u, p, " "); if (p[2] in at && at[p[2]] != p[1]) print p[1], at[p[2]] } }' |
    sort -u | one_thing | awk '$1 != $2' >"$work/calls"
awk '/^#include "/ { from = FILENAME; sub(/^src\//, "", from); room = from; sub(/\/[^\/]*$/, "", room)
        to = $2; gsub(/"/, "", to); if (!sub(/^\.\.\//, "", to)) to = room "/" to
        if (from != to) print from, to }' src/*/*.h >"$work/includes"
around() { tsort "$1" 2>&1 >/dev/null | grep -v 'contains a loop' | sed 's/^tsort: //' | tr '\n' ' '; }
check "there are calls and includes to look at" '[ "$(wc -l <"$work/calls")" -gt 400 ]' '[ "$(wc -l <"$work/includes")" -gt 50 ]'
check "no circle of calls: $(around "$work/calls")" '[ -z "$(around "$work/calls")" ]'
check "no circle of headers: $(around "$work/includes")" '[ -z "$(around "$work/includes")" ]'
{ cat "$work/calls" && echo base/err infer/engine; } >"$work/broken"
check "a circle would be found" '[ -n "$(around "$work/broken")" ]'
finish
