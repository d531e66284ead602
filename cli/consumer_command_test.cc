// The command line in a program with handlers, over the memory broker.
#include "cli/consumer_command.h"

#include <signal.h>

#include <atomic>
#include <deque>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "cli/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/broker/broker.h"
#include "messaging/messaging.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// What the handlers below are told to do, and have done; one test at a time.
struct Shop {
  std::atomic<int> handled{0};
  std::atomic<bool> gateway_down{false};
  absl::Notification stuck;
  absl::Notification unstick;
};
Shop* shop = nullptr;

absl::Status Count(const std::string_view&) {
  ++shop->handled;
  return absl::OkStatus();
}
MESSAGE_HANDLER(Count, {.topics = {"orders.created", "orders.updated"}});

absl::Status Charge(const std::string_view& payment) {
  if (shop->gateway_down) return absl::InvalidArgumentError(absl::StrCat("no card for ", payment));
  ++shop->handled;
  return absl::OkStatus();
}
MESSAGE_HANDLER(Charge, {.topics = {"payments.process"}, .max_retries = 5, .retry_delay = absl::Seconds(2)});

absl::Status Stick(const std::string_view&) {
  shop->stuck.Notify();
  shop->unstick.WaitForNotification();
  return absl::OkStatus();
}
MESSAGE_HANDLER(Stick, {.topics = {"stuck"}, .max_retries = 0});

std::vector<absl::Status> Index(absl::Span<const std::string_view> orders) {
  return std::vector<absl::Status>(orders.size());
}
MESSAGE_HANDLER(Index, {.topics = {"orders.created"},
                        .order = Order::kNone,
                        .concurrency = 2,
                        .batch = {.max = 500, .wait = absl::Milliseconds(5)},
                        .group = "search"});

class ConsumerTest : public testing::Test {
 protected:
  ConsumerTest()
      : url_(absl::StrCat("memory://", testing::UnitTest::GetInstance()->current_test_info()->name())),
        keeper_(Keep(url_)) {
    shop = &shop_;
  }
  // A handler that was given up may still look at its shop: all stay until the end.
  static Shop& NewShop() {
    static auto* const shops = new std::deque<Shop>;
    return shops->emplace_back();
  }
  void Send(const std::string& topic, const std::string& payload) {
    ASSERT_TRUE(keeper_->producer().Send(Message{.topic = topic, .payload = payload, .key = "one"}).Wait().ok());
  }
  // `core consumer` until `done`, then SIGTERM.
  Result ConsumeUntil(const std::function<bool()>& done, std::vector<std::string> flags = {}) {
    flags.insert(flags.begin(), {"consumer", "--url", url_});
    return RunCore(flags, "", [&done](const auto&, const auto& err) {
      EXPECT_TRUE(AwaitText(err, "consuming"));
      const absl::Time limit = absl::Now() + absl::Minutes(1);
      while (!done() && absl::Now() < limit) absl::SleepFor(absl::Milliseconds(1));
      EXPECT_TRUE(done());
      SignalCore(SIGTERM);
    });
  }
  size_t DeadLetterCount() {
    size_t count = 0;
    EXPECT_TRUE(keeper_->broker().dead_letters().List({}, [&count](const DeadLetter&) { return ++count > 0; }).ok());
    return count;
  }
  Result DeadLetters(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "deadletters");
    arguments.insert(arguments.end(), {"--url", url_});
    return RunCore(arguments);
  }
  // Two payments that could not be charged.
  void FailTwoPayments() {
    shop_.gateway_down = true;
    Send("payments.process", "ann");
    Send("payments.process", "bob");
    EXPECT_EQ(ConsumeUntil([this] { return DeadLetterCount() == 2; }).code, 0);
    shop_.gateway_down = false;
  }

  Shop& shop_ = NewShop();
  const std::string url_;
  const std::unique_ptr<Client> keeper_;
};

