#!/usr/bin/env python3
"""How the program ends when it is asked to: what is in hand, a second signal, and while it waits; over the SQLite broker."""
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from core_process import CoreTest, LIMIT  # noqa: E402

STUCK = sys.argv[2]


class Stopping(CoreTest):
    # A consumer.

    def test_handler_that_does_not_return(self):
        self.send("stuck", "1")
        consumer = self.start("consumer", "--drain-timeout", "200ms", program=STUCK)
        self.assertEqual(consumer.stdout.readline(), "began\n")
        consumer.send_signal(signal.SIGTERM)
        self.assertEqual(consumer.wait(LIMIT), 5)
        self.assertIn("did not return within 200ms: Stick\n", consumer.stderr.read())
        again = self.start("consumer", program=STUCK)
        self.assertEqual(again.stdout.readline(), "began\n")  # It was not lost.

    def test_second_signal_ends_at_once(self):
        for second, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
            self.send("stuck", "1")
            consumer = self.start("consumer", "--group", f"group{code}", program=STUCK)
            self.assertEqual(consumer.stdout.readline(), "began\n")
            consumer.send_signal(signal.SIGTERM)
            while "stopping: up to 30s" not in consumer.stderr.readline():
                pass
            while consumer.poll() is None:  # One that comes at once is taken for the same request.
                consumer.send_signal(second)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    consumer.wait(0.02)
            self.assertEqual(consumer.returncode, code)

    # A sender.

    def test_signal_while_sending_stops_reading(self):
        sender = self.start("send", "t", "-", stdin=subprocess.PIPE)
        sender.stdin.write('{"n": 1}\n')
        sender.stdin.flush()
        consumer = self.start("consumer", "--topic", "t")
        self.assertEqual(json.loads(consumer.stdout.readline())["payload"], {"n": 1})  # So the sender runs.
        sender.send_signal(signal.SIGINT)
        out, err = sender.communicate(timeout=LIMIT)
        self.assertEqual(sender.returncode, 130, err)
        self.assertIn("sent 1 message to t", out)

    def sender_with_a_full_buffer(self, deadline):
        """It reads no more: nobody is there who would take what it holds."""
        sender = self.start("send", "t", "-", "--url", "redis://127.0.0.1:1", "--deadline", deadline, stdin=subprocess.PIPE)
        end, line = sender.stdin.fileno(), b'"' + b"x" * (1 << 20) + b'"\n'
        os.set_blocking(end, False)
        sent = 0
        while select.select([], [end], [], 1 if sent > 30 << 20 else LIMIT)[1]:
            sent += os.write(end, line[sent % len(line):])
        return sender

    def test_signal_while_the_send_buffer_is_full_is_noticed_at_once(self):
        sender = self.sender_with_a_full_buffer("1h")
        sender.send_signal(signal.SIGINT)
        while "stopping: " not in (line := sender.stderr.readline()):
            self.assertTrue(line, "it ended")
        while sender.poll() is None:  # One that comes at once is taken for the same request.
            sender.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                sender.wait(0.02)
        self.assertEqual(sender.returncode, 130)

    def test_after_a_signal_what_the_send_buffer_holds_is_told(self):
        sender = self.sender_with_a_full_buffer("20s")
        sender.send_signal(signal.SIGTERM)
        out, err = sender.stdout.read(), sender.stderr.read()  # Not communicate, which would end the input.
        self.assertEqual(sender.wait(LIMIT), 143, err)
        self.assertIn("stopping: ", err)
        self.assertRegex(out, r"^sent 0 messages to t in .*; \d+ (refused|not known to be stored)\n$")

    def test_a_signal_while_a_server_is_waited_for(self):
        lines = os.path.join(self.folder, "lines")
        with open(lines, "w", encoding="utf-8") as f:
            f.write("1\n2\n")
        for what in (("1",), ("--file", lines)):
            sending = self.start("send", "t", *what, "--url", "redis://127.0.0.1:1")
            self.assertIn("refused", sending.stderr.readline())  # There is nobody.
            sending.send_signal(signal.SIGINT)
            while "stopping: waiting for what is on its way" not in (line := sending.stderr.readline()):
                self.assertTrue(line, "it has ended")
            time.sleep(0.1)  # Within 20 ms it would be the same request.
            sending.send_signal(signal.SIGINT)
            self.assertEqual(sending.wait(LIMIT), 130)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
