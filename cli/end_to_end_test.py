#!/usr/bin/env python3
"""The program as a process, over the SQLite broker: what it prints, its exit codes, and that nothing is lost."""
import contextlib
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from core_process import CoreTest, LIMIT  # noqa: E402

CORE, UNPROVIDED, TWICE, STUCK = sys.argv[1:5]
class EndToEnd(CoreTest):
    # The main way.

    def test_what_is_sent_is_printed_and_sigterm_drains(self):
        self.send("orders.created", '{"n": 1}', '{"n": 2}')
        self.assertEqual(self.consume("orders.created", 2), [{"n": 1}, {"n": 2}])
        self.send("orders.created", '{"n": 3}')
        self.assertEqual(self.consume("orders.created", 1), [{"n": 3}])  # The first two were acknowledged.

    def test_consumer_that_runs_gets_what_is_sent_by_another_process(self):
        consumer = self.start("consumer", "--topic", "t")
        for n in range(5):
            self.send("t", json.dumps({"n": n}))
            self.assertEqual(json.loads(consumer.stdout.readline())["payload"], {"n": n})
        consumer.send_signal(signal.SIGINT)
        self.assertEqual(consumer.wait(LIMIT), 0)

    def test_start_names_broker_url_group_and_what_waits(self):
        self.send("t", *(str(n) for n in range(20000)))  # More than it takes in hand while nobody reads what it prints.
        consumer = self.start("consumer", "--topic", "t", "--group", "readers")
        self.assertEqual(consumer.stderr.readline(), f"core: broker sqlite, {self.url}, group readers\n")
        lines = []
        while not lines or "consuming" not in lines[-1]:
            lines.append(consumer.stderr.readline())
        self.assertIn("core: t: print\n", lines)
        waiting = re.fullmatch(r"core: consuming; (\d+) messages wait\n", lines[-1])
        self.assertTrue(waiting, lines[-1])
        self.assertTrue(0 < int(waiting[1]) <= 20000, lines[-1])

    def test_start_does_not_say_that_nothing_waits(self):
        """What is in hand, or on its way, does not wait at the broker: "0 old messages" was said of them."""
        for n in range(5):
            self.send("t", "1")
            consumer = self.start("consumer", "--topic", "t", "--group", f"g{n}")
            while "consuming" not in (line := consumer.stderr.readline()):
                pass
            self.assertRegex(line, r"^core: consuming(; [1-9]\d* messages? waits?)?\n$")

    def test_killed_consumer_loses_nothing(self):
        self.send("t", *(str(n) for n in range(200)))
        consumer = self.start("consumer", "--topic", "t")
        seen = [json.loads(consumer.stdout.readline())["payload"] for _ in range(3)]
        consumer.kill()
        seen += [json.loads(line)["payload"] for line in consumer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        consumer.wait(LIMIT)
        second = self.start("consumer", "--topic", "t")
        while len(set(seen)) < 200:
            seen.append(json.loads(second.stdout.readline())["payload"])
        self.assertEqual(set(seen), set(range(200)))

    # Standard streams that are closed.

    def test_reader_that_goes_leaves_the_rest_unacknowledged(self):
        self.send("t", *(json.dumps("x" * 1000 + str(n)) for n in range(500)))
        consumer = self.start("consumer", "--topic", "t")
        first = json.loads(consumer.stdout.readline())["payload"]
        consumer.stdout.close()
        self.assertEqual(consumer.wait(LIMIT), 6)
        self.assertIn("core: standard output: was closed\n", consumer.stderr.read())
        # What is in the pipe's buffer was printed; what was not comes again, in order, with none left out.
        again = self.start("consumer", "--topic", "t")
        rest = [json.loads(again.stdout.readline())["payload"]]
        while not rest[-1].endswith("x499"):
            rest.append(json.loads(again.stdout.readline())["payload"])
        self.assertTrue(first.endswith("x0"))
        self.assertEqual(rest, ["x" * 1000 + str(n) for n in range(500 - len(rest), 500)])
        self.assertGreater(len(rest), 300)  # A pipe holds 64 KiB.

    def test_full_disk_behind_standard_output_acknowledges_nothing(self):
        self.send("t", "1", "2")
        with open("/dev/full", "w", encoding="utf-8") as full:
            consumer = self.run_core("consumer", "--topic", "t", stdout=full)
        self.assertEqual(consumer.returncode, 6)
        self.assertIn("core: standard output: No space left on device\n", consumer.stderr)
        self.assertEqual(self.consume("t", 2), [1, 2])

    def test_standard_output_closed_from_the_start(self):
        self.send("t", "1")
        done = subprocess.run(["/bin/sh", "-c", f"'{CORE}' consumer --topic t >&-"], env=self.environment, text=True,
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 6, done.stderr)
        self.assertIn("standard output: was closed", done.stderr)
        self.assertEqual(self.consume("t", 1), [1])

    def test_standard_input_closed_from_the_start(self):
        done = subprocess.run(["/bin/sh", "-c", f"'{CORE}' send t - <&-"], env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr, "core: standard input: it was closed\n")
        self.assertIn("sent 0 messages", done.stdout)

    # Health and metrics.

    def start_with_http(self, *arguments, program=None):
        """The consumer and where it answers, once it consumes."""
        consumer = self.start("consumer", "--http", "127.0.0.1:0", *arguments, program=program)
        address = None
        while "consuming" not in (line := consumer.stderr.readline()):
            self.assertTrue(line, "it ended before it consumed")
            if "health and metrics: " in line:
                address = line.split()[-1]
        return consumer, address

    def ask(self, url):
        """Status code and text."""
        try:
            with urllib.request.urlopen(url, timeout=LIMIT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def test_http_shows_what_a_consumer_does(self):
        consumer, url = self.start_with_http("--topic", "t", "--group", "readers")
        self.assertEqual(self.ask(url + "/ready"), (200, "ok\n"))
        self.assertEqual(self.ask(url + "/live"), (200, "ok\n"))
        self.send("t", "1", "2")
        for _ in range(2):
            consumer.stdout.readline()
        while 'messaging_handled_messages_total{handler="print",topic="t",code="OK"} 2\n' not in self.ask(url + "/metrics")[1]:
            pass  # What was printed is counted a moment later.
        status = json.loads(self.ask(url + "/status")[1])
        self.assertEqual((status["broker"], status["group"], status["phase"]), ("sqlite", "readers", "consuming"))
        self.assertEqual(status["handlers"][0]["topics"], ["t"])
        consumer.send_signal(signal.SIGTERM)
        self.assertEqual(consumer.wait(LIMIT), 0)

    def test_stuck_handler_turns_live_and_ready_red_and_draining_is_told(self):
        self.send("stuck", "1")
        consumer, url = self.start_with_http("--stuck-after", "50ms", program=STUCK)
        self.assertEqual(consumer.stdout.readline(), "began\n")
        while (answer := self.ask(url + "/live"))[0] == 200:
            pass
        self.assertRegex(answer[1], r"^handler Stick has not returned for [\d.]+m?s, and 0 more wait for it\n$")
        code, why = self.ask(url + "/ready")
        self.assertEqual(code, 503)
        self.assertRegex(why, r"^progress: handler Stick has not returned for [\d.]+m?s, and 0 more wait for it\n$")
        consumer.send_signal(signal.SIGTERM)
        while "stopping: up to 30s" not in consumer.stderr.readline():
            pass
        while "drain: " not in (why := self.ask(url + "/ready")[1]):
            pass
        self.assertEqual(why.splitlines()[1:], ["drain: draining, 1 messages in hand"])

    def test_address_that_cannot_be_served(self):
        _, url = self.start_with_http("--topic", "t")
        taken = url.removeprefix("http://")
        done = self.run_core("consumer", "--topic", "t", "--http", taken)
        self.assertEqual(done.returncode, 3)
        self.assertIn(f"core: cannot listen on {taken}: it is in use", done.stderr)
        done = self.run_core("consumer", "--topic", "t", "--http", "localhost")
        self.assertEqual(done.returncode, 3)
        self.assertIn("'localhost' is no HOST:PORT", done.stderr)

    def test_pause_and_resume_by_signal_and_by_http(self):
        self.environment["MESSAGING_HTTP_TOKEN"] = "canary-7261"
        consumer, url = self.start_with_http("--topic", "t")
        said = []

        def until(part):
            while part not in (line := consumer.stderr.readline()):
                said.append(line)

        def post(path, token):
            request = urllib.request.Request(url + path, method="POST", headers={"Authorization": "Bearer " + token})
            try:
                with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                return error.code

        consumer.send_signal(signal.SIGUSR1)
        until("paused; SIGUSR2 lets it go on")
        self.send("t", "1")
        self.assertEqual(self.ask(url + "/ready")[0], 503)
        consumer.send_signal(signal.SIGUSR2)
        until("goes on")
        self.assertEqual(json.loads(consumer.stdout.readline())["payload"], 1)
        self.assertEqual(post("/pause?topic=t", "canary"), 401)
        self.assertEqual(post("/pause?topic=t", "canary-7261"), 200)
        self.send("t", "2")
        self.assertEqual(post("/resume?topic=t", "canary-7261"), 200)
        self.assertEqual(json.loads(consumer.stdout.readline())["payload"], 2)
        consumer.send_signal(signal.SIGTERM)
        out, err = consumer.communicate(timeout=LIMIT)
        self.assertEqual(consumer.returncode, 0)
        for text in (out, err, *said, self.run_core("consumer", "--help").stdout):
            self.assertNotIn("canary-7261", text)

    def test_log_as_json(self):
        consumer = self.start("consumer", "--topic", "t", "--log-format", "json")
        while "consuming" not in consumer.stderr.readline():
            pass
        consumer.send_signal(signal.SIGUSR1)
        while not (line := consumer.stderr.readline()).startswith("{"):
            pass
        line = json.loads(line)
        self.assertEqual((line["message"], line["severity"], line["handler"]), ("handler print is paused", "info", "print"))

    def test_one_line_for_a_change_and_none_for_a_message(self):
        said = {}
        for topic, count in (("one", 1), ("many", 500)):
            self.send(topic, *["1"] * count)
            done = self.run_core("consumer", "--topic", topic, "--max-messages", str(count))
            said[topic] = [re.sub(r"\d+", "N", line).replace("messages", "message").replace(topic, "T").split("; N")[0] for line in done.stderr.splitlines()]
        self.assertEqual(said["one"], said["many"])
        self.assertEqual(len(said["one"]), 4, said)

    # Bad input.

    def test_malformed_line_in_a_file(self):
        path = os.path.join(self.folder, "orders.ndjson")
        lines = ['{"n": %d}' % n for n in range(1, 1001)]
        lines[499] = '{"n": 500'
        with open(path, "w", encoding="utf-8") as f:
            f.write("\n".join(lines))
        done = self.run_core("send", "t", "--file", path)
        self.assertEqual(done.returncode, 4)
        self.assertRegex(done.stderr, rf"^core: {path}: line 500: not JSON at byte \d+: [^\n]+\n$")
        self.assertRegex(done.stdout, r"^sent 999 messages to t in [\d.]+ s \([\d,]+/s\); 1 malformed\n$")
        self.assertEqual([p["n"] for p in self.consume("t", 999)], [n for n in range(1, 1001) if n != 500])

    def test_unknown_and_unlinked_brokers(self):
        self.check_refused(self.run_core("send", "t", "1", "--broker", "pigeon"), 3, "pigeon", "sqlite")
        # The bundled program has every broker; this one has SQLite alone.
        done = self.run_core("send", "t", "1", "--url", "redis://user:hidden@host", program=UNPROVIDED)
        self.check_refused(done, 3, "redis", "@core_messaging//redis")
        self.assertNotIn("hidden", done.stderr)

    def test_a_server_that_is_not_there_is_named(self):
        done = self.run_core("consumer", "--topic", "t", "--url", "redis://user:hidden@127.0.0.1:1/0?start_timeout=1s")
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("redis 127.0.0.1:1: Connection refused", done.stderr)
        self.assertNotIn("hidden", done.stderr)

    def test_malformed_urls(self):
        for url in ("messages.db", "sqlite:/x", "sqlite:///a b\n"):
            self.check_refused(self.run_core("consumer", "--topic", "t", "--url", url), 3)

    def test_broken_places_for_the_database(self):
        missing = os.path.join(self.folder, "missing", "messages.db")
        corrupt = os.path.join(self.folder, "corrupt.db")
        with open(corrupt, "wb") as f:
            f.write(b"this is no database, though it is longer than a header of one. " * 100)
        for path in (missing, corrupt, self.folder, "/proc/messages.db"):
            for command in (("send", "t", "1"), ("consumer", "--topic", "t"), ("deadletters", "list")):
                done = self.run_core(*command, "--url", "sqlite://" + path)
                self.assertIn(done.returncode, (1, 3), f"{command} {path}: {done.stderr}")
                said = [line for line in done.stderr.splitlines() if path in line]
                self.assertTrue(said, f"{command} {path}: {done.stderr}")
        with open(corrupt, "rb") as f:
            self.assertEqual(f.read(23), b"this is no database, th")  # Left as it was.

    def test_a_database_of_another_program(self):
        path = os.path.join(self.folder, "other.db")
        with contextlib.closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE theirs (x)")
        for command in (("send", "t", "1"), ("consumer", "--topic", "t"), ("lag",)):
            done = self.run_core(*command, "--url", "sqlite://" + path)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn("it belongs to another program; name a file of its own", done.stderr)

    @unittest.skipIf("TSAN_OPTIONS" in os.environ, "the limit also holds for ThreadSanitizer's own files")
    def test_full_disk(self):
        self.send("t", "1")
        limit = os.path.getsize(self.path) + 256 * 1024
        line = json.dumps("x" * 10000)

        def set_limit():
            import resource
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        done = self.run_core("send", "t", "-", "--deadline", "2s", text=(line + "\n") * 300, preexec_fn=set_limit)
        self.assertEqual(done.returncode, 4, done.stderr)
        self.assertRegex(done.stderr, r"standard input: lines? [\d, -]+ (refused|not known to be stored): ")
        sent = int(done.stdout.split()[1])
        self.assertGreater(sent, 0)
        consumer = self.start("consumer", "--topic", "t")
        for _ in range(sent + 1):  # What was accepted is there.
            self.assertTrue(consumer.stdout.readline())

    def test_unknown_flags_and_commands(self):
        self.check_refused(self.run_core("consumer", "--topics", "t"), 2, "--topics", "--topic?")
        self.check_refused(self.run_core("sned", "t", "1"), 2, "did you mean send?")

    def test_no_handler(self):
        self.check_refused(self.run_core("consumer"), 3, "no handlers are linked")
        done = self.run_core("consumer", "--topic", "nothing", program=STUCK)
        self.assertEqual(done.returncode, 3)
        self.assertIn("no handler for topic nothing; there are handlers for stuck", done.stderr)

    def test_type_not_provided(self):
        done = self.run_core("consumer", program=UNPROVIDED)
        self.assertEqual(done.returncode, 3)
        wrong = [line for line in done.stderr.splitlines() if "Gateway" in line]
        self.assertEqual(len(wrong), 2, done.stderr)  # A line for each handler.
        self.assertIn("ChargePayment", wrong[0])
        self.assertIn("RefundPayment", wrong[1])

    def test_duplicate_handler_name(self):
        done = self.run_core("consumer", program=TWICE)
        self.assertEqual(done.returncode, 3)
        self.assertIn("two handlers are called Handle: give one of them a .name of its own\n", done.stderr)

    # Terminals.

    def test_progress_is_shown_on_a_terminal_only(self):
        lines = '{"n": 1}\n' * 5000
        controller, terminal = pty.openpty()
        sender = self.start("send", "t", "-", stdin=subprocess.PIPE, stderr=terminal)
        os.close(terminal)
        out, _ = sender.communicate(lines, timeout=LIMIT)
        shown = os.read(controller, 65536).decode()
        os.close(controller)
        self.assertIn("sent 5,000 messages", out)
        self.assertRegex(shown, r"[\d,]+ sent  [\d,]+/s")
        self.assertEqual(self.run_core("send", "t", "-", text=lines).stderr, "")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[5:])
