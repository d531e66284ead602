// Sends: what a Confirmation says, and how sends made in a handler join its outcome (design: rules 2 and 3).
#include <atomic>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/conformance/cases.h"

namespace messaging::conformance {
namespace {

void AcceptedHasAReceipt(Bench& bench) {
  auto client = bench.NewClient();
  bench.Expect(*client, bench.Topic());
  std::set<std::string> ids;
  for (int i = 0; i < 10; ++i) {
    const Confirmation sent = client->producer().Send(bench.Topic(), std::string("m"));
    const absl::StatusOr<Receipt> receipt = sent.Wait();
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->id, sent.id());
    EXPECT_TRUE(sent.resolved());
    EXPECT_TRUE(ids.insert(receipt->id).second) << "ids differ";
  }
  EXPECT_TRUE(client->Flush(Limit()).ok());
  EXPECT_EQ(client->producer().pending(), 0u);
}

void ExpectRefused(const Confirmation& sent, absl::StatusCode code) {
  const absl::StatusOr<Receipt> receipt = sent.Wait(Limit());
  EXPECT_EQ(receipt.status().code(), code) << receipt.status();
  EXPECT_FALSE(IsUnknownOutcome(receipt.status()));
  EXPECT_FALSE(receipt.status().message().empty());
}

void RefusedSaysWhy(Bench& bench) {
  auto client = bench.NewClient();
  Producer& producer = client->producer();
  for (const std::string& topic : {std::string(), std::string("a b"), std::string("a/b"), std::string("t\0", 2),
                                   std::string("\xff"), std::string(121, 't')}) {
    ExpectRefused(producer.Send(topic, std::string("m")), absl::StatusCode::kInvalidArgument);
  }
  ExpectRefused(producer.Send(bench.Topic(), std::string("m"), {.headers = {{"messaging-own", "x"}}}),
                absl::StatusCode::kInvalidArgument);
  bench.Send(*client, bench.Topic(), "and others are accepted");
}

void TooLargeIsRefused(Bench& bench) {
  const size_t most = bench.capabilities().max_message_bytes;
  auto client = bench.NewClient("g", {.max_bytes = most * 4});
  ExpectRefused(client->producer().Send(bench.Topic(), std::string(most + 1, 'x')), absl::StatusCode::kInvalidArgument);
  bench.Send(*client, bench.Topic(), "and others are accepted");
}

void UnknownAtTheDeadline(Bench& bench) {
  auto client = bench.NewClient();
  bench.Send(*client, bench.Topic(), "before");
  const std::function<void()> mend = bench.environment().hold_answers(client->broker(), bench.url());
  const absl::Time start = absl::Now();
  const Confirmation sent =
      client->producer().Send(bench.Topic(), std::string("m"), {.deadline = absl::Milliseconds(300)});
  EXPECT_LT(absl::Now() - start, absl::Seconds(1)) << "Send does not block";
  EXPECT_FALSE(sent.resolved());
  EXPECT_EQ(sent.Wait(absl::Milliseconds(20)).status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(sent.resolved()) << "Wait's own limit does not end the send";
  const absl::StatusOr<Receipt> receipt = sent.Wait();
  EXPECT_TRUE(IsUnknownOutcome(receipt.status())) << receipt.status();
  EXPECT_GE(absl::Now() - start, absl::Milliseconds(300));
  EXPECT_LE(absl::Now() - start, absl::Milliseconds(300) + Tolerance(absl::Milliseconds(300)) * 4);
  mend();
  bench.Send(*client, bench.Topic(), "after");
}

// The broker does nothing for a while: sends and acknowledgements wait, and then all goes on as if nothing had been.
void AStallLosesNothing(Bench& bench) {
  const int n = bench.environment().messages / 4;
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  bench.SendMany(*client, bench.Topic(), n, "before", [](int i) { return absl::StrCat(i % 9); });
  const std::function<void()> mend = bench.environment().hold_answers(client->broker(), bench.url());
  std::vector<Confirmation> sent;
  for (int i = 0; i < n; ++i) sent.push_back(client->producer().Send(bench.Topic(), absl::StrCat("during", i)));
  EXPECT_EQ(sent[0].Wait(absl::Milliseconds(500)).status().code(), absl::StatusCode::kDeadlineExceeded);
  mend();
  for (const Confirmation& confirmation : sent) EXPECT_TRUE(confirmation.Wait(Limit()).ok());
  ASSERT_TRUE(journal.AwaitDistinct(2 * n));
  EXPECT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 2u * n) << "and repeats nothing";
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
}

void AFullBufferRefuses(Bench& bench) {
  auto client = bench.NewClient("g", {.max_messages = 10});
  bench.Expect(*client, bench.Topic());
  const std::function<void()> mend = bench.environment().hold_answers(client->broker(), bench.url());
  std::vector<Confirmation> held;
  for (int i = 0; i < 10; ++i) {
    held.push_back(client->producer().Send(bench.Topic(), absl::StrCat("m", i), {.deadline = absl::Seconds(1)}));
  }
  EXPECT_EQ(client->producer().pending(), 10u);
  ExpectRefused(client->producer().Send(bench.Topic(), std::string("one too many")),
                absl::StatusCode::kResourceExhausted);
  const absl::Status flushed = client->Flush(absl::Milliseconds(20));
  EXPECT_EQ(flushed.code(), absl::StatusCode::kDeadlineExceeded) << flushed;
  mend();
  for (const Confirmation& confirmation : held) {
    const absl::StatusOr<Receipt> receipt = confirmation.Wait();
    EXPECT_TRUE(receipt.ok() || IsUnknownOutcome(receipt.status())) << receipt.status();
  }
  bench.Send(*client, bench.Topic(), "there is room again");
}

void ThenCallsOnce(Bench& bench) {
  auto client = bench.NewClient();
  bench.Expect(*client, bench.Topic());
  std::atomic<int> early{0}, late{0}, inside{0};
  absl::Status waited;
  absl::Notification done;
  const Confirmation sent = client->producer().Send(bench.Topic(), std::string("m"));
  sent.Then([&](const absl::StatusOr<Receipt>& receipt) {
    ++early;
    EXPECT_TRUE(receipt.ok()) << receipt.status();
    // A Wait here could wait for itself.
    waited = client->producer().Send(bench.Topic(), std::string("n")).Wait().status();
    sent.Then([&](const absl::StatusOr<Receipt>&) { ++inside; });
    EXPECT_EQ(inside, 0) << "never within Then itself";
    done.Notify();
  });
  ASSERT_TRUE(done.WaitForNotificationWithTimeout(Limit()));
  EXPECT_EQ(waited.code(), absl::StatusCode::kFailedPrecondition) << waited;
  ASSERT_TRUE(sent.Wait().ok());
  absl::Notification late_done;
  sent.Then([&](const absl::StatusOr<Receipt>&) {
    ++late;
    late_done.Notify();
  });
  ASSERT_TRUE(late_done.WaitForNotificationWithTimeout(Limit()));
  client.reset();
  EXPECT_EQ(early, 1);
  EXPECT_EQ(late, 1);
  EXPECT_EQ(inside, 1);
}

void AConfirmationOutlivesItsClient(Bench& bench) {
  auto client = bench.NewClient();
  bench.Expect(*client, bench.Topic());
  const Confirmation accepted = client->producer().Send(bench.Topic(), std::string("m"));
  ASSERT_TRUE(accepted.Wait().ok());
  const Confirmation last = client->producer().Send(bench.Topic(), std::string("n"));
  client.reset();
  EXPECT_TRUE(accepted.resolved());
  EXPECT_TRUE(accepted.Wait().ok());
  EXPECT_TRUE(last.resolved());
  const absl::StatusOr<Receipt> receipt = last.Wait();
  EXPECT_TRUE(receipt.ok() || IsUnknownOutcome(receipt.status())) << receipt.status();
  std::atomic<int> called{0};
  accepted.Then([&](const absl::StatusOr<Receipt>&) { ++called; });
  EXPECT_TRUE(WaitUntil([&] { return called == 1; }));
}

// OK counts only when what the handler sent was accepted.
void ARefusedSendFailsItsHandler(Bench& bench) {
  Journal journal;
  auto client = bench.NewClient();
  Producer& producer = client->producer();
  client->AddHandler(Recording(
      "h", journal, {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(10)}, [&](const Received& received) {
        producer.Send(received.attempt() == 1 ? "not a topic" : bench.Topic("next"), std::string("on"));
        return absl::OkStatus();
      }));
  client->AddHandler(Recording("next", journal, {.topics = {bench.Topic("next")}}));
  ASSERT_TRUE(client->Start().ok());
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(3));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count("h"), 2u);
  EXPECT_EQ(journal.count("next"), 1u);
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
}

