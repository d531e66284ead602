// Every dependency resolves, compiles with our options and links: what fails here is the build's fault, not a
// package's.
#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "glog/logging.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "sqlite3.h"
#include "tests/build/sample.pb.h"

namespace {

TEST(Dependencies, Work) {
  core_messaging::build::Sample sample;
  sample.set_text(nlohmann::json::parse(R"({"text": "x"})")["text"].get<std::string>());
  EXPECT_EQ(sample.text(), "x");
  absl::StatusOr<int> number = 7;
  EXPECT_EQ(*number, 7);
  EXPECT_EQ(CLI::App("x", "program").get_name(), "program");
  EXPECT_GE(sqlite3_libversion_number(), 3040000);
  LOG(INFO) << "glog links";
}

}  // namespace
