"""Builds everything and runs all tests; the last line is "N passed, N failed".

  tools/test [--only PATTERN] [--again]

--only PATTERN   the tests, and the checks in tests/outside, whose name contains PATTERN
--again          run tests anew that passed and of which nothing has changed
"""
import argparse
import glob
import os
import sys

import run_tests

parser = argparse.ArgumentParser(prog="tools/test", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--only", metavar="PATTERN", default="")
parser.add_argument("--again", action="store_true")
options = parser.parse_args()
if options.only == "" and any(argument.startswith("--only") for argument in sys.argv):
    sys.exit("--only: the pattern is empty")

where = {}
labels = [label for label in run_tests.test_labels() if options.only in label]
results = {}
if not options.only:
    results["build"] = run_tests.build_all()
tests, logs = run_tests.run_bazel_tests(labels, ["--nocache_test_results"] if options.again else [])
where.update(logs)
results.update(tests)
# What calls Bazel itself cannot be one of its tests.
for check in sorted(glob.glob(os.path.join(run_tests.TREE, "tests", "outside", "*_check"))):
    name = "outside:" + os.path.basename(check)
    if options.only in name:
        results[name] = run_tests.run_check(check)
if not results:
    sys.exit(f"no test has {options.only} in its name")
run_tests.report(results, where)
