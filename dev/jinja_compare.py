#!/usr/bin/env python3
"""Holds the template language against Jinja2 itself, set up as transformers does it (pip install jinja2):

    dev/jinja_compare.py [--count 5000] [--seed 1] [--program ./qwenmesh] [--show 20]
    dev/jinja_compare.py --count 40 --golden tests/golden/jinja/cases.jsonl

Expressions, then whole templates, are put together at random from values, operators, filters, tests, methods and
statements, and rendered by both; texts must be equal to the letter, of an error only that it is one. The exit code is 1 if
any differs. What Python writes with an address in it is left out."""
import argparse, concurrent.futures, datetime, json, os, random, re, subprocess, sys, tempfile
import jinja2
import jinja2.ext
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def no_folding(self, eval_ctx=None):
    raise jinja2.nodes.Impossible()


# Jinja slices constants while it compiles, and gives undefined where the same of a variable is an error.
jinja2.nodes.Slice.as_const = no_folding


def environment():
    def fail(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    env = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, optimized=False,
                                                       extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = fail
    env.globals["strftime_now"] = lambda f: datetime.datetime(2026, 1, 2, 3, 4, 5).strftime(f)
    return env


CONTEXT = {
    "messages": [{"role": "system", "content": "  You <b>are</b>\nhelp & ful. "},
                 {"role": "user", "content": "Hé 你好 🙂 'quoted' \"double\"", "n": 3},
                 {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": [1.5, None, True]}}}]},
                 {"role": "tool", "content": "", "name": "f"}],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}}}],
    "s": "Hello World", "t": "  a,b,,c  ", "e": "", "u": "ÄÖ ß ǅ straße ΑΣ é\u0301", "l": "a\r\nb\n\nc\x0bd\u2028e\n", "h": "<a href='x'>&amp;</a>",
    "d": {"b": 2, "A": 1, "c": None, "items": 5, "n": {"x": [1, 2, {"y": "z"}]}}, "n": [3, 1, 2, 1], "m": ["b", "A", "c", "a"],
    "r": [{"k": "b", "v": 2, "w": {"z": 1}}, {"k": "a", "v": 1, "w": {"z": 9}}, {"k": "B", "v": 3, "w": {}}],
    "i": 7, "z": 0, "neg": -5, "big": 12345678901234567890123, "f": 2.5, "g": -0.1, "x": 1e22, "y": True, "q": False, "none": None, "o": None,
}
VALUES = ["messages", "messages[0]", "messages[1].content", "messages[2]['tool_calls'][0].function.arguments", "s", "t", "e", "u", "l", "h", "d", "n",
          "m", "r", "i", "z", "neg", "big", "f", "g", "x", "y", "q", "o", "missing", "1", "0", "-3", "10**20", "3.0", "0.1", "1e16", "1e-5", "123456789.123",
          "'abc'", "\"it's\"", "'a\\nb\\t\\x41\\u00e9\\\\'", "''", "[]", "{}", "()", "(1,)", "(1, 'a')", "[1, [2, 3], {'a': none}]", "{'a': 1, 2: 'b', 'c': [1]}",
          "range(5)", "range(1, 10, 3)", "range(0)", "true", "false", "none", "'%s-%d'", "'{}/{:>5}'", "(h|safe)", "(h|e)", "d.items()", "d.keys()", "d.values()",
          "('x' * 3)", "(n|map('string'))", "(m|select)", "namespace(a=1, b='c')", "' 42 '", "'1_000'", "'0x1F'", "'3.7'", "2**63", "-2**63", "9007199254740993",
          "['a', 'b']|join", "'A b-c (d) e'", "'ΑΣ ΑΣ.'", "loop", "dict(a=1)", "'a.b.c'", "'k'", "'\\u200b\\x00'"]
