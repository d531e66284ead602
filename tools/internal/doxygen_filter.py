"""Prints a header with its plain comments as Doxygen's: those over declarations and beside them; indented lines are code."""
import re
import sys

ESCAPE = re.compile(r"([\\@<>&#%\"])")
in_code = False


def leave_code(indent):
    global in_code
    if in_code:
        in_code = False
        print(indent + "/// @endcode")


with open(sys.argv[1], encoding="utf-8") as f:
    for line in f.read().splitlines():
        over, beside = re.match(r"^( *)// ?(.*)$", line), re.match(r"^(.*[;{,)}]) +// (.*)$", line)
        if over:
            indent, words = over.groups()
            if words.startswith("  "):
                if not in_code:
                    print(indent + "/// @code")
                    in_code = True
                print(f"{indent}/// {words}")
            else:
                leave_code(indent)
                print(f"{indent}/// " + ESCAPE.sub(r"\\\1", words))
            continue
        leave_code("")
        if beside and '"' not in beside[2] and re.search(r"[;,]$", beside[1]):
            print(f"{beside[1]}  ///< " + ESCAPE.sub(r"\\\1", beside[2]))
        else:
            print(line)
