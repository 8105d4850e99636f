#!/usr/bin/env python3
"""dev/page_test.py: drives the chat page of `qwenmesh serve` in Chromium, as a person would: see dev/check_page.sh.

Each test gets a fresh browser profile. In all of them the console must stay empty of errors, no request may leave the
server, and the page's policy may not be broken."""
import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from playwright.sync_api import expect, sync_playwright

SLOW = 60_000  # ms: a machine may be busy


class Server:
    def __init__(self, arguments, port=0):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = port or s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(arguments + ["--port", str(self.port)], stdout=self.log, stderr=self.log)
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url + "/health", timeout=5)
                return
            except OSError:
                if self.process.poll() is not None:
                    self.log.seek(0)
                    sys.exit("the server ended: " + self.log.read().decode())
                time.sleep(0.1)
        sys.exit("the server is not ready after a minute")

    def stop(self):
        self.process.terminate()
        self.process.wait(60)


class Bench:
    """A page in a fresh profile, and what went wrong in it."""

    def __init__(self, browser, server, **options):
        self.server = server
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 860}, **options})
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page = self.context.new_page()
        self.page.set_default_timeout(SLOW)
        self.faults, self.expected = [], []
        self.page.on("console", self.console)
        self.page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        self.page.on("request", self.request)
        self.page.goto(server.url + "/")

    def console(self, message):
        if message.type in ("error", "warning") and not any(re.search(e, message.text) for e in self.expected):
            self.faults.append(f"console: {message.text}")

    def request(self, request):
        if not request.url.startswith((self.server.url + "/", "data:", "blob:" + self.server.url)):
            self.faults.append(f"request off the server: {request.url}")

    def box(self):
        return self.page.get_by_label("Message", exact=True)

    def ask(self, text, wait=True):
        self.box().fill(text)
        self.page.keyboard.press("Enter")
        if wait:
            self.finished()

    def finished(self):
        # Running is told by aria-busy, which a screen reader goes by, too.
        expect(self.page.get_by_role("log")).to_have_attribute("aria-busy", "false", timeout=SLOW)

    def answer(self, n=-1):
        answers = self.page.locator(".message.assistant .text")
        return answers.nth(n if n >= 0 else answers.count() - 1)

    def measures(self):
        return self.page.locator(".measures").last.inner_text().replace("\n", " ")

    def settings(self, **fields):
        if not self.page.locator("#drawer").is_visible():
            self.page.get_by_role("button", name="Settings of this chat").click()
        for name, value in fields.items():
            field = self.page.locator(f"#drawer [name={name}]")
            if field.evaluate("e => e.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(str(value))
                field.blur()
        self.page.keyboard.press("Escape")

    def sideways(self):
        width, shown = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= shown, f"scrolls sideways: {width} > {shown}"

    def contrast(self):
        low = self.page.evaluate(CONTRAST)
        assert not low, f"contrast below 4.5: {low[:6]}"


# Every text that is seen, against the colours behind it; what cannot be used may be pale.
CONTRAST = """() => {
    const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return {r: m[0], g: m[1], b: m[2], a: m[3] ?? 1}; };
    const over = (top, under) => ({r: top.r * top.a + under.r * (1 - top.a), g: top.g * top.a + under.g * (1 - top.a),
        b: top.b * top.a + under.b * (1 - top.a), a: 1});
    const light = (c) => { const f = (v) => (v /= 255, v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * f(c.r) + 0.7152 * f(c.g) + 0.0722 * f(c.b); };
    const behind = (node) => { const layers = [];
        for (let e = node; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); layers.push(c); if (c.a === 1) break; }
        return layers.reverse().reduce((under, top) => over(top, under), {r: 255, g: 255, b: 255, a: 1}); };
    const low = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode, e = node.parentElement;
        if (!node.data.trim() || ["SCRIPT", "STYLE", "NOSCRIPT", "OPTION"].includes(e.tagName)) continue;
        if (e.closest("[hidden], .hidden, .skip, :disabled, [inert]") || !e.checkVisibility({checkVisibilityCSS: true})) continue;
        const back = behind(e), ink = over(parse(getComputedStyle(e).color), back);
        const [a, b] = [light(ink), light(back)].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) low.push(e.className + " '" + node.data.trim().slice(0, 30) + "' " + ratio.toFixed(2));
    }
    for (const e of document.querySelectorAll("input, textarea")) {
        if (!e.placeholder || !e.checkVisibility()) continue;
        const back = behind(e), ink = parse(getComputedStyle(e, "::placeholder").color);
        const [a, b] = [light(ink), light(back)].sort((x, y) => y - x);
        if ((a + 0.05) / (b + 0.05) < 4.5) low.push("placeholder " + e.placeholder);
    }
    return low;
}"""

TESTS = []


def test(function):
    TESTS.append(function)
    return function


LONG = "Write a long story about a fox and a river. Take your time."


@test
def ask_and_stream(b):
    b.box().fill("Count from one to twenty in words.")
    b.page.keyboard.press("Enter")
    expect(b.page.get_by_role("button", name="Stop the answer")).to_be_visible()
    lengths = set()
    deadline = time.time() + 60
    while b.page.get_by_role("log").get_attribute("aria-busy") == "true" and time.time() < deadline:
        lengths.add(len(b.answer().inner_text()) if b.answer().count() else 0)
        time.sleep(0.03)
    b.finished()
    assert len(lengths) > 3, f"it came at once: {lengths}"
    assert re.search(r"\d+ tokens .*tokens/s .*first after .* s .*prompt \d+.* seed \d+", b.measures()), b.measures()
    expect(b.page.get_by_role("button", name="Send", exact=True)).to_be_visible()
    expect(b.box()).to_be_focused()
    assert re.search(r"\d+ of [\d,]+ tokens", b.page.locator("#gauge-text").inner_text(timeout=SLOW)), "no gauge"
    expect(b.page.locator("#announce")).to_contain_text("Answer finished")


@test
def stop_and_continue(b):
    b.ask(LONG, wait=False)
    expect(b.answer()).to_contain_text(re.compile(r"\w+ \w+"), timeout=SLOW)
    b.page.keyboard.press("Escape")
    b.finished()
    assert "stopped by you" in b.measures(), b.measures()
    expect(b.box()).to_be_focused()
    before = b.answer().inner_text().strip()
    b.page.get_by_role("button", name="Continue").click()
    expect(b.page.get_by_role("button", name="Stop the answer")).to_be_visible()
    b.page.wait_for_function("n => document.querySelector('.message.assistant .text').innerText.length > n + 20", arg=len(before))
    b.page.get_by_role("button", name="Stop the answer").click()
    b.finished()
    after = b.answer().inner_text()
    assert after.startswith(before[:-20]), f"{before!r} is no beginning of {after!r}"


@test
def length_limit(b):
    b.settings(max_tokens=6, temperature=0)
    b.ask(LONG)
    assert "stopped at the length limit" in b.measures() and "6 tokens" in b.measures(), b.measures()
    first = b.answer().inner_text()
    b.page.get_by_role("button", name="Continue").click()
    b.page.wait_for_function("n => document.querySelector('.message.assistant .text').innerText.length > n", arg=len(first))
    b.finished()
    b.settings(max_tokens=12)
    whole = b.answer().inner_text()
    b.page.get_by_role("button", name="Another answer").click()
    b.finished()
    # Greedy: 6 tokens and 6 more are the 12 that come at once.
    assert b.answer().inner_text() == whole, f"{whole!r}, then {b.answer().inner_text()!r}"


@test
def edit_regenerate_branches(b):
    b.settings(max_tokens=24)
    b.ask("Name a colour.")
    first = b.answer().inner_text()
    b.page.get_by_role("button", name="Another answer").click()
    b.finished()
    expect(b.page.locator(".message.assistant .branches")).to_contain_text("2 / 2")
    b.page.locator(".message.assistant").get_by_role("button", name="Previous branch").click()
    expect(b.page.locator(".message.assistant .branches")).to_contain_text("1 / 2")
    assert b.answer().inner_text() == first
    b.page.get_by_role("button", name="Edit and send again").click()
    b.page.get_by_label("Your message").fill("Name an animal.")
    b.page.keyboard.press("Enter")
    b.finished()
    expect(b.page.locator(".message.user .branches")).to_contain_text("2 / 2")
    expect(b.page.locator(".message.user .text")).to_contain_text("animal")
    b.page.locator(".message.user").get_by_role("button", name="Previous branch").click()
    expect(b.page.locator(".message.user .text")).to_contain_text("colour")
    assert b.answer().inner_text() == first, "the branch is where it was left"


@test
def same_answer_again(b):
    b.settings(max_tokens=40, temperature=1)
    b.ask("Tell me something surprising.")
    text = b.answer().inner_text()
    b.page.get_by_role("button", name="Same answer again").click()
    expect(b.page.locator(".same")).to_contain_text("text and logits equal to the last bit", timeout=SLOW)
    assert re.search(r"sha256 [0-9a-f]{16}", b.page.locator(".same").inner_text())
    seed = re.search(r"seed (\d+)", b.measures()).group(1)
    b.settings(seed=seed)
    b.page.get_by_role("button", name="Another answer").click()
    b.finished()
    assert b.answer().inner_text() == text, "the seed gives the same answer"
    b.settings(seed=int(seed) + 1)
    b.page.get_by_role("button", name="Another answer").click()
    b.finished()
    assert b.answer().inner_text() != text, "another seed, another answer"


@test
def proof_can_fail(b):
    """An answer that was not this one is told apart: its text, or its hash alone."""
    b.settings(max_tokens=20)
    b.ask("Tell me something surprising.")
    change = """(what) => new Promise((done) => { const r = indexedDB.open("qwenmesh", 1); r.onsuccess = () => {
        const s = r.result.transaction("chats", "readwrite").objectStore("chats"); s.getAll().onsuccess = (e) => {
            const chat = e.target.result[0]; for (const n of Object.values(chat.nodes)) if (n.role === "assistant") {
                if (what === "text") n.content = n.content.slice(0, -1) + "#"; else n.proof = "0".repeat(64); }
            s.put(chat).onsuccess = () => { r.result.close(); done(); }; }; }; })"""
    for what, word in (("hash", "other logits"), ("text", "A different text")):
        b.page.wait_for_timeout(500)
        b.page.evaluate(change, what)
        b.page.reload()
        b.page.get_by_role("button", name="Same answer again").click()
        expect(b.page.locator(".same.bad")).to_contain_text(word, timeout=SLOW)


@test
def token_probabilities(b):
    b.settings(max_tokens=12, logprobs="on")
    b.ask("Say hello.")
    text = b.answer().inner_text()
    b.page.get_by_role("button", name="Token probabilities").click()
    tokens = b.page.locator(".tokens .token")
    assert tokens.count() >= 3
    assert "".join(tokens.all_text_contents()).strip()[:20].split()[0] in text
    tokens.nth(1).hover()
    expect(b.page.get_by_role("tooltip")).to_be_visible()
    assert b.page.locator(".token-row").count() >= 5 and "%" in b.page.get_by_role("tooltip").inner_text()
    b.contrast()
    tokens.nth(0).focus()
    b.page.keyboard.press("ArrowRight")
    b.page.keyboard.press("ArrowRight")
    expect(tokens.nth(2)).to_be_focused()
    expect(b.page.get_by_role("tooltip")).to_be_visible()
    assert "%" in tokens.nth(2).get_attribute("aria-label")


@test
def json_schema(b):
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20}, "people": {"type": "integer"}},
              "required": ["city", "people"], "additionalProperties": False}
    b.page.get_by_role("button", name="Settings of this chat").click()
    b.page.locator("#drawer [name=form]").select_option("schema")
    b.page.locator("#drawer [name=schema]").fill("{nonsense")
    expect(b.page.locator("#drawer .fault").filter(has_text="Not JSON")).to_be_visible()
    b.page.locator("#drawer [name=schema]").fill(json.dumps(schema))
    b.page.keyboard.press("Escape")
    b.settings(max_tokens=80)
    b.ask("Describe Paris as JSON.")
    answer = json.loads(b.answer().inner_text())
    assert set(answer) == {"city", "people"} and isinstance(answer["people"], int), answer


