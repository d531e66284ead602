#!/usr/bin/env python3
"""Every command where people and scripts run it: a terminal, a pipe that closes, a full disk, no locale, no terminal; and
that no password comes out of any."""
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from core_process import CoreTest, LIMIT  # noqa: E402

CANARY = "cAnArY77"

# Each command as it is tried, of every one that there is (test_all_are_tried). None ends only by a signal.
COMMANDS = {
    "consumer": ["--topic", "orders", "--group", "tried", "--idle-exit", "100ms"],
    "send": ["orders", '{"n": 1}'],
    "handlers": [],
    "deadletters list": [],
    "deadletters show": [],
    "deadletters replay": ["--all", "--dry-run"],
    "deadletters export": [],
    "deadletters import": ["/dev/null"],
    "deadletters purge": ["--all", "--yes"],
    "lag": [],
    "check": ["--topic", "orders"],
    "topics list": [],
    "topics describe": ["orders"],
    "topics declare": ["orders", "--group", "tried"],
    "topics delete": ["nothing", "--yes"],
    "tail": ["orders", "--last", "100", "--no-follow"],
    "bench": ["--messages", "20"],
    "config show": [],
    "completion": ["bash"],
    "man": [],
}
# Those that may find nothing to say on standard output here.
SILENT = {"handlers", "consumer"}


