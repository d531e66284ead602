#include "messaging/broker/names.h"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/message.h"

namespace messaging {
namespace {

// As Kafka sees names when it looks for two that are too alike.
std::string Alike(std::string name) {
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

void ExpectWellFormed(const std::string& name) {
  ASSERT_LE(name.size(), 249u) << name;
  ASSERT_EQ(name.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"),
            std::string::npos)
      << name;
  ASSERT_FALSE(IsValidTopic(name)) << name;
  ASSERT_TRUE(IsInternalPlace(name)) << name;
}

// Remembers who has which name, and finds two with one.
class NameBook {
 public:
  void Add(const std::string& name, const std::string& owner) {
    ExpectWellFormed(name);
    const auto [it, added] = owners_.emplace(Alike(name), owner);
    ASSERT_TRUE(added || it->second == owner) << name << " is that of " << it->second << " and of " << owner;
  }
  void AddAll(const std::string& topic, const std::string& group) {
    Add(DeadLetterPlace(topic, group), absl::StrCat("dead ", topic, " ", group));
    for (const int ms : {1, 7, 5'000}) {
      Add(RetryPlace(topic, group, absl::Milliseconds(ms)), absl::StrCat("retry ", topic, " ", group, " ", ms));
    }
  }

 private:
  std::map<std::string, std::string> owners_;
};

TEST(NamesTest, AreReadable) {
  EXPECT_EQ(DeadLetterPlace("orders.created", "mailer"), "__messaging.dead.14.orders.created.mailer");
  EXPECT_EQ(RetryPlace("orders.created", "mailer", absl::Seconds(5)),
            "__messaging.retry.14.orders.created.mailer.5000");
}

TEST(NamesTest, DotsDoNotMoveBetweenTopicAndGroup) {
  EXPECT_NE(DeadLetterPlace("a.b", "c"), DeadLetterPlace("a", "b.c"));
  EXPECT_NE(RetryPlace("a.b", "c", absl::Seconds(1)), RetryPlace("a", "b.c", absl::Seconds(1)));
  EXPECT_NE(RetryPlace("a", "b.1", absl::Milliseconds(2)), RetryPlace("a", "b", absl::Milliseconds(1)));
}

TEST(NamesTest, DifferInMoreThanDotAgainstUnderscore) {
  EXPECT_NE(Alike(DeadLetterPlace("a.b", "c")), Alike(DeadLetterPlace("a_b", "c")));
  EXPECT_NE(Alike(DeadLetterPlace("a", "b.c")), Alike(DeadLetterPlace("a", "b_c")));
  EXPECT_NE(Alike(DeadLetterPlace("a_b", "c.d")), Alike(DeadLetterPlace("a.b", "c_d")));
}

TEST(NamesTest, RungsAreRoundedUpToMilliseconds) {
  EXPECT_EQ(RetryPlace("t", "g", absl::Microseconds(1'001)), RetryPlace("t", "g", absl::Milliseconds(2)));
  EXPECT_NE(RetryPlace("t", "g", absl::Milliseconds(1)), RetryPlace("t", "g", absl::Milliseconds(2)));
  ExpectWellFormed(RetryPlace("t", "g", absl::InfiniteDuration()));
  ExpectWellFormed(RetryPlace("t", "g", -absl::Seconds(1)));
}

TEST(NamesTest, AllShortPairsDiffer) {
  std::vector<std::string> texts = {""};
  for (size_t i = 0; i < texts.size() && texts[i].size() < 3; ++i) {
    for (const char c : {'1', '7', 'u', '.', '_', '-'}) texts.push_back(texts[i] + c);
  }
  texts.erase(texts.begin());  // The empty one is no topic.
  ASSERT_EQ(texts.size(), 6u + 36u + 216u);
  NameBook book;
  for (const std::string& topic : texts) {
    for (const std::string& group : texts) book.AddAll(topic, group);
    if (HasFatalFailure()) return;
  }
}

TEST(NamesTest, RandomPairsOfAnyLengthDiffer) {
  std::mt19937 random(7);
  const std::string alphabet = "ab0.__..-";
  // Few different pieces, so that pairs are alike.
  std::vector<std::string> texts;
  for (int i = 0; i < 120; ++i) {
    std::string text(1 + random() % 120, 'a');
    for (char& c : text) c = alphabet[random() % alphabet.size()];
    texts.push_back(text);
    texts.push_back(absl::StrReplaceAll(text, {{".", "_"}}));
    text.back() = text.back() == 'x' ? 'y' : 'x';
    texts.push_back(text);
  }
  NameBook book;
  for (int i = 0; i < 20'000; ++i) {
    book.AddAll(texts[random() % texts.size()], texts[random() % texts.size()]);
    if (HasFatalFailure()) return;
  }
}

TEST(NamesTest, LongestPairsFitAndDiffer) {
  NameBook book;
  const std::string a(120, 'a');
  for (const std::string& topic : {a, std::string(119, 'a') + "b", std::string(120, '.'), std::string(120, '_')}) {
    for (const std::string& group : {a, std::string(119, 'a') + "b", std::string(120, '.'), std::string(120, '_')}) {
      book.AddAll(topic, group);
    }
  }
}

TEST(NamesTest, TopicAndGroupOfAHundredCharactersAreNotCut) {
  const std::string topic = "orders_v2." + std::string(90, 't');
  const std::string group = "mail.team." + std::string(90, 'g');
  const std::string name = RetryPlace(topic, group, absl::Hours(24));
  ExpectWellFormed(name);
  EXPECT_NE(name.find(absl::StrCat(topic, ".", group, ".86400000")), std::string::npos) << name;
}

TEST(NamesTest, HashIsFnv1aOf128Bits) {
  // From the definition, with Python: h = 0x6c62272e07bb014262b821756295c58d; for each byte: h = (h ^ byte) *
  // 0x1000000000000000000013B % 2**128.
  const std::string name = DeadLetterPlace(std::string(120, 'a'), std::string(120, 'b'));
  EXPECT_EQ(name.size(), 249u);
  EXPECT_EQ(name.substr(249 - 33), ".6aa0826d58ff6c1481cc9f4331d23b3c");
}

TEST(NamesTest, UsersOwnTopicsAreNoPlaces) {
  for (const char* topic : {"orders.created", "messaging.retry", "_messaging.dead.1.a.b", "__messaging"}) {
    EXPECT_TRUE(IsValidTopic(topic)) << topic;
    EXPECT_FALSE(IsInternalPlace(topic)) << topic;
  }
}

}  // namespace
}  // namespace messaging
