#!/bin/sh
# dev/deb.sh: a Debian package of what make built, in build/. Wants dpkg-dev. One package holds program, library, header
# and manual; Depends are what the files link to, and what mpirun needs is only recommended.
# DEBFULLNAME and DEBEMAIL: its maintainer. DEB_REVISION: the number after the version (1).
set -eu
cd "$(dirname "$0")/.."
for tool in dpkg-deb dpkg-shlibdeps strip; do
    command -v $tool >/dev/null || { echo "deb: error: no $tool: apt-get install dpkg-dev" >&2; exit 1; }
done
version=$(./qwenmesh --version | cut -d' ' -f2)
full=$version-${DEB_REVISION:-1}
arch=$(dpkg --print-architecture)
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH)
maintainer="${DEBFULLNAME:-qwenmesh maintainers} <${DEBEMAIL:-maintainers@qwenmesh.invalid}>"
date=$(date -R -u -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}")
package=build/qwenmesh_${full}_$arch.deb
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/debian/qwenmesh
mkdir -p "$root/DEBIAN"

make -s install DESTDIR="$root" PREFIX=/usr LIBDIR="/usr/lib/$triplet" ZSHDIR=/usr/share/zsh/vendor-completions
soname=$(basename "$root/usr/lib/$triplet"/libqwenmesh.so.[0-9] | sed 's/.*so\.//')
strip --strip-unneeded --remove-section=.comment --remove-section=.note "$root/usr/bin/qwenmesh" \
    "$root/usr/lib/$triplet/libqwenmesh.so.$version" $(find "$root/usr/lib/qwenmesh" -name '*.so' 2>/dev/null)
strip --strip-debug "$root/usr/lib/$triplet/libqwenmesh.a"
gzip -9n "$root/usr/share/man/man1/qwenmesh.1"
doc=$root/usr/share/doc/qwenmesh
mkdir -p "$doc"
cat >"$doc/copyright" <<EOF
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: qwenmesh

Files: *
Copyright: $(date -u -d "$date" +%Y) the authors of qwenmesh
License: Apache-2.0
 On Debian systems the full text of the Apache License, version 2.0, is in
 /usr/share/common-licenses/Apache-2.0.
EOF
{
    printf 'qwenmesh (%s) unstable; urgency=medium\n\n  * Version %s, as built by make deb.\n\n' "$full" "$version"
    printf ' -- %s  %s\n' "$maintainer" "$date"
} | gzip -9n >"$doc/changelog.Debian.gz"

# Who needs which library in which version, by the symbols it takes.
printf 'Source: qwenmesh\n\nPackage: qwenmesh\nArchitecture: any\n' >"$work/debian/control"
relations() { (cd "$work" && dpkg-shlibdeps -O "$@" 2>"$work/log") || { cat "$work/log" >&2; exit 1; }; }
depends=$(relations "$root/usr/bin/qwenmesh" "$root/usr/lib/$triplet/libqwenmesh.so.$version" | sed -n 's/^shlibs:Depends=//p')
recommends=
if [ -f "$root/usr/lib/qwenmesh/qwenmesh-mpi.so" ]; then
    recommends=$(relations -dRecommends "$root/usr/lib/qwenmesh/qwenmesh-mpi.so" | sed -n 's/^shlibs:Recommends=//p' |
        tr ',' '\n' | grep -v '^ *libc6 ' | paste -sd, | sed 's/^ *//')
fi
cat >"$root/DEBIAN/control" <<EOF
Package: qwenmesh
Version: $full
Architecture: $arch
Maintainer: $maintainer
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: $depends
${recommends:+Recommends: $recommends
}Suggests: openmpi-bin, pkg-config
Section: science
Priority: optional
Description: run Qwen2.5 and its relatives, tensor-parallel on any mesh of devices
 One C program that runs Qwen2.5 and its Llama relatives from Hugging Face
 folders or GGUF files, without Python and without a conversion step, and with
 the same bits whatever the mesh, the threads, the batch and the chunking.
 .
 Program, shared and static library, header, pkg-config file, manual page and
 completions for bash, zsh and fish.
EOF
echo "libqwenmesh $soname qwenmesh (>= $version)" >"$root/DEBIAN/shlibs"
echo "activate-noawait ldconfig" >"$root/DEBIAN/triggers"
(cd "$root" && find usr -type f -exec md5sum {} + | sort -k 2 >DEBIAN/md5sums)
find "$root" -type d -exec chmod 755 {} +
chmod 644 "$root"/DEBIAN/*
dpkg-deb --root-owner-group -b "$root" "$package" >/dev/null
echo "$package"
