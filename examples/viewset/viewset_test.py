#!/usr/bin/env python3
"""The service as a client sees it, by curl; what it published, as a consumer sees it.

  viewset_test.py VIEWSET AUDIT SERVE sqlite|postgres
"""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

VIEWSET, AUDIT, SERVE, DATABASE = (os.path.abspath(p) if "/" in p else p for p in sys.argv[1:5])
LIMIT = 60
ORDER = {"user_id": 3, "item": "pen", "total": 9.5}


def await_true(condition, what):
    limit = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"{what}: not within {LIMIT} s")
        time.sleep(0.02)


class Service:
    """A viewset that runs; a consumer of what it publishes."""

    def __init__(self, folder, database, *flags):
        self.folder, self.database, self.flags = folder, database, flags
        self.environment = {**os.environ, "MESSAGING_URL": f"sqlite://{folder}/messages.db"}
        self.audit_log = os.path.join(folder, "audit.log")
        self.audit = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([VIEWSET, "--listen=127.0.0.1:0", f"--database={self.database}", *self.flags],
                                        env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        found = re.fullmatch(r"listening on (http://127\.0\.0\.1:\d+)\n", line)
        assert found, f"it said {line!r}"
        self.url = found[1]

    def curl(self, method, path, body=None, content_type="application/json"):
        """Status, body (as JSON where it is), headers as text."""
        command = ["curl", "-sS", "--max-time", str(LIMIT), "-X", method, "-D", "-", self.url + path]
        if body is not None:
            command += ["-H", f"Content-Type: {content_type}", "--data-binary", "@-"]
        text = body if isinstance(body, (str, bytes)) or body is None else json.dumps(body)
        done = subprocess.run(command, input=text.encode() if isinstance(text, str) else text, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        while head.startswith(b"HTTP/1.1 100"):
            head, _, rest = rest.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(rest) if rest else None, head.decode()

    def published(self):
        """What a consumer got, so far."""
        if self.audit is None:
            with open(self.audit_log, "wb") as log:
                self.audit = subprocess.Popen([AUDIT, "consumer"], env=self.environment, stdin=subprocess.DEVNULL, stdout=log,
                                              stderr=subprocess.DEVNULL)
        with open(self.audit_log, encoding="utf-8") as log:
            whole = [line for line in log if line.endswith("\n")]  # The last one may be in the middle of being written.
        return [json.loads(line.removeprefix("created ")) for line in whole if line.startswith("created ")]

    def kill(self):
        self.process.kill()
        self.process.wait(LIMIT)
        self.process.stdout.close()

    def stop(self):
        if self.audit is not None:
            self.audit.terminate()
            self.audit.wait(LIMIT)
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(LIMIT)
        if not self.process.stdout.closed:
            self.process.stdout.close()


class ViewsetTest(unittest.TestCase):
    number = 0

    @contextlib.contextmanager
    def service(self, *flags):
        ViewsetTest.number += 1
        with tempfile.TemporaryDirectory() as folder:
            database = f"sqlite://{folder}/viewset.db"
            if DATABASE == "postgres":
                name = f"viewset{ViewsetTest.number}"
                database = POSTGRES.rsplit("/", 1)[0] + "/" + name
                subprocess.run(["psql", "-q", POSTGRES, "-c", f"CREATE DATABASE {name}"], check=True)
            service = Service(folder, database, *flags)
            try:
                yield service
            finally:
                service.stop()

    def problem(self, answer, status):
        code, body, headers = answer
        self.assertEqual(code, status, body)
        self.assertIn("application/problem+json", headers)
        self.assertEqual(body["status"], status)
        return body

    def test_rows_come_and_go(self):
        with self.service() as service:
            self.assertEqual(service.curl("GET", "/orders")[:2], (200, {"results": []}))
            code, made, headers = service.curl("POST", "/orders", ORDER)
            self.assertEqual((code, made), (201, {"id": 1, **ORDER}))
            self.assertIn("Location: /orders/1", headers)
            self.assertEqual(service.curl("GET", "/orders/1")[:2], (200, made))
            changed = {**ORDER, "total": 12}
            self.assertEqual(service.curl("PUT", "/orders/1", changed)[:2], (200, {"id": 1, **changed}))
            for _ in range(2):
                service.curl("POST", "/orders", ORDER)
            self.assertEqual([row["id"] for row in service.curl("GET", "/orders?after=1&limit=1")[1]["results"]], [2])
            self.assertEqual(service.curl("DELETE", "/orders/2")[0], 204)
            self.problem(service.curl("GET", "/orders/2"), 404)
            self.assertEqual([row["id"] for row in service.curl("GET", "/orders")[1]["results"]], [1, 3])

    def test_bad_input_is_a_problem_that_says_which_field(self):
        with self.service() as service:
            errors = self.problem(service.curl("POST", "/orders", {"user_id": "three", "total": -1, "colour": "red"}), 422)["errors"]
            self.assertEqual(errors, {"user_id": "is not an integer", "item": "is missing", "colour": "is not a field"})
            self.assertEqual(self.problem(service.curl("POST", "/orders", {**ORDER, "total": -1}), 422)["errors"],
                             {"total": "is negative or no number"})
            self.problem(service.curl("POST", "/orders", {**ORDER, "item": "a\0b"}), 422)
            self.problem(service.curl("POST", "/orders", {**ORDER, "user_id": 2**63}), 422)
            self.problem(service.curl("POST", "/orders", "{"), 400)
            self.problem(service.curl("POST", "/orders", b"\xff\xfe"), 400)
            self.problem(service.curl("POST", "/orders", "[]"), 422)
            self.problem(service.curl("POST", "/orders", "x=1", content_type="application/x-www-form-urlencoded"), 415)
            self.problem(service.curl("POST", "/orders", " " * (1 << 21)), 413)
            self.problem(service.curl("GET", "/orders?limit=many"), 400)
            self.problem(service.curl("GET", "/nowhere"), 404)
            self.problem(service.curl("PUT", "/orders/7", ORDER), 404)
            self.problem(service.curl("DELETE", "/orders/7"), 404)
            self.assertEqual(service.curl("GET", "/orders")[1], {"results": []})
            self.assertEqual(service.published(), [])

    def events(self, *flags):
        with self.service(*flags) as service:
            rows = [service.curl("POST", "/orders", {**ORDER, "total": total})[1] for total in range(10)]
            await_true(lambda: len(service.published()) >= 10, "events")
            wanted = [{"order_id": row["id"], "user_id": 3, "total": float(row["total"])} for row in rows]
            self.assertCountEqual(service.published(), wanted)

    def test_a_new_order_is_published(self):
        self.events()

    def test_a_new_order_is_published_through_the_outbox(self):
        self.events("--outbox")

    def test_sigterm_answers_what_is_in_hand(self):
        with self.service("--outbox") as service:
            running = [subprocess.Popen(["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "-H", "Content-Type: application/json",
                                         "-d", json.dumps(ORDER), service.url + "/orders"], stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True) for _ in range(20)]
            await_true(lambda: service.curl("GET", "/orders")[1]["results"], "a first order")
            service.process.send_signal(signal.SIGTERM)
            self.assertEqual(service.process.wait(LIMIT), 0)
            codes = [process.communicate()[0] for process in running]
            self.assertLessEqual(set(codes), {"201", "000"})  # Answered, or never accepted; nothing in between.
            service.process.stdout.close()
            service.start()
            rows = service.curl("GET", "/orders?limit=100")[1]["results"]
            self.assertEqual(len(rows), codes.count("201"))
            await_true(lambda: len(service.published()) >= len(rows), "events")
            self.assertEqual({event["order_id"] for event in service.published()}, {row["id"] for row in rows})

    def test_killed_with_an_outbox_each_order_has_its_event(self):
        with self.service("--outbox") as service:
            for round_ in range(3):
                clients = [subprocess.Popen(["curl", "-sS", "-o", os.devnull, "-H", "Content-Type: application/json", "-d",
                                             json.dumps(ORDER), service.url + "/orders"], stderr=subprocess.DEVNULL)
                           for _ in range(10)]
                await_true(lambda n=round_: len(service.curl("GET", "/orders?limit=100")[1]["results"]) > 3 * n, "some orders")
                service.kill()
                for client in clients:
                    client.wait(LIMIT)
                service.start()
            rows = {row["id"] for row in service.curl("GET", "/orders?limit=100")[1]["results"]}
            await_true(lambda: {event["order_id"] for event in service.published()} >= rows, "events")
            self.assertEqual({event["order_id"] for event in service.published()}, rows)

    def test_probes(self):
        with self.service() as service:
            self.assertEqual(service.curl("GET", "/live")[0], 200)
            self.assertEqual(service.curl("GET", "/ready")[0], 200)


if __name__ == "__main__":
    POSTGRES = None
    server = None
    if DATABASE == "postgres":
        server = subprocess.Popen([SERVE, "postgres"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        POSTGRES = server.stdout.readline().strip()
    try:
        done = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2)
    finally:
        if server:
            server.stdin.close()
            server.wait(LIMIT)
    sys.exit(not done.result.wasSuccessful())
