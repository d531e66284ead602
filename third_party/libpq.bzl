"""libpq as the machine has it (Debian: libpq-dev): the client library belongs to the system's PostgreSQL, TLS included."""

_BUILD = """
load("@rules_cc//cc:defs.bzl", "cc_library")

# By the linker's own search path: the shared library, which programs then need where they run.
cc_library(
    name = "libpq",
    hdrs = glob(["include/*.h"]),
    includes = ["include"],
    linkopts = ["-lpq"],
    visibility = ["//visibility:public"],
)
"""

def _impl(context):
    config = context.which("pg_config")
    if not config:
        fail("PostgreSQL's client library is not installed: tools/setup, or apt-get install libpq-dev")
    folder = context.execute([config, "--includedir"]).stdout.strip()
    for header in ["libpq-fe.h", "postgres_ext.h", "pg_config_ext.h"]:
        context.symlink(folder + "/" + header, "include/" + header)
    context.file("BUILD", _BUILD)

system_libpq = repository_rule(implementation = _impl, local = True)
