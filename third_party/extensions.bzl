"""The archives of our own for MODULE.bazel: the same pins as for WORKSPACE."""

load(":repositories.bzl", "archives")

def _archives(_context):
    archives()

archives_extension = module_extension(implementation = _archives)
