"""What a WORKSPACE user needs where MODULE.bazel is not read. MODULE.bazel is the list of dependencies; this one follows it."""

load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")

def workspace_dependencies():
    """The archives that can be built from their own files alone.

    The others that MODULE.bazel names (rules_cc, platforms, com_google_protobuf, nlohmann_json, cli11, sqlite3,
    google_benchmark) are the WORKSPACE user's own, under these names: the set-up gives each by --override_repository.
    """
    existing = native.existing_rules()
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
