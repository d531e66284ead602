#include "messaging/messaging.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/broker/registry.h"
#include "messaging/internal/fake_broker.h"

namespace messaging {
namespace {

using testing::HasSubstr;

bool answers = true;

class LinkedBroker : public internal::FakeBroker {
 public:
  LinkedBroker() {
    if (answers) AcceptAll();
  }
};

[[maybe_unused]] const bool registered = RegisterBroker({
    .name = "fake",
    .schemes = {"fake"},
    .target = "//fake",
    .environment = "FAKE_URL",
    .make = [](const BrokerOptions&) -> absl::StatusOr<std::unique_ptr<Broker>> {
      return std::make_unique<LinkedBroker>();
    },
});

TEST(ClientTest, ABudgetOfNothingIsRefused) {
  auto client = Client::Create({.name = "other", .url = "fake://x"});
  ASSERT_TRUE(client.ok()) << client.status();
  EXPECT_EQ((*client)->Start({.max_messages = 0}).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ((*client)->Start({.max_bytes = 0}).code(), absl::StatusCode::kInvalidArgument);
}

class MessagingTest : public testing::Test {
 protected:
  void TearDown() override {
    Shutdown();
    unsetenv("FAKE_URL");
    answers = true;
  }
};

// First: a process begins unconfigured only once.
TEST_F(MessagingTest, A_UnconfiguredItComesFromTheEnvironmentAndStays) {
  ASSERT_EQ(setenv("FAKE_URL", "fake://h", 1), 0);
  EXPECT_TRUE(GetProducer().Send("t", "x").Wait().ok());
  absl::StatusOr<Client*> client = DefaultClient();
  ASSERT_TRUE(client.ok());
  EXPECT_EQ(&GetProducer(), &(*client)->producer());
  const absl::Status late = Configure({.url = "fake://other"});
  EXPECT_TRUE(absl::IsFailedPrecondition(late)) << late;
}

TEST_F(MessagingTest, ConfigureSetsUpTheDefaultClientOnce) {
  ASSERT_TRUE(Configure({.url = "fake://h", .group = "g"}).ok());
  EXPECT_EQ((*DefaultClient())->group(), "g");
  EXPECT_TRUE(GetProducer().Send("t", "x").Wait().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(Configure({.url = "fake://h"})));
}

TEST_F(MessagingTest, WrongConfigurationMakesAProducerThatRefusesWithTheReason) {
  const absl::Status wrong = Configure({.broker = "kafka"});
  EXPECT_TRUE(absl::IsNotFound(wrong));
  EXPECT_THAT(wrong.message(), HasSubstr("@core_messaging//kafka"));
  EXPECT_EQ(DefaultClient().status(), wrong);
  Producer& refusing = GetProducer();
  EXPECT_EQ(refusing.Send("t", "x").Wait().status(), wrong);
  // Mended, and who holds the old producer still gets an answer.
  ASSERT_TRUE(Configure({.url = "fake://h"}).ok());
  EXPECT_TRUE(GetProducer().Send("t", "x").Wait().ok());
  EXPECT_EQ(refusing.Send("t", "x").Wait().status(), wrong);
}

TEST_F(MessagingTest, AfterShutdownSendsAreRefusedAndConfirmationsLiveOn) {
  ASSERT_TRUE(Configure({.url = "fake://h"}).ok());
  const Confirmation confirmation = GetProducer().Send("t", "x");
  Shutdown();
  EXPECT_TRUE(confirmation.Wait().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(GetProducer().Send("t", "x").Wait().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(DefaultClient().status()));
  Shutdown();  // Nothing more to do.
}

TEST_F(MessagingTest, ShutdownResolvesWhatIsOpenAsUnknown) {
  answers = false;
  ASSERT_TRUE(Configure({.url = "fake://h"}).ok());
  const Confirmation confirmation = GetProducer().Send("t", "x");
  Shutdown();
  EXPECT_TRUE(IsUnknownOutcome(confirmation.Wait().status()));
}

TEST_F(MessagingTest, ManyThreadsGetOneClient) {
  ASSERT_TRUE(Configure({.url = "fake://h"}).ok());
  std::vector<Producer*> producers(8);
  std::vector<std::thread> threads;
  for (Producer*& producer : producers) threads.emplace_back([&producer] { producer = &GetProducer(); });
  for (std::thread& thread : threads) thread.join();
  for (Producer* producer : producers) EXPECT_EQ(producer, producers[0]);
}

TEST(MessagingDeathTest, ProgramThatEndsWithoutShutdownFlushesFirst) {
  EXPECT_EXIT(
      {
        answers = false;
        (void)Configure({.url = "fake://h"});
        const Confirmation open = GetProducer().Send("t", "x");
        open.Then([](const absl::StatusOr<Receipt>&) {});
        std::exit(0);
      },
      testing::ExitedWithCode(0), "at exit, without messaging::Shutdown: 1 message");
}

}  // namespace
}  // namespace messaging