void ADetachedSendDecidesNothing(Bench& bench) {
  Journal journal;
  auto client = bench.NewClient();
  Producer& producer = client->producer();
  std::vector<Confirmation> sent;
  client->AddHandler(Recording("h", journal, {.topics = {bench.Topic()}}, [&](const Received&) {
    sent.push_back(producer.Send("not a topic", std::string("on"), {.detached = true}));
    return absl::OkStatus();
  }));
  ASSERT_TRUE(client->Start().ok());
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(1));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 1u);
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_FALSE(sent[0].Wait().ok());
}

// By an injected Sender, also from another thread.
void AnInjectedSenderJoins(Bench& bench) {
  Journal journal;
  auto client = bench.NewClient();
  client->AddHandler(MakeHandler("h",
                                 [&](const std::string_view&, const Received& received, Sender& sender) {
                                   journal.Add(received);
                                   const std::string to = received.attempt() == 1 ? "not a topic" : bench.Topic("next");
                                   std::thread([&] { sender.Send(to, std::string("on")); }).join();
                                   return absl::OkStatus();
                                 },
                                 {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(10)}));
  client->AddHandler(Recording("next", journal, {.topics = {bench.Topic("next")}}));
  ASSERT_TRUE(client->Start().ok());
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(3));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count("h"), 2u);
  EXPECT_EQ(journal.count("next"), 1u);
}

