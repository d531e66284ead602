#!/usr/bin/env python3
"""Each check accepts a good tree and finds what is bad in a bad one."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import lint  # noqa: E402

GOOD = {
    "messaging/BUILD": '''
load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")
cc_library(name = "a", srcs = ["a.cc"], hdrs = ["a.h"], visibility = ["//visibility:public"])
[cc_test(name = n, srcs = [n + ".cc"], shard_count = 2, env = {"A": "b"}) for n in ["a_test"]]
''',
    "messaging/a.h": "// One.\nint F();\n",
    "messaging/a.cc": '#include "messaging/a.h"\n\nint F() { return 1; }\n',
    "messaging/a_test.cc": '#include "memory/memory.h"\n\nint main() {}\n',
    "memory/BUILD": 'cc_library(name = "memory", srcs = glob(["*.cc"]) + select({"//:x": [], "//:y": ["register.cc"]}))\n',
    "memory/memory.cc": '#include "messaging/a.h"\n',
    "sqlite/BUILD": 'cc_library(name = "statement", hdrs = ["statement.h"])\n',
    "sqlite/statement.h": '#include "sqlite3.h"\n',
    "examples/BUILD": 'load("//messaging:defs.bzl", "message_handlers")\nmessage_handlers(name = "h", srcs = ["h.cc"])\n',
    "examples/h.cc": "MESSAGE_HANDLER(F, {});\n",
    ".clang-format": "BasedOnStyle: Google\n",
}
PUBLIC = 'cc_library(name = "{0}", hdrs = ["{0}.h"], visibility = ["//visibility:public"])\n'


class LintTest(unittest.TestCase):
    def found(self, check, changes=None):
        with tempfile.TemporaryDirectory() as root:
            for path, text in {**GOOD, **(changes or {})}.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as f:
                    f.write(text)
            return "\n".join(lint.CHECKS[check](lint.Tree(root)))

    def test_good_tree(self):
        for check in lint.CHECKS:
            self.assertEqual(self.found(check), "", check)

    def test_format(self):
        self.assertIn("messaging/a.cc: not formatted", self.found("format", {"messaging/a.cc": "int  F( ) {return 1 ;}\n"}))

    def test_header_too_long(self):
        self.assertIn("501 lines", self.found("header_size", {"messaging/a.h": "\n" * 501}))
        self.assertEqual(self.found("header_size", {"messaging/a.h": "\n" * 500}), "")

    def test_headers_long_in_the_middle(self):
        self.assertIn("median", self.found("header_size", {f"messaging/{n}.h": "\n" * 80 for n in "bcdefg"}))

    def test_public_without_a_word(self):
        visible = PUBLIC.format("b")
        for text, wrong in (("class B {};\n", True), ("// What it is.\nclass B {\n\n  int a;\n};\n", False), ("int F();  // Beside.\n", False),
                            ("// Two.\nint F();\nint G();\n", False), ("// One.\nint F();\n\nint G();\n", True), ("class B;\n", False),
                            ("namespace internal {\n\nclass B {};\n\n}  // namespace internal\n", False), ("#define B_MACRO(x) x\n", True)):
            found = self.found("documented", {"sqlite/BUILD": visible, "sqlite/b.h": text})
            self.assertEqual("no comment says" in found, wrong, text)

    def test_broker_includes_another(self):
        self.assertIn("no broker", self.found("includes", {"memory/memory.cc": '#include "sqlite/sqlite.h"\n'}))

    def test_messaging_includes_a_broker(self):
        self.assertIn("messaging knows no", self.found("includes", {"messaging/a.cc": '#include "memory/memory.h"\n'}))
        self.assertEqual(self.found("includes", {"messaging/testing/a.cc": '#include "memory/memory.h"\n'}), "")
        self.assertIn("messaging knows no", self.found("includes", {"messaging/testing/a.cc": '#include "kafka/k.h"\n'}))

    def test_cli_includes_a_broker(self):
        self.assertIn("cli", self.found("includes", {"cli/main.cc": '#include "sqlite/sqlite.h"\n'}))

    def test_client_library_in_public_header(self):
        for included in ('"sqlite3.h"', "<librdkafka/rdkafka.h>", "<hiredis/hiredis.h>", "<rabbitmq-c/amqp.h>"):
            self.assertIn("client libraries", self.found("includes", {"messaging/a.h": f"#include {included}\n"}))

    def test_client_library_behind_public_header(self):
        bad = {"sqlite/BUILD": GOOD["sqlite/BUILD"] + PUBLIC.format("sqlite"),
               "sqlite/sqlite.h": '#include "sqlite/statement.h"\n'}
        self.assertIn("users get it by sqlite/sqlite.h", self.found("includes", bad))
        bad["sqlite/BUILD"] = bad["sqlite/BUILD"].replace("//visibility:public", "//tests:__subpackages__")
        self.assertEqual(self.found("includes", bad), "")

    def test_logging_in_public_header(self):
        for line in ("LOG(INFO) << 1;", "  CHECK_EQ(a, b);", "VLOG(1);", "#include <glog/logging.h>", '#include "absl/log/log.h"'):
            self.assertIn("no logging macro", self.found("logging", {"messaging/a.h": line + "\n"}))
        self.assertEqual(self.found("logging", {"messaging/a.h": "void Log(int);  // not LOG(x)\n"}), "")

    def test_test_in_no_target(self):
        self.assertIn("b_test.cc: in no", self.found("tests_in_targets", {"messaging/b_test.cc": "int main() {}\n"}))

    def test_handler_in_a_plain_library(self):
        build = 'cc_library(name = "h", srcs = ["h.cc"])\n'
        self.assertIn("examples/h.cc", self.found("handlers", {"examples/BUILD": build}))
        self.assertIn("examples/h.cc", self.found("handlers", {"examples/BUILD": ""}))
        self.assertEqual(self.found("handlers", {"examples/BUILD": 'cc_binary(name = "h", srcs = ["h.cc"])\n'}), "")
        self.assertIn("a.h", self.found("handlers", {"messaging/a.h": "MESSAGE_HANDLER(F, {});\n"}))

    def test_public_by_default(self):
        public = 'package(default_visibility = ["//visibility:public"])\n'
        self.assertIn("public by default", self.found("visibility", {"examples/BUILD": public}))

    def test_alwayslink(self):
        build = 'cc_library(name = "h", srcs = ["h.cc"], alwayslink = True)\n'
        self.assertIn("alwayslink", self.found("visibility", {"examples/BUILD": build}))
        self.assertEqual(self.found("visibility", {"memory/BUILD": build}), "")


if __name__ == "__main__":
    unittest.main()