@test
def wrong_setting(b):
    b.expected = ["400"]
    b.page.get_by_role("button", name="Settings of this chat").click()
    b.page.locator("#drawer [name=form]").select_option("grammar")
    b.page.locator("#drawer [name=grammar]").fill("root ::= nothing")
    b.page.keyboard.press("Escape")
    b.ask("Hello")
    expect(b.page.get_by_role("alert")).to_be_visible()
    b.settings(grammar='root ::= "yes" | "no"')
    b.page.get_by_role("button", name="Try again").click()
    b.finished()
    assert b.answer().inner_text().strip() in ("yes", "no"), b.answer().inner_text()
    expect(b.page.locator(".branches")).to_have_count(0)  # the failure is no branch


@test
def export_import_delete(b):
    b.settings(max_tokens=16, system="Answer in one word.")
    b.ask("What is the capital of France?")
    text = b.answer().inner_text()

    def saved(item):
        b.page.get_by_role("button", name="Export this chat").click()
        with b.page.expect_download() as d:
            b.page.get_by_role("menuitem", name=item).click()
        return open(d.value.path(), encoding="utf-8").read()
    file = saved("Export as JSON")
    chat = json.loads(file)["chats"][0]
    answer = next(n for n in chat["nodes"].values() if n["role"] == "assistant")
    assert answer["asked"]["max_tokens"] == 16 and len(answer["proof"]) == 64 and answer["usage"]["completion"] > 0
    markdown = saved("Export as Markdown")
    assert "## System" in markdown and "capital of France" in markdown and "logits sha256" in markdown
    more = b.page.get_by_role("button", name=re.compile("^More of"))
    more.click()
    b.page.get_by_role("menuitem", name="Delete").click()
    expect(b.page.locator(".message")).to_have_count(0)
    b.page.get_by_role("button", name="Undo").click()
    expect(b.page.locator(".message.assistant")).to_be_visible()
    assert b.answer().inner_text() == text
    more.click()
    b.page.get_by_role("menuitem", name="Delete").click()
    b.page.get_by_role("button", name="Dismiss").click()
    b.page.reload()
    expect(b.page.locator("#chats .chat")).to_have_count(0)
    b.page.locator("#import-file").set_input_files({"name": "a.json", "mimeType": "application/json", "buffer": file.encode()})
    expect(b.page.locator(".message.assistant")).to_be_visible()
    assert b.answer().inner_text() == text
    b.page.get_by_role("button", name="Same answer again").click()
    expect(b.page.locator(".same.good")).to_contain_text("text and logits equal", timeout=SLOW)
    for bad in (b"no json", b'{"chats": []}', b'{"format": "qwenmesh-chats", "chats": [{"nodes": {"a": {"role": 7}}}, null, 3]}'):
        b.page.locator("#import-file").set_input_files({"name": "b.json", "mimeType": "application/json", "buffer": bad})
        expect(b.page.locator(".toast").last).to_contain_text("This file")
        b.page.get_by_role("button", name="Dismiss").last.click()


