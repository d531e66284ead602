"""What a WORKSPACE user needs where MODULE.bazel is not read. MODULE.bazel is the list of dependencies; this one follows it."""

load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")
load(":libpq.bzl", "system_libpq")

# The brokers' C clients are archives of our own in both modes, because of what the registry's lack: its librdkafka has
# no SASL, its hiredis takes BoringSSL for TLS, and rabbitmq-c is not there.
def _hiredis():
    http_archive(
        name = "hiredis",
        build_file = Label("//third_party:hiredis.BUILD"),
        sha256 = "82ad632d31ee05da13b537c124f819eb88e18851d9cb0c30ae0552084811588c",
        strip_prefix = "hiredis-1.2.0",
        urls = ["https://github.com/redis/hiredis/archive/v1.2.0.tar.gz"],
    )

def _librdkafka():
    http_archive(
        name = "librdkafka",
        build_file = Label("//third_party:librdkafka.BUILD"),
        patch_args = ["-p1"],
        patches = [
            Label("//third_party:librdkafka_config.patch"),
            Label("//third_party:librdkafka_commits.patch"),
            Label("//third_party:librdkafka_metadata.patch"),
            Label("//third_party:librdkafka_recreated.patch"),
        ],
        sha256 = "5bd1c46f63265f31c6bfcedcde78703f77d28238eadf23821c2b43fc30be3e25",
        strip_prefix = "librdkafka-2.8.0",
        urls = ["https://github.com/confluentinc/librdkafka/archive/v2.8.0.tar.gz"],
    )

def _rabbitmq_c():
    http_archive(
        name = "rabbitmq_c",
        build_file = Label("//third_party:rabbitmq_c.BUILD"),
        sha256 = "7b652df52c0de4d19ca36c798ed81378cba7a03a0f0c5d498881ae2d79b241c2",
        strip_prefix = "rabbitmq-c-0.15.0",
        urls = ["https://github.com/alanxz/rabbitmq-c/archive/v0.15.0.tar.gz"],
    )

def _prometheus_cpp():
    http_archive(
        name = "prometheus_cpp",
        build_file = Label("//third_party:prometheus_cpp.BUILD"),
        patch_cmds = ["rm core/BUILD.bazel"],  # Else core is a package of its own.
        sha256 = "593e028d401d3298eada804d252bc38d8cab3ea1c9e88bcd72095281f85e6d16",
        strip_prefix = "prometheus-cpp-1.0.1",
        urls = ["https://github.com/jupp0r/prometheus-cpp/archive/v1.0.1.tar.gz"],
    )

def _cpp_httplib():
    http_archive(
        name = "cpp_httplib",
        build_file = Label("//third_party:cpp_httplib.BUILD"),
        sha256 = "b7b1e9e4e77565a5a9bc95e761d5df3e7c0e8ca37c90fd78b1b031bc6cb90fc1",
        strip_prefix = "cpp-httplib-0.18.7",
        urls = ["https://github.com/yhirose/cpp-httplib/archive/v0.18.7.tar.gz"],
    )

def _libpq():
    system_libpq(name = "libpq")

def archives(existing = {}):
    """Those that are not there yet; each is fetched only by what depends on it.

    Args:
      existing: native.existing_rules() in a WORKSPACE.
    """
    every = {
        "cpp_httplib": _cpp_httplib,
        "hiredis": _hiredis,
        "libpq": _libpq,
        "librdkafka": _librdkafka,
        "prometheus_cpp": _prometheus_cpp,
        "rabbitmq_c": _rabbitmq_c,
    }
    for name, archive in every.items():
        if name not in existing:
            archive()

def workspace_dependencies():
    """The archives that can be built from their own files alone.

    The others that MODULE.bazel names (rules_cc, platforms, com_google_protobuf, nlohmann_json, cli11, sqlite3,
    google_benchmark) are the WORKSPACE user's own, under these names: the set-up gives each by --override_repository.
    """
    existing = native.existing_rules()
    archives(existing)
    if "com_google_absl" not in existing:
        http_archive(
            name = "com_google_absl",
            sha256 = "f50e5ac311a81382da7fa75b97310e4b9006474f9560ac46f54a9967f07d4ae3",
            strip_prefix = "abseil-cpp-20240722.0",
            urls = ["https://github.com/abseil/abseil-cpp/archive/20240722.0.tar.gz"],
        )
    if "com_google_googletest" not in existing:
        http_archive(
            name = "com_google_googletest",
            sha256 = "81964fe578e9bd7c94dfdb09c8e4d6e6759e19967e397dbea48d1c10e45d0df2",
            strip_prefix = "googletest-release-1.12.1",
            urls = ["https://github.com/google/googletest/archive/release-1.12.1.tar.gz"],
        )
    if "com_github_google_glog" not in existing:
        http_archive(
            name = "com_github_google_glog",
            build_file = Label("//third_party:glog.BUILD"),
            sha256 = "8a83bf982f37bb70825df71a9709fa90ea9f4447fb3c099e1d720a439d88bad6",
            strip_prefix = "glog-0.6.0",
            urls = ["https://github.com/google/glog/archive/v0.6.0.tar.gz"],
        )