BINARY = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FILTERS = ["trim", "trim('abc ')", "upper", "lower", "title", "capitalize", "length", "count", "first", "last", "list", "string", "int", "int(5)", "int(-1, 16)", "float",
           "float(1.5)", "abs", "round", "round(1)", "round(2, 'ceil')", "round(1, 'floor')", "round(-1)", "default('D')", "default('D', true)", "d", "join", "join(', ')", "join('|', attribute='k')",
           "tojson", "tojson(indent=2)", "tojson(sort_keys=true)", "tojson(ensure_ascii=true)", "tojson(separators=(',', ':'))", "tojson(indent=0)", "items", "items|list", "dictsort", "dictsort(true)",
           "dictsort(by='value')", "dictsort(reverse=true)", "sort", "sort(reverse=true)", "sort(case_sensitive=true)", "sort(attribute='k')", "sort(attribute='v', reverse=true)", "sort(attribute='k,v')",
           "reverse", "reverse|list", "unique|list", "unique(true)|list", "unique(attribute='k')|list", "min", "max", "min(attribute='v')", "max(true)", "sum", "sum(attribute='v')", "sum(start=10)", "map('upper')|list", "map(attribute='k')|list",
           "map(attribute='w.z')|list", "map(attribute='zz', default='?')|join(',')", "map('default', 'x')|list", "map('int')|list", "select|list", "reject|list", "select('string')|list", "reject('none')|list", "select('gt', 1)|list",
           "selectattr('v')|list", "selectattr('k', 'equalto', 'a')|list", "rejectattr('v', 'in', [1, 2])|list", "selectattr('role', '==', 'user')|first", "groupby('k')", "groupby('role')|list", "groupby('k', case_sensitive=true)", "batch(2)|list", "batch(3, '-')|list", "slice(2)|list",
           "slice(3, '.')|list", "replace('a', 'b')", "replace('l', '', 1)", "replace('', '-')", "indent", "indent(2, true)", "indent('> ', blank=true)", "safe", "escape", "e", "forceescape", "center(20)", "center", "truncate(8)", "truncate(8, true)", "truncate(5, true, '')",
           "truncate(9, end='..', leeway=0)", "wordcount", "striptags", "urlencode", "xmlattr", "filesizeformat", "filesizeformat(true)", "format(1, 2)", "format('x', 3)", "attr('k')", "attr('upper')", "pprint", "nofilter", "string|length", "list|length", "upper|lower|title"]
TESTS = ["defined", "undefined", "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping", "sequence", "iterable", "callable", "escaped", "odd", "even", "lower", "upper", "divisibleby 3", "divisibleby(2)",
         "sameas none", "sameas true", "in [1, 'a', none]", "in 'Hello'", "eq 1", "equalto 'abc'", "== 2.5", "ne 7", "gt 2", "lt 'b'", "le 3", "ge 0", "greaterthan 1", "lessthan(5)", "filter", "test", "notest"]
TESTS = [t for t in TESTS if not t.startswith("==")]
METHODS = [".strip()", ".strip('ab ')", ".lstrip()", ".rstrip('\\n')", ".split()", ".split(',')", ".split(',', 1)", ".split(none, 1)", ".rsplit(',', 1)", ".rsplit(none, 1)", ".rsplit()", ".splitlines()", ".splitlines(true)", ".startswith('H')", ".endswith(('d', 'c'))", ".startswith('e', 1)",
           ".replace('l', 'L')", ".replace('', '.')", ".replace('a', 'b', 1)", ".upper()", ".lower()", ".title()", ".capitalize()", ".swapcase()", ".casefold()", ".find('o')", ".rfind('o')", ".find('')", ".rfind('', 1)", ".find('l', 3, -1)", ".index('o')", ".index(1)", ".rindex('l')", ".count('l')", ".count('')", ".count(1)",
           ".join(['x', 'y'])", ".join('abc')", ".join([1])", ".format(1, 2)", ".format('x', 'y')", ".partition(' ')", ".rpartition(',')", ".removeprefix('He')", ".removesuffix('c')", ".ljust(14)", ".rjust(14, '*')", ".center(15, '-')", ".center(14)", ".zfill(8)", ".expandtabs(4)",
           ".isdigit()", ".isalpha()", ".isalnum()", ".isspace()", ".isupper()", ".islower()", ".istitle()", ".isnumeric()", ".isdecimal()", ".isidentifier()", ".isascii()", ".isprintable()", ".items()", ".items()|list", ".keys()|list", ".values()|list", ".get('b')", ".get('zz', 'D')", ".get(2)", ".copy()", ".append(1)", ".update({})", ".pop()",
           ".k", ".b", ".content", ".items", ".a", "['b']", "[0]", "[-1]", "[1:]", "[:-1]", "[::2]", "[::-1]", "[1:3]", "[5:1:-2]", "[100]", "['x']", "[none]", "[1.0]", "[true]", "[-100:100]", ".0", "[0][0]", ".n.x[2].y", ".real", ".bit_length()", ".is_integer()", ".__class__", "._x", "(1)", ".a.b"]