@test
def delete_while_streaming(b):
    b.ask(LONG, wait=False)
    expect(b.answer()).to_contain_text(re.compile(r"\w+ \w+ \w+"), timeout=SLOW)
    b.page.get_by_role("button", name=re.compile("^More of")).click()
    b.page.get_by_role("menuitem", name="Delete").click()
    expect(b.page.locator(".message")).to_have_count(0)
    b.page.wait_for_timeout(1000)
    expect(b.page.locator("#chats .chat")).to_have_count(0)
    b.page.get_by_role("button", name="Undo").click()
    expect(b.answer()).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    assert "stopped by you" in b.measures(), b.measures()
    b.page.get_by_role("button", name=re.compile("^More of")).click()
    b.page.get_by_role("menuitem", name="Delete").click()
    b.page.reload()  # before the undo has gone
    expect(b.box()).to_be_focused()
    expect(b.page.locator("#chats .chat")).to_have_count(0)


HOSTILE = """<img src=x onerror="document.title='broken'"> <script>document.title='broken'</script>

![picture](https://evil.invalid/x.png) [a](javascript:alert(1)) [b](data:text/html,x) [c](https://example.org/) <https://example.org/d>

| a | b |
|---|---|
| <b>x</b> | `y` |

- one
  1. two
     - three

```html
<script>alert(1)</script>
```
""" + "*" * 3000 + "[" * 3000 + "\n\n" + "word " * 40000 + "\n"


