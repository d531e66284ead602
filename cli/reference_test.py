#!/usr/bin/env python3
"""What the program says of itself: completion in real shells, the manual page by mandoc, docs/cli.md, every --help.

  reference_test.py CORE --write     puts the reference into docs/cli.md
"""
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from core_process import CoreTest, LIMIT  # noqa: E402

DOCUMENT = "docs/cli.md"
BEGIN, END = "<!-- generated: cli/reference_test.py CORE --write -->\n", "<!-- end -->\n"


def with_reference(text, reference):
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + "\n" + reference + "\n" + END + after


class Reference(CoreTest):
    def shell(self, *command, **options):
        folder = os.path.dirname(os.path.realpath(self.core))
        environment = {**self.environment, "PATH": folder + ":" + os.environ["PATH"], "HOME": self.folder, "TERM": "dumb"}
        done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=LIMIT, check=False, cwd=self.folder, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def commands(self):
        """Each command that can be run, as its words."""
        return re.findall(r"^### core (.*)$", self.run_core("man", "--markdown").stdout, re.M)

    # A line that is typed, and what completes its last word.
    CASES = [
        (["la"], {"lag"}),
        (["deadletters", "re"], {"replay"}),
        (["topics", "de"], {"declare", "delete", "describe"}),
        (["consumer", "--from", ""], {"beginning", "now"}),
        (["lag", "--wa"], {"--watch"}),
        (["deadletters", "replay", "--dry"], {"--dry-run"}),
        (["consumer", "--topic", "lag", "--idle"], {"--idle-exit"}),
        (["send", "t", "--file", "or"], {"orders.ndjson"}),
    ]

    def test_bash_completes(self):
        open(os.path.join(self.folder, "orders.ndjson"), "w").close()
        for words, expected in self.CASES:
            line = " ".join(f"'{word}'" for word in ["core", *words])
            script = (f"source <(core completion bash); COMP_WORDS=({line}); COMP_CWORD={len(words)}; "
                      "_core_complete; printf '%s\\n' \"${COMPREPLY[@]}\"")
            self.assertEqual(set(self.shell("bash", "-uc", script).split()), expected, words)
        registered = self.shell("bash", "-c", "source <(core completion bash); complete -p core")
        self.assertEqual(registered, "complete -F _core_complete core\n")

    def test_fish_completes(self):
        open(os.path.join(self.folder, "orders.ndjson"), "w").close()
        for words, expected in self.CASES:
            script = f"core completion fish | source; complete -C 'core {' '.join(words)}'"
            found = {line.split("\t")[0] for line in self.shell("fish", "--no-config", "-c", script).splitlines()}
            self.assertEqual(found, expected, words)

    def test_zsh_completes(self):
        """In a terminal, as zsh completes nowhere else: a word that has one end only is completed in the line."""
        script = os.path.join(self.folder, "_core")
        with open(script, "w", encoding="utf-8") as f:
            f.write(self.run_core("completion", "zsh").stdout)
        self.shell("zsh", "-n", script)
        for words, expected in self.CASES[:2] + self.CASES[4:7]:
            typed = "core " + " ".join(words)
            self.assertIn("core " + " ".join([*words[:-1], *expected]), self.zsh(script, typed), words)

    def zsh(self, script, typed):
        """What the line is after a tab."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe("zsh", ["zsh", "-f", "-i"], {**self.environment, "TERM": "dumb", "HOME": self.folder, "PS1": "> "})
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.waitpid, pid, 0)
        self.addCleanup(os.kill, pid, 9)
        os.write(terminal, f"unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u; source {script}; "
                           "show() { print -r -- \"LINE:$BUFFER:\" }; zle -N show; bindkey '^X' show; print RE''ADY\n".encode())
        self.read_until(terminal, "READY\r\n")
        os.write(terminal, f"{typed}\t".encode())
        text, deadline = "", time.monotonic() + LIMIT
        while time.monotonic() < deadline:  # What it completed is seen once it is asked for.
            os.write(terminal, b"\x18")
            text = self.read_until(terminal, ":\r\n")
            line = re.findall(r"LINE:(.*?) ?:", text)
            if line and line[-1] != typed:
                return line[-1]
        return text

    def read_until(self, terminal, end):
        text, deadline = "", time.monotonic() + LIMIT
        while end not in text:
            ready, _, _ = select.select([terminal], [], [], max(0, deadline - time.monotonic()))
            self.assertTrue(ready, f"zsh wrote no {end!r}: {text!r}")
            text += os.read(terminal, 65536).decode(errors="replace")
        return text

    def test_unknown_shell(self):
        self.check_refused(self.run_core("completion", "tcsh"), 2, "tcsh")

    def test_manual_page(self):
        page = os.path.join(self.folder, "core.1")
        with open(page, "w", encoding="utf-8") as f:
            f.write(self.run_core("man").stdout)
        self.assertEqual(self.shell("mandoc", "-T", "lint", "-W", "warning", page), "")
        text = re.sub(".\b", "", self.shell("mandoc", "-T", "utf8", "-O", "width=120", page))
        for command in self.commands():
            self.assertRegex(text, rf"(?m)^   {command} ", command)
        for part in ("EXIT STATUS", "MESSAGING_URL", "--where NAME=VALUE", "--http HOST:PORT", "core lag --watch"):
            self.assertIn(part, text)

    def test_document_is_up_to_date(self):
        reference = self.run_core("man", "--markdown").stdout
        with open(DOCUMENT, encoding="utf-8") as f:
            text = f.read()
        self.assertEqual(text, with_reference(text, reference), f"{DOCUMENT}: run {BEGIN}")
        for command in self.commands():
            self.assertIn(f"`{command.split()[0]}", text.split(BEGIN)[0], "a command that the first part leaves out")

    def test_every_command_has_help_with_examples_that_parse(self):
        self.assertGreater(len(self.commands()), 15)
        for command in self.commands():
            done = self.run_core(*command.split(), "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            self.assertIn("Examples:\n  core " + command.split()[0], done.stdout, command)
            flags = re.findall(r"^  core .*$", done.stdout, re.M)
            for flag in {f for line in flags for f in re.findall(r"(?<= )--[a-z-]+", line.split("--exec")[0])}:
                self.assertRegex(done.stdout, rf"(?m)^  (-h,)?(id )?{flag}\b|,{flag}", f"{command}: {flag} in an example")

    def test_nearest_command_is_named(self):
        for typed, meant in (("lg", "lag"), ("chek", "check"), ("tial", "tail"), ("topcis", "topics"), ("banch", "bench")):
            self.check_refused(self.run_core(typed), 2, f"did you mean {meant}?")
        self.check_refused(self.run_core("deadletters", "exprot"), 2, "did you mean export?")
        self.check_refused(self.run_core("tail", "t", "--were", "x"), 2, "did you mean --where?")


if __name__ == "__main__":
    if "--write" in sys.argv:
        reference = subprocess.run([sys.argv[1], "man", "--markdown"], check=True, text=True, stdout=subprocess.PIPE).stdout
        with open(DOCUMENT, encoding="utf-8") as f:
            text = f.read()
        with open(DOCUMENT, "w", encoding="utf-8") as f:
            f.write(with_reference(text, reference))
    else:
        unittest.main(argv=sys.argv[:1] + sys.argv[2:])
