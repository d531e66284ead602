"""Runs the four services of examples/shop, sends them orders, kills each service with SIGKILL in turn, and starts it again.

Most orders are paid; some cards are declined, some gateways fail for a while or for good, and one item is soon sold out. At
the end money and stock are balanced to the unit over the services' databases, and no order is stuck. Exit code 0: so it is.
"""
import argparse
import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import run_tests
import servers

SERVICES = ("orders", "inventory", "payments", "notifications")
PATIENCE = 180  # seconds without any progress before it gives up
PRICES = {"pen": 150, "cup": 899, "lamp": 4999}


def say(text=""):
    print(text, flush=True)


def order(number):
    """What a client asks for: each number the same each time."""
    item = "lamp" if number % 20 == 0 else "cup" if number % 3 == 0 else "pen"
    card = "declined" if number % 10 == 3 else "flaky" if number % 50 == 7 else "down" if number % 500 == 11 else "good"
    quantity = number % 4 + 1
    return {"order_id": number, "user_id": number % 97 + 1, "item": item, "quantity": quantity,
            "total_cents": quantity * PRICES[item], "card": card}


class Shop:
    def __init__(self, folder, url, programs, orders):
        self.folder, self.url, self.programs, self.orders = folder, url, programs, orders
        self.running = {}
        self.sender = None
        self.killed = {}  # by service: how many orders had ended then

    def path(self, name):
        return os.path.join(self.folder, name)

    def environment(self, service):
        return {**os.environ, "MESSAGING_URL": self.url, "MESSAGING_GROUP": "shop-" + service, "SHOP_RETRY_DELAY": "200ms",
                "SHOP_DATABASE": "sqlite://" + self.path(service + ".db")}

    def start(self, service):
        with open(self.path(service + ".log"), "ab") as log:
            self.running[service] = subprocess.Popen([self.programs[service], "consumer", "--concurrency=2"], stdout=log, stderr=log,
                                                     env=self.environment(service), cwd=self.folder, stdin=subprocess.DEVNULL)

    def await_start(self, service):
        """A broker such as RabbitMQ keeps what is sent only for groups that have been there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with open(self.path(service + ".log"), encoding="utf-8", errors="replace") as log:
                if ": consuming" in log.read():
                    return
            if self.running[service].poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{service} did not start; see {service}.log")
            time.sleep(0.05)

    def kill(self, service):
        self.running[service].kill()
        self.running[service].wait()

    def place(self):
        with open(self.path("orders.ndjson"), "w", encoding="utf-8") as f:
            for number in range(1, self.orders + 1):
                f.write(json.dumps(order(number)) + "\n")
        with open(self.path("sender.log"), "wb") as log:
            self.sender = subprocess.Popen([self.programs["orders"], "send", "shop.orders.place", "--file", self.path("orders.ndjson")],
                                           stdout=log, stderr=log, env=self.environment("orders"), stdin=subprocess.DEVNULL)

    def ask(self, service, sql):
        """All rows; none while the tables are not there yet."""
        path = self.path(service + ".db")
        if not os.path.exists(path):
            return []
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as db:
            try:
                return db.execute(sql).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return []
                raise

    def number(self, service, sql):
        rows = self.ask(service, sql)
        return (rows[0][0] or 0) if rows else 0

    def ended(self):
        return self.number("orders", "SELECT count(*) FROM orders WHERE state IN ('confirmed', 'cancelled')")

    def waiting(self):
        return sum(self.number(service, "SELECT count(*) FROM messaging_outbox") for service in SERVICES)

    def steps(self):
        """Grows as long as anything moves."""
        return sum(self.number(service, "SELECT count(*) FROM messaging_inbox") for service in SERVICES)

    def is_done(self):
        return (self.ended() == self.orders and self.waiting() == 0
                and self.number("notifications", "SELECT count(*) FROM notifications") == self.orders
                and self.number("inventory", "SELECT count(*) FROM reservations") == 0)

    def work(self):
        """Until all is done; kills each service on the way."""
        kills = {service: self.orders * (i + 1) // (len(SERVICES) + 1) for i, service in enumerate(SERVICES)}
        last, moved, told = -1, time.monotonic(), time.monotonic()
        while not (self.is_done() and not kills):
            ended, steps = self.ended(), self.steps()
            if steps != last:
                last, moved = steps, time.monotonic()
            if time.monotonic() - moved > PATIENCE:
                raise SystemExit(f"nothing has moved for {PATIENCE} s; {ended} of {self.orders} orders have ended")
            for service, process in self.running.items():
                if process.poll() is not None:
                    raise SystemExit(f"{service} ended with exit code {process.returncode}; see {service}.log")
            if self.sender.poll():
                raise SystemExit("the orders could not be sent; see sender.log")
            for service in [s for s, at in kills.items() if ended >= at]:
                del kills[service]
                self.killed[service] = ended
                self.kill(service)
                say(f"  {ended} of {self.orders} orders have ended: {service} killed with SIGKILL, and started again")
                self.start(service)
            if time.monotonic() - told > 10:
                told = time.monotonic()
                say(f"  {ended} of {self.orders} orders have ended")
            time.sleep(0.1)
        if self.sender.wait(timeout=PATIENCE) != 0:
            raise SystemExit("the orders could not be sent; see sender.log")

    def stop(self):
        for process in self.running.values():
            process.terminate()
        return {service: process.wait(timeout=PATIENCE) for service, process in self.running.items()}

    def end(self):
        for process in [*self.running.values(), *([self.sender] if self.sender else [])]:
            if process.poll() is None:
                process.kill()
                process.wait()


def balance(shop):
    """Rows of (what, expected, found)."""
    confirmed = shop.ask("orders", "SELECT item, sum(quantity), sum(total_cents), count(*) FROM orders WHERE state = 'confirmed' GROUP BY item")
    sold = {item: quantity for item, quantity, _, _ in confirmed}
    rows = [("orders that ended", shop.orders, shop.ended()),
            ("money: confirmed orders, and charged cards, in cents", sum(row[2] for row in confirmed),
             shop.number("payments", "SELECT sum(amount_cents) FROM payments")),
            ("orders confirmed, and cards charged", sum(row[3] for row in confirmed),
             shop.number("payments", "SELECT count(*) FROM payments WHERE failure = ''"))]
    for item, on_hand, reserved, shipped in shop.ask("inventory", "SELECT item, on_hand, reserved, shipped FROM stock ORDER BY item"):
        start = 20 if item == "lamp" else 1_000_000
        rows.append((f"stock: {item} sold, and shipped", sold.get(item, 0), shipped))
        rows.append((f"stock: {item} left", start - sold.get(item, 0), on_hand))
        rows.append((f"stock: {item} still reserved", 0, reserved))
    rows.append(("users told, once each", shop.orders, shop.number("notifications", "SELECT count(DISTINCT order_id) FROM notifications")))
    failing = [n for n in range(1, shop.orders + 1) if order(n)["card"] in ("declined", "down")]
    paid_though_failing = shop.ask("payments", "SELECT order_id FROM payments WHERE failure = '' AND order_id IN (%s)"
                                   % ",".join(map(str, failing)))
    rows.append(("cards charged that must not be", 0, len(paid_though_failing)))
    rows.append(("messages left in the outboxes", 0, shop.waiting()))
    return rows


def run(shop):
    for service in SERVICES:
        shop.start(service)
    for service in SERVICES:
        shop.await_start(service)
    shop.place()
    say(f"Sending {shop.orders} orders to four services:")
    started = time.monotonic()
    shop.work()
    seconds = time.monotonic() - started
    codes = shop.stop()
    rows = balance(shop)
    cancelled = shop.ask("orders", "SELECT count(*) FROM orders WHERE state = 'cancelled'")[0][0]
    say(f"All orders ended in {seconds:.0f} s, {shop.steps()} messages handled ({shop.steps() / seconds:.0f} a second); "
        f"{cancelled} were cancelled. The books:")
    width = max(len(row[0]) for row in rows)
    for what, expected, found in rows:
        say(f"  {what.ljust(width)}  {expected:>12}  {found:>12}{'' if expected == found else '   WRONG'}")
    wrong = [f"{what}: expected {expected}, found {found}" for what, expected, found in rows if expected != found]
    wrong += [f"{service} did not end cleanly: exit code {code}" for service, code in codes.items() if code]
    wrong += [f"{service} was never killed" for service in SERVICES if service not in shop.killed]
    return wrong


def build(broker):
    targets = {service: f"//examples/shop/{service}" for service in SERVICES}
    wanted = list(targets.values()) + ([servers.target(broker)] if servers.target(broker) else [])
    say("Building the services ...")
    if subprocess.call([run_tests.BAZEL, "build", *run_tests.PLAIN, "--ui_event_filters=-info", "--//:broker=" + broker, *wanted],
                       cwd=run_tests.TREE, stdin=subprocess.DEVNULL):
        raise SystemExit("the build failed")
    where = run_tests.bazel("info", "--//:broker=" + broker, "bazel-bin").strip()
    return {service: os.path.join(where, "examples/shop", service, service) for service in SERVICES}


def main():
    parser = argparse.ArgumentParser(prog="tools/shop", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--broker", choices=sorted(servers.BROKERS), default="sqlite")
    parser.add_argument("--orders", type=int, default=10000, metavar="N", help="how many orders, 100 at least (10000)")
    parser.add_argument("--keep", action="store_true", help="keep the databases and logs, and say where")
    options = parser.parse_args()
    if options.orders < 100:
        parser.error("--orders: 100 at least")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    programs = build(options.broker)
    folder, wrong = tempfile.mkdtemp(prefix="core-shop-"), ["did not end"]
    try:
        with servers.running(options.broker, folder) as url, contextlib.ExitStack() as stack:
            shop = Shop(folder, url, programs, options.orders)
            stack.callback(shop.end)
            wrong = run(shop)
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
    say("FAIL: the books are not as they have to be" if wrong else
        f"PASS: money and stock balance to the unit over {options.orders} orders and {len(SERVICES)} kills, and no order is stuck")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
