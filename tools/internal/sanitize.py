"""All tests under the sanitizers: address and undefined behaviour in one build, threads in another.

  tools/sanitize [address|thread] [--only PATTERN]

Tests tagged no-sanitize are left out. The last line is "N passed, N failed".
"""
import argparse
import os
import sys

import run_tests

SUPPRESSIONS = os.path.join(run_tests.TREE, "tools", "internal", "tsan_suppressions.txt")
CONFIGS = {
    "address": ["--config=asan", "--config=ubsan", "--platform_suffix=asan-ubsan"],
    "thread": ["--config=tsan", f"--test_env=TSAN_OPTIONS=second_deadlock_stack=1:suppressions={SUPPRESSIONS}"],
}
parser = argparse.ArgumentParser(prog="tools/sanitize", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("which", nargs="?", choices=CONFIGS)
parser.add_argument("--only", metavar="PATTERN", default="")
options = parser.parse_args()

labels = [label for label in run_tests.test_labels(["no-sanitize"]) if options.only in label]
if not labels:
    sys.exit(f"no test has {options.only} in its name")
results, where = {}, {}
for which in [options.which] if options.which else CONFIGS:
    tests, logs = run_tests.run_bazel_tests(labels, [*CONFIGS[which], "--build_tests_only"])
    for label, passed in tests.items():
        results[f"{which}: {label}"] = passed
        where[f"{which}: {label}"] = logs[label]
run_tests.report(results, where)
