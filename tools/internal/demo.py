"""Sends the events of an order system from one process to typed handlers in another, and checks what became of each.

The handlers are those of examples/orders. Some payments fail once, some always, some lines are malformed; the consumer is
killed once in the middle; one dead letter is replayed. At the end the databases are compared with what was sent, order by
order. Exit code 0: all as it has to be.
"""
import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import demo_orders
import run_tests
import servers

PATIENCE = 60  # seconds without any progress before the demonstration gives up
SOME_LINES_MALFORMED = 4  # exit code of `core send`
IN_HAND = 2000  # messages that a consumer takes at once (ConsumerOptions::max_messages)
# Brokers that store a dead letter first and forget its message then: between the two a kill makes it once more.
STORE_THEN_FORGET = ("kafka:", "rabbitmq:", "amqp:")
ON_TERMINAL = sys.stdout.isatty()


def say(text=""):
    print(text, flush=True)


class Progress:
    """One line: rewritten on a terminal, every few seconds elsewhere."""

    def __init__(self):
        self._next = 0.0

    def show(self, text):
        if ON_TERMINAL:
            print("\r\033[K  " + text, end="", flush=True)
        elif time.monotonic() >= self._next:
            self._next = time.monotonic() + 3
            say("  " + text)

    def clear(self):
        if ON_TERMINAL:
            print("\r\033[K", end="", flush=True)


