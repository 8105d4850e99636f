#!/bin/sh
# embed.sh OUT.html OUT.c: joins the page (index.html, page.css and the modules below) into one HTML file, and writes it,
# its gzip form, its strong ETag and the hashes for its Content-Security-Policy as C. Wants awk, gzip, od and coreutils.
set -eu
cd "$(dirname "$0")"
html=$1 c=$2
# In the order of what they need. `import` lines go, `export` goes before each declaration: one module, one scope.
modules="store dom app chat api inline markdown answer run tokens message thread files gauge drawer sidebar connection main"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for module in $modules; do
    awk '/^import / { next } { sub(/^export /, ""); print }' "$module.js"
done >"$work/js"
cp page.css "$work/css"
if grep -qi '</script\|<!--' "$work/js" || grep -qi '</style' "$work/css"; then
    echo "embed.sh: error: the page's own text would end its script or style element" >&2
    exit 1
fi
# What stands between the tags, line ends included, is what a browser hashes.
awk -v css="$work/css" -v js="$work/js" '
    function whole(file,   line) { while ((getline line < file) > 0) print line }
    /^@@CSS@@$/ { whole(css); next }
    /^@@JS@@$/ { whole(js); next }
    { print }' index.html >"$html"

bytes_of_hash() { env printf "$(sha256sum | cut -c 1-64 | sed 's/../\\x&/g')"; }
# The text of an element, from after its start tag's `>` to before its end tag.
hash_of() { { printf '\n'; cat "$1"; } | bytes_of_hash | base64; }
gzip -9nc "$html" >"$work/gz"
array() {
    printf 'const unsigned char %s[] = {\n' "$1"
    od -An -v -tu1 "$2" | sed 's/^ *//; s/  */,/g; s/$/,/'
    printf '};\nconst size_t %s_bytes = sizeof %s;\n' "$1" "$1"
}
{
    echo '/* Made by src/serve/page/embed.sh. */'
    echo '#include "page_data.h"'
    array page_html "$html"
    array page_gzip "$work/gz"
    printf 'const char page_hash[] = "%s";\n' "$(sha256sum "$html" | cut -c 1-32)"
    printf 'const char page_style_hash[] = "sha256-%s";\n' "$(hash_of "$work/css")"
    printf 'const char page_script_hash[] = "sha256-%s";\n' "$(hash_of "$work/js")"
} >"$c.part"
mv "$c.part" "$c"
