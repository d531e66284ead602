"""The brokers' C clients for MODULE.bazel: the same pins as for WORKSPACE."""

load(":repositories.bzl", "broker_clients")

def _broker_clients(_context):
    broker_clients()

broker_clients_extension = module_extension(implementation = _broker_clients)
