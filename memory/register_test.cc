#include "gtest/gtest.h"
#include "messaging/broker/registry.h"

namespace messaging {
namespace {

TEST(RegisterMemory, IsFoundByNameByUrlAndAsTheOnlyOne) {
  for (const auto& [name, url] :
       {std::pair("memory", ""), std::pair("", "memory://"), std::pair("", "memory://shared"), std::pair("", "")}) {
    const absl::StatusOr<BrokerEntry> found = Registry::Global().Find(name, url);
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->target, "//memory");
    const auto broker = found->make({.url = *url != '\0' ? url : found->default_url});
    ASSERT_TRUE(broker.ok()) << broker.status();
    EXPECT_EQ((*broker)->name(), "memory");
  }
}

}  // namespace
}  // namespace messaging
