#!/usr/bin/env python3
"""core consumer --exec, its limits, and what core send can do, over the SQLite broker."""
import base64
import json
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from core_process import CoreTest, LIMIT  # noqa: E402


class Exec(CoreTest):
    def exec(self, *arguments, topic="t", count=1):
        """Runs `core consumer` for `count` messages: what it and its commands wrote."""
        done = self.run_core("consumer", "--topic", topic, "--max-messages", str(count), *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def dead(self):
        return [json.loads(line) for line in self.run_core("deadletters", "list", "--json").stdout.splitlines()]

    def test_payload_and_metadata(self):
        self.run_core("send", "t", '{"n": 1}', "--key", "k;$(id)", "--header", "trace-id=a b\n*", "--id", "own")
        self.environment["SECRET_ELSEWHERE"] = "kept"
        done = self.exec("--exec", "sh", "-c", "cat; echo; env")
        self.assertEqual(done.stdout.splitlines()[0], '{"n": 1}')
        seen = done.stdout
        for line in ("MESSAGE_TOPIC=t", "MESSAGE_ID=own", "MESSAGE_KEY=k;$(id)", "MESSAGE_HEADER_TRACE_ID=a b\n*",
                     "MESSAGE_CONTENT_TYPE=application/json", "MESSAGE_ATTEMPT=1", "MESSAGE_MAX_ATTEMPTS=4",
                     "MESSAGE_REDELIVERED=0", "MESSAGE_GROUP=core", "MESSAGE_HANDLER=exec", "SECRET_ELSEWHERE=kept"):
            self.assertIn(line + "\n", seen)
        self.assertRegex(seen, r"(?m)^MESSAGE_TIMESTAMP=\d{4}-\d\d-\d\dT.*\+00:00$")
        self.assertIn(json.dumps([{"name": "trace-id", "value": "a b\n*"}], separators=(",", ":")), seen)

    def test_arguments_never_meet_a_shell(self):
        self.send("t", "1")
        done = self.exec("--exec", "printf", "%s|", "$HOME", "`id`", "; ls", "--topic", "*", "")
        self.assertEqual(done.stdout, "$HOME|`id`|; ls|--topic|*||")

    def test_secrets_stay_here(self):
        self.environment |= {"REDIS_URL": "redis://u:canary@h", "OTHER_URL": "amqps://u:canary@h/x", "MESSAGING_GROUP": "g",
                             "PLAIN_URL": "https://h/"}
        self.send("t", "1")
        done = self.exec("--exec", "env")
        self.assertNotIn("canary", done.stdout)
        self.assertNotRegex(done.stdout, "(?m)^MESSAGING_")
        self.assertIn("PLAIN_URL=https://h/\n", done.stdout)
        self.assertIn("MESSAGE_GROUP=g\n", done.stdout)

    def test_exit_codes_decide(self):
        for n, code in enumerate((0, 65, 7)):
            self.run_core("send", "t", str(n), "--header", f"code={code}")
        done = self.exec("--max-retries", "1", "--retry-delay", "10ms", "--exec", "sh", "-c",
                         'echo attempt $MESSAGE_ATTEMPT; echo "why: bad $MESSAGE_HEADER_CODE" >&2; exit $MESSAGE_HEADER_CODE', count=3)
        self.assertEqual(sorted(done.stdout.split()), ["1", "1", "1", "2"] + ["attempt"] * 4)
        self.assertIn("why: bad 7\n", done.stderr)
        dead = {letter["payload"]: letter for letter in self.dead()}
        self.assertEqual(set(dead), {1, 2})
        self.assertEqual((dead[1]["attempts"], dead[1]["reason"]), (1, "INVALID_ARGUMENT: sh: exit code 65: why: bad 65"))
        self.assertEqual((dead[2]["attempts"], dead[2]["reason"]), (2, "UNKNOWN: sh: exit code 7: why: bad 7"))

    def test_a_command_that_takes_too_long_is_ended(self):
        self.send("t", "1")
        self.exec("--max-retries", "0", "--exec-timeout", "100ms", "--exec", "sleep", "100")
        self.assertIn("sleep did not end within 100ms", self.dead()[0]["reason"])

    def test_a_command_that_is_killed(self):
        self.send("t", "1")
        self.exec("--max-retries", "0", "--exec", "sh", "-c", "kill -9 $$")
        self.assertIn("ABORTED: sh: signal 9", self.dead()[0]["reason"])

    def test_ctrl_c_leaves_the_command_to_finish(self):
        self.send("t", "1")
        consumer = self.start("consumer", "--topic", "t", "--exec", "sh", "-c", "echo begun; sleep 1; echo finished",
                              start_new_session=True)
        self.assertEqual(consumer.stdout.readline(), "begun\n")
        os.killpg(consumer.pid, signal.SIGINT)  # As a terminal does.
        out, _ = consumer.communicate(timeout=LIMIT)
        self.assertEqual((consumer.returncode, out), (0, "finished\n"))
        self.assertEqual(json.loads(self.run_core("lag", "--json").stdout)["waiting"], 0)

    def test_a_killed_consumer_takes_its_command_along(self):
        self.send("t", "1")
        consumer = self.start("consumer", "--topic", "t", "--exec", "sh", "-c", "echo $$; exec sleep 100")
        pid = int(consumer.stdout.readline())
        consumer.kill()
        consumer.wait(LIMIT)
        while self.runs(pid):
            time.sleep(0.01)

    @staticmethod
    def runs(pid):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as f:
                return f.read().split()[2] != "Z"
        except OSError:
            return False

    def test_keys_keep_their_order(self):
        self.send("t", *(str(n) for n in range(6)))
        for n in range(6):
            self.run_core("send", "ordered", str(n), "--key", "one")
        done = self.exec("--concurrency", "4", "--exec", "cat", topic="ordered", count=6)
        self.assertEqual(done.stdout, "012345")

    def test_what_cannot_be_run(self):
        done = self.run_core("consumer", "--topic", "t", "--exec", "no-such-program")
        self.assertEqual(done.returncode, 3)
        self.assertIn("core: there is no program no-such-program\n", done.stderr)
        self.check_refused(self.run_core("consumer", "--topic", "t", "--exec"), 2, "--exec: a command is missing")
        self.check_refused(self.run_core("consumer", "--exec", "cat"), 3, "name topics with --topic")

    # How a consumer ends by itself.

    def test_as_many_as_asked_for_and_no_more(self):
        self.send("t", *(str(n) for n in range(50)))
        done = self.run_core("consumer", "--topic", "t", "--max-messages", "20")
        self.assertEqual([json.loads(line)["payload"] for line in done.stdout.splitlines()], list(range(20)))
        self.assertIn("core: stopped after 20 messages\n", done.stderr)
        self.assertEqual(done.returncode, 0)
        lag = json.loads(self.run_core("lag", "--json").stdout)
        self.assertEqual((lag["waiting"], lag["in_flight"]), (30, 0))

    def test_ends_when_nothing_comes(self):
        self.send("t", "1", "2")
        done = self.run_core("consumer", "--topic", "t", "--idle-exit", "300ms")
        self.assertEqual((done.returncode, len(done.stdout.splitlines())), (0, 2), done.stderr)
        self.assertIn("core: stopped: nothing came any more\n", done.stderr)

    def test_from_now_on(self):
        self.send("t", "1")
        done = self.run_core("consumer", "--topic", "t", "--from", "now", "--idle-exit", "200ms")
        self.assertEqual(done.stdout, "")

    # Sending.

    def test_repeats_at_a_rate(self):
        began = time.monotonic()
        done = self.run_core("send", "t", '{"n": 1}', "--repeat", "11", "--rate", "20", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(time.monotonic() - began, 0.5)
        self.assertEqual(json.loads(done.stdout)["sent"], 11)
        self.assertEqual(len(self.consume("t", 11)), 11)

    def test_sends_other_than_json(self):
        self.run_core("send", "t", "not { json", "--content-type", "text/plain", "--id", "own")
        self.run_core("send", "t", "-", "--content-type", "text/plain", text="  one\ntwo \n")
        done = self.run_core("consumer", "--topic", "t", "--max-messages", "3")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["payload_text"] for line in lines], ["not { json", "  one", "two "])
        self.assertEqual((lines[0]["id"], lines[0]["content_type"]), ("own", "text/plain"))
        self.check_refused(self.run_core("send", "t", "{", "--content-type", "application/cloudevents+json"), 2, "not JSON")
        self.check_refused(self.run_core("send", "t", "-", "--id", "x"), 2, "--id: is for one message")
        self.check_refused(self.run_core("send", "t", "-", "--repeat", "2"), 2, "--repeat: is for a message")

    # Dead letters.

    def kill_some(self, *lines):
        self.send("t", *lines)
        self.exec("--max-retries", "0", "--exec", "sh", "-c", "cat >&2; exit 1", count=len(lines))

    def test_export_and_import_to_the_byte(self):
        self.kill_some('{"n": 1, "text": "ä\\u0000"}', '{"n":   2}')
        self.run_core("send", "t", "\udcff\udcfe", "--content-type", "application/octet-stream", "--key", "k\udc80",
                      "--header", "h=\udcc3")
        self.exec("--max-retries", "0", "--exec", "false")
        exported = self.run_core("deadletters", "export")
        self.assertEqual(exported.returncode, 0)
        self.assertIn("3 dead letters exported", exported.stderr)
        lines = [json.loads(line) for line in exported.stdout.splitlines()]
        self.assertEqual([base64.b64decode(line["payload_base64"]) for line in lines if "payload_base64" in line], [b"\xff\xfe"])
        self.assertIn('{"n":   2}', [line.get("payload_text") for line in lines])
        self.run_core("deadletters", "purge", "--all", "--yes")
        done = self.run_core("deadletters", "import", "-", text=exported.stdout + '{"group": "g"}\nnothing\n')
        self.assertEqual(done.returncode, 4)
        self.assertIn("standard input: line 4: \"handler\" is missing", done.stderr)
        self.assertIn("standard input: line 5: not JSON", done.stderr)
        self.assertEqual(done.stdout, "3 dead letters imported\n")
        again = [json.loads(line) for line in self.run_core("deadletters", "export").stdout.splitlines()]
        for line in lines + again:
            del line["id"]
        self.assertEqual(again, lines)

    def test_replay_of_some_at_a_rate(self):
        self.kill_some(*('{"n": %d, "odd": %s}' % (n, "true" if n % 2 else "false") for n in range(8)))
        dry = self.run_core("deadletters", "replay", "--where", "payload.odd=true", "--where", "handler=exec", "--dry-run")
        self.assertEqual(dry.returncode, 0, dry.stderr)
        self.assertEqual(len(dry.stdout.splitlines()), 5)
        self.assertIn("core: a dry run: nothing was replayed\n", dry.stderr)
        began = time.monotonic()
        done = self.run_core("deadletters", "replay", "--where", "payload.odd=true", "--rate", "4", "--since", "1h", "--json")
        self.assertEqual(json.loads(done.stdout), {"replayed": 4}, done.stderr)
        self.assertGreaterEqual(time.monotonic() - began, 0.5)
        self.assertEqual(len(self.dead()), 4)
        done = self.exec("--concurrency", "1", "--exec", "sh", "-c", "cat; echo", count=4)
        self.assertEqual(sorted(json.loads(line)["n"] for line in done.stdout.splitlines()), [1, 3, 5, 7])
        done = self.run_core("deadletters", "purge", "--where", "payload.n!=0", "--yes")
        self.assertEqual(done.stdout, "3 dead letters deleted\n")
        self.check_refused(self.run_core("deadletters", "replay", "--where", "colour=red"), 2, "handler, group, topic")
        self.check_refused(self.run_core("deadletters", "replay"), 2, "say which")

    def test_a_signal_ends_a_slow_replay_between_two(self):
        self.kill_some(*"12345")
        replay = self.start("deadletters", "replay", "--all", "--rate", "1")
        while len(self.dead()) == 5:
            pass
        replay.send_signal(signal.SIGTERM)
        _, err = replay.communicate(timeout=LIMIT)
        self.assertEqual(replay.returncode, 143)
        self.assertRegex(err, r"core: stopped: \d dead letters? replayed, \d left\n")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