@test
def text_is_never_html(b):
    nodes = {"1": {"id": "1", "parent": None, "role": "user", "content": HOSTILE},
             "2": {"id": "2", "parent": "1", "role": "assistant", "content": HOSTILE, "reasoning": HOSTILE, "finish": "stop",
                   "calls": [{"id": "c", "name": "<b>f</b>", "arguments": "<i>"}]}}
    file = json.dumps({"format": "qwenmesh-chats", "version": 1, "chats": [{"title": "<u>t</u>", "leaf": "2", "nodes": nodes}]})
    began = time.time()
    b.page.locator("#import-file").set_input_files({"name": "h.json", "mimeType": "application/json", "buffer": file.encode()})
    expect(b.page.locator(".message.assistant")).to_be_visible()
    assert time.time() - began < 20, "a long hostile text takes too long"
    found = b.page.evaluate("""() => ({made: document.querySelectorAll("#log img, #log script, #log b, #log i, #log iframe, #chats u").length,
        links: [...document.querySelectorAll("#log a")].map((a) => a.href + " " + a.rel), table: document.querySelectorAll("#log td").length,
        nested: document.querySelectorAll("#log ul ol ul li").length, title: document.title,
        code: document.querySelector("#log pre code").textContent})""")
    assert found["made"] == 0 and "broken" not in found["title"], found
    assert len(found["links"]) == 3 and all("noopener" in link and link.startswith("https://") for link in found["links"]), found["links"]
    assert found["table"] == 2 and found["nested"] == 1 and found["code"] == "<script>alert(1)</script>", found


