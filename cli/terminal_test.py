#!/usr/bin/env python3
"""Every command in a terminal: what a person sees, colours, progress, and what Ctrl-C does."""
import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from tmux import Terminal  # noqa: E402
from tried import COMMANDS, Tried  # noqa: E402

TABLES = ("lag", "topics list", "deadletters list", "config show", "handlers")
PAINTED = (*TABLES, "check", "tail")


class InATerminal(Tried):
    def setUp(self):
        super().setUp()
        self.terminal = Terminal(self.folder, self.environment)
        self.addCleanup(self.terminal.close)

    def fifo(self):
        path = os.path.join(self.folder, "fifo")
        if not os.path.exists(path):
            os.mkfifo(path)
        return path

    # What is seen.

    def test_all_are_tried(self):
        self.assertEqual(self.commands(), set(COMMANDS), "a command that nobody tries")

    def test_each_shows_what_was_asked_for(self):
        for command, row in COMMANDS.items():
            code, screen = self.terminal.run(*self.line(command))
            self.assertEqual(code, 0, f"{command}: {screen}")
            self.assertRegex(screen, re.compile(row.shown, re.M), command)

    def test_columns_stand_below_their_headings(self):
        for command in TABLES:
            screen = self.terminal.run(*self.line(command))[1].splitlines()
            heading, rows = screen[0], screen[1:]
            self.assertTrue(rows, command)
            for match in re.finditer(r"(?<=  )\S", heading):
                for row in rows:
                    self.assertEqual(row[match.start() - 2:match.start()].strip(), "", f"{command}: {heading}\n{row}")
                    self.assertNotEqual(row[match.start():match.start() + 1], " ", f"{command}: {heading}\n{row}")

    def test_colours_only_where_they_are_wanted(self):
        for command in PAINTED:
            self.assertEqual(self.terminal.run(*self.line(command))[0], 0)
            self.assertIn("\x1b[", self.terminal.screen(colours=True), command)
            for variable in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
                self.terminal.run(*self.line(command), **variable)
                self.assertNotIn("\x1b[", self.terminal.screen(colours=True), f"{command} {variable}")

    def test_only_what_is_no_terminal_is_plain(self):
        """Each stream by itself: a table into a file has no colours though errors are shown, and progress is shown."""
        path = os.path.join(self.folder, "out")
        self.terminal.run("sh", "-c", '"$0" lag >"$1"', self.core, path)
        with open(path, encoding="utf-8") as f:
            self.assertNotIn("\x1b", f.read())
        self.terminal.start("sh", "-c", '"$0" send t 1 --repeat 100 --rate 20 >"$1"', self.core, path)
        self.terminal.await_text(r"^\[=+> +\] +\d+%  \d+ sent  \d+/s$")
        self.assertEqual(self.terminal.await_end(), 0)
        self.assertEqual(self.terminal.screen(), "")

    # Progress.

    def test_sending_shows_its_progress_and_leaves_the_summary(self):
        path = os.path.join(self.folder, "lines")
        with open(path, "w", encoding="utf-8") as f:
            f.write("".join(f"{n}\n" for n in range(60)))
        self.terminal.start(self.core, "send", "t", "--file", path, "--rate", "20")
        shares = [int(self.terminal.await_text(r"^\[=*>? *\] +(\d+)%  \d+ sent  \d+/s$")[1])]
        while shares[-1] < 50:
            shares.append(int(self.terminal.await_text(r"^\[=*>? *\] +(\d+)%  \d+ sent  \d+/s$")[1]))
        self.assertEqual(shares, sorted(shares))
        self.assertEqual(self.terminal.await_end(), 0)
        self.assertRegex(self.terminal.screen(), r"\Asent 60 messages to t in \d+\.\d\d s \(\d+/s\)\Z")

    def test_what_has_no_end_shows_no_bar(self):
        self.terminal.start("sh", "-c", 'yes 1 | "$0" send t - --rate 20', self.core)
        self.terminal.await_text(r"^\d+ sent  \d+/s$")
        self.terminal.type("C-c")
        self.assertEqual(self.terminal.await_end(), 130)

    def test_replaying_shows_its_progress(self):
        self.terminal.start(self.core, "deadletters", "replay", "--all", "--rate", "2")
        self.terminal.await_text(r"^\[=+> +\] +\d+%  \d replayed  \d+/s$")
        self.assertEqual(self.terminal.await_end(), 0)
        self.assertEqual(self.terminal.screen(), "5 dead letters replayed")

    # Typing.

    def test_lines_that_are_typed_are_sent(self):
        self.terminal.start(self.core, "send", "typed", "-")
        self.terminal.type('{"n": 1}', "Enter")
        self.terminal.type("C-d")
        self.assertEqual(self.terminal.await_end(), 0)
        self.assertIn("sent 1 message to typed", self.terminal.screen())

    def test_ctrl_c_ends_what_reads_the_terminal(self):
        for line in (["send", "typed", "-"], ["deadletters", "import", "-"]):
            self.terminal.start(self.core, *line)
            self.terminal.type("1", "Enter")
            self.terminal.await_text(r"^1$")
            self.terminal.type("C-c")
            self.assertEqual(self.terminal.await_end(), 130, line)

    # Ctrl-C.

    def test_ctrl_c_lets_a_consumer_finish_what_is_in_hand(self):
        self.consume_slowly("slow")
        self.terminal.type("C-c")
        self.terminal.await_text(r"core: stopping: up to 30s for \d+ messages in hand; a second signal ends at once$")
        self.assertIsNone(self.terminal.exit_code())
        with open(self.fifo(), "w", encoding="utf-8"):
            pass  # The command that waits for it ends.
        self.assertEqual(self.terminal.await_end(), 0)
        self.assertRegex(self.terminal.screen(), r"\^Ccore: stopping: [^\n]*\ncore: stopped\Z")
        self.assertEqual(self.waiting("slow"), 19)  # One is done, and the others were given back.

    def test_a_second_ctrl_c_ends_it_at_once(self):
        child = self.consume_slowly("slow")
        self.terminal.type("C-c")
        self.terminal.await_text(r"core: stopping: ")
        time.sleep(0.1)  # Within 20 ms it would be the same request.
        self.terminal.type("C-c")
        self.assertEqual(self.terminal.await_end(), 130)
        while self.runs(child):  # It is killed with its consumer.
            time.sleep(0.05)
        self.assertEqual(self.waiting("slow"), 20)

    def consume_slowly(self, group):
        """Starts a consumer whose first message waits for the FIFO: the process that has it."""
        path = os.path.join(self.folder, "child")
        self.terminal.start(self.core, "consumer", "--topic", "orders", "--group", group, "--concurrency", "1", "--exec", "sh", "-c",
                            'echo $$ >"$0"; exec cat "$1"', path, self.fifo())
        text = ""
        while not text.endswith("\n"):
            time.sleep(0.05)
            if os.path.exists(path):
                with open(path, encoding="utf-8") as f:
                    text = f.read()
        return int(text)

    @staticmethod
    def runs(process):
        try:
            with open(f"/proc/{process}/stat", encoding="utf-8") as f:
                return f.read().rpartition(")")[2].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):
            return False

    def waiting(self, group):
        screen = self.terminal.run(self.core, "lag", "--topic", "orders", "--group", group)[1]
        row = dict(zip(re.split(r"  +", screen.splitlines()[0]), re.split(r"  +", screen.splitlines()[1])))
        self.assertEqual(row["RETRYING"] + row["DEAD"], "00", row)
        return int(row["WAITING"]) + int(row["IN FLIGHT"])

    def test_ctrl_c_ends_what_would_go_on(self):
        for line, shown, code, left in (
                (["lag", "--watch"], r"^TOPIC ", 0, r"^orders +g "),
                (["tail", "orders", "--last", "1"], r'"order_id": 19', 0, r"\^C\Z"),
                (["bench", "--rate", "5"], r"\d sent ", 130, r"^accepted +\d+ in "),
                (["send", "t", "1", "--repeat", "1000", "--rate", "20"], r"\d sent ", 130, r"^sent \d+ messages? to t in "),
                (["deadletters", "replay", "--all", "--rate", "0.5"], r"\d replayed ", 130, r"^core: stopped: \d dead letters? replayed, \d left$")):
            self.terminal.start(self.core, *line)
            self.terminal.await_text(shown)
            self.terminal.type("C-c")
            self.assertEqual(self.terminal.await_end(), code, f"{line}: {self.terminal.screen()}")
            self.assertRegex(self.terminal.screen(), re.compile(left, re.M), line)

    def test_watching_draws_one_table_over_the_other(self):
        self.terminal.start(self.core, "lag", "--watch", "--interval", "50ms")
        self.terminal.await_text(r"^orders +g +- +15 ")
        self.send("orders", "1", "2")
        self.terminal.await_text(r"^orders +g +- +17 ")
        screen = self.terminal.screen(scrolled=False).splitlines()
        self.assertEqual(len(screen), 3, screen)  # Time, heading, group.
        self.assertRegex(screen[0], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")
        self.terminal.type("C-c")
        self.assertEqual(self.terminal.await_end(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
