#!/bin/sh
# test_pull.sh: qwenmesh pull against a server on this machine that fails in every way of its own.
set -u
. tests/tap.sh
server=build/tests/http_server
if [ ! -x "$server" ]; then
    skip "pull" "$server is not built"
    finish
    exit
fi
export no_proxy='*' NO_PROXY='*'
unset HF_TOKEN HF_ENDPOINT
sha=0123456789abcdef0123456789abcdef01234567
hub=$work/hub
out=$work/model
log=$work/log

# A second server stands for a content network: another origin, on another port.
"$server" "$hub" "$log" >"$work/port" & first=$!
"$server" "$work/cdn" "$work/cdn.log" >"$work/port2" & second=$!
trap 'kill $first $second 2>/dev/null; rm -rf "$work"' EXIT
i=0
while [ ! -s "$work/port" ] || [ ! -s "$work/port2" ]; do
    sleep 0.05
    i=$((i + 1))
    if [ $i -gt 200 ]; then
        echo "# the servers did not start"
        exit 1
    fi
done
endpoint=http://127.0.0.1:$(cat "$work/port")
cdn=http://127.0.0.1:$(cat "$work/port2")

# entry PATH: what the hub lists of it: git's SHA-1 for JSON, SHA-256 for the rest.
entry() {
    path=$1
    real=$files/$1
    size=$(wc -c <"$real")
    case $path in
    *.json)
        oid=$({ printf 'blob %d\0' "$size"; cat "$real"; } | sha1sum | cut -d ' ' -f 1)
        printf '{"type":"file","path":"%s","size":%d,"oid":"%s"}' "$path" "$size" "$oid" ;;
    *)
        oid=$(sha256sum <"$real" | cut -d ' ' -f 1)
        printf '{"type":"file","path":"%s","size":134,"oid":"%s","lfs":{"oid":"%s","size":%d,"pointerSize":134}}' \
            "$path" "$sha" "$oid" "$size" ;;
    esac
}

# A fresh repository, a fresh folder, an empty log.
fresh() {
    rm -rf "$hub" "$work/cdn" "$out" "$log" "$work/cdn.log"
    api=$hub/api/models/test/tiny
    files=$hub/test/tiny/resolve/$sha
    mkdir -p "$api/revision" "$api/tree" "$files" "$work/cdn"
    printf '{"id":"test/tiny","sha":"%s","siblings":[]}' $sha >"$api/revision/main"
    echo '{"model_type":"qwen2"}' >"$files/config.json"
    echo '{"model":{}}' >"$files/tokenizer.json"
    echo '# a model' >"$files/README.md"
    head -c 300000 /dev/urandom >"$files/model.safetensors"
    list config.json tokenizer.json README.md model.safetensors
    touch "$log" "$work/cdn.log"
}
list() {
    { printf '['; comma=; for name in "$@"; do printf '%s' "$comma"; entry "$name"; comma=,; done; printf ']'; } >"$api/tree/$sha"
}
weights() { printf '%s/model.safetensors' "$files"; }
pull() { run pull test/tiny --endpoint "$endpoint" --out "$out" --timeout 1 "$@"; }
same() { cmp -s "$files/$1" "$out/$1"; }
no_part() { [ -z "$(find "$work/model" -name '*.part' 2>/dev/null)" ]; }

fresh
pull
check "brings and checks the files we use, prints the folder" 'is 0' 'same config.json' 'same tokenizer.json' \
    'same model.safetensors' '[ ! -e "$out/README.md" ]' '[ "$(cat "$work/out")" = "$out" ]' no_part \
    'grep -q "recursive=true" "$log"'
: >"$log"
pull
check "what is there and right is not brought again" 'is 0' 'err "already here"' '! grep -q resolve "$log"'
printf x | dd of="$out/model.safetensors" bs=1 seek=1000 conv=notrunc 2>/dev/null
pull
check "what is there and wrong is brought again" 'is 0' 'same model.safetensors'