@test
def reload_keeps(b):
    b.settings(max_tokens=1500)
    b.ask(LONG, wait=False)
    expect(b.answer()).to_contain_text(re.compile(r"\w+ \w+ \w+"), timeout=SLOW)
    b.page.wait_for_timeout(1000)
    b.box().fill("a draft that is not sent")
    b.page.wait_for_timeout(400)
    b.page.reload()
    expect(b.box()).to_have_value("a draft that is not sent")
    expect(b.answer()).to_contain_text(re.compile(r"\w+ \w+ \w+"))
    expect(b.page.get_by_role("button", name="Continue")).to_be_visible()
    b.page.get_by_role("button", name="New chat").click()
    expect(b.box()).to_have_value("")
    b.settings(max_tokens=20)
    b.ask("Is water wet?")
    b.page.get_by_label("Search in chats").fill("fox")
    expect(b.page.locator("#chats .chat")).to_have_count(1)
    b.page.get_by_label("Search in chats").fill("no such words")
    expect(b.page.locator("#chats .chat")).to_have_count(0)
    b.page.get_by_label("Search in chats").fill("")
    expect(b.page.locator("#chats .chat")).to_have_count(2)
    b.page.locator("#chats .chat").last.click()
    expect(b.box()).to_have_value("a draft that is not sent")