FORMATS = ["'%s' % X", "'%5s|%-5s|' % (X, X)", "'%r' % (X,)", "'%d' % X", "'%05d' % X", "'%+.2f' % X", "'%x %X %o' % (X, X, X)", "'%e' % X", "'%g' % X", "'%10.3g|' % X", "'%c' % X", "'%%' % ()", "'%(a)s' % {'a': X}", "'%.2s' % X", "'%5.1f%%' % X", "'{}'.format(X)", "'{0}{0}'.format(X)", "'{a}'.format(a=X)", "'{!r}'.format(X)",
           "'{:5}|'.format(X)", "'{:>8}'.format(X)", "'{:^9}|'.format(X)", "'{:*<7}'.format(X)", "'{:08.3f}'.format(X)", "'{:+d}'.format(X)", "'{:,}'.format(X)", "'{:x}'.format(X)", "'{:#b}'.format(X)", "'{:.3}'.format(X)", "'{:e}'.format(X)", "'{:g}'.format(X)", "'{:%}'.format(X)", "'{:_}'.format(X)", "'{:010}'.format(X)", "'{:=+6}'.format(X)", "'{0.real}'.format(X)", "'{0[a]}'.format(X)", "'{:{}}'.format(X, 6)", "'{{}}{}'.format(X)", "'{:n}'.format(X)", "'{:.0f}'.format(X)", "'{:c}'.format(X)"]
