"""Programs that measure the library over a broker, and its C client without the library."""

load("@rules_cc//cc:defs.bzl", "cc_binary")

def broker_bench(name, client, wraps = [], raw_deps = []):
    """NAME_bench, the library over //NAME, and raw_NAME from raw_NAME.cc, the same work by the C client alone.

    To add a broker: this macro in BUILD; raw_NAME.cc with the modes send, consume, latency and drop, as raw_redis.cc has
    them, storing the same fields a message under the same promises; probe_NAME.cc where calls can be wrapped; the broker
    among BROKERS of tools/internal/servers.py, and what is its own at the head of broker() in tools/internal/bench.py.

    Args:
      name: the broker's name.
      client: its C library.
      wraps: functions of that library that probe_NAME.cc wraps: where messages go in and come out. Without any, the
        time inside our own code is not measured.
      raw_deps: what raw_NAME.cc needs besides the client.
    """
    cc_binary(
        name = name + "_bench",
        testonly = True,
        srcs = ["probe_{}.cc".format(name)] if wraps else [],
        linkopts = ["-Wl,--wrap=" + function for function in wraps],
        deps = [
            ":broker_bench_main",
            ":probe",
            "//" + name,
            client,
        ],
    )
    cc_binary(
        name = "raw_" + name,
        testonly = True,
        srcs = ["raw_{}.cc".format(name)],
        deps = raw_deps + [
            ":raw",
            ":usage",
            "//messaging/broker:url",
            "@com_google_absl//absl/strings",
            "@com_google_absl//absl/time",
            client,
        ],
    )