@test
def keyboard_only(b):
    p = b.page
    p.reload()
    expect(b.box()).to_be_focused()
    p.evaluate("document.body.tabIndex = -1, document.body.focus()")
    p.keyboard.press("Tab")
    assert p.evaluate("document.activeElement.textContent") == "Skip to the message box"
    p.keyboard.press("Enter")
    expect(b.box()).to_be_focused()
    # An input method's Enter is its own.
    p.keyboard.type("Say yes.")
    b.box().evaluate("""e => e.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true, isComposing: true}))""")
    expect(p.locator(".message")).to_have_count(0)
    p.keyboard.press("Shift+Enter")
    assert b.box().input_value() == "Say yes.\n"
    p.keyboard.press("Enter")
    b.finished()
    expect(b.box()).to_be_focused()
    p.keyboard.press("Shift+Tab")
    seen = []
    for _ in range(14):
        seen.append(p.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"))
        outline = p.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or seen[-1] == "" or p.evaluate("document.activeElement.id") in ("scroll", "box"), f"focus is not seen on {seen[-1]}"
        p.keyboard.press("Shift+Tab")
    assert {"Copy", "Another answer", "Same answer again", "Settings of this chat"} <= set(seen), seen
    b.box().focus()
    p.keyboard.press("ArrowUp")
    expect(p.get_by_label("Your message")).to_be_focused()
    p.keyboard.press("Escape")
    p.get_by_role("button", name="Settings of this chat").focus()
    p.keyboard.press("Enter")
    expect(p.get_by_label("System prompt")).to_be_focused()
    p.keyboard.press("Escape")
    expect(p.get_by_role("button", name="Settings of this chat")).to_be_focused()
    p.get_by_role("button", name="Export this chat").focus()
    p.keyboard.press("Enter")
    p.keyboard.press("ArrowDown")
    expect(p.get_by_role("menuitem", name="Export as Markdown")).to_be_focused()
    p.keyboard.press("Escape")
    expect(p.get_by_role("button", name="Export this chat")).to_be_focused()
    p.keyboard.press("Control+Shift+O")
    expect(p.locator(".message")).to_have_count(0)


@test
def names_and_roles(b):
    b.settings(logprobs="on", max_tokens=8)
    b.ask("Hello")
    b.page.get_by_role("button", name="Settings of this chat").click()
    unnamed = b.page.evaluate("""() => [...document.querySelectorAll("button, input, textarea, select")].filter((e) => e.checkVisibility() &&
        !(e.getAttribute("aria-label") || e.textContent.trim() || (e.labels && e.labels.length))).map((e) => e.outerHTML.slice(0, 90))""")
    assert not unnamed, unnamed
    assert b.page.evaluate("document.documentElement.lang") == "en"
    tree = b.page.get_by_role("log").aria_snapshot()
    assert "article" in tree and "heading" in tree, tree
    ids = b.page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids)), "an id stands twice"
    expect(b.page.locator(".message .text").first).to_have_attribute("dir", "auto")
    expect(b.page.get_by_role("log")).to_have_attribute("aria-live", "polite")
    moving = b.context.new_page()
    moving.emulate_media(reduced_motion="reduce")
    moving.goto(b.server.url)
    assert moving.locator("#side").evaluate("e => getComputedStyle(e).transitionDuration") in ("0s", "0s, 0s")