STATEMENTS = [
    "{% for x in V %}[{{ loop.index }}/{{ loop.length }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}:{{ x }}]{% else %}none{% endfor %}",
    "{% for x in V if x %}{{ loop.index0 }}{{ loop.previtem }}>{{ loop.nextitem }};{% endfor %}",
    "{% for a, b in V %}{{ a }}={{ b }};{% endfor %}",
    "{% for x in V %}{% if loop.index > 2 %}{% break %}{% endif %}{% if x == 1 %}{% continue %}{% endif %}{{ x }} {% endfor %}",
    "{% set v = V %}{% if v %}\n  yes {{ v }}\n{% elif v is none %}\n  none\n{% else %}\n  no\n{% endif %}\n",
    "{% set a, b = V, V %}{{ a }}{{ b }}", "{% set ns = namespace(c=0) %}{% for x in V %}{% set ns.c = ns.c + 1 %}{% endfor %}{{ ns.c }}",
    "{% set v %}  {{ V }}\n{% endset %}[{{ v }}]{{ v|length }}", "{% set v | upper | trim %} {{ V }} {% endset %}[{{ v }}]", "{% filter upper %}{{ V }}{% endfilter %}",
    "{% macro m(a, b=2, c=a) %}({{ a }},{{ b }},{{ c }}{{ varargs }}{{ kwargs }}){% endmacro %}{{ m(V) }}{{ m(V, V, V, 4, k=V) }}{{ m(b=V) }}",
    "{% macro m(a) %}<{{ a }}>{{ caller(V) }}{% endmacro %}{% call(x) m(1) %}{{ x }}!{% endcall %}", "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}{{ V }}",
    "{% with a=V, b=1 %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% set x = 1 %}{% for y in V %}{{ x }}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}",
    "{%- for x in V -%}\n   {{- x -}}   \n  {%- endfor -%}  \n end", "  {% if true %}\n  a {{ V }}\n  {% endif %}  \n b", "{# c #}\n{{ V }} {#- d -#} \n x", "{% raw %}{{ x }}{% if %}{% endraw %}\n{{ V }}",
    "{% generation %}{{ V }}{% endgeneration %}\n.", "{% for x in V recursive %}<{{ x }}{{ loop.depth }}{% if x is iterable and x is not string and x is not mapping and loop.depth < 3 %}{{ loop(x) }}{% endif %}>{% endfor %}",
    "{% for x in V %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }}{% endfor %}", "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% set j = joiner('|') %}{{ j() }}{{ j() }}{{ V }}",
    "{{ V if V }}{{ V if V else 'other' }}", "{% for x in V %}{% for y in V %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}", "{{ 'x' if V is defined and V is not none }}{{ not V }}{{ V and 1 or 2 }}",
    "{% if V is string %}s{% elif V is mapping %}m{% elif V is iterable %}i{% else %}?{% endif %}", "{{ V }}\n", "{{ V }}\n\n", "\n{{ V -}} \n x {{- V }}", "{%+ if true %} {{ V }} {% endif +%}\n x", "{% block b %}{{ V }}{% endblock %}",
    "{% macro m() %}{% for x in V %}{{ x }},{% endfor %}{% endmacro %}{% set t = m() %}{{ t|length }}:{{ t.split(',') }}", "{% print V, 1 %}", "{% do V %}", "{% set x = {'a': V} %}{{ x.a }}{{ x['a'] }}{{ x.b }}", "{{ [V, V]|tojson }}{{ {'k': V} }}",
    "{% set a = namespace() %}{% set a.x = V %}{{ a.x }}{{ a.y }}{{ a }}", "{% if V in V %}1{% endif %}{% if V == V %}2{% endif %}", "{{ V.a.b.c }}", "{{ 1 < 2 < 3 }}{{ 1 < V }}{{ 3 > 2 > V }}", "{% for k, v in d|dictsort %}{{ k }}{{ v }}{{ V }}{% endfor %}",
    "{% set out = [] %}{% for x in V %}{% set out = out + [x] %}{% endfor %}{{ out }}", "{{ raise_exception(V) }}", "{{ strftime_now('%d %B %Y %H:%M:%S %f%z|') }}{{ V }}", "a\r\nb\r{{ V }}\r\n", "{{ 'a' 'b' ~ V }}", "{{ -V }}{{ +V }}", "{{ - V ** 2 }}", "{{ V|upper ~ V|lower }}",
]


def expression(rng, depth=0):
    kind = rng.randrange(12 if depth < 3 else 2)
    if kind < 2:
        return rng.choice(VALUES)
    value = expression(rng, depth + 1)
    if kind < 5:
        return f"{atom(value)}|{rng.choice(FILTERS)}"
    if kind < 7:
        return f"{atom(value)}{rng.choice(METHODS)}"
    if kind == 7:
        return f"({atom(value)} is {rng.choice(['', 'not '])}{rng.choice(TESTS)})"
    if kind < 10:
        return f"({atom(value)} {rng.choice(BINARY)} {atom(expression(rng, depth + 1))})"
    if kind == 10:
        return "(" + rng.choice(FORMATS).replace("X", atom(value)) + ")"
    return f"({value} if {expression(rng, depth + 2)} else {expression(rng, depth + 2)})"


def atom(text):
    return text if re.fullmatch(r"[\w.]+", text) and not text[0].isdigit() else f"({text})"