class Terminal(CoreTest):
    def setUp(self):
        super().setUp()
        self.send("orders", *('{"order_id": %d, "text": "äöü"}' % n for n in range(20)))
        done = self.run_core("consumer", "--topic", "orders", "--group", "g", "--max-messages", "5", "--max-retries", "0",
                             "--exec", "false")
        self.assertEqual(done.returncode, 0, done.stderr)

    def line(self, command):
        return [*command.split(), *COMMANDS[command]]

    def in_terminal(self, *arguments, environment=None):
        """Exit code and all that the terminal showed."""
        controller, terminal = pty.openpty()
        process = subprocess.Popen([self.core, *arguments], stdin=terminal, stdout=terminal, stderr=terminal,
                                   env={**self.environment, "TERM": "xterm", **(environment or {})}, close_fds=True)
        os.close(terminal)
        shown, deadline = b"", time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            ready, _, _ = select.select([controller], [], [], 0.2)
            if not ready and process.poll() is not None:
                break
            try:
                shown += os.read(controller, 65536) if ready else b""
            except OSError:  # The other end was closed.
                break
        os.close(controller)
        return process.wait(LIMIT), shown.decode(errors="replace")

    def test_all_are_tried(self):
        commands = re.findall(r"^### core (.*)$", self.run_core("man", "--markdown").stdout, re.M)
        self.assertEqual(set(commands) - {"asyncapi"}, set(COMMANDS), "a command that nobody tries")

    def test_in_a_terminal(self):
        for command in COMMANDS:
            code, shown = self.in_terminal(*self.line(command))
            self.assertEqual(code, 0, f"{command}: {shown}")
            self.assertTrue(shown, command)

    def test_colours_only_where_they_are_wanted(self):
        for command in ("lag", "topics list", "deadletters list", "check", "config show"):
            self.assertIn("\x1b[", self.in_terminal(*self.line(command))[1], command)
            for variable in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
                self.assertNotIn("\x1b[", self.in_terminal(*self.line(command), environment=variable)[1], command)
            self.assertNotIn("\x1b", self.run_core(*self.line(command)).stdout, command)

    def test_watching_in_a_terminal_ends_with_ctrl_c(self):
        controller, terminal = pty.openpty()
        process = subprocess.Popen(["setsid", "--ctty", "--wait", self.core, "lag", "--watch", "--interval", "50ms"], stdin=terminal,
                                   stdout=terminal, stderr=terminal, env={**self.environment, "TERM": "xterm"})
        os.close(terminal)
        shown = b""
        while shown.count(b"\x1b[H\x1b[J") < 3:
            shown += os.read(controller, 65536)
        os.write(controller, b"\x03")
        while process.poll() is None:
            ready, _, _ = select.select([controller], [], [], 0.1)
            if ready:
                try:
                    os.read(controller, 65536)
                except OSError:
                    break
        self.assertEqual(process.wait(LIMIT), 0)
        os.close(controller)
        self.assertIn("orders", shown.decode())

    def test_without_locale_and_terminal(self):
        for command in COMMANDS:
            environment = {k: v for k, v in self.environment.items() if not k.startswith(("LC_", "LANG", "TERM"))}
            done = subprocess.run([self.core, *self.line(command)], env={**environment, "LC_ALL": "C"}, timeout=LIMIT,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
            self.assertNotIn(b"\x1b", done.stdout + done.stderr, command)

    def test_a_reader_that_takes_one_line(self):
        for command in COMMANDS:
            script = '"$0" "$@" | head -1; exit ${PIPESTATUS[0]}'
            done = subprocess.run(["bash", "-c", script, self.core, *self.line(command)], env=self.environment, text=True,
                                  timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            self.assertIn(done.returncode, (0, 6), f"{command}: {done.stderr}")
            self.assertLessEqual(len(done.stdout.splitlines()), 1, command)
            self.assertNotIn("terminate", done.stderr, command)

    def test_a_full_disk_behind_the_output(self):
        for command in (c for c in COMMANDS if c not in SILENT):
            with open("/dev/full", "w", encoding="utf-8") as full:
                done = self.run_core(*self.line(command), stdout=full)
            self.assertEqual(done.returncode, 6, f"{command}: {done.stderr}")
            self.assertIn("core: standard output: No space left on device\n", done.stderr, command)

    def test_a_full_disk_behind_the_errors_changes_nothing(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            for command in COMMANDS:
                self.assertEqual(self.run_core(*self.line(command), stderr=full).returncode, 0, command)

    def test_no_password_comes_out(self):
        """By flag, environment and file; a server that is not there, a URL that is wrong, an option that is."""
        file = os.path.join(self.folder, "core.toml")
        urls = [f"redis://ann:{CANARY}@127.0.0.1:1/0?start_timeout=100ms", f"redis://ann:{CANARY}@127.0.0.1:1/0?nothing=1",
                f"redis://ann:{CANARY}@h:port/", f"redis://ann:a@{CANARY}@h/", f"pigeon://ann:{CANARY}@h/",
                f"{self.url}?password={CANARY}", f"redis://ann:{CANARY}/x@h/"]
        waits = {"send": ["--deadline", "100ms"]}
        for n, url in enumerate(urls):
            with open(file, "w", encoding="utf-8") as f:
                f.write(f'url = "{url}"\n[native]\nsasl.password = "{CANARY}"\n')
            for command in COMMANDS if n == 0 else ("lag", "send", "config show", "check", "consumer"):
                line = self.line(command) + waits.get(command, [])
                if command not in ("handlers", "completion", "man"):
                    ways = [(["--url", url], {}), ([], {"MESSAGING_URL": url}), (["--config", file], {"MESSAGING_URL": ""})]
                else:
                    ways = [([], {"MESSAGING_URL": url})]
                for more, variables in ways if n == 0 or command == "lag" else ways[:1]:
                    done = subprocess.run([self.core, *line, *more], env={**self.environment, **variables}, text=True, timeout=LIMIT,
                                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
                    self.assertNotIn(CANARY, done.stdout + done.stderr, f"{command} {more}")
                    self.assertTrue(done.stdout or done.stderr, command)

    @staticmethod
    def title(process):
        with open(f"/proc/{process.pid}/cmdline", encoding="utf-8") as f:
            return f.read()

    def test_no_password_stays_in_the_process_title(self):
        """It is wiped once the program runs; what ps shows in the moment before, nobody can help."""
        process = self.start("consumer", "--topic", "t", "--url", f"redis://ann:{CANARY}@127.0.0.1:1/0?start_timeout=50s")
        while "--url\0redis://***" not in (title := self.title(process)):
            self.assertIsNone(process.poll(), title)
            time.sleep(0.01)
        self.assertNotIn(CANARY, title)
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate(timeout=LIMIT)
        self.assertNotIn(CANARY, err)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[2:])
