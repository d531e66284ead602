#!/usr/bin/env python3
"""broker_test.py CORE SERVE BROKER: what the person on call does, over a real server; of the brokers' ways it knows one."""
import contextlib
import json
import os
import re
import signal
import socket
import sys
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from core_process import LIMIT, ServerTest  # noqa: E402

BROKER = sys.argv[3]
CANARY = "cAnArY77"
KEEPS_MESSAGES = BROKER != "rabbitmq"  # To look at later.


class OverAServer(ServerTest):
    broker = BROKER

    def lines(self, *arguments):
        return [json.loads(line) for line in self.ask(*arguments).splitlines()]

    def test_a_failing_command_is_found_mended_and_its_messages_replayed(self):
        topic, group = "payments", "billing"
        self.ask("topics", "declare", topic, "--group", group)
        for n in range(4):
            self.ask("send", topic, json.dumps({"n": n}), "--key", str(n), "--header", "source=shop", "--id", f"id-{n}")
        fails = ("consumer", "--topic", topic, "--group", group, "--max-messages", "4", "--max-retries", "1", "--retry-delay", "50ms",
                 "--exec", "sh", "-c", "read line; case $line in *2*) exit 65;; *3*) echo no gateway >&2; exit 1;; esac")
        self.ask(*fails)
        lag = [line for line in self.lines("lag", "--topic", topic, "--json") if line["group"] == group]
        self.assertEqual(sum(line.get("dead", 0) for line in lag), 2, lag)
        self.assertEqual(sum(line["waiting"] for line in lag), 0, lag)
        dead = {line["payload"]["n"]: line for line in self.lines("deadletters", "list", "--group", group, "--json")}
        self.assertEqual({n: line["attempts"] for n, line in dead.items()}, {2: 1, 3: 2})
        self.assertIn("exit code 1: no gateway", dead[3]["reason"])
        # Out, away, and back again, to the byte.
        exported = self.ask("deadletters", "export", "--group", group)
        self.ask("deadletters", "purge", "--group", group, "--yes")
        self.ask("deadletters", "import", "-", text=exported)

        def without_times(text):  # A server may round them.
            keep = ("group", "handler", "attempts", "code", "error", "topic", "key", "message_id", "headers", "payload_text")
            return sorted(json.dumps([line.get(k) for k in keep]) for line in map(json.loads, text.splitlines()))
        again = self.ask("deadletters", "export", "--group", group)
        self.assertEqual(without_times(again), without_times(exported))
        self.assertEqual(len(self.ask("deadletters", "replay", "--where", "payload.n=3", "--dry-run").splitlines()), 2)
        self.assertEqual(self.ask("deadletters", "replay", "--where", "payload.n=3", "--rate", "10", "--json"), '{"replayed":1}\n')
        out = self.ask("consumer", "--topic", topic, "--group", group, "--max-messages", "1", "--exec", "sh", "-c",
                       "cat; echo \" $MESSAGE_KEY $MESSAGE_ID $MESSAGE_HEADER_SOURCE $MESSAGE_ATTEMPT\"")
        self.assertEqual(out, '{"n": 3} 3 id-3 shop 1\n')
        self.assertEqual([line["payload"]["n"] for line in self.lines("deadletters", "list", "--group", group, "--json")], [2])

    def test_topics_check_and_tail(self):
        topic = "orders"
        self.ask("topics", "declare", topic, "--group", "search")
        for n in range(5):
            self.ask("send", topic, json.dumps({"n": n}))
        self.assertIn(topic, [line["topic"] for line in self.lines("topics", "list", "--json")])
        self.assertIn("search", self.ask("topics", "describe", topic))
        self.assertNotIn("error", self.ask("check", "--topic", topic, "--group", "search").split("\n")[0])
        shown = self.lines("tail", topic, "--last", "100", "--no-follow", "--json", "--where", "payload.n!=0")
        self.assertEqual(sorted(line["payload"]["n"] for line in shown), [1, 2, 3, 4] if KEEPS_MESSAGES else [])
        self.ask("topics", "delete", topic, "--yes")
        self.assertNotIn(topic, [line["topic"] for line in self.lines("topics", "list", "--json")])

    def test_check_names_the_difference_and_the_cure(self):
        """What was made otherwise than it is needed now, as each broker can have it."""
        topic, level, found, expected, cure = "check.made", *{
            "kafka": ("warning", "max.message.bytes 1000", "max.message.bytes 1048576", "set message.max.bytes of this client"),
            "rabbitmq": ("error", "", "as this library makes it", "delete the queue when it is empty"),
            "redis": ("error", "2 partitions", "0 partitions", "give all senders and consumers the same number"),
        }[BROKER]
        made = {"kafka": ("--set", "max.message.bytes=1000"), "rabbitmq": ("--native", "queue_type=classic"), "redis": ("--native", "partitions=2")}
        self.ask("topics", "declare", topic, "--group", "g", *made[BROKER])
        code = 7 if level == "error" else 0
        text = self.ask("check", "--topic", topic, "--group", "g", code=code)
        self.assertRegex(text, r"(?m)^ok +server .*version (\d+\.\d+|not told)")
        self.assertRegex(text, rf"(?m)^{level} +topic {topic} .*\n +- .*{found}.*\n +\+ {expected}\n +cure: .*{cure}")
        lines = [line for line in map(json.loads, self.ask("check", "--topic", topic, "--group", "g", "--json", code=code).splitlines())
                 if line.get("expected") == expected]
        self.assertEqual([(line["level"], line["subject"]) for line in lines], [(level, "topic " + topic)])
        self.assertIn(found, lines[0]["found"])
        self.ask("check", "--topic", topic, "--group", "g", "--strict", code=7)
        self.ask("topics", "delete", topic, "--yes")

    def test_a_mistyped_topic_or_group_does_not_look_healthy(self):
        self.ask("topics", "declare", "known.orders", "--group", "known-billing")
        for command in (["lag"], ["deadletters", "list"]):
            self.check_refused(self.run_core(*command, "--topic", "known.ordres"), 3,
                               "core: no topic known.ordres is known on this broker; did you mean known.orders?\n")
            self.check_refused(self.run_core(*command, "--group", "known-biling"), 3,
                               "core: no group known-biling is known on this broker; did you mean known-billing?\n")
        self.check_refused(self.run_core("topics", "describe", "known.ordres"), 3, "did you mean known.orders?")
        self.ask("topics", "delete", "known.orders", "--yes")

    def test_a_group_that_is_there_is_known_though_it_has_done_nothing(self):
        self.ask("topics", "declare", "known.empty")
        consumer = self.start("consumer", "--topic", "known.empty", "--group", "known-idle")
        while "consuming" not in (line := consumer.stderr.readline()):
            self.assertTrue(line)
        for command in (["lag"], ["deadletters", "list"]):
            self.ask(*command, "--group", "known-idle")
        consumer.send_signal(signal.SIGTERM)
        self.assertEqual(consumer.wait(60), 0)
        self.ask("topics", "delete", "known.empty", "--yes")

    @unittest.skipUnless(BROKER == "redis", "the one that makes a user in a line")
    def test_no_password_comes_out_of_what_runs(self):
        """Of its answers, metrics, log lines: also when it is no longer right."""
        address = re.search(r"//([^:/]+):(\d+)", self.server_url)
        self.environment["MESSAGING_URL"] = f"redis://ann:{CANARY}@{address[1]}:{address[2]}"

        def ask_redis(line):
            with socket.create_connection((address[1], int(address[2]))) as connection:
                connection.sendall(line.encode() + b"\r\n")
                self.assertIn(connection.recv(64)[:1], b"+:")
        ask_redis(f"ACL SETUSER ann on >{CANARY} ~* &* +@all")
        consumer = self.start("consumer", "--topic", "secret", "--group", "g", "--http", "127.0.0.1:0", "--log-format", "json")
        said = [""]
        while "consuming" not in said[-1]:
            said.append(consumer.stderr.readline())
            self.assertTrue(said[-1], said)
        url = re.search(r"http://\S+", "".join(said))[0]
        self.ask("send", "secret", "1")
        self.assertIn('"payload":1', consumer.stdout.readline())
        for path in ("/status", "/metrics", "/ready", "/live"):
            with urllib.request.urlopen(url + path, timeout=LIMIT) as answer:
                said.append(answer.read().decode())
        for command in (["lag"], ["check", "--topic", "secret"], ["topics", "describe", "secret"], ["tail", "secret", "--last", "9", "--no-follow"],
                        ["config", "show"], ["send", "secret", "2"]):
            done = self.run_core(*command)
            self.assertEqual(done.returncode, 0, done.stderr)
            said += [done.stdout, done.stderr]
        ask_redis("ACL SETUSER ann resetpass >another")
        ask_redis("CLIENT KILL USER ann")
        while "cannot consume, and tries again: redis" not in said[-1] or "WRONGPASS" not in said[-1]:  # Not the first line of it.
            said.append(consumer.stderr.readline())
            self.assertTrue(said[-1], said)
        for path, code in (("/status", 200), ("/ready", 503), ("/metrics", 200)):
            with self.assertRaises(urllib.error.HTTPError) if code != 200 else contextlib.nullcontext() as refused:
                with urllib.request.urlopen(url + path, timeout=LIMIT) as answer:
                    said.append(answer.read().decode())
            if refused:
                with refused.exception as answer:
                    self.assertEqual(answer.code, code)
                    said.append(answer.read().decode())
        consumer.kill()
        out, err = consumer.communicate(timeout=LIMIT)
        for command in (["lag"], ["check"], ["send", "secret", "3", "--deadline", "1s"]):
            done = self.run_core(*command)
            self.assertNotEqual(done.returncode, 0)
            said += [done.stdout, done.stderr]
        self.assertNotIn(CANARY, "\n".join([*said, out, err]))

    def test_bench_cleans_up(self):
        (line,) = self.lines("bench", "--messages", "300", "--json")
        self.assertEqual((line["broker"], line["handled"]), (BROKER, 300))
        self.assertFalse([line for line in self.lines("topics", "list", "--json") if line["topic"].startswith("core-bench")])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[4:])