TEST_F(ConsumerTest, RunsAllHandlers) {
  for (const char* topic : {"orders.created", "orders.updated", "payments.process"}) Send(topic, "x");
  const Result result = ConsumeUntil([this] { return shop_.handled == 3; });
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_THAT(result.err, AllOf(HasSubstr("core: orders.created: Count, Index (group search)\n"),
                                HasSubstr("core: orders.updated: Count\n"), HasSubstr("core: stopped\n")));
}

TEST_F(ConsumerTest, RunsThoseOfTheTopicsNamed) {
  Send("payments.process", "x");
  Send("orders.updated", "x");
  const Result result = ConsumeUntil([this] { return shop_.handled == 1; }, {"--topic", "orders.updated"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, Not(HasSubstr("payments.process")));
  EXPECT_EQ(ConsumeUntil([this] { return shop_.handled == 2; }).code, 0);  // The payment was still there.
}

TEST_F(ConsumerTest, TopicWithoutHandlerIsAnErrorThatListsThoseThereAre) {
  const Result result = RunCore({"consumer", "--topic", "orders.deleted", "--url", url_});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("core: no handler for topic orders.deleted; there are handlers for orders.created, "
                                    "orders.updated, payments.process, stuck\n"));
}

TEST_F(ConsumerTest, HandlerThatDoesNotReturnHasItsOwnCodeAndIsNamed) {
  Send("stuck", "x");
  const Result result = ConsumeUntil([this] { return shop_.stuck.HasBeenNotified(); }, {"--drain-timeout", "100ms"});
  EXPECT_EQ(result.code, 5);
  EXPECT_THAT(result.err, HasSubstr("core: did not return within 100ms: Stick\n"));
  shop_.unstick.Notify();
}

TEST_F(ConsumerTest, DrainWaitsForWhatIsInHand) {
  Send("stuck", "x");
  const Result result =
      RunCore({"consumer", "--url", url_, "--topic", "stuck"}, "", [this](const auto&, const auto& err) {
        shop_.stuck.WaitForNotification();
        SignalCore(SIGTERM);
        EXPECT_TRUE(AwaitText(err, "stopping: up to 30s for 1 messages in hand"));
        shop_.unstick.Notify();
      });
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("core: stopped\n"));
}

TEST_F(ConsumerTest, HandlersAreListedForPeopleAndForPrograms) {
  const Result table = RunCore({"handlers"});
  EXPECT_EQ(table.code, 0);
  const std::vector<std::string> lines = absl::StrSplit(table.out, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 5u);
  const auto cells = [&lines](size_t line) {
    std::vector<std::string> found;
    for (std::string_view cell : absl::StrSplit(lines[line], "  ", absl::SkipEmpty())) found.emplace_back(cell);
    for (std::string& cell : found) cell.erase(0, cell.find_first_not_of(' '));
    return found;
  };
  EXPECT_THAT(cells(0), testing::ElementsAre("NAME", "TOPICS", "GROUP", "RETRIES", "DELAY", "CONCURRENCY", "ORDER",
                                             "BATCH", "MESSAGE", "VALIDATES"));
  EXPECT_THAT(std::vector<std::string>(cells(1)), testing::ElementsAre("Charge", "payments.process", "(default)", "5",
                                                                       "2s", "all", "per key", "-", testing::_, "no"));
  EXPECT_THAT(cells(3), testing::ElementsAre("Index", "orders.created", "search", "3", "1s", "2", "none", "500 in 5ms",
                                             testing::_, "no"));

  const Result lines_of_json = RunCore({"handlers", "--json"});
  std::vector<std::string> names;
  for (std::string_view line : absl::StrSplit(lines_of_json.out, '\n', absl::SkipEmpty())) {
    const json handler = json::parse(line);
    names.push_back(handler.at("name"));
    if (names.back() == "Count") {
      EXPECT_EQ(handler.at("topics"), json({"orders.created", "orders.updated"}));
      EXPECT_EQ(handler.at("validates"), false);
      EXPECT_FALSE(handler.contains("batch_max"));
    }
  }
  EXPECT_THAT(names, testing::ElementsAre("Charge", "Count", "Index", "Stick"));
}

