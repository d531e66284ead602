"""Runs Bazel tests and checks outside of Bazel, and counts them: what tools/test and tools/sanitize share."""
import json
import os
import subprocess
import sys
import tempfile
import time

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
BAZEL = os.path.join(TREE, ".setup", "bazel")
PLAIN = [] if sys.stderr.isatty() else ["--curses=no", "--color=no", "--show_progress_rate_limit=30"]


def say(*words):
    print(*words, file=sys.stderr, flush=True)


def bazel(*arguments):
    """The output of a Bazel command; a failure ends the run."""
    done = subprocess.run([BAZEL, *arguments], cwd=TREE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode not in (0, 3):  # 3: --keep_going went on after an error
        say(done.stderr)
        sys.exit(f"bazel {arguments[0]} failed")
    return done.stdout


def test_labels(skip_tags=()):
    """All tests that a wildcard would run, less those with one of the tags."""
    expression = "tests(//...)"
    for tag in ("manual", *skip_tags):
        expression += f' except attr(tags, "[\\[ ]{tag}[,\\]]", //...)'
    return bazel("query", "--keep_going", "--noshow_progress", expression).split()


def run_bazel_tests(labels, options=()):
    """Builds and runs the labels; {label: passed}, and {label: its log}."""
    folder_of_logs = bazel("info", *options, "bazel-testlogs").strip()
    results = {label: False for label in labels}
    logs = {label: "(not run: it does not build)" for label in labels}
    if not labels:
        return results, logs
    with tempfile.TemporaryDirectory() as folder:
        events, names = os.path.join(folder, "events"), os.path.join(folder, "labels")
        with open(names, "w", encoding="utf-8") as f:
            f.write("\n".join(labels))
        subprocess.call([BAZEL, "test", "--keep_going", *PLAIN, *options, "--build_event_json_file=" + events,
                         "--target_pattern_file=" + names], cwd=TREE, stdin=subprocess.DEVNULL, stdout=sys.stderr)
        if os.path.exists(events):
            with open(events, encoding="utf-8") as f:
                for line in f:
                    event = json.loads(line)
                    if "testSummary" in event:
                        label = event["id"]["testSummary"]["label"].removeprefix("@@").removeprefix("@")
                        results[label] = event["testSummary"]["overallStatus"] == "PASSED"
                        if event["testSummary"].get("totalRunCount"):
                            logs[label] = os.path.join(folder_of_logs, label.removeprefix("//").replace(":", "/"), "test.log")
    return results, logs


def build_all(options=()):
    return subprocess.call([BAZEL, "build", "--keep_going", *PLAIN, *options, "//..."], cwd=TREE,
                           stdin=subprocess.DEVNULL, stdout=sys.stderr) == 0


def run_check(path):
    """A check outside of Bazel: a program that prints what is wrong and fails."""
    started = time.monotonic()
    say(f"{os.path.basename(path)} ...")
    done = subprocess.run([path], cwd=TREE, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", check=False)
    say(f"{os.path.basename(path)}: {'passed' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - started:.0f} s")
    if done.returncode:
        say(done.stdout)
    return done.returncode == 0


def report(results, where):
    """The last lines of a run. Exits."""
    failed = sorted(name for name, passed in results.items() if not passed)
    for name in failed:
        print(f"FAILED {name}" + (f"  {where[name]}" if where.get(name) else ""))
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed", flush=True)
    sys.exit(1 if failed or not results else 0)