fresh
cp "$(weights)" "$files/part-b.safetensors" && rm "$(weights)" && echo x >"$files/other.safetensors"
echo '{{ a }}' >"$files/chat_template.jinja"
echo '{"weight_map": {"a": "part-b.safetensors"}}' >"$files/model.safetensors.index.json"
list config.json tokenizer.json other.safetensors part-b.safetensors chat_template.jinja model.safetensors.index.json
pull
check "brings the template, and weights by the names of the index" 'is 0' 'same chat_template.jinja' \
    'same part-b.safetensors' 'same model.safetensors.index.json' '[ ! -e "$out/other.safetensors" ]'
list config.json tokenizer.json other.safetensors model.safetensors.index.json
pull
check "an index that names what is not there is an error" 'is 1' 'err "names part-b.safetensors, which the repository"'
fresh
mv "$(weights)" "$files/m.q8_0.gguf" && list config.json tokenizer.json m.q8_0.gguf
pull
check "the only GGUF file comes along" 'is 0' 'same m.q8_0.gguf'
fresh
list config.json model.safetensors
pull
check "no tokenizer that is read: a word" 'is 0' 'err "has no tokenizer.json"'
fresh
echo x >"$files/pytorch_model.bin" && list config.json tokenizer.json pytorch_model.bin
pull
check "no weights that are read: a word" 'is 0' 'err "has no weights that are read here"' '[ ! -e "$out/pytorch_model.bin" ]'

fresh
HF_TOKEN=hf_secret pull --endpoint http://127.0.0.1.invalid
check "a name that begins like this machine is another one" 'is 1' 'err "the token goes to http://127.0.0.1.invalid unenc"'

fresh
pull --include '*.md' --include=config.json
check "--include chooses" 'is 0' 'same README.md' 'same config.json' '[ ! -e "$out/model.safetensors" ]'
pull --include 'nothing*'
check "nothing chosen is an error that helps" 'is 1' 'err "none of its 4 files is named like nothing*"' 'err "--include"'

fresh
mkdir -p "$files/sub dir" && echo '{}' >"$files/sub dir/a+b.json" && list config.json "sub dir/a+b.json"
pull --include 'sub dir/*'
check "sub-folders and names that need encoding" 'is 0' 'same "sub dir/a+b.json"' 'grep -q "sub%20dir/a%2Bb.json" "$log"'

fresh
mkdir -p "$out" && head -c 100000 "$(weights)" >"$out/model.safetensors.part"
pull
check "continues a part" 'is 0' 'same model.safetensors' 'grep -q "model.safetensors range=bytes=100000-" "$log"' no_part
fresh
mkdir -p "$out" && head -c 100000 "$(weights)" >"$out/model.safetensors.part" && echo no-range >"$(weights).fault"
pull
check "a server that cannot continue sends all again" 'is 0' 'same model.safetensors'
fresh
mkdir -p "$out" && head -c 100000 "$(weights)" >"$out/model.safetensors.part" && echo wrong-range >"$(weights).fault"
pull
check "another range than asked for is refused" 'is 1' 'err "expected the bytes from 100000 on"'
fresh
mkdir -p "$out" && head -c 400000 /dev/zero >"$out/model.safetensors.part"
pull
check "a part longer than the file is started anew" 'is 0' 'same model.safetensors'
fresh
mkdir -p "$out" && cp "$(weights)" "$out/model.safetensors.part"
pull
check "a whole part is only checked" 'is 0' 'same model.safetensors' '! grep -q "model.safetensors range" "$log"'
fresh
mkdir -p "$out" && head -c 100000 /dev/zero >"$out/model.safetensors.part"
pull
check "a part of something else is found out, and removed" 'is 1' 'err "expected the SHA-256 hash"' no_part \
    '[ ! -e "$out/model.safetensors" ]'
pull
check "and then brought whole" 'is 0' 'same model.safetensors'
fresh
mkdir -p "$out" && ln -s "$work/victim" "$out/model.safetensors.part"
pull
check "a part that is a link is not followed" 'is 1' 'err "cannot write"' '[ ! -e "$work/victim" ]'

