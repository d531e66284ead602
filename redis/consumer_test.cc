// The manual consumer as its header shows it, over the server that REDIS_URL names.
#include "redis/consumer.h"

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "redis/testing/with_server.h"

namespace messaging {
namespace {

using redis_testing::kLimit;
using redis_testing::Other;
using redis_testing::Start;
using ::testing::ElementsAre;

// What was handled, as "topic payload attempt".
struct Seen {
  absl::Mutex mutex;
  std::vector<std::string> calls ABSL_GUARDED_BY(mutex);
} seen;

absl::Status Process(const Received& message) {
  absl::MutexLock lock(&seen.mutex);
  seen.calls.push_back(absl::StrCat(message.topic(), " ", message.payload(), " ", message.attempt()));
  return message.attempt() == 1 ? absl::UnavailableError("once more") : absl::OkStatus();
}

TEST(RedisManualConsumerTest, HandlesAndRetriesAsItsHeaderShows) {
  const auto server = Start();
  Other other(*server);
  setenv("REDIS_URL", server->url().c_str(), 1);
  redis::Consumer consumer({.group_id = "my-service",
                            .topics = {"orders.created"},
                            .message_handler = Process,
                            .handler = {.retry_delay = absl::Milliseconds(1)}});
  ASSERT_EQ(consumer.Start(), absl::OkStatus());
  other.Ask({"XADD", "orders.created", "*", "payload", "hello"});
  {
    absl::MutexLock lock(&seen.mutex);
    const auto both = [] { return seen.calls.size() == 2; };
    EXPECT_TRUE(seen.mutex.AwaitWithTimeout(absl::Condition(&both), kLimit));
    EXPECT_THAT(seen.calls, ElementsAre("orders.created hello 1", "orders.created hello 2"));
  }
  EXPECT_EQ(consumer.Stop(), absl::OkStatus());
  EXPECT_EQ(consumer.Wait(), absl::OkStatus());
  EXPECT_EQ(other.Ask({"XPENDING", "orders.created", "my-service", "-", "+", "9"}), "0");
}

}  // namespace
}  // namespace messaging
