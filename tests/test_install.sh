#!/bin/bash
# test_install.sh: make install and uninstall, what others build with, the manual and the completions.
# What is built already is what gets installed: this needs `make`, not `make tests` alone.
set -u
. tests/tap.sh
make=${MAKE:-make}
unset MAKEFLAGS MFLAGS MAKELEVEL # a make around this one must not hand its options down
root=$work/root
at=$root/opt/q

steps() { "$make" -s "$@" >"$work/out" 2>"$work/err"; }
is_elf() { [ "$(head -c 4 "$1" | tail -c 3)" = ELF ]; }

status=0
steps install DESTDIR="$root" PREFIX=/opt/q || status=$?
check "make install" 'is 0' 'is_elf "$at/bin/qwenmesh"' '[ -f "$at/share/man/man1/qwenmesh.1" ]' \
    '[ -z "$(find "$root" -type f -not -path "$at/*")" ]'
version=$("$at/bin/qwenmesh" --version | cut -d' ' -f2)
check "the version is one everywhere" '[ -f "$at/lib/libqwenmesh.so.$version" ]' \
    'grep -qx "Version: $version" "$at/lib/pkgconfig/qwenmesh.pc"' \
    '[ "$(readlink "$at/lib/libqwenmesh.so.${version%%.*}")" = "libqwenmesh.so.$version" ]' \
    '[ "$(readlink "$at/lib/libqwenmesh.so")" = "libqwenmesh.so.${version%%.*}" ]'