@test
def narrow(b):
    p = b.page
    p.set_viewport_size({"width": 320, "height": 640})
    b.sideways()
    b.settings(max_tokens=40, logprobs="on")
    b.ask("Write a C function with a very long line of code, and averyveryveryveryveryverylongwordwithoutanyspaceatallthatmustbreak.")
    b.sideways()
    p.get_by_role("button", name="Token probabilities").click()
    p.locator(".tokens .token").last.hover()
    b.sideways()
    p.get_by_role("button", name="Same answer again").click()
    expect(p.locator(".same.good")).to_be_visible(timeout=SLOW)
    b.sideways()
    p.get_by_role("button", name="Settings of this chat").click()
    b.sideways()
    assert p.evaluate("document.getElementById('main').inert"), "what is covered takes no keys"
    p.keyboard.press("Escape")
    p.get_by_role("button", name="Open the list of chats").click()
    expect(p.locator("#new-chat")).to_be_focused()
    b.sideways()
    p.keyboard.press("Escape")
    expect(p.get_by_role("button", name="Open the list of chats")).to_be_focused()
    p.set_viewport_size({"width": 640, "height": 430})  # 1280 x 860 at 200 %
    b.sideways()
    expect(b.box()).to_be_visible()


@test
def themes(b):
    b.settings(max_tokens=30)
    b.ask("Hello")
    for scheme in ("light", "dark"):
        b.page.emulate_media(color_scheme=scheme)
        b.contrast()
    b.page.get_by_role("button", name=re.compile("^Theme")).click()
    assert b.page.evaluate("document.documentElement.dataset.theme") == "light"
    b.contrast()
    b.page.reload()
    assert b.page.evaluate("document.documentElement.dataset.theme") == "light", "the theme is kept"
    b.page.get_by_role("button", name=re.compile("^Theme")).click()
    b.page.get_by_role("button", name="Settings of this chat").click()
    b.contrast()


def key(world):
    """A server with a key: the page comes without, and asks for it."""
    with tempfile.NamedTemporaryFile("w", delete=False) as f:
        f.write("secret-key\n")
    os.chmod(f.name, 0o600)
    server = Server(world.arguments + ["--api-key-file", f.name])
    try:
        b = Bench(world.browser, server)
        b.expected = ["401"]
        expect(b.page.locator("#notice")).to_contain_text("wants an API key")
        b.ask("Hello")
        expect(b.page.get_by_role("alert")).to_be_visible()
        b.page.get_by_role("button", name="Enter the API key").click()
        expect(b.page.get_by_label("API key")).to_be_focused()
        b.page.keyboard.type("wrong")
        b.page.keyboard.press("Enter")
        expect(b.page.locator("#notice")).to_contain_text("wants an API key")
        b.page.get_by_label("API key").fill("secret-key")
        b.page.keyboard.press("Enter")
        expect(b.page.locator("#notice")).to_be_hidden()
        b.settings(max_tokens=8)
        b.page.get_by_role("button", name="Try again").click()
        b.finished()
        assert "tokens" in b.measures()
        kept = b.page.evaluate("[sessionStorage.getItem('qwenmesh.key'), JSON.stringify(localStorage)]")
        assert kept[0] == "secret-key" and "secret" not in kept[1], kept
        assert not b.faults, b.faults
    finally:
        server.stop()
        os.unlink(f.name)


