"""A parser of outside bytes under any bytes: its corpus, and what a seed makes of it."""

load("@rules_cc//cc:defs.bzl", "cc_test")

def fuzz_test(name, deps, **kwargs):
    """NAME.cc with LLVMFuzzerTestOneInput, run over corpus/NAME and mutations of it for some seconds.

    Args:
      name: the target's; files are called after it.
      deps: what NAME.cc includes.
      **kwargs: as of cc_test.
    """
    cc_test(
        name = name + "_fuzz_test",
        size = "medium",
        srcs = [name + "_fuzz.cc"],
        args = ["$(rootpath %s)" % f for f in native.glob(["corpus/" + name + "/*"])],
        data = native.glob(["corpus/" + name + "/*"]),
        deps = deps + ["//tests/fuzz:mutate"],
        **kwargs
    )
