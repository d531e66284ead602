"""How large a program is with each broker, how fast it starts, and what it needs: makes the table of docs/sizes.md.

Builds each with --config=opt, which takes some minutes when it is the first time. Prints the table; --write puts it into the page.
"""
import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import run_tests

sys.path.append(os.path.join(run_tests.TREE, "tests", "build"))
import one_broker_test  # noqa: E402: beside what checks that the page's libraries are true

PAGE = os.path.join(run_tests.TREE, "docs", "sizes.md")
RUNS = 21


def measure(broker):
    """Bytes when stripped, seconds to start and say its version, libraries besides those of every program."""
    options = ["--config=opt"]
    target = "//tests/build:only_" + broker
    if subprocess.call([run_tests.BAZEL, "build", *run_tests.PLAIN, "--ui_event_filters=-info", *options, target], cwd=run_tests.TREE,
                       stdin=subprocess.DEVNULL):
        sys.exit("the build failed")
    program = os.path.join(run_tests.bazel("info", *options, "bazel-bin").strip(), "tests", "build", "only_" + broker)
    with tempfile.TemporaryDirectory() as folder:
        stripped = os.path.join(folder, broker)
        subprocess.run(["strip", "-o", stripped, program], check=True)
        times = []
        for _ in range(RUNS):
            started = time.monotonic()
            subprocess.run([stripped, "--version"], check=True, stdout=subprocess.DEVNULL)
            times.append(time.monotonic() - started)
        return os.path.getsize(stripped), statistics.median(times), one_broker_test.libraries(stripped)


def table():
    lines = ["| broker | stripped | starts in | shared libraries besides those of C++ itself |", "| --- | --- | --- | --- |"]
    for broker in sorted(one_broker_test.CLIENTS):
        size, seconds, needed = measure(broker)
        lines.append(f"| `{broker}` | {size / 1e6:.1f} MB | {seconds * 1e3:.0f} ms | {', '.join(needed) or 'none'} |")
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(prog="tools/sizes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/sizes.md")
    options = parser.parse_args()
    rows = table()
    print(rows, end="")
    if options.write:
        with open(PAGE, encoding="utf-8") as f:
            page = f.read()
        with open(PAGE, "w", encoding="utf-8") as f:
            f.write(re.sub(r"\| broker \| stripped(.*\n)+?(?=\n|\Z)", lambda _: rows, page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
