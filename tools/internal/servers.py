"""Brokers for demonstrations and tests, each started on free ports in a folder of its own and ended with its user."""
import contextlib
import os


@contextlib.contextmanager
def _sqlite(folder):
    """No server: a file."""
    yield "sqlite://" + os.path.join(folder, "messages.db")


# By name: a context manager that takes a folder and gives the URL of a broker that answers.
BROKERS = {"sqlite": _sqlite}


def running(broker, folder):
    return BROKERS[broker](folder)