fresh
echo 'cut-once 70000' >"$(weights).fault"
pull
check "a connection lost is tried again from where it was" 'is 0' 'same model.safetensors' \
    'grep -q "model.safetensors range=bytes=70000-" "$log"'
fresh
echo 'cut 0' >"$(weights).fault"
pull
check "a connection lost again and again is an error; the part stays" 'is 1' 'err "model.safetensors: "' \
    '[ "$(grep -c "model.safetensors range" "$log")" = 5 ]' '[ -e "$out/model.safetensors.part" ]'
fresh
echo 'stall 50000' >"$(weights).fault"
pull
check "a server that stalls is given up" 'is 1' 'err "the server stalled for 1 s"' \
    '[ "$(wc -c <"$out/model.safetensors.part")" -ge 50000 ]'
fresh
echo 'longer 10' >"$(weights).fault"
pull
check "more bytes than listed are refused" 'is 1' 'err "expected 300000 bytes, got more"'
fresh
printf 'longer 10\npause 300\n' >"$(weights).fault"
pull
check "more bytes than listed are refused when they come late" 'is 1' 'err "expected 300000 bytes, got more"' '[ ! -e "$out/model.safetensors" ]'
fresh
head -c 299000 /dev/urandom >"$(weights)"
pull
check "fewer bytes than listed are refused" 'is 1' 'err "the file is shorter than the hub said"' '[ ! -e "$out/model.safetensors" ]'
fresh
printf x | dd of="$(weights)" bs=1 seek=1000 conv=notrunc 2>/dev/null
pull
check "a wrong SHA-256 is refused and removed" 'is 1' 'err "expected the SHA-256 hash"' 'err "the file is removed"' no_part \
    '[ ! -e "$out/model.safetensors" ]'
fresh
echo '{"model_type":"qwen3"}' >"$files/config.json"
pull
check "a wrong git SHA-1 is refused and removed" 'is 1' 'err "config.json: expected the git SHA-1 hash"' no_part

fresh
mv "$(weights)" "$work/cdn/blob" && touch "$(weights)" && echo "redirect $cdn/blob" >"$(weights).fault"
HF_TOKEN=hf_secret pull
check "follows a redirect; the token stays with the endpoint" 'is 0' 'cmp -s "$work/cdn/blob" "$out/model.safetensors"' \
    '[ "$(grep -c "auth=Bearer hf_secret$" "$log")" = 5 ]' '[ "$(cat "$work/cdn.log")" = "/blob range= auth=" ]' \
    'no_err hf_secret' 'no_out hf_secret'
fresh
echo "hf_from_file" >"$work/token"
HF_TOKEN=hf_secret pull --token-file "$work/token"
check "--token-file wins over HF_TOKEN" 'is 0' 'grep -q "auth=Bearer hf_from_file$" "$log"' '! grep -q hf_secret "$log"'
printf 'a b\n' >"$work/token"
pull --token-file "$work/token"
check "a token that is none is refused" 'is 1' 'err "token: expected one line of printable characters"'
: >"$work/token"
pull --token-file "$work/token"
check "an empty token file is an error" 'is 1' 'err "is empty"'
pull --token-file "$work/no-such-file"
check "a token file that is not there is an error" 'is 1' 'err "cannot open"'
fresh
echo "redirect $endpoint/test/tiny/resolve/$sha/model.safetensors" >"$(weights).fault"
pull
check "a circle of redirects ends" 'is 1' 'err "more than 8 redirects"'
fresh
echo "redirect file:///etc/passwd" >"$(weights).fault"
pull
check "a redirect to another kind of URL is refused" 'is 1' 'err "expected a URL that begins with https:// or http://"' \
    '[ ! -e "$out/model.safetensors" ]'

