"""Each command as the tests of terminals and pipes try it, and what it is tried on."""
import re
import sys
from typing import NamedTuple

from core_process import CoreTest

PROGRAM = sys.argv[2]  # One with handlers.


class Try(NamedTuple):
    arguments: list
    shown: str  # In a terminal, as a regular expression.
    program: str = CoreTest.core


# Of every command that there is (test_all_are_tried). None ends only by a signal.
COMMANDS = {
    "consumer": Try(["--topic", "orders", "--group", "tried", "--idle-exit", "100ms"], r'"payload":{"order_id": 19, "text": "äöü"}}'),
    "send": Try(["orders", '{"n": 1}'], r"^sent 1 message to orders, id \S+$"),
    "handlers": Try([], r"^ChargePayment +payments.process +", PROGRAM),
    "asyncapi": Try([], r'^  "asyncapi": "3.0.0",$', PROGRAM),
    "deadletters list": Try([], r"^ID +DEAD SINCE +GROUP +TOPIC +HANDLER +ATTEMPTS +WHY$"),
    "deadletters show": Try([], r"^why +UNKNOWN: false: exit code 1$"),
    "deadletters replay": Try(["--all", "--dry-run"], r"^core: a dry run: nothing was replayed$"),
    "deadletters export": Try([], r"^core: 5 dead letters exported$"),
    "deadletters import": Try(["/dev/null"], r"^0 dead letters imported$"),
    "deadletters purge": Try(["--all", "--yes"], r"^\d dead letters? deleted$"),
    "lag": Try([], r"^orders +g +- +1\d "),
    "check": Try(["--topic", "orders"], r"^ok +file +\S+messages.db can be written"),
    "topics list": Try([], r"^orders +- +2\d +"),
    "topics describe": Try(["orders"], r"^messages +2\d$"),
    "topics declare": Try(["orders", "--group", "tried"], r"^declared orders with group tried$"),
    "topics delete": Try(["nothing", "--yes"], r"^deleted nothing$"),
    "tail": Try(["orders", "--last", "100", "--no-follow"], r'{"order_id": 0, "text": "äöü"}$'),
    "bench": Try(["--messages", "20"], r"^handled +20 in "),
    "config show": Try([], r"^url +sqlite://\S+ +environment MESSAGING_URL$"),
    "completion": Try(["bash"], r"_core_complete"),
    "man": Try([], r"^\.SH NAME$"),
}


class Tried(CoreTest):
    """Twenty messages, of which group g has five dead letters and fifteen to do."""

    def setUp(self):
        super().setUp()
        lines = ['{"order_id": %d, "text": "äöü"}' % n for n in range(20)]
        self.send("orders", *lines[:5])
        done = self.run_core("consumer", "--topic", "orders", "--group", "g", "--max-messages", "5", "--max-retries", "0",
                             "--exec", "false")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.send("orders", *lines[5:])

    @staticmethod
    def line(command):
        """The whole command line, program and all."""
        row = COMMANDS[command]
        return [row.program, *command.split(), *row.arguments]

    def commands(self):
        """As the program itself lists them."""
        return set(re.findall(r"^### core (.*)$", self.run_core("man", "--markdown").stdout, re.M))
