#!/usr/bin/env python3
"""Counts what `qwenmesh grammar --json-schema` makes of two public suites, which are not part of this repository:

    git clone https://github.com/json-schema-org/JSON-Schema-Test-Suite suite    # counts in docs: 44401e0
    git clone https://github.com/guidance-ai/jsonschemabench bench               # counts in docs: ba103c7
    dev/json_suites.py --suite suite --bench bench/maskbench/data [--list FILE] [--jobs 2]

A text that is invalid and accepted is wrong: the exit code is 1. One that is valid and refused is counted only: members
come in the order of the schema, numbers with bounds are spelled without exponents. Python's standard library only."""
import argparse, collections, concurrent.futures, glob, json, os, subprocess, sys, tempfile


def cases_of_suite(folder, draft):
    """(name, schema, [(text, valid)]) of one draft, the optional formats included."""
    files = sorted(glob.glob(f"{folder}/tests/{draft}/*.json"))
    files += sorted(glob.glob(f"{folder}/tests/{draft}/optional/**/*.json", recursive=True))
    for file in files:
        for i, group in enumerate(json.load(open(file, encoding="utf-8"))):
            name = f"{draft}/{os.path.relpath(file, f'{folder}/tests/{draft}')}#{i} {group['description']}"
            yield name, group["schema"], [(t["data"], t["valid"], t["description"]) for t in group["tests"]]


def cases_of_bench(folder):
    for file in sorted(glob.glob(f"{folder}/*.json")):
        try:
            case = json.load(open(file, encoding="utf-8"))
        except ValueError:
            continue
        yield os.path.basename(file), case["schema"], [(t["data"], t["valid"], "") for t in case["tests"]]


def spell(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def judge(program, case):
    """(name, None or the error, [(text, valid, result)])"""
    name, schema, tests = case
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8", errors="surrogatepass") as f:
        json.dump(schema, f)
        f.flush()
        lines = "".join(json.dumps(spell(data)) + "\n" for data, _, _ in tests)
        try:
            p = subprocess.run([program, "grammar", "--json-schema", f.name, "--jsonl"], input=lines.encode(),
                               capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            return name, "TIMEOUT", []
    error = p.stderr.decode(errors="replace").strip().replace(f.name, "SCHEMA")
    results = [json.loads(line) for line in p.stdout.decode().splitlines()]
    if p.returncode != 0 and not results:
        return name, error if p.returncode == 1 else f"EXIT {p.returncode}: {error}", []
    results += [{"result": "error: " + error, "at": 0}] * (len(tests) - len(results))
    return name, None, [(spell(d), v, what, r) for (d, v, what), r in zip(tests, results)]


def run(title, cases, program, jobs, log):
    count = collections.Counter()
    why = collections.Counter()
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for name, error, results in pool.map(lambda case: judge(program, case), cases):
            count["schemas"] += 1
            if error is not None:
                count["schemas refused"] += 1
                why[error.split("\n")[0].split(" at ")[0][:90]] += 1
                print("REFUSED", name, "|", error, file=log)
            for text, valid, what, result in results:
                count["texts"] += 1
                kind = result["result"]
                if kind.startswith("error"):
                    count["errors"] += 1
                    print("ERROR", name, "|", what, "|", text[:300], "|", kind, file=log)
                elif (kind == "accepted") != valid:
                    word = "wrongly refused" if valid else "wrongly accepted"
                    count[word] += 1
                    print(word.upper(), name, "|", what, "|", text[:300], "|", kind, result["at"], file=log)
            wrong = any(r["result"] == "accepted" and not v for _, v, _, r in results)
            count["schemas wrong"] += wrong
    print(title + ":", ", ".join(f"{count[k]} {k}" for k in (
        "schemas", "schemas refused", "texts", "wrongly accepted", "schemas wrong", "wrongly refused", "errors")))
    for reason, n in why.most_common(25):
        print(f"    {n:5} {reason}", file=log)
    sys.stdout.flush()
    return count["wrongly accepted"] + count["errors"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", help="checkout of JSON-Schema-Test-Suite")
    parser.add_argument("--bench", help="maskbench/data of jsonschemabench")
    parser.add_argument("--program", default="./qwenmesh")
    parser.add_argument("--every", type=int, default=1, help="of the bench, every N-th schema only")
    parser.add_argument("--list", help="file for what was refused and what is wrong")
    parser.add_argument("--jobs", type=int, default=2)
    o = parser.parse_args()
    log = open(o.list, "w", encoding="utf-8", errors="backslashreplace") if o.list else open(os.devnull, "w")
    wrong = 0
    for draft in ("draft2020-12", "draft7") if o.suite else ():
        wrong += run(draft, cases_of_suite(o.suite, draft), o.program, o.jobs, log)
    if o.bench:
        cases = [c for i, c in enumerate(cases_of_bench(o.bench)) if i % o.every == 0]
        wrong += run("maskbench", cases, o.program, o.jobs, log)
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
