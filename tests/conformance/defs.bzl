"""The conformance suite as a test of a broker: of this workspace, or of one that depends on it."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_test")

def conformance_worker(name, broker, **kwargs):
    """The program that the suite runs, and kills, as further processes.

    Args:
      name: the binary's name.
      broker: the target that registers the broker, as "//sqlite".
      **kwargs: as of cc_binary.
    """
    cc_binary(
        name = name,
        testonly = True,
        deps = [
            broker,
            Label("//tests/conformance:worker_main"),
        ],
        **kwargs
    )

def broker_conformance_test(name, srcs, broker, deps = [], several_processes = True, args = [], data = [], **kwargs):
    """All cases of the suite over one broker.

    Args:
      name: the test's name.
      srcs: a file with main(), which describes the environment (conformance.h).
      broker: the target that registers the broker, as "//sqlite".
      deps: what srcs need besides.
      several_processes: whether processes can share the broker; then a worker is built.
      args: as of cc_test.
      data: as of cc_test.
      **kwargs: as of cc_test; with shard_count the cases are dealt out to so many processes.
    """
    worker = name + "_worker"
    if several_processes:
        conformance_worker(name = worker, broker = broker, tags = kwargs.get("tags"))
        args = args + ["--worker=$(rootpath :{})".format(worker)]
        data = data + [":" + worker]
    cc_test(
        name = name,
        srcs = srcs,
        args = args,
        data = data,
        linkstatic = True,
        deps = deps + [
            broker,
            Label("//tests/conformance"),
        ],
        **kwargs
    )
