"""Brokers for demonstrations, each started on free ports in a folder of its own and ended with its user."""
import contextlib
import os
import subprocess

import run_tests


@contextlib.contextmanager
def _sqlite(folder, *_):
    """No server: a file."""
    yield "sqlite://" + os.path.join(folder, "messages.db")


def _server(name):
    @contextlib.contextmanager
    def running_server(folder, *arguments):
        """A real one, kept by //tests/servers:serve as long as its standard input is open."""
        serve = os.path.join(run_tests.bazel("info", "bazel-bin").strip(), "tests/servers/serve")
        kafka = os.path.join(run_tests.TREE, ".setup/kafka")
        environment = {"CORE_MESSAGING_KAFKA": os.path.realpath(kafka), **os.environ}
        with subprocess.Popen([serve, name, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env=environment, start_new_session=True) as process:
            try:
                url = process.stdout.readline().strip()
                if not url:
                    raise SystemExit(f"{name} did not start")
                yield url
            finally:
                process.stdin.close()
                process.wait(timeout=60)
    return running_server


# By name: a context manager that takes a folder, and arguments for the server, and gives the URL of a broker that answers.
BROKERS = {"kafka": _server("kafka"), "rabbitmq": _server("rabbitmq"), "redis": _server("redis"), "sqlite": _sqlite}


def running(broker, folder, *arguments):
    return BROKERS[broker](folder, *arguments)


def target(broker):
    """What has to be built first, if anything."""
    return None if broker == "sqlite" else "//tests/servers:serve"
