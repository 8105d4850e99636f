"""chat_pty.py PROGRAM WORK: `chat` as people use it, at a terminal of its own (pty). Prints TAP."""
import fcntl, json, os, pty, re, select, signal, stat, struct, sys, termios, time
import chat_model

PROGRAM, WORK = sys.argv[1:]
MODEL = os.path.join(WORK, "model")
HISTORY = os.path.join(WORK, "state", "qwenmesh", "history")
WAIT = 60  # seconds at most; a busy machine takes its time
count = 0


def check(name, good, saw=b""):
    global count
    count += 1
    print("%sok %d - %s" % ("" if good else "not ", count, name))
    if not good:
        print("# saw %r" % saw[-2000:])


class Chat:
    def __init__(self, *options, lang=None, preload=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith("LC_") and k not in ("LANG", "LANGUAGE")}
        env.update(XDG_STATE_HOME=os.path.join(WORK, "state"), HOME=WORK, TERM="xterm")
        if lang:
            env["LANG"] = lang
        if preload:
            env["LD_PRELOAD"] = os.path.abspath(preload)
        self.saw = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            os.execvpe(PROGRAM, [PROGRAM, "chat", "-m", MODEL, "--temp", "0", *options], env)

    def until(self, pattern):
        """What comes up to a match, which may take until WAIT is over."""
        start, end = len(self.saw), time.time() + WAIT
        while not re.search(pattern, self.saw[start:]):
            if time.time() > end or not self.read(end - time.time()):
                break
        return self.saw[start:]

    def read(self, seconds):
        if not select.select([self.fd], [], [], max(seconds, 0))[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        self.saw += data
        return bool(data)

    def send(self, text, until=rb"\x1b\[\?2004h> $"):
        os.write(self.fd, text if isinstance(text, bytes) else text.encode())
        return self.until(until)

    def saved(self):
        path = os.path.join(WORK, "saved.json")
        if os.path.exists(path):
            os.remove(path)
        self.send("/save %s\r" % path)
        with open(path) as f:
            return json.load(f)["messages"]

    def end(self, keys=b"\x04"):
        os.write(self.fd, keys)
        while self.read(WAIT):
            pass
        os.close(self.fd)
        return os.waitpid(self.pid, 0)[1]


def said(messages):
    return [m["content"] for m in messages if m["role"] == "user"]


chat_model.make(MODEL)
READY = rb"\x1b\[\?2004h> $"
c = Chat("-n", "4")
saw = c.until(READY)
check("a banner: the model, and where help is", b"0.2 M parameters" in saw and b"/help" in saw, saw)
words = "Grüße 日本語 🙂 àâéÿñ Ж"
saw = c.send(words + "\r")
check("an answer that was cut says so, and how to get more", b"(cut after 4 new tokens; /set max_new_tokens" in saw, saw)
check("any Unicode without a locale", said(c.saved()) == [words], c.saw)
c.send("/clear\r")
c.send("half", until=rb"half")
saw = c.send(b"\x03")
c.send("whole\r")
check("Ctrl-C at a prompt clears the line", said(c.saved()) == ["whole"], c.saw)
c.send("/clear\r")
c.send("one\\\r", until=rb"\. $")
c.send("two\r")
c.send('"""\r', until=rb"\. $")
c.send("a\r", until=rb"\. $")
c.send('b "quoted" """\r')
c.send(b"\x1b[200~first\rsecond\nthird\r\x1b[201~", until=rb"third")
c.send("\r")
c.send("x\x1b\ry\r")
many = ["one\ntwo", 'a\nb "quoted" ', "first\nsecond\nthird", "x\ny"]
check("several lines: backslash, quotes, a paste, Alt-Enter", said(c.saved()) == many, c.saw)
c.send('"""\r', until=rb"\. $")
c.send(b"never said\x03")
c.send("after\r")
check("Ctrl-C leaves several lines, too", said(c.saved())[4:] == ["after"], c.saw)
c.send("/clear\r")
c.send("/system Be brief.\r")
c.send("hi\r")
first = c.saved()
check("/system", first[0] == {"role": "system", "content": "Be brief."} and len(first) == 3, c.saw)
c.send("/set temperature 5\r")
c.send("/regen\r")
second = c.saved()
check("/regen: another answer to the same message",
      second[:2] == first[:2] and len(second) == 3 and second[2] != first[2], c.saw)
check("/stats", re.search(rb"context: \d+ of \d+ tokens; messages: 3\r\n.*tok/s", c.send("/stats\r"), re.S), c.saw)
check("/help lists every command", all(n in c.send("/help\r") if i == 0 else n in c.saw for i, n in enumerate(
    (b"/set", b"/system", b"/clear", b"/regen", b"/stats", b"/save", b"/load", b"/quit"))), c.saw)
other = os.path.join(WORK, "other.json")
with open(other, "w") as f:
    f.write("mine")
saw = c.send("/save %s\r" % other)
with open(other) as f:
    check("/save does not write over a file of others", f.read() == "mine" and b"exists" in saw, saw)
c.send("/clear\r")
c.send("/load %s\r" % os.path.join(WORK, "saved.json"))
check("/load", c.saved() == second, c.saw)
saw = c.send("/load %s\r" % other)
check("/load of something else leaves the conversation", b"error: " in saw and c.saved() == second, saw)
check("an unknown command is named, not said", b"no command /nope" in c.send("/nope\r") and c.saved() == second, c.saw)
check("Ctrl-D leaves", c.end() == 0, c.saw)

with open(HISTORY) as f:
    lines = [json.loads(line) for line in f]
check("history: a file for its owner alone, messages of several lines whole",
      stat.S_IMODE(os.stat(HISTORY).st_mode) == 0o600 and words in lines and many[1] in lines, repr(lines).encode())
with open(HISTORY, "w") as f:
    f.write("".join(json.dumps("old %d" % i) + "\n" for i in range(3000)) + '"cut off')
c = Chat("-n", "100000", "--ctx", "100000", "--ignore-eos", lang="xx_YY.ISO-8859-1")
c.until(READY)
with open(HISTORY) as f:
    lines = f.read().splitlines()
check("history: bounded, a broken line left out", len(lines) == 1000 and lines[-1] == '"old 2999"', repr(lines[-2:]).encode())
c.send("\x1b[A\x1b[A", until=rb"8$")
saw = c.send("\r", until=rb"2004l\s*[^\s]")
saw += c.send(b"\x03")
check("Ctrl-C in an answer stops it and no more", b"(stopped)" in saw, saw)
messages = c.saved()
check("... what was said stands, and earlier messages are at the arrow keys",
      said(messages) == ["old 2998"] and messages[-1]["role"] == "assistant" and messages[-1]["content"], c.saw)
c.send("/clear\r")
c.send("ü\r", until=rb"2004l\s*[^\s]")
c.send(b"\x03")
check("any Unicode in a locale that is not installed", said(c.saved()) == ["ü"], c.saw)
check("/quit leaves", c.end(b"/quit\r") == 0, c.saw)

SLOW = "build/tests/fake_slow_keys.so"
if os.path.exists(SLOW):
    c = Chat("-n", "4", preload=SLOW)
    c.until(READY)
    for i in range(3):  # each comes after "half" was shown and before the next key is waited for
        c.send("half", until=rb"half")
        c.send(b"\x03")
    c.send("whole\r")
    check("Ctrl-C just before a key is waited for", said(c.saved()) == ["whole"], c.saw)
    c.end()
else:
    count += 1
    print("ok %d - # SKIP Ctrl-C just before a key is waited for: no %s" % (count, SLOW))
print("1..%d" % count)