exported() { nm -D --defined-only "$at/lib/libqwenmesh.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }'; }
check "the shared library exports what the header declares, and nothing else" \
    '[ "$(exported | sort)" = "$(grep -o "QM_API [^(]*(" src/qwenmesh.h | grep -o "qm_[a-z_]*" | sort)" ]' \
    'objdump -p "$at/lib/libqwenmesh.so" | grep -q "SONAME *libqwenmesh.so.${version%%.*}\$"'

# A program of somebody else: its own words for C and for C++, flags from pkg-config alone.
cat >"$work/user.c" <<'C'
#include <qwenmesh.h>
#include <stdio.h>
int main(void) {
    QmErr err = {QM_OK, {0}};
    QmTokenizer *t = qm_tokenizer_open("/nowhere", &err);
    printf("%s %s\n", qm_version(), t == NULL && err.kind ? "refused" : "opened");
    return 0;
}
C
cp "$work/user.c" "$work/user.cc"
flags() { PKG_CONFIG_PATH=$at/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root pkg-config "$@" qwenmesh; }
# shellcheck disable=SC2046 # flags are words
compiled() { "$1" -Wall -Wextra -Wpedantic -Werror -o "$work/user" "$work/user.$2" $(flags --cflags) $3; }
says() { [ "$("$work/user")" = "$version refused" ]; }
check "C with the shared library" 'compiled cc c "$(flags --libs)"' 'LD_LIBRARY_PATH=$at/lib says' \
    'objdump -p "$work/user" | grep -q "NEEDED *libqwenmesh.so.${version%%.*}"'
check "C with pkg-config --static" 'compiled cc c "$(flags --libs --static)"' 'LD_LIBRARY_PATH=$at/lib says'
mkdir "$work/static" && cp "$at/lib/libqwenmesh.a" "$work/static"
check "C with libqwenmesh.a" 'compiled cc c "-L$work/static $(flags --libs --static)"' 'says' \
    '! objdump -p "$work/user" | grep -q "NEEDED *libqwenmesh"'
if command -v c++ >/dev/null; then
    check "C++ with the shared library" 'compiled c++ cc "$(flags --libs)"' 'LD_LIBRARY_PATH=$at/lib says'
else
    skip "C++ with the shared library" "no c++"
fi

# The examples, by what was installed alone.
example() { "$1" -Wall -Wextra -Wpedantic -Werror -o "$work/$2" "examples/$3" $(flags --cflags) "-L$work/static" $(flags --libs --static); }
model=$work/model
mkdir "$model" && cp tests/golden/tiny/* "$model" && chmod -R u+w "$model" && cp tests/data/bytes/tokenizer*.json "$model"
check "examples/generate.c" 'example cc generate generate.c' '"$work/generate" "$model" abc 12 >"$work/out"' \
    '"$at/bin/qwenmesh" run -m "$model" -p abc -n 12 --temp 0 --act f32 --ctx 512 2>"$work/err" | cmp - "$work/out"' \
    '! "$work/generate" "$work/nowhere" abc >"$work/out" 2>"$work/err"' 'err "nowhere"'
check "examples/compare.c" 'example cc compare compare.c' \
    '"$work/compare" "$model" 1x1 2x4 7 3 9 | tee "$work/out" | grep -qx "1536 logits: the same bits"' \
    '! "$work/compare" "$model" 1x1 2y4 2>"$work/err"' 'err "bad mesh"'
if command -v c++ >/dev/null; then
    check "examples/chat.cpp" 'example c++ chat chat.cpp' \
        'printf "hello\nand \"you\"?\n" | "$work/chat" "$model" "(yes|no), [a-f]{3}" >"$work/out"' \
        '[ "$(grep -cxE "(yes|no), [a-f]{3}" "$work/out")" = 2 ]'
else
    skip "examples/chat.cpp" "no c++"
fi

root_may=
[ "$(id -u)" = 0 ] && root_may=--allow-run-as-root
if [ -f "$at/lib/qwenmesh/qwenmesh-mpi.so" ] && mpirun --version 2>/dev/null | grep -q 'Open MPI'; then
    # shellcheck disable=SC2086 # none or one word
    status=0 && mpirun -n 2 --oversubscribe $root_may "$at/bin/qwenmesh" env --no-bandwidth >"$work/out" 2>"$work/err" ||
        status=$?
    check "mpirun finds what was installed for it" 'is 0' 'out "version: $version"'
else
    skip "mpirun finds what was installed for it" "no Open MPI"
fi

man=$at/share/man/man1/qwenmesh.1
# Every option that --help of a command shows stands in the page, and every command.
options_of() { "$at/bin/qwenmesh" $1 --help | grep -oE '^ {2,6}(-., )?--[a-z0-9-]+' | grep -oE -e '--[a-z0-9-]+'; }
words=$("$at/bin/qwenmesh" --help | sed -n '/^Commands:/,$s/^  \([a-z]*\) .*/\1/p' | grep -vx eval)
lists() {
    local command option
    for command in $words 'eval gsm8k' 'eval perplexity' 'eval compare' 'eval choice'; do
        for option in $(options_of "$command"); do
            [ "$option" = --help ] && continue
            grep -qF -e "$(sed 's/-/\\-/g' <<<"$option")\\fR" "$man" || { echo "$command $option" >>"$work/err"; return 1; }
        done
        grep -qF -e ".SS $command" "$man" || { echo "$command" >>"$work/err"; return 1; }
    done
}
: >"$work/err"
check "the manual has every command and option" '[ "$(wc -w <<<"$words")" -gt 10 ]' lists
if command -v groff >/dev/null; then
    check "the manual renders without a warning" 'groff -ww -man -Tutf8 -P-cbou "$man" >"$work/page" 2>"$work/err"' \
        '[ ! -s "$work/err" ]' 'grep -q "mesh MESH" "$work/page"'
else
    skip "the manual renders without a warning" "no groff"
fi

# What bash offers for a line whose last word is being typed.
offers() {
    bash --norc -c '. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _qwenmesh; printf "%s\n" "${COMPREPLY[@]}"' \
        bash "$at/share/bash-completion/completions/qwenmesh" qwenmesh "$@"
}
check "bash completes" '[ "$(offers tok)" = tokenize ]' '[ "$(offers eval perp)" = perplexity ]' \
    '[ "$(offers run --mes)" = --mesh ]' '[ "$(offers eval compare --mesh-)" = --mesh-b ]' \
    '[ "$(offers run --backend pj)" = pjrt ]' '[ "$(offers run --backend = pj)" = pjrt ]' \
    '[ "$(offers run -m tests/golden/ti)" = tests/golden/tiny ]' '[ -z "$(offers run -p tests/golden/ti)" ]'
for shell in zsh fish; do
    file=$at/share/zsh/site-functions/_qwenmesh
    [ $shell = fish ] && file=$at/share/fish/vendor_completions.d/qwenmesh.fish
    if command -v $shell >/dev/null; then
        check "$shell reads its completion" '$shell -n "$file" 2>"$work/err"' '[ ! -s "$work/err" ]'
    else
        skip "$shell reads its completion" "no $shell"
    fi
done
if command -v fish >/dev/null; then
    fish_offers() { HOME=$work fish --no-config -c "source $file; complete -C '$1'" | cut -f1; }
    check "fish completes" '[ "$(fish_offers "qwenmesh tok")" = tokenize ]' \
        '[ "$(fish_offers "qwenmesh eval perp")" = perplexity ]' \
        '[ "$(fish_offers "qwenmesh run --backend pj")" = pjrt ]' '[ "$(fish_offers "qwenmesh run --mes")" = --mesh ]'
else
    skip "fish completes" "no fish"
fi

run pages latex
check "pages of another form are refused" 'is 2' 'err "expected man, bash, zsh or fish"'

status=0
steps uninstall DESTDIR="$root" PREFIX=/opt/q || status=$?
check "make uninstall leaves no file" 'is 0' '[ -z "$(find "$root" -not -type d)" ]' '[ ! -d "$at/lib/qwenmesh" ]'
finish