def busy_and_restart(world):
    """A full queue is waited for; a server that goes and comes again is found again, and nothing typed is lost."""
    server = Server(world.arguments + ["--parallel", "1", "--queue", "0", "-c", "1024"])
    try:
        b = Bench(world.browser, server)
        b.expected = ["429", "503", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE", "ERR_CONNECTION_RESET", "ERR_EMPTY"]
        b.settings(max_tokens=8)
        begun = threading.Event()

        def occupy():
            body = json.dumps({"messages": [{"role": "user", "content": "Count."}], "max_tokens": 400, "ignore_eos": True,
                               "min_tokens": 400, "stream": True}).encode()
            with urllib.request.urlopen(urllib.request.Request(server.url + "/v1/chat/completions", body,
                                                               {"Content-Type": "application/json"})) as r:
                r.readline()
                begun.set()
                r.read()
        thread = threading.Thread(target=occupy, daemon=True)
        thread.start()
        begun.wait(60)
        b.ask("Hello", wait=False)
        expect(b.page.locator(".busy")).to_contain_text(re.compile(r"busy. Asking again in \d+ s"))
        b.finished()
        assert "tokens" in b.measures(), b.measures()
        thread.join()
        server.stop()
        b.ask("Are you there?")
        expect(b.page.get_by_role("alert")).to_contain_text("cannot be reached")
        expect(b.page.locator("#notice")).to_contain_text("trying again")
        b.box().fill("kept")
        server = Server(world.arguments, port=server.port)
        expect(b.page.locator("#notice")).to_be_hidden(timeout=30_000)
        expect(b.box()).to_have_value("kept")
        b.page.get_by_role("button", name="Try again").click()
        b.finished()
        assert "tokens" in b.measures(), b.measures()
        assert not b.faults, b.faults
    finally:
        server.stop()


def screenshots(world, folder):
    """What docs/ shows."""
    def shot(b, name):
        path = os.path.join(folder, name)
        b.page.screenshot(path=path)
        assert os.path.getsize(path) < 150_000, f"{name}: {os.path.getsize(path)} bytes"
    b = Bench(world.browser, world.server, color_scheme="light")
    b.settings(seed=7, max_tokens=230, temperature=0, logprobs="on")
    b.ask("Write a short C function that adds two integers, and explain it.")
    b.page.get_by_role("button", name="Same answer again").click()
    expect(b.page.locator(".same.good")).to_be_visible(timeout=SLOW)
    b.page.wait_for_timeout(600)
    shot(b, "page-light.png")
    b.page.get_by_role("button", name="New chat").click()
    b.settings(seed=3, max_tokens=60, logprobs="on")
    b.ask("Why is the sky blue? Answer in two sentences.")
    b.page.emulate_media(color_scheme="dark")
    b.page.get_by_role("button", name="Token probabilities").click()
    b.page.locator(".tokens .token").nth(4).hover()
    b.page.wait_for_timeout(600)
    shot(b, "page-dark.png")
    b.page.emulate_media(color_scheme="light")
    b.page.get_by_role("button", name="Token probabilities").click()
    b.page.set_viewport_size({"width": 390, "height": 760})
    b.page.wait_for_timeout(600)
    shot(b, "page-phone.png")


class World:
    pass


def main():
    parser = argparse.ArgumentParser()
    for name in ("--program", "--model", "--browser"):
        parser.add_argument(name, required=True)
    parser.add_argument("--shots")
    parser.add_argument("--url", help="a server that runs, for the tests that need no other")
    parser.add_argument("tests", nargs="*")
    o = parser.parse_args()
    world = World()
    world.arguments = [o.program, "serve", "-m", o.model, "-c", "2048", "--parallel", "2", "--log-format", "none"]
    if o.url:
        world.server = World()
        world.server.url, world.server.stop = o.url, lambda: None
    else:
        world.server = Server(world.arguments)
    failed = number = 0
    with sync_playwright() as p:
        world.browser = p.chromium.launch(executable_path=o.browser, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])

        def one(function, run):
            nonlocal failed, number
            if o.tests and function.__name__ not in o.tests:
                return
            number += 1
            began = time.time()
            try:
                run()
                print(f"ok {number} - {function.__name__} # {time.time() - began:.1f} s", flush=True)
            except Exception as error:  # noqa: BLE001: whatever it is, the test failed
                failed += 1
                print(f"not ok {number} - {function.__name__} (line {error.__traceback__.tb_next.tb_next.tb_lineno if error.__traceback__.tb_next and error.__traceback__.tb_next.tb_next else 0})\n# " + str(error)[:1500].replace("\n", "\n# "), flush=True)

        for function in TESTS:
            def run(function=function):
                b = Bench(world.browser, world.server)
                try:
                    function(b)
                    assert not b.faults, b.faults
                finally:
                    b.context.close()
            one(function, run)
        if not o.url:
            one(key, lambda: key(world))
            one(busy_and_restart, lambda: busy_and_restart(world))
        if o.shots:
            one(screenshots, lambda: screenshots(world, o.shots))
        world.browser.close()
    world.server.stop()
    print(f"1..{number}")
    sys.exit(1 if failed else 0)


main()
