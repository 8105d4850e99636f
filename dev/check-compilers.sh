#!/bin/bash
# dev/check-compilers.sh [COMPILER...]: builds program, libraries and tests with each compiler, which must say nothing,
# and compares the bits of a model's logits. Without names: every gcc and clang here, and as root with debootstrap the gcc of
# Debian 13 in a folder of its own (TRIXIE: that folder, kept when given). A compiler takes some 10 CPU minutes.
set -eu
cd "$(dirname "$0")/.."
sum='' bad=0

# bits FOLDER PREFIX...: the digest of a model's logits and hidden states, through the kernels of this machine and
# through plain C, which must be one.
bits() {
    local isa how
    for how in "--act f32" "--act bf16 --weights bf16" "--act int8 --weights 4bit"; do
        for isa in "" "--isa reference"; do
            # shellcheck disable=SC2086 # words
            "${@:2}" ./qwenmesh forward -m tests/golden/tiny --in tests/golden/tiny/golden.safetensors $how $isa \
                --out bits.safetensors --hidden -t 1 >&2 </dev/null && sha256sum <"$1/bits.safetensors"
        done | sort -u
    done | cut -c1-64 | paste -sd' '
}

# verdict NAME FOLDER PREFIX...: whether its bits are those of the first compiler.
verdict() {
    local name=$1 here
    here=$(bits "${@:2}")
    sum=${sum:-$here}
    if [ ${#here} = 194 ] && [ "$here" = "$sum" ]; then
        echo "compilers: $name: builds, no warning, same bits (${here:0:16})"
    else
        echo "compilers: $name: error: bits ${here:-none}, expected $sum"
        bad=1
    fi
}

# What a build there is: `all` leaves its libraries in the folder it runs in, so every compiler has a copy of the tree.
tree() { mkdir -p "$1" && git ls-files -z -- Makefile src tests dev | tar --null -T - -c | tar -x -C "$1"; }

with() {
    echo "compilers: $1: $("$1" --version | head -n 1)"
    tree "build/compilers/$1"
    if make -s -C "build/compilers/$1" -j"$(nproc)" CC="$1" all tests >"build/compilers/$1.log" 2>&1 &&
        [ ! -s "build/compilers/$1.log" ]; then verdict "$1" "build/compilers/$1" env -C "build/compilers/$1"
    else
        echo "compilers: $1: error: see build/compilers/$1.log:"
        tail -n 20 "build/compilers/$1.log"
        bad=1
    fi
}

trixie() {
    local root=${TRIXIE:-build/compilers/trixie} packages
    [ "$(id -u)" = 0 ] || { echo "compilers: Debian 13: skipped: needs root for chroot"; return; }
    command -v debootstrap >/dev/null || { echo "compilers: Debian 13: skipped: no debootstrap"; return; }
    mkdir -p "$root"
    root=$(realpath "$root")
    if [ ! -x "$root/usr/bin/apt-get" ]; then
        debootstrap --variant=minbase trixie "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$root.log" 2>&1 ||
            { echo "compilers: Debian 13: skipped: debootstrap brings no trixie here: $(tail -n 1 "$root.log")"; return; }
    fi
    cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
    packages=libcmocka-dev\ $(sed -n 's/^# build: *\([^ ]*\).*/\1/p' dev/setup.sh)
    chroot "$root" sh -c "apt-get update && apt-get install -y --no-install-recommends ${packages//$'\n'/ }" \
        >"$root.log" 2>&1 || { echo "compilers: Debian 13: skipped: $(tail -n 1 "$root.log")"; return; }
    tree "$root/qwenmesh"
    if chroot "$root" make -s -C /qwenmesh -j"$(nproc)" all tests >"$root.log" 2>&1 && [ ! -s "$root.log" ]
    then
        echo "compilers: Debian 13: $(chroot "$root" gcc --version | head -n 1)"
        verdict "Debian 13" "$root/qwenmesh" chroot "$root" env -C /qwenmesh
    else
        echo "compilers: Debian 13: error: see $root.log:"
        tail -n 20 "$root.log"
        bad=1
    fi
}

mkdir -p build/compilers
if [ $# != 0 ]; then for compiler in "$@"; do with "$compiler"; done
else
    for compiler in gcc gcc-13 gcc-14 gcc-15 clang clang-16 clang-19 clang-20; do
        if command -v $compiler >/dev/null; then with $compiler
        else echo "compilers: $compiler: skipped: not here"; fi
    done
    trixie
fi
[ $bad = 0 ]