// A send whose outcome stays unknown is a failed attempt, too.
void AnUnknownSendFailsItsHandler(Bench& bench) {
  Journal journal;
  auto client = bench.NewClient();
  bench.Expect(*client, bench.Topic("next"));
  Producer& producer = client->producer();
  std::function<void()> mend;
  client->AddHandler(Recording(
      "h", journal, {.topics = {bench.Topic()}, .retry_delay = absl::Milliseconds(10)}, [&](const Received& received) {
        if (received.attempt() == 1) {
          mend = bench.environment().hold_answers(client->broker(), bench.url());
          const Confirmation sent =
              producer.Send(bench.Topic("next"), std::string("on"), {.deadline = absl::Milliseconds(100)});
          EXPECT_TRUE(IsUnknownOutcome(sent.Wait().status()));
          mend();
        }
        return absl::OkStatus();
      }));
  ASSERT_TRUE(client->Start().ok());
  bench.Send(*client, bench.Topic(), "m");
  ASSERT_TRUE(journal.Await(2));
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(journal.count(), 2u);
}

}  // namespace

std::vector<Case> SendCases() {
  return {
      {"AcceptedHasAReceipt", AcceptedHasAReceipt, {}},
      {"RefusedSaysWhy", RefusedSaysWhy, {}},
      {"TooLargeIsRefused", TooLargeIsRefused, {}},
      {"UnknownAtTheDeadline", UnknownAtTheDeadline, {Need::kHoldAnswers}},
      {"AStallLosesNothing", AStallLosesNothing, {Need::kHoldAnswers}},
      {"AFullBufferRefuses", AFullBufferRefuses, {Need::kHoldAnswers}},
      {"ThenCallsOnce", ThenCallsOnce, {}},
      {"AConfirmationOutlivesItsClient", AConfirmationOutlivesItsClient, {}},
      {"ARefusedSendFailsItsHandler", ARefusedSendFailsItsHandler, {}},
      {"ADetachedSendDecidesNothing", ADetachedSendDecidesNothing, {}},
      {"AnInjectedSenderJoins", AnInjectedSenderJoins, {}},
      {"AnUnknownSendFailsItsHandler", AnUnknownSendFailsItsHandler, {Need::kHoldAnswers}},
  };
}

}  // namespace messaging::conformance
