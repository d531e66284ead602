"""bench.py TREE [--suite engine|sqlite|idle] [--quick]: what tools/bench runs. Figures only compare within one run."""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(prog="tools/bench", description="Measures; each figure is a median with its spread.")
parser.add_argument("tree", help=argparse.SUPPRESS)
parser.add_argument("--suite", choices=["engine", "sqlite", "idle"], help="only this one")
parser.add_argument("--quick", action="store_true", help="three repetitions of a tenth of the work")
options = parser.parse_args()
REPETITIONS = 3 if options.quick else 7
SHARE = 10 if options.quick else 1
BAZEL = options.tree + "/.setup/bazel"


def build(*targets):
    print("building", *targets, "...", file=sys.stderr)
    subprocess.run([BAZEL, "build", "--config=opt", *targets], cwd=options.tree, check=True, stderr=subprocess.PIPE)
    bin_dir = subprocess.run([BAZEL, "info", "--config=opt", "bazel-bin"], cwd=options.tree, check=True,
                             capture_output=True, text=True).stdout.strip()
    return [bin_dir + "/" + t.lstrip("/").replace(":", "/") for t in targets]


def run(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def row(what, values, unit, goal, form="{:,.0f}"):
    low, mid, high = min(values), statistics.median(values), max(values)
    spread = f"{form.format(low)} to {form.format(high)}"
    print(f"{what:<52} {form.format(mid):>12} {unit:<10} ({spread}); goal: {goal}", flush=True)


def engine():
    (program,) = build("//tests/bench:engine_bench")
    runs = [run(program, str(2_000_000 // SHARE)) for _ in range(REPETITIONS)]
    row("engine, memory broker, trivial handler", [r["messages_per_second"] for r in runs], "messages/s", "3,000,000")
    row("  processor time", [r["cpu_ns_per_message"] for r in runs], "ns/message", "none")


def sqlite():
    (program,) = build("//tests/bench:sqlite_bench")
    ours, raw = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(REPETITIONS):
            for kind, into in (("ours", ours), ("raw", raw)):  # In turn: the machine's pace changes.
                into.append(run(program, kind, f"{folder}/{kind}{i}.db", str(200_000 // SHARE)))
    for what in ("send", "consume"):
        key = what + "_per_second"
        row(f"sqlite {what}, confirmed", [r[key] for r in ours], "messages/s", "none")
        row(f"sqlite {what}, against plain SQLite", [o[key] / r[key] for o, r in zip(ours, raw)], "ratio", "0.8", "{:.2f}")


def memory_of(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def cpu_of(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def idle():
    core, slow = build("//cli:core", "//tests/bench:slow_consumer")
    seconds = 3 if options.quick else 10
    with tempfile.TemporaryDirectory() as folder:
        environment = dict(os.environ, MESSAGING_URL=f"sqlite://{folder}/idle.db")
        consumer = subprocess.Popen([core, "consumer", "--topic", "t"], env=environment, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
        time.sleep(1)
        before = cpu_of(consumer.pid)
        time.sleep(seconds)
        row("idle sqlite consumer, of a core", [100 * (cpu_of(consumer.pid) - before) / seconds], "%", "under 1", "{:.2f}")
        row("idle sqlite consumer, resident", [memory_of(consumer.pid)], "MiB", "under 12", "{:.1f}")
        consumer.send_signal(signal.SIGTERM)
        consumer.wait()

        # A backlog that a slow handler hardly dents: what it holds must not grow with it.
        backlog = 1_000_000 // SHARE
        environment["MESSAGING_URL"] = f"sqlite://{folder}/slow.db"
        lines = "\n".join('{"n": %d, "text": "%s"}' % (n, "x" * 200) for n in range(1000)) + "\n"
        sender = subprocess.Popen([core, "send", "t", "-"], env=environment, stdin=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)
        for _ in range(backlog // 1000):
            sender.stdin.write(lines)
        sender.stdin.close()
        sender.wait()
        consumer = subprocess.Popen([slow, "consumer"], env=environment, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL)
        resident = []
        for _ in range(seconds):
            time.sleep(1)
            resident.append(memory_of(consumer.pid))
        row(f"slow handler, backlog of {backlog:,}, resident", resident, "MiB", "flat", "{:.1f}")
        consumer.send_signal(signal.SIGTERM)
        consumer.wait()


for name, suite in (("engine", engine), ("sqlite", sqlite), ("idle", idle)):
    if options.suite in (None, name):
        suite()