def spacing(rng, depth=0):
    """White space around tags of every kind, with every sign."""
    out = []
    for _ in range(rng.choice([1, 2, 3, 5])):
        a, b = (rng.choice(["", "", "-", "+"]) for _ in range(2))
        space = "".join(rng.choice([" ", "  ", "\n", "\n\n", "\t", "x", " y ", "\r\n", "\u00a0", "{", "}", "%"]) for _ in range(rng.randrange(4)))
        kind = rng.randrange(7 if depth < 2 else 3)
        if kind == 0:
            tag = "{{" + a.replace("+", "") + " s " + b.replace("+", "") + "}}"
        elif kind == 1:
            tag = "{#" + a + " c " + b + "#}"
        elif kind == 2:
            tag = "{%" + a + " set q = 1 " + b + "%}"
        elif kind == 3:
            c, d = (rng.choice(["", "-", "+"]) for _ in range(2))
            tag = "{%" + a + " if i " + b + "%}" + spacing(rng, depth + 1) + "{%" + c + " endif " + d + "%}"
        elif kind == 4:
            c, d = (rng.choice(["", "-", "+"]) for _ in range(2))
            tag = "{%" + a + " for z in [1, 2] " + b + "%}" + spacing(rng, depth + 1) + "{%" + c + " endfor " + d + "%}"
        elif kind == 5:
            tag = "{%" + a + " raw " + b.replace("+", "") + "%} {{ \n x " + "{%" + rng.choice(["", "-", "+"]) + " endraw " + rng.choice(["", "-", "+"]) + "%}"
        else:
            tag = "{%" + a + " generation " + b + "%}" + spacing(rng, depth + 1) + "{%- endgeneration " + b + "%}"
        out += [space, tag]
    return "".join(out) + rng.choice(["", "\n", " \n", "\n\n", "\r\n"])


def scoping(rng, depth=0):
    """Names that are read and set in scopes in scopes; i and s are variables, p and q are not."""
    name = lambda: rng.choice("ispq")
    out = []
    for _ in range(rng.choice([1, 2, 3, 4])):
        kind = rng.randrange(13 if depth < 3 else 4)
        inner = scoping(rng, depth + 1) if kind > 3 else ""
        other = scoping(rng, depth + 1) if kind in (4, 5) and rng.randrange(2) else ""
        n = name()
        out.append([f"{{{{ {n} }}}}.", f"{{{{ {n} }}}}{{{{ {name()} is defined }}}}.", f"{{% set {n} = {rng.choice(['1', name(), repr(n), n + ' ~ 2'])} %}}",
                    f"{{% if {name()} %}}{{% set {n} = 3 %}}{{% endif %}}",
                    f"{{% if {name()} %}}{inner}{{% else %}}{other}{{% endif %}}",
                    f"{{% for {n} in [1, 2] if {rng.choice(['true', n, name()])} %}}{inner}{{% else %}}{other}{{% endfor %}}",
                    f"{{% for x in [1, 2] %}}{inner}{{{{ loop.index }}}}{{% endfor %}}",
                    f"{{% macro m{depth}({rng.choice(['', n, n + '=4', n + '=' + name()])}) %}}{inner}{{% endmacro %}}{{{{ m{depth}() }}}}{{{{ {n} }}}}",
                    f"{{% macro c() %}}({{{{ caller() }}}}){{% endmacro %}}{{% call c() %}}{inner}{{% endcall %}}",
                    f"{{% with {n} = {name()} %}}{inner}{{% endwith %}}",
                    f"{{% set {n} %}}{inner}{{% endset %}}",
                    f"{{% filter upper %}}{inner}{{% endfilter %}}",
                    f"{{% generation %}}{inner}{{% endgeneration %}}"][kind])
    return "".join(out)


def template(rng):
    if rng.randrange(5) == 0:
        return rng.choice([spacing, scoping])(rng)
    if rng.randrange(2):
        return "{{ " + expression(rng) + " }}"
    return "".join(rng.choice(STATEMENTS).replace("V", rng.choice([atom(expression(rng, 2)), rng.choice(VALUES)])) for _ in range(rng.choice([1, 1, 2])))


