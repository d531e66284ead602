// For tests of your own handlers: calls them as production does (decoding, validation, injection, retries, dead
// letters, sends that join), on the test's thread and in simulated time. No server, no thread, no sleep; the same each
// time.
//
//   TEST(ChargePayment, IsTriedAgainWhenTheGatewayIsDown) {
//     TestHarness harness;                                      // All handlers linked into the test.
//     FakeGateway gateway;
//     harness.providers().Provide<Gateway>(&gateway);
//     gateway.FailNext(1);
//     harness.Publish("payments.process", payment, {.key = "7"});
//     harness.RunUntilIdle();
//     ASSERT_EQ(harness.retried().size(), 1);                   // Failed once; due in 5 s.
//     harness.Advance(absl::Seconds(5));
//     EXPECT_EQ(harness.handled().size(), 1);
//     EXPECT_EQ(harness.handled()[0].attempts, 2);
//     EXPECT_EQ(harness.sent("payments.done").size(), 1);
//   }
//
// Faults are those of the memory broker: harness.broker().FailNextPublishes(1, absl::UnavailableError("down")).
//
// Pause and Resume, breakers and rate limits work as in production, in simulated time; spans go to
// HarnessOptions::tracer (recording_tracer.h).
//
// An asynchronous handler is called by RunUntilIdle, and its completion whenever the test calls it, from any thread,
// while the harness lives; the next RunUntilIdle deals with the outcome. All else is for one thread.
//
// A handler that sends through GetProducer() is tested by a harness with a name, and
// Configure({.url = "memory://NAME"}) after it was made (link //memory).
#ifndef MESSAGING_TESTING_HARNESS_H_
#define MESSAGING_TESTING_HARNESS_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "memory/memory_broker.h"
#include "messaging/confirmation.h"
#include "messaging/handler.h"
#include "messaging/message.h"
#include "messaging/producer.h"
#include "messaging/progress.h"
#include "messaging/provide.h"
#include "messaging/tracer.h"

namespace messaging {

struct HarnessOptions {
  std::vector<Handler> handlers;  // Empty: all that are registered (MESSAGE_HANDLER), whatever their client.
  std::string group = "test";     // Of handlers that name none.
  std::string name;               // Of the memory broker; empty: nobody else meets it.
  Tracer* tracer = nullptr;       // Not owned.
};

// What became of one attempt of a handler at one message.
struct HarnessEvent {
  std::string topic;
  std::string handler;
  Message message;
  int attempts = 0;      // Started so far, this one included.
  absl::Status status;   // The attempt's: the handler's own, or that of its commit or of its sends.
  absl::Duration delay;  // retried() only: until the next attempt.
};

class TestHarness {
 public:
  explicit TestHarness(HarnessOptions options = {});
  ~TestHarness();
  TestHarness(const TestHarness&) = delete;
  TestHarness& operator=(const TestHarness&) = delete;

  // What handlers take besides their message. Before the first Start, RunUntilIdle or Advance.
  Providers& providers();
  // Checks the handlers and joins, as a consumer's start does; an error is what production would say. RunUntilIdle and
  // Advance call it; there an error ends the test program with it. Before it nothing is delivered, and nothing is lost.
  absl::Status Start();

  // Sends a message, as Producer::Send does, with the simulated time and, unless `options` say one, the ids "1", "2"...
  template <typename Tag = void, typename Body = typename DefaultBody<Tag>::type>
  Confirmation Publish(std::string_view topic, const Body& body, SendOptions options = {}) {
    return producer().Send(topic, body, Complete(std::move(options)));
  }
  // A message made by hand: any bytes, content type, no payload.
  Confirmation Publish(Message message);

  // Calls handlers until nothing is left that can be done now. Time stands still: retries wait, and so do batches that
  // are not full.
  void RunUntilIdle();
  // Lets time pass: whatever becomes due on the way is done at its time, in order.
  void Advance(absl::Duration by);
  absl::Time now() const;
  // As those of Client.
  absl::Status Pause(const Part& part = {});
  absl::Status Resume(const Part& part = {});
  Progress progress() const;

  // What happened so far, in order. An attempt is listed once its verdict is settled (in strict order: once its retry
  // is decided); one that was released, that did not count as the breaker was open, or whose completion is still to
  // come, is not.
  std::vector<HarnessEvent> handled() const;       // Attempts that ended with OK.
  std::vector<HarnessEvent> retried() const;       // Attempts that failed and are, or were, followed by another.
  std::vector<HarnessEvent> dead_letters() const;  // What lies there now: not what was replayed or purged.
  // What was sent to the topic by others than Publish: by the handlers.
  std::vector<Message> sent(std::string_view topic) const;
  size_t in_flight() const;  // Messages that were delivered and are not settled.

  // To make it fail, replay dead letters, ...
  MemoryBroker& broker();
  // What handlers send through, as Sender& or joined by their thread.
  Producer& producer();

 private:
  SendOptions Complete(SendOptions options);

  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace messaging

#endif  // MESSAGING_TESTING_HARNESS_H_
