"""A terminal that a test can look at and type into: tmux, with nobody attached."""
import os
import re
import subprocess
import time

SETTINGS = """set -g remain-on-exit on
set -g remain-on-exit-format ""
set -g exit-empty off
set -g status off
set -g history-limit 10000
"""
# tmux may miss how a process ended. Ctrl-C goes to the shell, too, which then waits for the program.
RUN = 'trap : INT; "$@"; echo $? >"$0"'
PAUSE = 0.05  # seconds, between two looks


class Terminal:
    """What runs in one terminal; its server ends with close()."""

    def __init__(self, folder, environment, width=200, height=50):
        self._folder = folder
        self._command = ["tmux", "-u", "-S", os.path.join(folder, "tmux"), "-f", os.path.join(folder, "tmux.conf")]
        self._environment = {k: v for k, v in environment.items() if k != "TMUX"}
        self._size = ["-x", str(width), "-y", str(height)]
        self._count = 0
        with open(self._command[-1], "w", encoding="utf-8") as f:
            f.write(SETTINGS)

    def _tmux(self, *arguments):
        done = subprocess.run([*self._command, *arguments], env=self._environment, text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"tmux {arguments[0]}: {done.stderr}")
        return done.stdout

    def start(self, *line, **variables):
        """Runs a command line, with these variables besides; what ran before is forgotten."""
        self._count += 1
        settings = [f"{name}={value}" for name, value in variables.items()]
        self._tmux("new-session", "-d", "-s", f"s{self._count}", *self._size, "--", "sh", "-c", RUN, self._code_file(), "env",
                   *settings, *line)

    def _code_file(self):
        return os.path.join(self._folder, f"tmux.{self._count}")

    def type(self, *keys):
        """As tmux names them: C-c, Enter; else the text itself."""
        self._tmux("send-keys", "-t", f"s{self._count}:", *keys)

    def screen(self, colours=False, scrolled=True):
        """Its lines, with those that went out at the top, without blanks at their ends."""
        more = (["-e"] if colours else []) + (["-S", "-"] if scrolled else [])
        text = self._tmux("capture-pane", "-p", "-t", f"s{self._count}:", *more)
        return "\n".join(line.rstrip() for line in text.splitlines()).rstrip("\n")

    def exit_code(self):
        """None while it runs, or tmux has not read all of it."""
        if self._tmux("display-message", "-p", "-t", f"s{self._count}:", "#{pane_dead}") != "1\n":
            return None
        with open(self._code_file(), encoding="utf-8") as f:
            return int(f.read())

    def await_text(self, pattern):
        """Until the screen has what the regular expression finds (and no longer than the test may take): that."""
        while not (found := re.search(pattern, self.screen(), re.M)):
            if self.exit_code() is not None and not (found := re.search(pattern, self.screen(), re.M)):
                raise AssertionError(f"it ended without {pattern}:\n{self.screen()}")
            time.sleep(PAUSE)
        return found

    def await_end(self):
        """The exit code."""
        while (code := self.exit_code()) is None:
            time.sleep(PAUSE)
        return code

    def run(self, *line, **variables):
        """Exit code and screen of a command line that ends by itself."""
        self.start(*line, **variables)
        return self.await_end(), self.screen()

    def close(self):
        subprocess.run([*self._command, "kill-server"], env=self._environment, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=False)
