#!/bin/sh
# test_isa.sh: CPUs weaker than this one run the program and give the same bits. qemu stops at an instruction that the
# CPU it plays lacks; it plays none with AVX-512, so of those files the symbols are looked at.
set -u
. tests/tap.sh
functions() { nm --defined-only --extern-only "$1" | grep -v ' [DR] '; }
for object in build/src/*/*_avx*.o; do
    check "${object#build/} gives data alone, so its code waits for kernels_select" '[ -s $object ]' '! functions $object'
done

tiny=tests/golden/tiny
for act in f32 bf16 int8; do
    weights=file
    [ $act != bf16 ] || weights=bf16
    [ $act != int8 ] || weights=4bit
    for cpu in none Nehalem Haswell EPYC-Milan; do
        set -- forward -m $tiny --weights $weights --act $act --in $tiny/golden.safetensors --out "$work/$cpu"
        if [ $cpu = none ]; then
            run "$@"
            check "forward here, activations in $act" 'is 0'
        elif command -v qemu-x86_64 >/dev/null; then
            status=0
            qemu-x86_64 -cpu $cpu "$QWENMESH" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
            check "the same bits on $cpu, activations in $act" 'is 0' 'cmp "$work/none" "$work/$cpu"'
        else
            skip "the same bits on $cpu, activations in $act" "no qemu-x86_64"
        fi
    done
done
finish
