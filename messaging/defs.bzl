"""The two rules a user of core messaging needs: a library of handlers, and a binary that runs them over a broker."""

load("@rules_cc//cc:defs.bzl", "cc_binary", "cc_library")

def message_handlers(name, srcs, deps = [], **kwargs):
    """A cc_library of files with MESSAGE_HANDLER. No handler in it is dropped, though nothing calls it by name.

    Args:
      name: the library's name.
      srcs: the files that define handlers.
      deps: what they need; //messaging need not be named.
      **kwargs: as of cc_library.
    """
    cc_library(
        name = name,
        srcs = srcs,
        alwayslink = True,
        # By its second name, so that deps may hold the first.
        deps = deps + [Label("//:messaging")],
        **kwargs
    )

def messaging_binary(name, deps = [], srcs = [], broker = None, brokers = None, **kwargs):
    """A cc_binary that holds the handlers in deps and the code of the brokers named, and of no other.

    The default consumer group is the program's file name as it runs, so the target's name; the group option and
    MESSAGING_GROUP come before it.

    Args:
      name: the binary's name.
      deps: message_handlers and whatever srcs need.
      srcs: the file with main(); without any, it is the program of //cli:main.
      broker: one broker, as "sqlite". Without it and brokers, --@core_messaging//:broker decides.
      brokers: several brokers in one binary; the URL or MESSAGING_BROKER chooses at run time.
      **kwargs: as of cc_binary.
    """
    if broker and brokers:
        fail("messaging_binary {}: name either broker or brokers".format(name))
    names = brokers if brokers else [broker] if broker else []
    added = [Label("//" + b) for b in names] if names else [Label("//:broker_client")]
    if not srcs:
        added.append(Label("//cli:main"))
    cc_binary(
        name = name,
        srcs = srcs,
        deps = deps + added,
        **kwargs
    )
