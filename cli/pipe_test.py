#!/usr/bin/env python3
"""Every command where scripts run it: a pipe that closes, a full disk, no locale, no terminal; and that no password comes
out of any."""
import json
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from core_process import LIMIT  # noqa: E402
from tried import COMMANDS, Tried  # noqa: E402

CANARY = "cAnArY77"


class InAPipe(Tried):
    def try_each(self, what, commands=COMMANDS, **options):
        """Runs each, and gives what became of it to `what`."""
        for command in commands:
            program, *arguments = self.line(command)
            what(command, self.run_core(*arguments, program=program, **options))

    def test_without_locale_and_terminal(self):
        """As a service runs it: a session of its own, standard input closed from the start."""
        def is_plain(command, done):
            self.assertEqual(done.returncode, 0, f"{command}: {done.stderr}")
            self.assertNotIn("\x1b", done.stdout + done.stderr, command)
            self.assertNotIn("\r", done.stdout + done.stderr, command)
        self.environment = {k: v for k, v in self.environment.items() if not k.startswith(("LC_", "LANG", "TERM"))} | {"LC_ALL": "C"}
        self.try_each(is_plain, start_new_session=True)
        self.try_each(is_plain, start_new_session=True, preexec_fn=lambda: os.close(0))

    def test_a_locale_changes_nothing(self):
        """Neither what is text nor how numbers are written."""
        seen = {}
        for locale in ("C", "C.UTF-8", "de_DE.UTF-8", "nowhere"):
            self.environment["LC_ALL"] = locale
            for command in ("lag", "topics list", "tail", "deadletters export", "config show"):
                program, *arguments = self.line(command)
                out = self.run_core(*arguments, *([] if command == "deadletters export" else ["--json"]), program=program).stdout
                self.assertTrue(out, command)
                if command == "lag":
                    out = [{k: v for k, v in json.loads(line).items() if k != "time"} for line in out.splitlines()]
                self.assertEqual(seen.setdefault(command, out), out, f"{command} in {locale}")

    def test_a_reader_that_takes_one_line(self):
        for command in COMMANDS:
            script = '"$@" | head -1; exit ${PIPESTATUS[0]}'
            done = subprocess.run(["bash", "-c", script, "bash", *self.line(command)], env=self.environment, text=True,
                                  timeout=LIMIT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            self.check_end(command, done)
            self.assertLessEqual(len(done.stdout.splitlines()), 1, command)

    def test_a_reader_that_is_gone_before_the_first_line(self):
        ends = os.pipe()
        os.close(ends[0])
        self.addCleanup(os.close, ends[1])
        self.try_each(self.check_gone, stdout=ends[1])
        self.assertEqual(self.waiting("tried"), 21)  # What was not printed is not acknowledged; one was sent.

    def check_end(self, command, done):
        """One that had written all before its reader went ends well; another says why in one line, in no other words."""
        self.assertIn(done.returncode, (0, 6), f"{command}: {done.stderr}")
        gone = [line for line in done.stderr.splitlines() if "standard output" in line]
        self.assertEqual(len(gone), done.returncode == 6, f"{command}: {done.stderr}")
        for line in done.stderr.splitlines():
            self.assertRegex(line, "^[a-z_]+: ", command)

    def check_gone(self, command, done):
        self.assertEqual(done.returncode, 6, f"{command}: {done.stderr}")
        self.check_end(command, done)

    def waiting(self, group):
        (line,) = map(json.loads, self.run_core("lag", "--group", group, "--json").stdout.splitlines())
        return line["waiting"] + line["in_flight"]

    def test_a_full_disk_behind_the_output(self):
        def says_so(command, done):
            self.assertEqual(done.returncode, 6, f"{command}: {done.stderr}")
            full = [line for line in done.stderr.splitlines() if "standard output" in line]
            self.assertEqual(len(full), 1, f"{command}: {done.stderr}")
            self.assertRegex(full[0], r"^[a-z_]+: standard output: No space left on device$", command)
        with open("/dev/full", "w", encoding="utf-8") as full:
            self.try_each(says_so, stdout=full)
        self.assertEqual(self.waiting("tried"), 21)

    def test_a_full_disk_behind_the_errors_changes_nothing(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            self.try_each(lambda command, done: self.assertEqual(done.returncode, 0, command), stderr=full)

    def test_no_password_comes_out_of_any_command(self):
        """By flag, environment and file; the server is not there."""
        self.check_silence(f"redis://ann:{CANARY}@127.0.0.1:1/0?start_timeout=100ms", COMMANDS)

    def test_no_password_comes_out_of_a_wrong_url(self):
        for url in (f"redis://ann:{CANARY}@127.0.0.1:1/0?nothing=1", f"redis://ann:{CANARY}@h:port/", f"redis://ann:a@{CANARY}@h/",
                    f"pigeon://ann:{CANARY}@h/", f"{self.url}?password={CANARY}", f"redis://ann:{CANARY}/x@h/"):
            self.check_silence(url, ("lag", "send", "config show", "check", "consumer"))

    def check_silence(self, url, commands):
        file = os.path.join(self.folder, "core.toml")
        with open(file, "w", encoding="utf-8") as f:
            f.write(f'url = "{url}"\n[native]\nsasl.password = "{CANARY}"\n')
        for command in commands:
            line = self.line(command) + {"send": ["--deadline", "100ms"]}.get(command, [])
            ways = [([], {"MESSAGING_URL": url})]
            if command not in ("handlers", "asyncapi", "completion", "man"):
                ways += [(["--url", url], {}), (["--config", file], {"MESSAGING_URL": ""})]
            for more, variables in ways:
                done = subprocess.run([*line, *more], env={**self.environment, **variables}, text=True, timeout=LIMIT,
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
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