TEST_F(ConsumerTest, DeadLettersAreListedAndShown) {
  FailTwoPayments();
  const Result list = DeadLetters({"list"});
  EXPECT_EQ(list.code, 0) << list.err;
  const std::vector<std::string> lines = absl::StrSplit(list.out, '\n', absl::SkipEmpty());
  ASSERT_EQ(lines.size(), 3u) << list.out;
  EXPECT_THAT(lines[1], AllOf(HasSubstr("payments.process"), HasSubstr("Charge"), HasSubstr("no card for ann")));
  EXPECT_THAT(lines[2], HasSubstr("no card for bob"));

  const Result as_json = DeadLetters({"list", "--json"});
  const json first = json::parse(as_json.out.substr(0, as_json.out.find('\n')));
  EXPECT_EQ(first.at("handler"), "Charge");
  EXPECT_EQ(first.at("attempts"), 1);
  EXPECT_EQ(first.at("payload_text"), "ann");
  EXPECT_EQ(first.at("reason"), "INVALID_ARGUMENT: no card for ann");

  const Result shown = DeadLetters({"show", first.at("id")});
  EXPECT_THAT(shown.out, AllOf(HasSubstr("why           INVALID_ARGUMENT: no card for ann\n"),
                               HasSubstr("payload       ann\n"), Not(HasSubstr("bob"))));
  EXPECT_THAT(DeadLetters({"list", "--handler", "Count"}).out, IsEmpty());
  EXPECT_EQ(DeadLetters({"list", "--since", "1h"}).out, list.out);
  const Result none = DeadLetters({"show", "nosuchid"});
  EXPECT_EQ(none.code, 1);
  EXPECT_EQ(none.err, "core: no dead letters\n");
}

TEST_F(ConsumerTest, ReplaySendsOneBackToItsHandler) {
  FailTwoPayments();
  const std::string list = DeadLetters({"list", "--json"}).out;
  const std::string id = json::parse(list.substr(0, list.find('\n'))).at("id");
  const Result refused = DeadLetters({"replay"});
  EXPECT_EQ(refused.code, 2);
  EXPECT_THAT(refused.err, HasSubstr("say which dead letters to replay"));
  EXPECT_EQ(DeadLetterCount(), 2u);
  const Result replayed = DeadLetters({"replay", "--id", id});
  EXPECT_EQ(replayed.out, "1 dead letter replayed\n");
  EXPECT_EQ(DeadLetterCount(), 1u);
  EXPECT_EQ(ConsumeUntil([this] { return shop_.handled == 1; }).code, 0);
  const Result again = DeadLetters({"replay", id});
  EXPECT_EQ(again.code, 1);
  EXPECT_EQ(again.err, "core: no dead letter has such an id\n");
}

TEST_F(ConsumerTest, PurgeHasToBeMeant) {
  FailTwoPayments();
  EXPECT_EQ(DeadLetters({"purge", "--yes"}).code, 2);  // Which?
  const Result counted = DeadLetters({"purge", "--topic", "payments.process"});
  EXPECT_EQ(counted.code, 2);
  EXPECT_EQ(counted.err, "core: 2 dead letters would be deleted for good; add --yes to do it\n");
  EXPECT_EQ(DeadLetterCount(), 2u);
  EXPECT_EQ(DeadLetters({"purge", "--topic", "orders.created", "--yes"}).out, "0 dead letters deleted\n");
  EXPECT_EQ(DeadLetters({"purge", "--all", "--yes"}).out, "2 dead letters deleted\n");
  EXPECT_EQ(DeadLetterCount(), 0u);
}

}  // namespace
}  // namespace messaging::cli