for evil in ../evil.json /evil.json a/../evil.json ./evil.json a//evil.json 'a\\evil.json' 'evil\u0007.json' evil.json.part \
    'x/..' 'evil\u0000.json'; do
    fresh
    printf '[{"type":"file","path":"%s","size":3,"oid":"%s"}]' "$evil" $sha >"$api/tree/$sha"
    pull --include '*' --include '*/*' --include '*/*/*'
    check "a file named $evil is refused" 'is 1' '[ -s "$work/err" ]' '[ -z "$(find "$work" -name "evil*")" ]' '! grep -q resolve "$log"'
done
fresh
printf '[{"type":"file","path":"config.json","size":-1,"oid":"%s"}]' $sha >"$api/tree/$sha"
pull
check "a negative size is refused" 'is 1' 'err "config.json: size: expected an integer from 0"'
printf '[{"type":"file","path":"config.json","size":1000000000000000,"oid":"%s"}]' $sha >"$api/tree/$sha"
pull
check "more than fits is refused before it begins" 'is 1' 'err "disk full: test/tiny needs 1000000.00 GB more"' '! grep -q resolve "$log"'
printf '[{"type":"file","path":"config.json","size":3,"oid":"zz"}]' >"$api/tree/$sha"
pull
check "a hash that is none is refused" 'is 1' 'err "config.json: expected a hash of 40"'
echo '{"error":"no"}' >"$api/tree/$sha"
pull
check "a list that is none is refused" 'is 1' 'err "expected an array"'
head -c 17000000 /dev/zero | tr '\0' '[' >"$api/tree/$sha"
pull
check "a list without end is refused" 'is 1' 'err "larger than 16777216 bytes"'
head -c 100000 /dev/zero | tr '\0' '[' >"$api/tree/$sha"
pull
check "a list of endless depth is refused" 'is 1' 'err "not valid JSON"'
echo '{"sha":"../../x"}' >"$api/revision/main"
pull
check "a commit that is none is refused" 'is 1' 'err "expected 40 hexadecimal digits"'
echo headers >"$api/revision/main.fault"
pull
check "headers without end are refused" 'is 1' 'err "header is larger than"'

fresh
list config.json && mv "$api/tree/$sha" "$api/tree/$sha?recursive=true" && list tokenizer.json &&
    mv "$api/tree/$sha" "$api/tree/$sha?cursor=2"
echo "header Link: <$endpoint/api/models/test/tiny/tree/$sha?cursor=2>; rel=\"next\"" >"$api/tree/$sha?recursive=true.fault"
pull
check "a list of several pages" 'is 0' 'same config.json' 'same tokenizer.json'
echo "header Link: <$cdn/api>; rel=\"next\"" >"$api/tree/$sha?recursive=true.fault"
pull
check "a list that goes on elsewhere is refused" 'is 1' 'err "goes on at another server"' '[ ! -s "$work/cdn.log" ]'
echo "header Link: <$endpoint/api/models/test/tiny/tree/$sha?recursive=true>; rel=\"next\"" \
    >"$api/tree/$sha?recursive=true.fault"
pull
check "a list that goes round in a circle ends" 'is 1' 'err "more than 64 pages"'

for answer in "401 a token is needed" "403 not allowed: the terms of a gated model" "404 no such repository" "418 unexpected"; do
    fresh
    echo "status ${answer%% *}" >"$api/revision/main.fault"
    pull
    check "status ${answer%% *} is explained" 'is 1' 'err "test/tiny at main: "' 'err "answered ${answer%% *}: ${answer#* }"' \
        '[ "$(grep -c . "$log")" = 1 ]'
done
echo "status 401" >"$api/revision/main.fault"
HF_TOKEN=hf_secret pull
check "status 401 with a token" 'is 1' 'err "the token is not accepted"' 'no_err hf_secret'
: >"$log"
echo "status 503" >"$api/revision/main.fault"
pull
check "status 503 is tried again" 'is 1' 'err "answered 503: the server failed"' '[ "$(grep -c . "$log")" = 4 ]'
run pull test/tiny --endpoint http://127.0.0.1:9 --out "$out" --timeout 1
check "nobody listens" 'is 1' 'err "test/tiny at main: "' 'err "connect"'