def expected(env, text):
    try:
        out = env.from_string(text).render(**CONTEXT)
        out.encode()
        return out
    except RecursionError:
        return "SKIP"
    except Exception:
        return None


def got(program, text):
    with tempfile.NamedTemporaryFile("w", suffix=".jinja", encoding="utf-8", newline="") as f:
        f.write(text)
        f.flush()
        variables = {k: v for k, v in CONTEXT.items() if k not in ("messages", "tools")}
        line = json.dumps({"messages": CONTEXT["messages"], "tools": CONTEXT["tools"], "variables": variables}) + "\n"
        p = subprocess.run([program, "tokenize", "--chat-template", f.name, "--render", "--jsonl"], input=line.encode(),
                           capture_output=True, timeout=60, env=dict(os.environ, SOURCE_DATE_EPOCH="1767323045"))
    if p.returncode != 0:
        return (None, p.stderr.decode(errors="replace")) if p.returncode == 1 else ("EXIT %d" % p.returncode, p.stderr.decode(errors="replace"))
    answer = json.loads(p.stdout)
    return answer.get("text"), answer.get("error")


def left_out(text, want):
    if re.search(r"(keys|items)\(\)\)* - |- \(*d\.(keys|items)", text):
        return True  # differences of sets
    return want is not None and (want == "SKIP" or re.search(r"0x[0-9a-f]{6,}|<function|<built-in|<class", want, re.I))


def write_golden(o):
    """Every row of the lists above at least once, on values of its own."""
    rng, env = random.Random(o.seed), environment()
    texts = ["{{ " + v + " }}" for v in VALUES] + [s.replace("V", rng.choice(VALUES)) for s in STATEMENTS for _ in range(3)]
    for _ in range(3):
        texts += ["{{ " + atom(rng.choice(VALUES)) + "|" + f + " }}" for f in FILTERS if "pprint" not in f]
        texts += ["{{ " + atom(rng.choice(VALUES)) + m + " }}" for m in METHODS]
        texts += ["{{ " + atom(rng.choice(VALUES)) + " is " + t + " }}" for t in TESTS]
        texts += ["{{ " + f.replace("X", atom(rng.choice(VALUES))) + " }}" for f in FORMATS]
        texts += ["{{ " + atom(rng.choice(VALUES)) + " " + b + " " + atom(rng.choice(VALUES)) + " }}" for b in BINARY for _ in range(2)]
    texts += [template(rng) for _ in range(o.count)]
    with open(o.golden, "w", encoding="utf-8") as f:
        f.write(json.dumps(CONTEXT, ensure_ascii=False) + "\n")
        for text in sorted(set(texts)):
            want = expected(env, text)
            if not left_out(text, want) and len(want or "") < 600:
                f.write(json.dumps([text, want], ensure_ascii=False) + "\n")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="./qwenmesh")
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--golden", metavar="FILE", help="only write templates with Jinja2's texts, for tests/test_jinja.c")
    o = parser.parse_args()
    if o.golden:
        return write_golden(o)
    rng, env = random.Random(o.seed), environment()
    texts = [template(rng) for _ in range(o.count)]
    differ = skipped = errors = 0
    with concurrent.futures.ThreadPoolExecutor(o.jobs) as pool:
        for text, (mine, why) in zip(texts, pool.map(lambda t: got(o.program, t), texts)):
            want = expected(env, text)
            if left_out(text, want):
                skipped += 1
                continue
            errors += want is None
            if mine != want:
                differ += 1
                if differ <= o.show:
                    print("TEMPLATE", repr(text), "\n    jinja2 ", repr(want), "\n    qwenmesh", repr(mine), "" if mine is not None else why.strip()[-150:])
    print(f"{o.count} templates, {errors} of them errors, {skipped} left out, {differ} differ")
    return differ > 0


if __name__ == "__main__":
    sys.exit(main())