class Demo:
    def __init__(self, folder, url, programs, orders):
        self.folder, self.orders, self.programs = folder, orders, programs
        self.databases = demo_orders.Databases(self._file("orders.db"), self._file("outside.db"))
        self.environment = {**os.environ, "MESSAGING_URL": url, "MESSAGING_GROUP": "orders",
                            "ORDERS_DATABASE": self._file("orders.db"), "ORDERS_OUTSIDE": self._file("outside.db"),
                            "ORDERS_RETRY_DELAY": "1s"}
        self.started = []
        self.senders = {}  # by topic
        self.consumer = None
        self.progress = Progress()

    def _file(self, name):
        return os.path.join(self.folder, name)

    def start(self, program, *arguments, log):
        with open(self._file(log), "ab") as f:
            process = subprocess.Popen([self.programs[program], *arguments], env=self.environment, cwd=self.folder,
                                       stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        self.started.append(process)
        return process

    def run(self, program, *arguments):
        """Its output; a failure ends the demonstration."""
        done = subprocess.run([self.programs[program], *arguments], env=self.environment, cwd=self.folder, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False)
        if done.returncode:
            raise SystemExit(f"{program} {' '.join(arguments)} failed with exit code {done.returncode}:\n{done.stderr}")
        return done.stdout

    def start_consumer(self):
        self.consumer = self.start("orders", "consumer", log="consumer.log")

    def await_consuming(self):
        """A broker that keeps nothing for a group to come refuses what is sent before the group is there."""
        end = time.monotonic() + PATIENCE
        while "consuming" not in self.log_of("consumer.log"):
            if self.consumer.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the consumer does not consume:\n{self.log_of('consumer.log')}")
            time.sleep(0.1)

    @staticmethod
    def expected_code(topic):
        return SOME_LINES_MALFORMED if topic == "orders.created" else 0

    def log_of(self, name):
        with open(self._file(name), encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait(self, reached, showing):
        """Until reached(effects). Raises SystemExit when the consumer ended or nothing moves any more."""
        last, moved = -1, time.monotonic()
        while True:
            effects = self.databases.effects()
            if effects != last:
                last, moved = effects, time.monotonic()
            if reached(effects):
                return
            for topic, sender in self.senders.items():
                if sender.poll() not in (None, self.expected_code(topic)):
                    raise SystemExit(f"core send {topic} ended with exit code {sender.poll()}:\n{self.log_of(topic + '.log')}")
            if self.consumer.poll() is not None:
                raise SystemExit(f"the consumer ended with exit code {self.consumer.returncode}:\n{self.log_of('consumer.log')}")
            if time.monotonic() - moved > PATIENCE:
                raise SystemExit(f"nothing has moved for {PATIENCE} s")
            self.progress.show(f"{showing}: {effects} of {self.orders.effects} handled, "
                               f"{self.databases.retried_payments()} payments retried")
            time.sleep(0.1)

    def dead_letters(self):
        """One dictionary each; one that the kill may have made twice counts once."""
        letters = [json.loads(line) for line in self.run("core", "deadletters", "list", "--json").splitlines()]
        if not self.environment["MESSAGING_URL"].startswith(STORE_THEN_FORGET):
            return letters
        return list({(letter["handler"], letter["message_id"]): letter for letter in letters}.values())

    # The steps.

    def send_and_kill(self):
        paths = self.orders.write(self.folder)
        self.start_consumer()
        self.await_consuming()
        for topic, path in paths.items():
            self.senders[topic] = self.start("core", "send", topic, "--file", path, log=topic + ".log")
        half = self.orders.effects // 2
        self.wait(lambda effects: effects >= half, "sending and handling")
        self.consumer.kill()
        self.consumer.wait()
        self.progress.clear()
        say(f"  killed the consumer (SIGKILL) after {self.databases.effects()} of {self.orders.effects}; starting it again")
        self.start_consumer()
        for topic, sender in self.senders.items():
            code, expected = sender.wait(PATIENCE), self.expected_code(topic)
            self.progress.clear()
            *told, summary = self.log_of(topic + ".log").strip().splitlines() or [""]
            say(f"  core send {topic}: {summary}")
            if told:
                say(f"    the first of them: {told[0].split(self.folder + os.sep)[-1]}")
            if code != expected:
                raise SystemExit(f"core send {topic} ended with exit code {code}, not {expected}")

    def settle(self):
        self.wait(lambda effects: effects >= self.orders.effects, "handling")
        last, found = time.monotonic(), -1
        while found < self.orders.dead_letters and time.monotonic() - last < PATIENCE:
            letters = self.dead_letters()
            if len(letters) != found:
                found, last = len(letters), time.monotonic()
            self.progress.show(f"waiting for the last retries: {found} of {self.orders.dead_letters} dead letters")
            time.sleep(0.2)
        self.progress.clear()
        return letters

    def replay_one(self, letters):
        """Mends the gateway and replays the first payment that failed for good; its order's number."""
        letter = next(l for l in letters if l["handler"] == "ChargePayment")
        order = int(re.search(r"order (\d+)", letter["reason"])[1])
        with open(self._file("outside.db.mended"), "w", encoding="utf-8"):
            pass
        self.run("core", "deadletters", "replay", "--id", letter["message_id"])
        self.wait(lambda effects: effects >= self.orders.effects + 1, f"replaying the payment of order {order}")
        self.progress.clear()
        return order

    def stop_consumer(self):
        self.consumer.terminate()
        code = self.consumer.wait(PATIENCE)
        if code != 0:
            raise SystemExit(f"the consumer ended with exit code {code} on SIGTERM:\n{self.log_of('consumer.log')}")

    def end(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()


def table(rows):
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        say("  " + "  ".join(str(cell).ljust(w) if i == 0 else str(cell).rjust(w)
                             for i, (cell, w) in enumerate(zip(row, widths))))


def kinds(letters):
    counts = {}
    for letter in letters:
        key = (letter["handler"], letter["topic"], letter["attempts"])
        counts[key] = counts.get(key, 0) + 1
    return counts


def run(demo, orders):
    say(f"Sending {len(orders.numbers)} orders with `core send` to a consumer in another process:")
    demo.send_and_kill()
    letters = demo.settle()
    say("Dead letters, as `core deadletters list` has them:")
    table([("handler", "topic", "attempts", "count")] + [(*key, n) for key, n in sorted(kinds(letters).items())])
    order = demo.replay_one(letters)
    left = len(demo.dead_letters())
    say(f"  the gateway is mended; replayed the payment of order {order}: {len(letters)} dead letters before, {left} after")
    demo.stop_consumer()
    retried = demo.databases.retried_payments()
    figures, wrong = demo_orders.compare(orders, demo.databases, {order})
    expected_kinds = {("ChargePayment", "payments.process", 4): len(orders.never_paid),
                      ("SendConfirmation", "orders.created", 1): orders.no_order,
                      ("SyncInventory", "orders.created", 1): orders.no_order,
                      ("IndexOrders", "orders.created", 1): orders.no_order}
    at_least = len(orders.paid_late | orders.never_paid)
    figures["payments asked for again"] = (f"{at_least} or more", retried)
    figures["dead letters"] = (orders.dead_letters, len(letters))
    figures["dead letters after the replay"] = (orders.dead_letters - 1, left)
    if {k: n for k, n in kinds(letters).items()} != expected_kinds:
        wrong.append(f"dead letters: expected {expected_kinds}")
    wrong += [f"{name}: expected {a}, found {b}" for name, (a, b) in list(figures.items())[-2:] if a != b]
    # Those in hand when the consumer was killed are asked for again, too; the gateway charges them once.
    if not at_least <= retried <= at_least + IN_HAND:
        wrong.append(f"payments asked for again: {retried}")
    say("The databases, compared with what was sent, order by order:")
    table([("", "expected", "found")] + [(name, *pair) for name, pair in figures.items()])
    return wrong


def build(broker):
    """The programs' paths."""
    started = time.monotonic()
    say("Building the example and `core` ...")
    targets = {"orders": "//examples/orders", "core": "//cli:core"}
    if servers.target(broker):
        targets["server"] = servers.target(broker)
    code = subprocess.call([run_tests.BAZEL, "build", *run_tests.PLAIN, "--ui_event_filters=-info", "--//:broker=" + broker, *targets.values()],
                           cwd=run_tests.TREE, stdin=subprocess.DEVNULL)
    if code:
        raise SystemExit("the build failed")
    say(f"  built in {time.monotonic() - started:.0f} s")
    where = run_tests.bazel("info", "--//:broker=" + broker, "bazel-bin").strip()
    return {"orders": os.path.join(where, "examples/orders/orders"), "core": os.path.join(where, "cli/core")}


def main():
    parser = argparse.ArgumentParser(prog="tools/demo", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=sorted(servers.BROKERS), default="sqlite")
    parser.add_argument("--orders", type=int, default=10000, metavar="N", help="how many orders, 500 at least (10000)")
    parser.add_argument("--keep", action="store_true", help="keep the databases and logs, and say where")
    options = parser.parse_args()
    if options.orders < 500:
        parser.error("--orders: 500 at least")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    programs = build(options.broker)
    started = time.monotonic()
    folder, wrong = tempfile.mkdtemp(prefix="core-demo-"), ["did not end"]
    try:
        with servers.running(options.broker, folder) as url, contextlib.ExitStack() as stack:
            orders = demo_orders.Orders(options.orders)
            demo = Demo(folder, url, programs, orders)
            stack.callback(demo.end)
            wrong = run(demo, orders)
    except KeyboardInterrupt:
        wrong = ["interrupted"]
    except SystemExit as end:
        if not isinstance(end.code, str):
            raise
        wrong = [end.code]
    finally:
        if options.keep or wrong:
            say(f"databases and logs: {folder}")
        else:
            shutil.rmtree(folder)
    for line in wrong[:20]:
        say("  " + line)
    if wrong:
        say("FAIL: not as it has to be, see above")
    else:
        say(f"PASS: every one of the {options.orders} orders is in the databases as it was sent, none twice, and what could "
            f"not be handled is a dead letter ({time.monotonic() - started:.0f} s)")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
