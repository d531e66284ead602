#!/usr/bin/env python3
"""docs.py finds what is wrong in documents made for it, and nothing in a right one."""
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import docs  # noqa: E402

SOURCE = "int a;\n  // [part]\n  int b;\n    int c;\n  // [end]\nint d;\n"


class DocsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.source = os.path.join(self.folder.name, "source.cc")
        with open(self.source, "w", encoding="utf-8") as f:
            f.write(SOURCE)

    def check(self, text):
        document = os.path.join(self.folder.name, "document.md")
        with open(document, "w", encoding="utf-8") as f:
            f.write(text.replace("SOURCE", self.source))
        return " | ".join(docs.check(document, "/nowhere"))

    def test_text_without_blocks_is_right(self):
        self.assertEqual(self.check("# Title\n\nText with `code`.\n"), "")

    def test_block_without_mark_is_found(self):
        self.assertIn("line 3: the block has no mark", self.check("Text\n\n```cpp\nint a;\n```\n"))

    def test_block_without_end_is_found(self):
        self.assertIn("does not end", self.check("<!-- run -->\n```bash\ntrue\n"))

    def test_mark_apart_from_its_block_is_found(self):
        self.assertIn("no block follows", self.check("<!-- run -->\n\n```bash\ntrue\n```\n"))
        self.assertIn("no block follows", self.check("<!-- run -->\n"))

    def test_region_is_compared_without_its_indentation(self):
        self.assertEqual(self.check("<!-- from: SOURCE [part] -->\n```cpp\nint b;\n  int c;\n```\n"), "")

    def test_region_that_differs_is_found(self):
        self.assertIn("the block is not what", self.check("<!-- from: SOURCE [part] -->\n```cpp\nint b;\n```\n"))

    def test_region_or_file_that_is_missing_is_found(self):
        self.assertIn("0 regions [other]", self.check("<!-- from: SOURCE [other] -->\n```cpp\n```\n"))
        self.assertIn("No such file", self.check("<!-- from: SOURCE.h [part] -->\n```cpp\n```\n"))

    def test_written_blocks_are_right_whatever_they_held(self):
        for held in ("", "int x;\n", "int x;\n\nint y;\n"):
            document = os.path.join(self.folder.name, "written.md")
            with open(document, "w", encoding="utf-8") as f:
                f.write(f"Before\n<!-- from: {self.source} [part] -->\n```cpp\n{held}```\nAfter\n")
            docs.write(document)
            with open(document, encoding="utf-8") as f:
                self.assertEqual(f.read(), f"Before\n<!-- from: {self.source} [part] -->\n```cpp\nint b;\n  int c;\n```\nAfter\n")

    def test_commands_share_folder_and_variables(self):
        self.assertEqual(self.check("<!-- run -->\n```bash\nexport A=seven\necho 1 >file\n```\n"
                                    "<!-- run -->\n```bash\n[[ $A$(<file) == seven1 ]]\n```\n"), "")

    def test_failing_command_is_found_wherever_it_stands(self):
        self.assertIn("exit code 1", self.check("<!-- run -->\n```bash\nfalse\ntrue\n```\n"))
        self.assertIn("exit code 127", self.check("<!-- run -->\n```bash\nno-such-command\n```\n"))

    def test_expected_failure_must_happen_with_its_code(self):
        self.assertEqual(self.check("<!-- run: fails 3 -->\n```bash\nexit_with() { return 3; }\nexit_with\n```\n"), "")
        self.assertIn("exit code 0, not 3", self.check("<!-- run: fails 3 -->\n```bash\ntrue\n```\n"))

    def test_output_is_compared(self):
        run = "<!-- run -->\n```bash\nprintf 'one 17 s\\ntwo\\nthree\\n'\n```\n<!-- output -->\n```text\n"
        self.assertEqual(self.check(run + "one ... s\n...\nthree\n```\n"), "")
        self.assertEqual(self.check(run + "two\n```\n"), "")
        self.assertIn("something else", self.check(run + "one\n```\n"))
        self.assertIn("something else", self.check(run + "three\ntwo\n```\n"))
        self.assertIn("something else", self.check(run + "one 17 s\nthree\n```\n"))

    def test_command_that_goes_on_is_stopped_when_it_has_said_the_text(self):
        program = "python3 -uc 'import signal\ntry:\n  print(\"ready\")\n  signal.pause()\nexcept KeyboardInterrupt: print(\"bye\")'"
        self.assertEqual(self.check(f"<!-- run until: ready -->\n```bash\n{program}\n```\n<!-- output -->\n```\nready\nbye\n```\n"), "")
        self.assertIn("did not write", self.check("<!-- run until: ready -->\n```bash\ntrue\n```\n"))

    def test_command_tested_elsewhere_must_stand_there(self):
        self.assertEqual(self.check("<!-- tested by: SOURCE -->\n```bash\nint d;  # a comment\n```\n"), "")
        self.assertIn("does not stand", self.check("<!-- tested by: SOURCE -->\n```bash\ntools/other\n```\n"))


if __name__ == "__main__":
    unittest.main()
