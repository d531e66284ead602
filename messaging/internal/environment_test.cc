#include "messaging/internal/environment.h"

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging::internal {
namespace {

using testing::HasSubstr;
using testing::Not;

using Variables = std::map<std::string, std::string>;

BrokerEntry Entry(const std::string& name) {
  if (name == "kafka") return {.name = name, .schemes = {"kafka"}, .environment = "KAFKA_BOOTSTRAP_SERVERS"};
  if (name == "redis") return {.name = name, .schemes = {"redis", "rediss"}, .environment = "REDIS_URL"};
  if (name == "sqlite") return {.name = name, .schemes = {"sqlite"}, .default_url = "sqlite://messages.db"};
  return {.name = name, .schemes = {name}};
}

absl::StatusOr<ResolvedOptions> Resolve(const std::vector<std::string>& linked, const ClientOptions& options,
                                        const Variables& variables) {
  Registry registry;
  for (const std::string& name : linked) EXPECT_TRUE(registry.Add(Entry(name)).ok());
  return ResolveOptions(options, registry, [&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  });
}

struct Case {
  std::string what;
  std::vector<std::string> linked;
  ClientOptions options;
  Variables variables;
  std::string expected;  // "broker url", or a part of the error.
};

void RunTable(const std::vector<Case>& cases, bool good) {
  for (const Case& c : cases) {
    const absl::StatusOr<ResolvedOptions> resolved = Resolve(c.linked, c.options, c.variables);
    ASSERT_EQ(resolved.ok(), good) << c.what << ": " << resolved.status();
    if (good) {
      EXPECT_EQ(absl::StrCat(resolved->entry.name, " ", resolved->broker.url), c.expected) << c.what;
    } else {
      EXPECT_THAT(resolved.status().message(), HasSubstr(c.expected)) << c.what;
      EXPECT_THAT(resolved.status().message(), Not(HasSubstr("s3cret"))) << c.what;
    }
  }
}

const std::vector<std::string> kAll = {"kafka", "redis", "sqlite"};

TEST(EnvironmentTest, BrokerAndUrl) {
  RunTable(
      {{"only one linked, its default", {"sqlite"}, {}, {}, "sqlite sqlite://messages.db"},
       {"only one linked, its variable", {"redis"}, {}, {{"REDIS_URL", "redis://h"}}, "redis redis://h"},
       {"only one linked, MESSAGING_URL before its variable",
        {"redis"},
        {},
        {{"REDIS_URL", "redis://h"}, {"MESSAGING_URL", "rediss://g"}},
        "redis rediss://g"},
       {"another's variable, not linked, is nothing",
        {"sqlite"},
        {},
        {{"REDIS_URL", "redis://h"}},
        "sqlite sqlite://messages.db"},
       {"explicit broker", kAll, {.broker = "sqlite"}, {}, "sqlite sqlite://messages.db"},
       {"explicit URL", kAll, {.url = "redis://h"}, {}, "redis redis://h"},
       {"explicit both", kAll, {.broker = "redis", .url = "rediss://h"}, {}, "redis rediss://h"},
       {"explicit URL before all variables",
        kAll,
        {.url = "redis://h"},
        {{"MESSAGING_BROKER", "sqlite"}, {"MESSAGING_URL", "sqlite://x"}, {"REDIS_URL", "redis://y"}},
        "redis redis://h"},
       {"explicit broker takes MESSAGING_URL of its scheme",
        kAll,
        {.broker = "redis"},
        {{"MESSAGING_URL", "rediss://h"}, {"REDIS_URL", "redis://y"}},
        "redis rediss://h"},
       {"explicit broker leaves MESSAGING_URL of another",
        kAll,
        {.broker = "sqlite"},
        {{"MESSAGING_URL", "redis://h"}},
        "sqlite sqlite://messages.db"},
       {"explicit broker, its variable", kAll, {.broker = "redis"}, {{"REDIS_URL", "redis://y"}}, "redis redis://y"},
       {"bootstrap_servers", kAll, {.bootstrap_servers = "a:1,b:2"}, {}, "kafka kafka://a:1,b:2"},
       {"broker and bootstrap_servers", kAll, {.broker = "kafka", .bootstrap_servers = "a:1"}, {}, "kafka kafka://a:1"},
       {"KAFKA_BOOTSTRAP_SERVERS has no scheme",
        {"kafka"},
        {},
        {{"KAFKA_BOOTSTRAP_SERVERS", "a:1,b:2"}},
        "kafka kafka://a:1,b:2"},
       {"MESSAGING_BROKER chooses",
        kAll,
        {},
        {{"MESSAGING_BROKER", "redis"}, {"REDIS_URL", "redis://h"}},
        "redis redis://h"},
       {"MESSAGING_URL chooses",
        kAll,
        {},
        {{"MESSAGING_URL", "sqlite://x"}, {"REDIS_URL", "redis://h"}},
        "sqlite sqlite://x"},
       {"own variable chooses among several", kAll, {}, {{"REDIS_URL", "redis://h"}}, "redis redis://h"},
       {"MESSAGING_BROKER settles two own variables",
        kAll,
        {},
        {{"MESSAGING_BROKER", "kafka"}, {"REDIS_URL", "redis://h"}, {"KAFKA_BOOTSTRAP_SERVERS", "a:1"}},
        "kafka kafka://a:1"},
       {"empty variables are not set",
        kAll,
        {},
        {{"MESSAGING_BROKER", ""}, {"MESSAGING_URL", ""}, {"KAFKA_BOOTSTRAP_SERVERS", ""}, {"REDIS_URL", "redis://h"}},
        "redis redis://h"}},
      /*good=*/true);
}

TEST(EnvironmentTest, ErrorsNameWhatIsAtFault) {
  const std::string secret = "://u:s3cret@h";
  RunTable(
      {{"none linked", {}, {}, {}, "no broker is linked"},
       {"several and nothing that chooses", kAll, {}, {}, "kafka, redis, sqlite"},
       {"two own variables",
        kAll,
        {},
        {{"REDIS_URL", "redis" + secret}, {"KAFKA_BOOTSTRAP_SERVERS", "a"}},
        "KAFKA_BOOTSTRAP_SERVERS and REDIS_URL"},
       {"not linked, explicit", {"sqlite"}, {.broker = "redis"}, {}, "@core_messaging//redis"},
       {"not linked, by variable", {"sqlite"}, {}, {{"MESSAGING_BROKER", "redis"}}, "MESSAGING_BROKER: broker redis"},
       {"not linked, by URL",
        {"sqlite"},
        {},
        {{"MESSAGING_URL", "redis" + secret}},
        "MESSAGING_URL: a broker for redis"},
       {"explicit broker and URL disagree", kAll, {.broker = "sqlite", .url = "redis" + secret}, {}, "do not fit"},
       {"variables disagree",
        kAll,
        {},
        {{"MESSAGING_BROKER", "sqlite"}, {"MESSAGING_URL", "redis" + secret}},
        "do not fit"},
       {"own variable of another scheme", {"redis"}, {}, {{"REDIS_URL", "sqlite" + secret}}, "REDIS_URL: "},
       {"url and bootstrap_servers", kAll, {.url = "kafka://a", .bootstrap_servers = "b"}, {}, "both set"},
       {"bootstrap_servers for another broker",
        kAll,
        {.broker = "redis", .bootstrap_servers = "b"},
        {},
        "bootstrap_servers: "},
       {"bootstrap_servers without Kafka", {"sqlite"}, {.bootstrap_servers = "b"}, {}, "@core_messaging//kafka"},
       {"no URL where one is needed", {"redis"}, {}, {}, "REDIS_URL"},
       {"no scheme", kAll, {.url = "s3cret"}, {}, "url: "},
       {"malformed, explicit", kAll, {.url = "redis://u:s3cret/x@h"}, {}, "url: "},
       {"malformed, by variable", {"redis"}, {}, {{"REDIS_URL", "redis://h:s3cret"}}, "REDIS_URL: broker URL: a port"},
       {"bad group", {"sqlite"}, {.group = "a b"}, {}, "group: "},
       {"bad group by variable", {"sqlite"}, {}, {{"MESSAGING_GROUP", "a/b"}}, "MESSAGING_GROUP: "}},
      /*good=*/false);
}

TEST(EnvironmentTest, GroupIsExplicitThenTheVariableThenTheProgram) {
  const Variables variables = {{"MESSAGING_GROUP", "from-variable"}};
  EXPECT_EQ(Resolve({"sqlite"}, {.group = "explicit"}, variables)->group, "explicit");
  EXPECT_EQ(Resolve({"sqlite"}, {}, variables)->group, "from-variable");
  EXPECT_EQ(Resolve({"sqlite"}, {}, {})->group, program_invocation_short_name);
}

TEST(EnvironmentTest, ProgramNameIsMadeAValidGroup) {
  char* const own = program_invocation_short_name;
  std::string odd = "my app+(1)";
  program_invocation_short_name = odd.data();
  const absl::StatusOr<ResolvedOptions> resolved = Resolve({"sqlite"}, {}, {});
  program_invocation_short_name = own;
  ASSERT_TRUE(resolved.ok());
  EXPECT_EQ(resolved->group, "my-app--1-");
}

TEST(EnvironmentTest, NativeSettingsNameAndObserverAreHandedOn) {
  Observer observer;
  const absl::StatusOr<ResolvedOptions> resolved =
      Resolve({"sqlite"}, {.name = "audit", .native = {{"a", "b"}}, .observer = &observer}, {});
  ASSERT_TRUE(resolved.ok());
  EXPECT_EQ(resolved->broker.native.at("a"), "b");
  EXPECT_EQ(resolved->broker.client_name, absl::StrCat(program_invocation_short_name, "/audit"));
  EXPECT_EQ(resolved->broker.observer, &observer);
}

TEST(EnvironmentTest, ProcessVariablesAreRead) {
  ASSERT_EQ(setenv("MESSAGING_GROUP", "of-the-process", 1), 0);
  Registry registry;
  ASSERT_TRUE(registry.Add(Entry("sqlite")).ok());
  const absl::StatusOr<ResolvedOptions> resolved = ResolveOptions({}, registry);
  unsetenv("MESSAGING_GROUP");
  ASSERT_TRUE(resolved.ok());
  EXPECT_EQ(resolved->group, "of-the-process");
}

}  // namespace
}  // namespace messaging::internal
