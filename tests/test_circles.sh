#!/bin/sh
# test_circles.sh: no circle of files in src/, by what they call (symbols of the objects) or include: doors stand above,
# types below. Two rooms are one thing each, whose files call each other because what they read is nested: the writer of
# grammars from schemas, and the interpreter of templates.
set -u
. tests/tap.sh
status=0 # of no program: only objects and files are looked at
one_thing() { sed -E 's#infer/(schema_[a-z_]+|grammar_schema)#infer/schema_*#g; s#text/jinja(_[a-z_]+)?#text/jinja_*#g'; }

# A line for every pair: whom the first calls.
for o in build/src/*.o build/src/*/*.o; do
    [ -f "${o#build/}" ] || [ -f "$(echo "${o#build/}" | sed 's/o$/c/')" ] || continue # of a file that is gone
    nm "$o" | awk -v o="$(echo "$o" | sed 's#build/src/##; s#\.o$##')" \
        'NF == 2 && $1 == "U" { print "U", $2, o } NF == 3 && $2 ~ /[TDBRVWC]/ { print "D", $3, o }'
done >"$work/symbols"
awk '$1 == "D" { at[$2] = $3; next } { used[$2 " " $3] } END {
    for (u in used) { split(u, p, " "); if (p[1] in at && at[p[1]] != p[2]) print p[2], at[p[1]] } }' "$work/symbols" |
    sort -u | one_thing | awk '$1 != $2' >"$work/calls"
for f in src/*/*.h; do
    from=${f#src/}
    sed -n 's/^#include "\([^"]*\)".*/\1/p' "$f" | while read -r to; do
        case $to in
        ../*) to=${to#../} ;;
        *) to=$(dirname "$from")/$to ;;
        esac
        [ "$from" = "$to" ] || echo "$from $to"
    done
done >"$work/includes"
around() { tsort "$1" 2>&1 >/dev/null | grep -v 'contains a loop' | sed 's/^tsort: //' | tr '\n' ' '; }
check "there are calls and includes to look at" '[ "$(wc -l <"$work/calls")" -gt 400 ]' '[ "$(wc -l <"$work/includes")" -gt 50 ]'
check "no circle of calls: $(around "$work/calls")" '[ -z "$(around "$work/calls")" ]'
check "no circle of headers: $(around "$work/includes")" '[ -z "$(around "$work/includes")" ]'
{ cat "$work/calls" && echo base/err infer/engine; } >"$work/broken"
check "a circle would be found" '[ -n "$(around "$work/broken")" ]'
finish
