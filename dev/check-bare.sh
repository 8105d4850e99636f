#!/bin/sh
# dev/check-bare.sh: the package that `make deb` makes, in a bare Debian 12: installed, used, removed. Wants root,
# debootstrap and the packages of Debian; says why it skips otherwise. BARE: the folder of that system, kept when given.
set -eu
cd "$(dirname "$0")/.."
skip() { echo "check-bare: skipped: $1"; exit 0; }
[ "$(id -u)" = 0 ] || skip "needs root for chroot"
command -v debootstrap >/dev/null || skip "no debootstrap: apt-get install debootstrap"
command -v dpkg-shlibdeps >/dev/null || skip "no dpkg-shlibdeps: apt-get install dpkg-dev"
package=$(dev/deb.sh)
echo "check-bare: $package"
if command -v lintian >/dev/null; then
    lintian --fail-on error --allow-root "$package" || { echo "check-bare: error: lintian" >&2; exit 1; }
else
    echo "check-bare: no lintian, so its rules are not checked"
fi

if [ -n "${BARE:-}" ]; then root=$BARE
else
    root=$(mktemp -d)
    trap 'umount "$root/proc" 2>/dev/null; rm -rf --one-file-system "$root"' EXIT
fi
if [ ! -x "$root/usr/bin/apt-get" ]; then
    echo "check-bare: debootstrap of bookworm (about a minute)"
    debootstrap --variant=minbase bookworm "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$root.log" 2>&1 ||
        { tail -n 5 "$root.log"; rm -f "$root.log"; skip "debootstrap brings no bookworm here"; }
    rm -f "$root.log"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
cp -r /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/"
# A minimal system leaves manual pages out, and its Docker image as well.
rm -f "$root/etc/dpkg/dpkg.cfg.d/docker" "$root/etc/dpkg/dpkg.cfg.d/excludes"
cp "$package" "$root/tmp/qwenmesh.deb"
cp -r tests/golden/tiny "$root/tmp/tiny"
cat >"$root/tmp/user.c" <<'C'
#include <qwenmesh.h>
#include <stdio.h>
int main(void) {
    QmErr err = {{0}, false};
    QmEngineOptions o = {.size = sizeof o, .model = "/tmp/tiny"};
    QmEngine *e = qm_engine_open(&o, &err);
    if (!e) return printf("%s\n", err.text), 1;
    printf("%s, %d layers\n", qm_version(), (int)qm_engine_info(e)->layers);
    qm_engine_close(e);
    return 0;
}
C
cat >"$root/tmp/try.sh" <<'S'
set -eu
export DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
log() { "$@" >/tmp/log 2>&1 || { cat /tmp/log; echo "failed: $*"; exit 1; }; }
log apt-get update
log apt-get install -y --no-install-recommends /tmp/qwenmesh.deb
cd /
echo "-- qwenmesh env"; qwenmesh env --no-bandwidth
echo "-- qwenmesh generate"
echo '{"ids":[1,2,3],"max_new_tokens":4,"do_sample":false}' | qwenmesh generate -m /tmp/tiny --in - --out -
echo "-- man qwenmesh"; log apt-get install -y --no-install-recommends man-db
man -P cat qwenmesh | head -n 12; man -P cat qwenmesh | grep -q -- --json-schema
echo "-- a program against it"; log apt-get install -y --no-install-recommends gcc libc6-dev pkg-config
cc -o /tmp/user /tmp/user.c $(pkg-config --cflags --libs qwenmesh); /tmp/user
echo "-- removed"; log apt-get remove -y qwenmesh
left=$(find /usr -name '*qwenmesh*'); [ -z "$left" ] || { echo "left behind: $left"; exit 1; }
S
mount -t proc proc "$root/proc" 2>/dev/null || echo "check-bare: no /proc in it: env will not know the machine"
status=0
chroot "$root" sh /tmp/try.sh || status=$?
umount "$root/proc" 2>/dev/null || true
[ $status = 0 ] || exit 1
echo "check-bare: installed, used and removed in $(cat "$root/etc/debian_version")"
