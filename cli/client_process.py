"""For tests by other programs' clients of a server: goes on in the Python of tools/setup --test, which has them."""
import os
import sys

from core_process import ServerTest

_HOME = os.environ.get("CORE_MESSAGING_PYTHON", "")
_PYTHON = os.path.join(_HOME, "bin/python")
if not os.path.exists(_PYTHON):
    sys.exit("none of the others' clients: run tools/setup --test")
if os.path.realpath(sys.prefix) != os.path.realpath(_HOME):
    os.execv(_PYTHON, [_PYTHON, *sys.argv])


class ClientTest(ServerTest):
    """Each test has a topic of its own, and its group."""
    group = "g"

    def setUp(self):
        super().setUp()
        self.topic = self.id().rsplit(".", 1)[1].replace("_", "-")
        self.ask("topics", "declare", self.topic, "--group", self.group)

    def consume(self, *arguments):
        return self.ask("consumer", "--topic", self.topic, "--group", self.group, "--max-messages", "1", *arguments)
