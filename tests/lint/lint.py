#!/usr/bin/env python3
"""The house rules that a machine can check. "lint.py CHECK [ROOT]" prints what breaks CHECK, and fails if anything does."""
import functools
import os
import re
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import build_files  # noqa: E402

BROKERS = ("memory", "sqlite", "redis", "rabbitmq", "kafka")
OURS = ("messaging", *BROKERS, "sql", "outbox", "inbox", "cli", "examples", "tests", "tools")
CLIENT_LIBRARY = re.compile(r"(librdkafka/|rdkafka|rabbitmq-c/|amqp|hiredis|sqlite3|libpq)")
LOG_MACRO = re.compile(r"^[^/]*\b(?:[DPV]?LOG(?:_[A-Z_]+)?|[DP]?CHECK(?:_[A-Z]+)?)\s*\(", re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
DECLARED = re.compile(r"(?:template\b|class\b|struct\b|enum\b|union\b|using\b|inline\b|extern\b|constexpr\b|#define\b"
                      r"|[A-Za-z_][\w:<>,*& ]*[ *&]\w+(?:\(|;| =))")
NEEDS_NO_WORD = re.compile(r"(?:class|struct|enum class) \w+;|(?:class|struct) \w+<|using namespace|#define \w+_H_$|#define \w*INTERNAL"
                           r"|namespace\b|extern template|template\b")
LONGEST_HEADER, MEDIAN_HEADER = 500, 80


class Tree:
    def __init__(self, root):
        self.root = root
        self.files = sorted(self._walk())
        self.headers = [f for f in self.files if f.endswith(".h")]
        self.sources = [f for f in self.files if f.endswith(".cc")]

    def _walk(self):
        for folder in OURS:
            for where, folders, names in os.walk(os.path.join(self.root, folder)):
                folders[:] = [f for f in folders if not f.startswith((".", "bazel-"))]
                for name in names:
                    yield os.path.relpath(os.path.join(where, name), self.root)

    @functools.cached_property
    def targets(self):
        builds = [f for f in self.files if os.path.basename(f) in ("BUILD", "BUILD.bazel")]
        return build_files.read(self.root, builds)

    @functools.cached_property
    def public_headers(self):
        """Headers that a user's file can come to include, each with the public one that leads to it."""
        reached = {}
        todo = [(h, h) for t in self.targets if t.public and not _for_tests_only(t) for h in sorted(t.files("hdrs"))]
        while todo:
            header, by = todo.pop()
            if header in reached or not os.path.exists(os.path.join(self.root, header)):
                continue
            reached[header] = by
            todo += [(i, by) for quote, i in self.includes(header) if quote == '"']
        return reached

    def text(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8") as f:
            return f.read()

    def includes(self, path):
        return INCLUDE.findall(self.text(path))


def undocumented(text):
    """(line number, line) of each declaration at namespace scope without a comment over it, in its paragraph, or beside it."""
    found, depth, internal, commented, words = [], 0, False, False, ""
    for number, line in enumerate(text.splitlines(), 1):
        code = re.sub(r'"(?:\\.|[^"\\])*"', '""', line).split("//")[0].rstrip()
        if line.startswith("namespace") and "internal" in line:
            internal = True
        elif line.startswith("}  // namespace") and "internal" in line:
            internal = False
        is_namespace = re.match(r"namespace\b|}  // namespace", line)
        if not line.strip():
            commented = depth > 0 and commented
        elif line.startswith("//"):
            commented = True
        elif depth == 0 and not internal and DECLARED.match(line) and not NEEDS_NO_WORD.match(line):
            if not commented and "//" not in line and not words.startswith("template"):
                found.append((number, line))
        words = line or words
        if not is_namespace:
            depth = max(0, depth + code.count("{") - code.count("}"))
    return found


def _for_tests_only(target):
    return bool(target.arguments.get("testonly")) or target.package.split("/")[0] == "tests"


def check_format(tree):
    files = tree.headers + tree.sources
    program = "clang-format-14"
    try:
        done = subprocess.run([program, "--dry-run", "-Werror", "--ferror-limit=1", *files], cwd=tree.root, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False) if files else None
    except FileNotFoundError:
        return [f"{program} is missing: tools/setup --test installs it"]
    bad = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", done.stdout, re.M))) if done else []
    if done and done.returncode and not bad:
        return [done.stdout]
    return [f"{f}: not formatted ({program} -i {f})" for f in bad]


def check_header_size(tree):
    sizes = {h: tree.text(h).count("\n") for h in tree.headers}
    wrong = [f"{h}: {n} lines; a header has at most {LONGEST_HEADER}" for h, n in sizes.items() if n > LONGEST_HEADER]
    if len(sizes) >= 5 and statistics.median(sizes.values()) >= MEDIAN_HEADER:
        wrong.append(f"the median header has {statistics.median(sizes.values()):.0f} lines; it should be under {MEDIAN_HEADER}")
    return wrong


def check_includes(tree):
    wrong = []
    for path in tree.headers + tree.sources:
        top = path.split("/")[0]
        for _, included in tree.includes(path):
            other = included.split("/")[0]
            if other not in BROKERS or "/" not in included or other == top:
                continue
            if top in BROKERS:
                wrong.append(f"{path}: includes {included}; no broker knows another")
            elif top == "cli":
                wrong.append(f"{path}: includes {included}; cli works with any broker, its BUILD file links them")
            elif top == "messaging" and not path.endswith("_test.cc"):
                if not (path.startswith("messaging/testing/") and other == "memory"):
                    wrong.append(f"{path}: includes {included}; messaging knows no broker")
    for header, by in sorted(tree.public_headers.items()):
        for quote, included in tree.includes(header):
            ours = quote == '"' and included.split("/")[0] in OURS
            if not ours and CLIENT_LIBRARY.match(included):
                wrong.append(f"{header}: includes {included}, and users get it by {by}; client libraries stay in .cc files")
    return wrong


def check_logging(tree):
    wrong = []
    for header in sorted(tree.public_headers):
        macro = LOG_MACRO.search(tree.text(header))
        if macro:
            wrong.append(f"{header}: {macro.group().strip()}...; no logging macro in a public header")
        wrong += [f"{header}: includes {i}; no logging macro in a public header" for _, i in tree.includes(header)
                  if i.startswith(("glog/", "absl/log/"))]
    return wrong


def check_documented(tree):
    return [f"{header}:{number}: no comment says what it is: {line}" for header in sorted(tree.public_headers)
            if "/internal/" not in header for number, line in undocumented(tree.text(header))]


def check_tests_in_targets(tree):
    named = set().union(*(t.files() for t in tree.targets))
    return [f"{f}: in no BUILD target, so it never runs" for f in tree.sources if f.endswith("_test.cc") and f not in named]


def check_handlers(tree):
    """A handler in an ordinary library is dropped by the linker when nothing else in its file is used."""
    kept = set().union(*(t.files("srcs") for t in tree.targets
                         if t.kind in ("message_handlers", "messaging_binary") or t.kind.endswith(("_binary", "_test"))))
    plain = set().union(*(t.files("srcs", "hdrs", "textual_hdrs") for t in tree.targets if t.kind == "cc_library"))
    wrong = []
    for path in tree.headers + tree.sources:
        if not re.search(r"^\s*MESSAGE_HANDLER\(", tree.text(path), re.M):
            continue
        if path.endswith(".h") or path in plain or path not in kept:
            wrong.append(f"{path}: MESSAGE_HANDLER, but not among the srcs of a message_handlers (or a binary)")
    return wrong


def check_visibility(tree):
    wrong = [f"{t.package}/BUILD: public by default; each target says who may use it" for t in tree.targets
             if t.kind == "package" and t.public]
    for t in tree.targets:
        if t.kind == "cc_library" and t.arguments.get("alwayslink") and not t.arguments.get("testonly") and t.package.split("/")[0] not in (*BROKERS, "sql"):
            wrong.append(f"//{t.package}:{t.name}: alwayslink; only message_handlers and a broker's registration have it")
    return wrong


CHECKS = {name.removeprefix("check_"): f for name, f in list(globals().items()) if name.startswith("check_")}


def main(check, root=None):
    # In a Bazel test MODULE.bazel is a link into the source tree, of which no list of files is up to date.
    wrong = CHECKS[check](Tree(root or os.path.dirname(os.path.realpath("MODULE.bazel"))))
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["public_headers"]:  # for tools/api_reference
        sys.exit(print("\n".join(sorted(h for h in Tree(sys.argv[2]).public_headers if "/internal/" not in h))))
    if len(sys.argv) < 2 or sys.argv[1] not in CHECKS:
        sys.exit(f"usage: lint.py {'|'.join(CHECKS)} [ROOT]")
    sys.exit(main(*sys.argv[1:]))
