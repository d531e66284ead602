#!/usr/bin/env python3
"""Checks that the documents are true: each fenced block in them is compared with a file, or run.

  docs.py [--root FILE] [--bin NAME=PATH]... [DOCUMENT...]     without any: all of the tree
  docs.py --write DOCUMENT...     puts the files' text into the blocks, and runs nothing

A comment in the line before a block says what it is:

  <!-- from: FILE [NAME] -->   the same text as between "[NAME]" and "[end]" in FILE (lines that hold a comment with it)
  <!-- from: FILE -->          the whole file
  <!-- run -->                 commands for bash, which must succeed; those of a document share a folder and variables
  <!-- run: fails N -->        commands that end with exit code N
  <!-- run until: TEXT -->     one command that goes on: stopped by SIGINT when it has written TEXT; ends with 0
  <!-- output -->              what the run before wrote; "..." stands for anything, within a line or for some lines
  <!-- tested by: FILE -->     commands that each stand in FILE, a check that is run apart, as "tools/demo"

Commands find the programs of --bin on PATH. Documents and files are sought beside FILE, where the real one lies.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass

LIMIT = 60  # seconds, for any command
FENCE = re.compile(r"^(\s*)(```+|~~~+)\s*(\S*)")
MARK = re.compile(r"^\s*<!--\s*(from|run until|run|output|tested by)\s*(?::\s*(.*?))?\s*-->\s*$")


class Wrong(Exception):
    pass


@dataclass
class Block:
    line: int
    kind: str
    argument: str
    language: str
    text: str


def blocks(document):
    """The fenced blocks of a Markdown text. Wrong: one without a mark, or a mark without one."""
    lines, found, mark, i = document.splitlines(), [], None, 0
    while i < len(lines):
        fence, marked = FENCE.match(lines[i]), MARK.match(lines[i])
        if fence:
            indent, fence_text, language = fence.groups()
            if mark is None:
                raise Wrong(f"line {i + 1}: the block has no mark in the line before it, so nothing tests it")
            end = next((j for j in range(i + 1, len(lines)) if lines[j].strip() == fence_text), None)
            if end is None:
                raise Wrong(f"line {i + 1}: the block does not end")
            text = "\n".join(line.removeprefix(indent) for line in lines[i + 1:end])
            found.append(Block(i + 1, mark[0], mark[1] or "", language, text))
            mark, i = None, end
        elif mark is not None:
            raise Wrong(f"line {i}: a mark that no block follows")
        elif marked:
            mark = marked.groups()
        i += 1
    if mark is not None:
        raise Wrong("a mark at the end that no block follows")
    return found


def region(text, name):
    """The lines between "[name]" and "[end]", less their common indentation."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(rf"\s*(//|#|--)\s*\[{re.escape(name)}\]\s*$", line)]
    if len(starts) != 1:
        raise Wrong(f"{len(starts)} regions [{name}], where there should be one")
    for i in range(starts[0] + 1, len(lines)):
        if re.match(r"\s*(//|#|--)\s*\[end\]\s*$", lines[i]):
            return textwrap.dedent("\n".join(lines[starts[0] + 1:i])).strip("\n")
    raise Wrong(f"region [{name}] does not end")


def wanted_text(block):
    """What a block says it is from."""
    match = re.fullmatch(r"(\S+)(?:\s+\[([^\]]+)\])?", block.argument)
    if not match:
        raise Wrong(f"'from: {block.argument}' is not FILE [NAME]")
    try:
        with open(match[1], encoding="utf-8") as f:
            text = f.read()
    except OSError as error:
        raise Wrong(str(error)) from error
    return region(text, match[2]) if match[2] else text.strip("\n")


def check_from(block):
    wanted = wanted_text(block)
    if block.text.strip("\n") != wanted:
        raise Wrong(f"the block is not what {block.argument} holds, which is:\n{wanted}")


def check_tested_by(block):
    with open(block.argument, encoding="utf-8") as f:
        check = f.read()
    for line in block.text.splitlines():
        command = line.split("#")[0].strip()
        if command and command not in check:
            raise Wrong(f"'{command}' does not stand in {block.argument}")


def matches(expected, output):
    """Whether all expected lines come in the output, one after the other, with "..." for anything."""
    pattern = []
    for line in expected.strip("\n").splitlines():
        if line.strip() == "...":
            pattern.append(r"(?:.*\n)*?")
        else:
            pattern.append(".*".join(re.escape(part) for part in line.rstrip().split("...")) + r"[ \t]*\n")
    return re.search("^" + "".join(pattern), output.rstrip("\n") + "\n", re.M) is not None


class Shell:
    """Runs the commands of one document, each block in a bash of its own that starts with the variables of the last."""

    def __init__(self, folder, path):
        self.folder, self.output = folder, ""
        self.state = os.path.join(folder, ".variables")
        self.environment = {"PATH": path + os.pathsep + os.environ["PATH"], "HOME": folder, "LC_ALL": "C.UTF-8"}

    def _start(self, script, **more):
        read = f"[[ ! -e {self.state} ]] || source {self.state}\n"
        return subprocess.Popen(["bash", "-c", read + script], cwd=self.folder, env=self.environment,
                                stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, start_new_session=True, **more)

    def run(self, block):
        code = 0
        if block.argument:
            match = re.fullmatch(r"fails (\d+)", block.argument)
            if not match:
                raise Wrong(f"'run: {block.argument}' is not known")
            code = int(match[1])
        keep = f"\nresult=$?; export -p >{self.state}; exit $result"
        process = self._start("set -e\n" * (code == 0) + block.text + keep, stdout=subprocess.PIPE)
        try:
            output, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise Wrong(f"did not end in {LIMIT} s:\n{output.decode(errors='replace')}") from None
        self.output = output.decode(errors="replace")
        if process.returncode != code:
            raise Wrong(f"exit code {process.returncode}, not {code}:\n{self.output}")

    def run_until(self, block):
        with tempfile.TemporaryFile(dir=self.folder) as log:
            process = self._start("exec " + block.text.strip(), stdout=log)
            deadline = time.monotonic() + LIMIT
            while process.poll() is None and time.monotonic() < deadline and block.argument not in self._read(log):
                time.sleep(0.02)
            seen = block.argument in self._read(log)
            if process.poll() is None:
                os.kill(process.pid, signal.SIGINT)
            try:
                code = process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
            self.output = self._read(log)
            if not seen or code != 0:
                raise Wrong(f"{'' if seen else 'did not write ' + repr(block.argument) + '; '}exit code {code}:\n{self.output}")

    @staticmethod
    def _read(log):
        return os.pread(log.fileno(), 1 << 24, 0).decode(errors="replace")


def check(document, path):
    """What is wrong with one document: "line N: why" each."""
    with open(document, encoding="utf-8") as f:
        text = f.read()
    try:
        found = blocks(text)
    except Wrong as wrong:
        return [str(wrong)]
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        shell = Shell(folder, path)
        for block in found:
            try:
                if block.kind == "from":
                    check_from(block)
                elif block.kind == "tested by":
                    check_tested_by(block)
                elif block.kind == "run":
                    shell.run(block)
                elif block.kind == "run until":
                    shell.run_until(block)
                elif not matches(block.text, shell.output):
                    raise Wrong(f"the commands before wrote something else:\n{shell.output}")
            except (Wrong, OSError) as wrong:
                problems.append(f"line {block.line}: {wrong}")
    return problems


def write(document):
    with open(document, encoding="utf-8") as f:
        text = f.read()
    lines = text.split("\n")
    for block in reversed(blocks(text)):
        if block.kind == "from":
            length = len(block.text.split("\n")) if lines[block.line].strip("`~ ") or block.text else 0
            lines[block.line:block.line + length] = wanted_text(block).split("\n")
    with open(document, "w", encoding="utf-8") as f:
        f.write("\n".join(lines))


def all_documents():
    for where, folders, names in os.walk("."):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "bazel-")))
        yield from sorted(os.path.relpath(os.path.join(where, name)) for name in names if name.endswith(".md"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--root", metavar="FILE", default="MODULE.bazel")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("documents", nargs="*")
    options = parser.parse_args()
    if options.write:
        for document in options.documents:
            write(document)
        return
    failed = 0
    with tempfile.TemporaryDirectory() as programs:
        for program in options.bin:
            name, _, path = program.partition("=")
            os.symlink(os.path.realpath(path), os.path.join(programs, name))
        os.chdir(os.path.dirname(os.path.realpath(options.root)))
        for document in options.documents or all_documents():
            problems = check(document, programs)
            print(f"{document}: {'; '.join(problems) if problems else 'as it says'}")
            failed += len(problems)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
