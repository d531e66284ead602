"""The program as a process, for tests."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

LIMIT = 60  # seconds, for each test


class CoreTest(unittest.TestCase):
    """Runs the program in a folder of its own, over a SQLite file in it."""
    core = sys.argv[1]

    def setUp(self):
        signal.signal(signal.SIGALRM, self._too_long)
        signal.alarm(LIMIT)
        self.addCleanup(signal.alarm, 0)
        self._folder = tempfile.TemporaryDirectory()
        self.addCleanup(self._folder.cleanup)
        self.folder = self._folder.name
        self.path = os.path.join(self.folder, "messages.db")
        self.url = "sqlite://" + self.path
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("MESSAGING_", "REDIS", "RABBIT", "KAFKA", "NO_COLOR"))}
        self.environment["MESSAGING_URL"] = self.url

    @staticmethod
    def _too_long(number, frame):
        raise TimeoutError(f"not done after {LIMIT} s")

    def run_core(self, *arguments, program=None, text=None, **options):
        options.setdefault("stdin", subprocess.DEVNULL) if text is None else None
        return subprocess.run([program or self.core, *arguments], env=self.environment, input=text, text=True, timeout=LIMIT,
                              check=False, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})

    def start(self, *arguments, program=None, **options):
        process = subprocess.Popen([program or self.core, *arguments], env=self.environment, text=True,
                                   **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                                      **options})
        self.addCleanup(process.stdout.close) if process.stdout else None
        self.addCleanup(process.stderr.close) if process.stderr else None
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def send(self, topic, *lines):
        done = self.run_core("send", topic, "-", text="".join(line + "\n" for line in lines))
        self.assertEqual(done.returncode, 0, done.stderr)

    def consume(self, topic, count):
        """Prints `count` messages, is stopped by SIGTERM: the payloads."""
        process = self.start("consumer", "--topic", topic)
        lines = [json.loads(process.stdout.readline()) for _ in range(count)]
        process.send_signal(signal.SIGTERM)
        rest, err = process.communicate(timeout=LIMIT)
        self.assertEqual(process.returncode, 0, err)
        self.assertEqual(rest, "")
        return [line["payload"] for line in lines]

    def check_refused(self, done, code, *said):
        """One line on standard error, with `said` in it, and nothing on standard output."""
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        for part in said:
            self.assertIn(part, done.stderr)
        self.assertFalse(done.stdout)


class ServerTest(CoreTest):
    """The same over a server of the class' own, started by the program that argv[2] names."""
    broker = ""

    @classmethod
    def setUpClass(cls):
        cls.server = subprocess.Popen([sys.argv[2], cls.broker], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        cls.server_url = cls.server.stdout.readline().strip()
        assert cls.server_url, f"{cls.broker} did not start"

    @classmethod
    def tearDownClass(cls):
        cls.server.communicate(timeout=60)

    def setUp(self):
        super().setUp()
        self.environment["MESSAGING_URL"] = self.server_url

    def ask(self, *arguments, code=0, **options):
        done = self.run_core(*arguments, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout
