#!/bin/bash
# The chat page without a browser: how it is served, that its policy has the hashes of what is in it, and what its sources
# may not contain; that the files of docs/deploy speak of things that are there.
cd "$(dirname "$0")/.." || exit 1
. tests/tap.sh
page=src/serve/page
touch "$work/out" "$work/err"

# ---- Sources ---------------------------------------------------------------------------------------------------------
sources="$page/*.js $page/page.css $page/index.html"
# shellcheck disable=SC2086 # a list of files
code=$(sed 's#^ *//.*##' $sources)
lacks() { ! grep -nE "$1" <<<"$code" >"$work/out"; }
check "no text becomes HTML or code" 'lacks "innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc"' \
    'lacks "\beval *\(|new Function|setTimeout\( *[\"\x27\`]|javascript:"' 'lacks "setAttribute\( *[\"\x27](style|on)"' 'lacks " style=| on[a-z]+=\""'
check "nothing is fetched from elsewhere" 'lacks "(src|href|action|poster)= *[\"\x27]?(https?:)?//"' 'lacks "url\(|@import|importScripts|import\("' \
    'lacks "(fetch|request|askJson|WebSocket|EventSource|sendBeacon)\( *[\"\x27\`](https?:|//)"'
names=$(cat $page/*.js | grep -oE '^(export )?(async )?(function\*?|const|let|class) +[A-Za-z_$]+' | awk '{print $NF}')
check "modules joined to one scope have no name twice" '[ -z "$(sort <<<"$names" | uniq -d)" ]' '[ "$(wc -l <<<"$names")" -gt 100 ]'
modules_joined() {
    local known m
    known=" $(sed -n 's/^modules="\(.*\)"/\1/p' $page/embed.sh) "
    for m in "$page"/*.js; do
        m=$(basename "$m" .js)
        [[ $known == *" $m "* ]] || { echo "$m is not joined" >"$work/out"; return 1; }
    done
}

check "every module is joined" 'modules_joined'

# ---- Served ----------------------------------------------------------------------------------------------------------
mkdir "$work/model"
cp tests/golden/tiny/{config,generation_config,model}* tests/data/bytes/*.json "$work/model"
"$QWENMESH" serve -m "$work/model" --port 0 >"$work/log" 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait; rm -rf "$work"' EXIT
for _ in $(seq 150); do
    port=$(sed -n 's#.*http://127\.0\.0\.1:\([0-9]*\).*#\1#p' "$work/log" | head -n 1)
    [ -n "$port" ] && break
    sleep 0.1
done
# get NAME FURTHER-HEADERS: the head in $work/NAME.head, the body in $work/NAME.
get() {
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf 'GET / HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nConnection: close\r\n%b\r\n' "$port" "$2" >&3
    cat <&3 >"$work/raw"
    exec 3>&-
    sed '/^\r$/q' "$work/raw" >"$work/$1.head"
    tail -c +$(($(wc -c <"$work/$1.head") + 1)) "$work/raw" >"$work/$1"
}
header() { sed -n "s/^$2: \(.*\)\r$/\1/Ip" "$work/$1.head"; }
code() { head -n 1 "$work/$1.head" | cut -d' ' -f2; }
hash_of() { # the text of an element between its tags, as browsers hash it
    awk -v tag="$1" 'index($0, "</" tag ">") == 1 { on = 0 } on { print } index($0, "<" tag) == 1 && /<script|<style/ { on = 1 }' "$work/plain" |
        { printf '\n'; cat; } >"$work/element"
    env printf "$(sha256sum "$work/element" | cut -c 1-64 | sed 's/../\\x&/g')" | base64
}
get plain ''
get gzip 'Accept-Encoding: gzip, br\r\n'
get refused 'Accept-Encoding: gzip;q=0, *;q=0.5\r\n'
check "the page" '[ "$(code plain)" = 200 ]' '[ "$(header plain Content-Type)" = "text/html; charset=utf-8" ]' \
    'grep -q "<title>qwenmesh</title>" "$work/plain"' '[ "$(tail -n 1 "$work/plain")" = "</html>" ]' \
    '[ "$(header plain Content-Length)" = "$(wc -c <"$work/plain")" ]' '[ -z "$(header plain Content-Encoding)" ]'
check "gzip equals plain, and only those who take it get it" '[ "$(header gzip Content-Encoding)" = gzip ]' \
    'gzip -dc <"$work/gzip" | cmp - "$work/plain"' '[ $(($(wc -c <"$work/gzip") * 3)) -lt "$(wc -c <"$work/plain")" ]' \
    'cmp "$work/refused" "$work/plain"' '[ "$(header gzip Vary)" = Accept-Encoding ]'
check "the policy has the hashes of script and style" '[ -n "$(hash_of script)" ]' \
    'grep -qF "script-src '"'"'sha256-$(hash_of script)'"'"';" "$work/plain.head"' \
    'grep -qF "style-src '"'"'sha256-$(hash_of style)'"'"';" "$work/plain.head"' \
    'grep -qF "default-src '"'"'none'"'"'" "$work/plain.head"' '! grep -qi "unsafe" "$work/plain.head"' \
    '[ "$(header plain X-Content-Type-Options)" = nosniff ]' '[ "$(header plain Referrer-Policy)" = no-referrer ]' \
    '[ "$(header plain Cache-Control)" = no-cache ]'
etag=$(header plain ETag)
form='"????????????????*"'
get same "If-None-Match: \"x\", W/$etag\r\n"
get other "If-None-Match: $(header gzip ETag)\r\n"
get zipped "Accept-Encoding: gzip\r\nIf-None-Match: $(header gzip ETag)\r\n"
check "an ETag for each form, and 304 for whom has it" '[[ $etag == $form ]]' '[ "$etag" != "$(header gzip ETag)" ]' \
    '[ "$(code same)" = 304 ]' '[ ! -s "$work/same" ]' '[ "$(header same ETag)" = "$etag" ]' '[ "$(code other)" = 200 ]' '[ "$(code zipped)" = 304 ]'
kill $server
wait $server
"$QWENMESH" serve -m "$work/model" --port 0 --no-page >"$work/log" 2>&1 &
server=$!
for _ in $(seq 150); do
    port=$(sed -n 's#.*http://127\.0\.0\.1:\([0-9]*\).*#\1#p' "$work/log" | head -n 1)
    [ -n "$port" ] && break
    sleep 0.1
done
get without ''
check "--no-page: there is none" '[ "$(code without)" = 404 ]' 'grep -q "no-page" "$work/without"'

# ---- docs/deploy -----------------------------------------------------------------------------------------------------
# Every metric that rules and dashboard ask for is one that /metrics has.
metrics_known() {
    local name known
    known=$(grep -ohE '"(vllm|qwenmesh):[a-z0-9_]+"|"(http|process)_[a-z_]+' src/serve/prometheus.[ch] | tr -d '"')
    for name in $(cat docs/deploy/prometheus-rules.yaml docs/deploy/grafana.json | grep -ohE '(vllm|qwenmesh):[a-z0-9_]+|(http|process)_[a-z]+_[a-z]+[a-z_]*' |
        sed 's/_bucket$//; s/_sum$//; s/_count$//' | sort -u); do
        [ "$name" = qwenmesh:generation_tokens ] && continue # a recording rule
        grep -qx "$name" <<<"$known" || { echo "no metric $name" >"$work/out"; return 1; }
    done
}
check "rules and dashboard ask for metrics that are there" metrics_known
flags_known() {
    local flag
    "$QWENMESH" serve --help >"$work/help"
    for flag in $(cat docs/deploy/{nginx.conf,kubernetes.yaml,Containerfile,qwenmesh@.service,qwenmesh@.socket} | grep -oE -e '--(host|port|parallel|queue|drain|api-key-file|log-format|allowed-hosts|timeout|max-body)\b' | sort -u); do
        grep -q -e "$flag " "$work/help" || { echo "no flag $flag" >"$work/out"; return 1; }
    done
}
check "and name flags that serve has" flags_known
if command -v promtool >/dev/null; then
    check "promtool: the rules do what they say" '(cd docs/deploy && promtool test rules prometheus-rules-test.yaml) >"$work/out" 2>&1'
else skip "promtool: the rules do what they say" "no promtool"; fi
finish
