#include "tests/conformance/conformance.h"

#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "gtest/gtest.h"
#include "messaging/client.h"
#include "tests/conformance/bench.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

// Outlives all cases.
struct Suite {
  Environment environment;
  Capabilities capabilities;
  std::string worker;
  bool faults = false;
  std::vector<Case> cases = {};
  std::map<std::string, std::string> skips = {};
};

class CaseTest : public testing::Test {
 public:
  CaseTest(const Suite& suite, Case c) : suite_(suite), case_(std::move(c)) {}
  void TestBody() override {
    if (auto skip = suite_.skips.find(case_.name); skip != suite_.skips.end()) GTEST_SKIP() << skip->second;
    Bench bench(suite_.environment, suite_.capabilities, suite_.worker, case_.name);
    case_.run(bench);
  }

 private:
  const Suite& suite_;
  const Case case_;
};

class SkipsTest : public testing::Test {
 public:
  explicit SkipsTest(const Suite& suite) : suite_(suite) {}
  void TestBody() override {
    std::map<std::string, std::string> expected;
    for (const Case& c : suite_.cases) {
      const auto skip = suite_.environment.expected_skips.find(c.name);
      if (skip != suite_.environment.expected_skips.end()) expected.insert(*skip);
    }
    EXPECT_EQ(suite_.skips, expected);
  }

 private:
  const Suite& suite_;
};

absl::StatusOr<Capabilities> CapabilitiesOf(const Environment& environment) {
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create({.name = "capabilities",
                                                                   .broker = environment.name,
                                                                   .url = environment.url("Capabilities"),
                                                                   .group = "capabilities",
                                                                   .native = environment.native});
  if (!client.ok()) return client.status();
  return (*client)->broker().capabilities();
}

// Takes the suite's own arguments out.
void TakeArguments(int& argc, char** argv, Suite& suite) {
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--worker=")) {
      suite.worker = std::string(argument);
    } else if (argument == "--faults") {
      suite.faults = true;
    } else if (absl::Duration limit;
               absl::ConsumePrefix(&argument, "--limit=") && absl::ParseDuration(argument, &limit)) {
      SetLimit(limit);
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
}

template <typename Make>
void Add(const char* suite, const std::string& name, Make make) {
  testing::RegisterTest(suite, name.c_str(), nullptr, nullptr, __FILE__, __LINE__, std::move(make));
}

}  // namespace

int Main(int argc, char** argv, Environment environment) {
  testing::InitGoogleTest(&argc, argv);
  Suite suite = {.environment = std::move(environment)};
  TakeArguments(argc, argv, suite);
  absl::StatusOr<Capabilities> capabilities = CapabilitiesOf(suite.environment);
  if (!capabilities.ok()) {
    std::fprintf(stderr, "broker %s: %s\n", suite.environment.name.c_str(), capabilities.status().ToString().c_str());
    return 1;
  }
  suite.capabilities = *capabilities;
  suite.cases = suite.faults ? FaultCases() : AllCases();
  for (const Case& c : suite.cases) {
    if (std::optional<std::string> why = SkipReason(c, suite.environment, suite.capabilities)) {
      suite.skips[c.name] = *why;
    }
    Add("Conformance", c.name, [&suite, c] { return new CaseTest(suite, c); });
  }
  Add("ConformanceSkips", "AreTheExpectedOnes", [&suite] { return new SkipsTest(suite); });
  const int result = RUN_ALL_TESTS();
  std::printf("%s: %zu of %zu cases skipped\n", suite.environment.name.c_str(), suite.skips.size(), suite.cases.size());
  for (const auto& [name, why] : suite.skips) std::printf("  %s: %s\n", name.c_str(), why.c_str());
  return result;
}

}  // namespace messaging::conformance
