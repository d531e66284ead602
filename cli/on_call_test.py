#!/usr/bin/env python3
"""What the person on call asks, over the SQLite broker: lag, check, topics, tail."""
import json
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from core_process import CoreTest, LIMIT  # noqa: E402


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


class OnCall(CoreTest):
    def ask(self, *arguments, code=0):
        done = self.run_core(*arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout

    # Lag.

    def test_lag_counts_by_topic_and_group(self):
        self.send("orders", "1", "2", "3")
        self.consume("orders", 3)
        self.send("orders", "4", "5")
        table = self.ask("lag").splitlines()
        self.assertRegex(table[0], r"^TOPIC +GROUP +PARTITION +WAITING +IN FLIGHT +RETRYING +NEXT RETRY +DEAD")
        self.assertRegex(table[1], r"^orders +core +- +2 +0 +0 +- +0 +\S+ +0$")
        (line,) = json_lines(self.ask("lag", "--topic", "orders", "--json"))
        self.assertEqual((line["group"], line["waiting"], line["dead"], line["members"]), ("core", 2, 0, 0))

    def test_lag_of_nothing_says_so(self):
        done = self.run_core("lag")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", "core: no group consumes a topic\n"))

    def test_watch_looks_again_until_it_is_stopped(self):
        self.ask("topics", "declare", "orders", "--group", "g")
        watch = self.start("lag", "--watch", "--interval", "20ms", "--json")
        self.assertEqual(json.loads(watch.stdout.readline())["waiting"], 0)
        self.send("orders", "1")
        while json.loads(watch.stdout.readline())["waiting"] != 1:
            pass
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=LIMIT)
        self.assertEqual(watch.returncode, 0)

    # Check.

    def test_check_finds_nothing_wrong_here(self):
        text = self.ask("check", "--topic", "orders", "--group", "billing")
        self.assertRegex(text, r"(?m)^ok +file +\S+messages.db can be written, answered in ")
        self.assertRegex(text, r"(?m)^ok +topic orders +is not there yet")

    def test_check_names_cure_and_difference(self):
        self.environment["MESSAGING_URL"] = self.url + "?synchronous=NORMAL"
        text = self.ask("check")
        self.assertRegex(text, r"(?m)^warning +durability +.*\n +- synchronous NORMAL\n +\+ synchronous FULL\n +cure: synchronous=FULL")
        found = [line for line in json_lines(self.ask("check", "--json")) if line["level"] == "warning"]
        self.assertEqual(found[0]["expected"], "synchronous FULL")
        self.ask("check", "--strict", code=7)

    def test_check_without_a_server_is_a_finding_with_its_cure(self):
        url = "redis://ann:canary@127.0.0.1:1/0?start_timeout=100ms"
        hidden = url.replace("canary", "***")
        for arguments, variables, source in ((("--url", url), {}, "flag"), ((), {"REDIS_URL": url}, "environment REDIS_URL"),
                                             ((), {"MESSAGING_URL": url}, "environment MESSAGING_URL")):
            self.environment = {k: v for k, v in self.environment.items() if k not in ("MESSAGING_URL", "REDIS_URL")} | variables
            done = self.run_core("check", *arguments)
            self.assertEqual((done.returncode, done.stderr), (1, ""))
            self.assertEqual(done.stdout, "error    broker  redis 127.0.0.1:1: Connection refused\n         cure: is it running, and to be reached "
                             f"from here? asked was {hidden} ({source}); another one: --url URL, MESSAGING_URL, or url in a file of --config\n")
            done = self.run_core("check", "--json", *arguments)
            self.assertEqual((done.returncode, done.stderr), (1, ""))
            (line,) = json_lines(done.stdout)
            self.assertEqual((line["level"], line["subject"], line["message"]), ("error", "broker", "redis 127.0.0.1:1: Connection refused"))
            self.assertIn(hidden, line["cure"])

    def test_check_that_cannot_look(self):
        self.environment["MESSAGING_URL"] = "sqlite:///nowhere/messages.db"
        (line,) = json_lines(self.ask("check", "--json", code=1))
        self.assertIn("the folder must exist", line["message"])
        self.assertTrue(line["cure"].startswith("asked was sqlite:///nowhere/messages.db (environment MESSAGING_URL); "), line)
        (line,) = json_lines(self.ask("check", "--json", "--url", "pigeon://ann:canary@h/", code=3))
        self.assertIn("pigeon:// is not linked", line["message"])
        self.assertNotIn("canary", str(line))

    # Topics.

    def test_topics(self):
        self.assertEqual(self.run_core("topics", "list").stderr, "core: no topics\n")
        self.assertEqual(self.ask("topics", "declare", "orders", "--group", "a", "--group", "b"),
                         "declared orders with groups a, b\n")
        self.send("orders", "1", "2")
        self.assertRegex(self.ask("topics", "list"), r"\norders +- +2 +\? +a, b\n$")
        self.assertEqual(json_lines(self.ask("topics", "list", "--json")),
                         [{"topic": "orders", "messages": 2, "groups": ["a", "b"]}])
        page = self.ask("topics", "describe", "orders")
        self.assertRegex(page, r"(?m)^messages +2$")
        self.assertRegex(page, r"(?m)^orders +b +- +2 ")
        self.check_refused(self.run_core("topics", "describe", "none"), 3, "no topic none is known on this broker\n")
        self.check_refused(self.run_core("topics", "declare", "a b"), 2, "is not [A-Za-z0-9._-]")
        self.check_refused(self.run_core("topics", "declare", "t", "--set", "x"), 2, "is not NAME=VALUE")
        self.check_refused(self.run_core("topics", "declare", "t", "--set", "x=1"), 3, "sqlite knows no settings")

    def test_a_topic_is_deleted_only_when_that_is_meant_and_nobody_consumes_it(self):
        self.send("orders", "1")
        self.check_refused(self.run_core("topics", "delete", "orders"), 2, "add --yes")
        consumer = self.start("consumer", "--topic", "orders")
        consumer.stdout.readline()
        self.check_refused(self.run_core("topics", "delete", "orders", "--yes"), 3, "group core consumes orders")
        consumer.send_signal(signal.SIGTERM)
        consumer.communicate(timeout=LIMIT)
        self.assertEqual(self.ask("topics", "delete", "orders", "--yes"), "deleted orders\n")
        self.assertEqual(self.ask("topics", "list", "--json"), "")
        self.ask("topics", "declare", "orders")  # It is listed again, though nothing is in it.
        self.assertEqual(len(json_lines(self.ask("topics", "list", "--json"))), 1)

    def test_a_mistyped_topic_or_group_does_not_look_healthy(self):
        self.ask("topics", "declare", "orders", "--group", "billing")
        self.ask("topics", "declare", "payments")
        topic, group = "no topic ordres is known on this broker; did you mean orders?\n", "no group biling is known on this broker; did you mean billing?\n"
        for json_too in ([], ["--json"]):
            for command in (["lag"], ["deadletters", "list"], ["deadletters", "show"]):
                self.check_refused(self.run_core(*command, "--topic", "ordres", *json_too), 3, "core: " + topic)
                self.check_refused(self.run_core(*command, "--group", "biling", *json_too), 3, "core: " + group)
                self.check_refused(self.run_core(*command, "--topic", "orders", "--group", "biling", *json_too), 3, group)
            self.check_refused(self.run_core("topics", "describe", "ordres", *json_too), 3, topic)
            self.check_refused(self.run_core("tail", "ordres", "--no-follow", *json_too), 3, topic)
        self.check_refused(self.run_core("lag", "--topic", "ordres", "--watch"), 3, topic)
        self.check_refused(self.run_core("deadletters", "export", "--topic", "ordres"), 3, topic)
        self.check_refused(self.run_core("deadletters", "replay", "--topic", "ordres"), 3, topic)
        self.check_refused(self.run_core("deadletters", "replay", "--topic", "ordres", "--dry-run"), 3, topic)
        self.check_refused(self.run_core("deadletters", "purge", "--group", "biling"), 3, group)
        done = self.run_core("deadletters", "purge", "--group", "biling", "--yes")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "0 dead letters deleted\n", "core: " + group))
        self.check_refused(self.run_core("lag", "--topic", "xyz"), 3, "no topic xyz is known on this broker\n")

    def test_what_is_there_and_empty_is_no_error(self):
        self.ask("topics", "declare", "orders", "--group", "billing")
        self.ask("topics", "declare", "payments")
        for arguments, said in ((("lag", "--topic", "payments"), "no group consumes topic payments"),
                                (("lag", "--topic", "payments", "--group", "billing"), "group billing does not consume topic payments"),
                                (("deadletters", "list", "--topic", "orders", "--group", "billing"), "no dead letters")):
            done = self.run_core(*arguments)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", f"core: {said}\n"))

    # Tail.

    def test_tail_of_what_is_not_there_yet_says_so_and_waits(self):
        self.ask("topics", "declare", "orders")
        tail = self.start("tail", "ordres")
        self.assertEqual(tail.stderr.readline(), "core: no topic ordres is known on this broker; did you mean orders? (waiting for it)\n")
        self.send("ordres", "1")
        self.assertIn("1", tail.stdout.readline())
        tail.send_signal(signal.SIGINT)
        self.assertEqual(tail.wait(LIMIT), 0)
        self.assertEqual(tail.stderr.read(), "")

    def test_tail_shows_what_was_sent_and_moves_no_group(self):
        self.send("orders", '{"n": 1}', '{"n": 2}', '{"n": 3}')
        lines = json_lines(self.ask("tail", "orders", "--last", "2", "--no-follow", "--json"))
        self.assertEqual([line["payload"]["n"] for line in lines], [2, 3])
        lines = json_lines(self.ask("tail", "orders", "--since", "1h", "--no-follow", "--json", "--where", "payload.n=2"))
        self.assertEqual([line["payload"]["n"] for line in lines], [2])
        self.assertRegex(self.ask("tail", "orders", "--last", "1", "--no-follow"), r'^\d{4}-\d\d-\d\d \S+  \{"n": 3\}\n$')
        self.assertEqual(self.ask("lag", "--json"), "")
        self.assertEqual(len(self.consume("orders", 3)), 3)

    def test_tail_follows(self):
        self.send("orders", '{"n": 0}')
        tail = self.start("tail", "orders", "--json", "--last", "1", "--where", "payload.n!=2")
        seen = [json.loads(tail.stdout.readline())["payload"]["n"]]
        for n in (1, 2, 3):
            self.send("orders", json.dumps({"n": n}))
        seen += [json.loads(tail.stdout.readline())["payload"]["n"] for _ in range(2)]
        self.assertEqual(seen, [0, 1, 3])
        tail.send_signal(signal.SIGTERM)
        self.assertEqual(tail.wait(LIMIT), 0)

    def test_tail_ends_by_itself(self):
        self.send("orders", *"12345")
        self.assertEqual(len(self.ask("tail", "orders", "--last", "9", "--max-messages", "3").splitlines()), 3)
        self.check_refused(self.run_core("tail", "orders", "--where", "what"), 2, "payload.FIELD")
        tail = self.start("tail", "orders")
        tail.stdout.close()
        self.assertEqual(tail.wait(LIMIT), 6)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
