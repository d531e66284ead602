"""bench.py TREE [--suite NAME] [--broker NAME] [--quick]: what tools/bench runs. Figures compare within one run only."""
import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import servers

parser = argparse.ArgumentParser(prog="tools/bench", description="Measures; each figure is a median with its spread.")
parser.add_argument("tree", help=argparse.SUPPRESS)
parser.add_argument("--suite", choices=["engine", "observer", "sqlite", "idle"], help="only this one")
parser.add_argument("--broker", choices=sorted(servers.BROKERS), help="only this one, on a server started for it")
parser.add_argument("--messages", type=int, help="of a broker: how many are sent and consumed each time")
parser.add_argument("--quick", action="store_true", help="three repetitions of a tenth of the work")
parser.add_argument("--json", metavar="FILE", help="write the figures there, too")
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


ROWS = []


def row(what, values, unit, goal, form="{:,.0f}"):
    low, mid, high = min(values), statistics.median(values), max(values)
    ROWS.append({"what": what.strip(), "median": mid, "lowest": low, "highest": high, "unit": unit, "goal": goal})
    spread = f"{form.format(low)} to {form.format(high)}"
    print(f"{what:<52} {form.format(mid):>12} {unit:<10} ({spread}); goal: {goal}", flush=True)


def engine():
    (program,) = build("//tests/bench:engine_bench")
    runs = [run(program, str(2_000_000 // SHARE)) for _ in range(REPETITIONS)]
    row("engine, memory broker, trivial handler", [r["messages_per_second"] for r in runs], "messages/s", "3,000,000")
    row("  processor time", [r["cpu_ns_per_message"] for r in runs], "ns/message", "none")


def observer():
    """Metrics on and off, in turn in one process, some milliseconds each: the machine's pace changes."""
    (program,) = build("//tests/bench:engine_bench")
    lines = subprocess.run([program, "200000", str(200 // SHARE)], check=True, capture_output=True, text=True).stdout
    pairs = [json.loads(line) for line in lines.splitlines()]
    for key, what, sign in (("cpu_ns_per_message", "processor time", 1), ("messages_per_second", "throughput", -1)):
        costs = sorted(100 * sign * (on[key] / off[key] - 1) for off, on in pairs)
        row(f"metrics, of the engine's {what}", costs[len(costs) // 4:-(len(costs) // 4)], "%", "at most 3", "{:.1f}")


# What a server is started with, so that it does not tidy up in the middle, and how it stores what is measured.
SERVER_ARGUMENTS = {"redis": ["--auto-aof-rewrite-percentage", "0"]}
STORED = {"kafka": "acks=all on one server", "rabbitmq": "quorum queues", "redis": "appendfsync always", "sqlite": "synchronous FULL"}
MESSAGES = {"kafka": 1_000_000, "redis": 200_000, "sqlite": 200_000}
# Goals of the issues: send and consume against the C client alone, processor time of it.
GOALS = {"kafka": {"send": "0.85", "consume": "0.6", "cpu": "none"},
         "rabbitmq": {"send": "0.95", "consume": "0.95", "cpu": "at most 1.4"},
         "sqlite": {"send": "0.8", "consume": "0.8", "cpu": "none"}}


def broker(name):
    """The library against the C client alone, in turn: the machine's pace changes."""
    ours, raw = build(f"//tests/bench:{name}_bench", f"//tests/bench:raw_{name}")
    if servers.target(name):
        subprocess.run([BAZEL, "build", servers.target(name)], cwd=options.tree, check=True, stderr=subprocess.PIPE)
    messages = options.messages or MESSAGES.get(name, 100_000) // SHARE
    goals = {"send": "0.9", "consume": "0.9", "cpu": "at most 1.5", **GOALS.get(name, {})}
    figures = {(kind, mode): [] for kind in ("ours", "raw") for mode in ("send", "consume", "latency")}
    with tempfile.TemporaryDirectory() as folder, \
            servers.running(name, folder, *SERVER_ARGUMENTS.get(name, [])) as url:
        def measure(kind, mode, topic, n):
            where = f"{url}.{topic}" if name == "sqlite" else url  # A file of its own: the last one's size counts.
            done = subprocess.run([ours if kind == "ours" else raw, mode, topic, str(n)], check=True, text=True, timeout=600,
                                  stdout=subprocess.PIPE, env={**os.environ, "MESSAGING_URL": where})
            return json.loads(done.stdout)

        print(f"{name}: {messages:,} messages of 256 bytes, {STORED.get(name, 'as the server is set up')}", flush=True)
        for i in range(REPETITIONS):
            for kind in ("ours", "raw"):
                topic = f"bench.{kind}.{i}"
                for mode in ("send", "consume"):
                    figures[kind, mode].append(measure(kind, mode, topic, messages))
                if name != "sqlite":
                    measure("raw", "drop", topic, 0)
        for i in range(REPETITIONS):
            for kind in ("ours", "raw") if name != "sqlite" else ("ours",):
                figures[kind, "latency"].append(measure(kind, "latency", f"latency.{kind}.{i}", 2_000 // SHARE))
        idle_figures = [measure("ours", "idle", "idle", 10 if REPETITIONS > 3 else 3)]

    def of(kind, mode, key):
        return [figure[key] for figure in figures[kind, mode]]

    for mode in ("send", "consume"):
        rate, cpu = "messages_per_second", "cpu_us_per_message"
        row(f"{name} {mode}", of("ours", mode, rate), "messages/s", "none")
        row("  the C client alone", of("raw", mode, rate), "messages/s", "none")
        row("  ratio", [o / r for o, r in zip(of("ours", mode, rate), of("raw", mode, rate))], "", goals[mode], "{:.2f}")
        row("  client's processor time", of("ours", mode, cpu), "us/message", "none", "{:.2f}")
        row("  ratio", [o / r for o, r in zip(of("ours", mode, cpu), of("raw", mode, cpu))], "", goals["cpu"], "{:.2f}")
    row(f"{name} send to handler, 200 a second, p50", of("ours", "latency", "p50_us"), "us", "none")
    row("  p99", of("ours", "latency", "p99_us"), "us", "none")
    if figures["raw", "latency"]:
        row("  the C client alone, p50", of("raw", "latency", "p50_us"), "us", "none")
        row("  the C client alone, p99", of("raw", "latency", "p99_us"), "us", "none")
    if figures["ours", "latency"][0]["send_to_call_p99_us"] >= 0:
        for key, what in (("send_to_call", "Send to the C call"), ("return_to_handler", "C return to the handler")):
            row(f"  from {what}, p50", of("ours", "latency", key + "_p50_us"), "us", "none", "{:.1f}")
            row(f"  from {what}, p99", of("ours", "latency", key + "_p99_us"), "us", "under 50", "{:.1f}")
    row(f"idle {name} client, of a core", [f["cpu_percent"] for f in idle_figures], "%", "under 1", "{:.2f}")
    row(f"idle {name} client, resident", [f["resident_mib"] for f in idle_figures], "MiB", "under 12", "{:.1f}")


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


if options.broker:
    broker(options.broker)
else:
    for name, suite in (("engine", engine), ("observer", observer), ("sqlite", lambda: broker("sqlite")), ("idle", idle)):
        if options.suite in (None, name):
            suite()
if options.json:
    with open(options.json, "w", encoding="utf-8") as f:
        json.dump(ROWS, f, indent=1)