fresh
mkdir -p "$hub/api/models/test/tiny/revision" && cp "$api/revision/main" "$api/revision/refs%2Fpr%2F1" && cp "$api/revision/main" "$api/revision/v1"
pull --revision v1
check "--revision chooses" 'is 0' 'grep -q "revision/v1 " "$log"'
pull --revision ../../../x
check "a revision cannot leave its place in the URL" 'is 1' 'grep -q "revision/..%2F..%2F..%2Fx " "$log"'
fresh
HF_ENDPOINT=$endpoint/ run pull test/tiny --out "$out"
check "HF_ENDPOINT chooses the hub" 'is 0' 'same config.json'
for repo in '' ../x a/b/c /x x/ .x/y -- 'a b' 'a/..' "a?b"; do
    run pull "$repo" --endpoint "$endpoint"
    check "a repository named '$repo' is a usage error" 'is 2' '[ -s "$work/err" ]'
done
pull --endpoint ftp://127.0.0.1
check "an endpoint that is no web server is refused" 'is 1' 'err "endpoint: "'

fresh
rm -rf "$out" && : >"$out"
pull
check "a file where the folder should be" 'is 1' 'err "cannot"'
rm -f "$out"
fresh
(
    trap '' XFSZ
    ulimit -f 100
    pull
    echo "$status" >"$work/status"
)
status=$(cat "$work/status")
check "a file that cannot grow is a clear error; the part stays" 'is 1' 'err "cannot write"' 'err "File too large"' \
    '[ -s "$out/model.safetensors.part" ]' '[ ! -e "$out/model.safetensors" ]'
pull
check "and goes on once there is room" 'is 0' 'same model.safetensors'

fresh
echo 'stall 50000' >"$(weights).fault"
"$QWENMESH" pull test/tiny --endpoint "$endpoint" --out "$out" --timeout 60 >"$work/out" 2>"$work/err" & puller=$!
i=0
while [ "$(wc -c 2>/dev/null <"$out/model.safetensors.part" || echo 0)" -lt 50000 ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done
kill -INT $puller
wait $puller
status=$?
check "an interrupt leaves the part" 'is 130' 'err "interrupted"' 'err "run the same command again to continue"' \
    '[ "$(wc -c <"$out/model.safetensors.part")" = 50000 ]'
rm -f "$(weights).fault"
pull
check "and the next run goes on from it" 'is 0' 'same model.safetensors' 'grep -q "model.safetensors range=bytes=50000-" "$log"'

# HTTPS: certificates are checked, and what began on https does not go on over http.
fresh
mkdir -p "$work/tls" && cd "$work/tls" || exit 1
if openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=IP:127.0.0.1 >/dev/null 2>&1; then
    mkdir -p api/models/test/tiny/revision
    printf 'HTTP/1.0 302 Found\r\nLocation: %s/x\r\n\r\n' "$endpoint" >api/models/test/tiny/revision/main
    openssl s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem -HTTP >listening 2>&1 </dev/null & third=$!
    cd "$OLDPWD" || exit 1
    trap 'kill $first $second $third 2>/dev/null; rm -rf "$work"' EXIT
    i=0
    while ! grep -qs '^ACCEPT' "$work/tls/listening" && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done
    secure=https://$(sed -n 's/^ACCEPT //p' "$work/tls/listening")
    run pull test/tiny --endpoint "$secure" --out "$out" --timeout 1
    check "a certificate nobody vouches for is refused" 'is 1' 'err "certificate"' '[ ! -s "$log" ]'
    CURL_CA_BUNDLE=$work/tls/cert.pem run pull test/tiny --endpoint "$secure" --out "$out" --timeout 1
    check "a redirect from https to http is refused" 'is 1' 'err "refused: redirected from https to http"' '[ ! -s "$log" ]'
else
    cd "$OLDPWD" || exit 1
    skip "a certificate nobody vouches for is refused" "no openssl program to make one"
    skip "a redirect from https to http is refused" "no openssl program to serve it"
fi
finish
