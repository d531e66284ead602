#include "cli/suggestion.h"

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

const std::vector<std::string>& Commands() {
  static const auto* const names = new std::vector<std::string>{"consumer", "send", "handlers", "deadletters"};
  return *names;
}

TEST(NearestName, FindsTypingErrors) {
  EXPECT_EQ(NearestName("cosnumer", Commands()), "consumer");  // Swapped.
  EXPECT_EQ(NearestName("consume", Commands()), "consumer");   // Forgotten.
  EXPECT_EQ(NearestName("sennd", Commands()), "send");         // Doubled.
  EXPECT_EQ(NearestName("dead-letters", Commands()), "deadletters");
  EXPECT_EQ(NearestName("--tpoic", {"--url", "--topic"}), "--topic");
  EXPECT_EQ(NearestName(std::string(119, 't'), {"t", std::string(120, 't')}), std::string(120, 't'));
}

TEST(NearestName, IsEmptyWhenNoneIsNear) {
  EXPECT_EQ(NearestName("publish", Commands()), "");
  EXPECT_EQ(NearestName("x", Commands()), "");
  EXPECT_EQ(NearestName("", {}), "");
  EXPECT_EQ(NearestName(std::string(100'000, 's'), Commands()), "");
}

}  // namespace
}  // namespace messaging::cli
