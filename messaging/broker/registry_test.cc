#include "messaging/broker/registry.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

BrokerEntry Entry(std::string name, std::vector<std::string> schemes) {
  return {.name = name, .schemes = std::move(schemes), .target = "//" + name};
}

std::string Found(const Registry& registry, const std::string& name, const std::string& url) {
  const absl::StatusOr<BrokerEntry> entry = registry.Find(name, url);
  return entry.ok() ? entry->name : std::string(entry.status().message());
}

class RegistryTest : public testing::Test {
 protected:
  void Add(std::string name, std::vector<std::string> schemes) {
    ASSERT_TRUE(registry_.Add(Entry(std::move(name), std::move(schemes))).ok());
  }
  Registry registry_;
};

TEST_F(RegistryTest, NoneLinkedSaysWhatToAdd) {
  const absl::Status status = registry_.Find("", "").status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(status.message(),
            "no broker is linked into this binary: add one of its targets, e.g. \"@core_messaging//sqlite\", to deps");
  EXPECT_EQ(registry_.Find("redis", "redis://h").status(), status);
}

TEST_F(RegistryTest, OnlyOneLinkedIsTheDefault) {
  Add("sqlite", {"sqlite"});
  EXPECT_EQ(Found(registry_, "", ""), "sqlite");
}

TEST_F(RegistryTest, FoundByNameOrSchemeOrBoth) {
  Add("redis", {"redis", "rediss"});
  Add("sqlite", {"sqlite"});
  EXPECT_EQ(Found(registry_, "sqlite", ""), "sqlite");
  EXPECT_EQ(Found(registry_, "", "rediss://h"), "redis");
  EXPECT_EQ(Found(registry_, "", "REDIS://h"), "redis");
  EXPECT_EQ(Found(registry_, "redis", "rediss://h"), "redis");
}

TEST_F(RegistryTest, NotLinkedNamesThoseThatAreAndTheTarget) {
  Add("redis", {"redis", "rediss"});
  Add("sqlite", {"sqlite"});
  EXPECT_TRUE(absl::IsNotFound(registry_.Find("kafka", "").status()));
  EXPECT_THAT(Found(registry_, "kafka", ""),
              AllOf(HasSubstr("redis, sqlite"), HasSubstr("\"@core_messaging//kafka\"")));
  EXPECT_TRUE(absl::IsNotFound(registry_.Find("", "amqps://u:s3cret@h").status()));
  EXPECT_THAT(Found(registry_, "", "amqps://u:s3cret@h"),
              AllOf(HasSubstr("redis, sqlite"), HasSubstr("\"@core_messaging//rabbitmq\""), Not(HasSubstr("s3cret"))));
}

TEST_F(RegistryTest, SeveralAndNothingThatChoosesIsAnError) {
  Add("redis", {"redis", "rediss"});
  Add("sqlite", {"sqlite"});
  EXPECT_TRUE(absl::IsInvalidArgument(registry_.Find("", "").status()));
  EXPECT_THAT(Found(registry_, "", ""), HasSubstr("redis, sqlite"));
}

TEST_F(RegistryTest, NameAndSchemeThatDisagreeAreAnError) {
  Add("redis", {"redis", "rediss"});
  Add("sqlite", {"sqlite"});
  const absl::Status status = registry_.Find("redis", "sqlite:///s3cret").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(status.message(), AllOf(HasSubstr("redis://, rediss://"), Not(HasSubstr("s3cret"))));
}

TEST_F(RegistryTest, UrlWithoutSchemeIsAnErrorThatDoesNotShowIt) {
  Add("sqlite", {"sqlite"});
  for (const std::string url : {"s3cret", "://s3cret", "s3cret:9092"}) {
    const absl::Status status = registry_.Find("", url).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << url;
    EXPECT_THAT(status.message(), Not(HasSubstr("s3cret")));
  }
}

TEST_F(RegistryTest, NameOrSchemeTwiceIsAnError) {
  Add("redis", {"redis", "rediss"});
  EXPECT_TRUE(absl::IsAlreadyExists(registry_.Add(Entry("redis", {"other"}))));
  EXPECT_TRUE(absl::IsAlreadyExists(registry_.Add(Entry("valkey", {"valkey", "rediss"}))));
  EXPECT_EQ(registry_.entries().size(), 1u);
}

TEST_F(RegistryTest, EntriesAreSortedByName) {
  Add("sqlite", {"sqlite"});
  Add("memory", {"memory"});
  const std::vector<BrokerEntry> entries = registry_.entries();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "memory");
  EXPECT_EQ(entries[1].name, "sqlite");
}

TEST(RegisterBrokerDeathTest, NameTwiceEndsTheProgramWithOneLine) {
  EXPECT_EXIT(
      {
        RegisterBroker(Entry("twin", {"twin"}));
        RegisterBroker(Entry("twin", {"twin"}));
      },
      testing::ExitedWithCode(1), "^error: linked brokers: a broker named twin is there already\n$");
}

}  // namespace
}  // namespace messaging
