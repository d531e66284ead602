#!/usr/bin/env python3
"""Each claim of docs/security.md names a file and what in it shows the claim; both are there."""
import os
import re
import unittest

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


class ClaimsTest(unittest.TestCase):
    def test_each_is_shown_by_something(self):
        with open(os.path.join(TREE, "docs", "security.md"), encoding="utf-8") as f:
            rows = re.findall(r"^\| (.+) \| `(\S+)` (.+) \|$", f.read(), re.MULTILINE)
        self.assertGreaterEqual(len(rows), 10)
        for claim, path, names in rows:
            with open(os.path.join(TREE, path), encoding="utf-8") as f:
                text = f.read()
            for name in names.split(", "):
                self.assertRegex(text, rf"\b{re.escape(name)}\b", f"{claim}: not in {path}")


if __name__ == "__main__":
    unittest.main()
