#!/bin/sh
# ladder.sh: variants of the kernels of an instruction set beside each other, in turns in one process.
#     ISA=avx2 sh dev/ladder.sh "NAME=FLAGS" ... -- ROUNDS THREADS dot|rows|pairs TYPE ROWS K[/LEAVES]
# A variant is src/cpu/kernels_$ISA.c compiled with FLAGS (-D of a macro that the headers ask for while you try); with
# NAME@FOLDER=FLAGS of the sources in FOLDER. The first is what the others are measured by; their bits must be its.
set -eu
cd "$(dirname "$0")/.."
isa=${ISA:-avx2} out=build/ladder list= objects=
make -s all
mkdir -p $out
ar rcs $out/all.a build/src/*/*.o # the library hides what is called here
case $isa in
    avx2) set_flags="-mavx2 -mfma -mf16c" ;;
    *) set_flags="-mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mf16c" ;;
esac
[ "$isa" != avx512vnni ] || set_flags="$set_flags -mavx512vnni"
[ "$isa" != avx512bf16 ] || set_flags="$set_flags -mavx512bf16"
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    name=${1%%=*} flags=${1#*=} folder=.
    case $name in *@*) folder=${name#*@} name=${name%%@*} ;; esac
    rm -f "$out/$name.o" # one that does not compile is not linked from before
    # shellcheck disable=SC2086 # flags
    ${CC:-gcc} -D_GNU_SOURCE -std=c11 -O3 -ffp-contract=off $set_flags $flags "-Dkernels_$isa=kernels_$name" \
        -c -o "$out/$name.o" "$folder/src/cpu/kernels_$isa.c" &
    list="$list V($name)" objects="$objects $out/$name.o"
    shift
done
wait
[ $# -gt 0 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
shift
# shellcheck disable=SC2086 # objects
${CC:-gcc} -D_GNU_SOURCE -std=c11 -O3 "-DVARIANTS(V)=$list" -o $out/ladder dev/ladder.c $objects $out/all.a \
    $(pkg-config --libs jansson libpcre2-8 libutf8proc libcurl libcrypto libedit) -lpthread -ldl -lm
[ $# = 0 ] || exec $out/ladder "$@"
