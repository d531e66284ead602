#include "tests/conformance/conformance.h"

#include <fnmatch.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
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

bool MatchesAny(std::string_view patterns, const std::string& name) {
  for (std::string_view pattern : absl::StrSplit(patterns, ':')) {
    if (fnmatch(std::string(pattern).c_str(), name.c_str(), 0) == 0) return true;
  }
  return false;
}

// As googletest reads a filter; it counts what it chose only for one shard, which may rightly have none.
bool ChoosesAny(std::string_view filter, const std::vector<Case>& cases) {
  const std::pair<std::string_view, std::string_view> parts = absl::StrSplit(filter, absl::MaxSplits('-', 1));
  const std::string_view wanted = parts.first.empty() && !filter.empty() ? "*" : parts.first;
  const auto chosen = [&](const std::string& name) {
    return MatchesAny(wanted, name) && !MatchesAny(parts.second, name);
  };
  return chosen("ConformanceSkips.AreTheExpectedOnes") ||
         std::any_of(cases.begin(), cases.end(), [&](const Case& c) { return chosen("Conformance." + c.name); });
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
  if (const std::string filter = GTEST_FLAG_GET(filter); !ChoosesAny(filter, suite.cases)) {
    std::fprintf(stderr, "the filter \"%s\" chooses none of %zu cases: nothing was tested\n", filter.c_str(),
                 suite.cases.size());
    return 1;
  }
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
