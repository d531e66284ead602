"""How large a program is with each broker, how fast it starts, and what it needs: the table of docs/sizes.md.

  sizes.py            compares the table with what is built now
  sizes.py --write    writes it

Sizes may differ by a tenth, start-up times are only looked at for their order; libraries have to be the same.
"""
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import run_tests

PAGE = os.path.join(run_tests.TREE, "docs", "sizes.md")
BROKERS = [b for b in ("memory", "sqlite", "redis", "rabbitmq", "kafka") if os.path.exists(os.path.join(run_tests.TREE, b, "BUILD"))]
ALWAYS = {"libc.so.6", "libm.so.6", "libstdc++.so.6", "libgcc_s.so.1"}  # of every C++ program
RUNS = 21


def measure(broker):
    """Bytes when stripped, seconds to start and say its version, libraries besides those of every program."""
    options = ["--config=opt", "--//:broker=" + broker]
    if subprocess.call([run_tests.BAZEL, "build", *run_tests.PLAIN, "--ui_event_filters=-info", *options, "//cli:core"], cwd=run_tests.TREE,
                       stdin=subprocess.DEVNULL):
        sys.exit("the build failed")
    program = os.path.join(run_tests.bazel("info", *options, "bazel-bin").strip(), "cli", "core")
    with tempfile.TemporaryDirectory() as folder:
        stripped = os.path.join(folder, "core")
        subprocess.run(["strip", "-o", stripped, program], check=True)
        times = []
        for _ in range(RUNS):
            started = time.monotonic()
            subprocess.run([stripped, "--version"], check=True, stdout=subprocess.DEVNULL)
            times.append(time.monotonic() - started)
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", subprocess.check_output(["readelf", "-d", stripped], text=True))
        return os.path.getsize(stripped), statistics.median(times), sorted(set(needed) - ALWAYS - {"ld-linux-x86-64.so.2"})


def table(rows):
    lines = ["| broker | stripped | starts in | shared libraries besides those of C++ itself |", "| --- | --- | --- | --- |"]
    for broker, (size, seconds, needed) in rows.items():
        lines.append(f"| `{broker}` | {size / 1e6:.1f} MB | {seconds * 1e3:.0f} ms | {', '.join(needed) or 'none'} |")
    return "\n".join(lines)


def main():
    rows = {broker: measure(broker) for broker in BROKERS}
    with open(PAGE, encoding="utf-8") as f:
        page = f.read()
    if "--write" in sys.argv:
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(re.sub(r"\| broker \| stripped(.*\n)+?(?=\n|\Z)", table(rows) + "\n", page))
        return 0
    found = {m[0]: (float(m[1]) * 1e6, m[2]) for m in re.findall(r"\| `(\w+)` \| ([\d.]+) MB \| \d+ ms \| (.*) \|", page)}
    wrong = [f"{b}: not in the table" for b in rows if b not in found] + [f"{b}: no broker of ours" for b in found if b not in rows]
    for broker in set(rows) & set(found):
        size, _, needed = rows[broker]
        if abs(size - found[broker][0]) > 0.1 * size + 1e5:
            wrong.append(f"{broker}: {size / 1e6:.1f} MB")
        if (", ".join(needed) or "none") != found[broker][1]:
            wrong.append(f"{broker}: needs {needed}")
    if wrong:
        print("\n".join(wrong) + "\ndocs/sizes.md says otherwise; python3 tools/internal/sizes.py --write mends it")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
