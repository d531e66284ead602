#include "messaging/testing/harness.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "messaging/broker/clock.h"
#include "messaging/dispatch/dispatcher.h"
#include "messaging/testing/recorder.h"

namespace messaging {
namespace {

// Batches and calls in turn: a test that needs so many rounds without time passing does it for ever.
constexpr int kMaxRounds = 10'000;

[[noreturn]] void EndTest(std::string_view what) {
  std::fprintf(stderr, "TestHarness: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

}  // namespace

class TestHarness::Impl {
 public:
  explicit Impl(HarnessOptions options)
      : handlers_(options.handlers.empty() ? RegisteredHandlers() : std::move(options.handlers)),
        group_(std::move(options.group)),
        tracer_(options.tracer),
        broker_({.name = std::move(options.name), .clock = &clock_}),
        recorded_broker_(recorder_->Wrap(broker_)),
        // An answer that a fault withholds is waited for in real time.
        producer_(recorded_broker_.get(), {.deadline = absl::Seconds(1)}, /*observer=*/nullptr, tracer_) {}

  absl::Status Start() {
    if (dispatcher_ != nullptr) return started_;
    std::vector<Handler> handlers;
    for (const Handler& handler : handlers_) handlers.push_back(recorder_->Wrap(handler));
    dispatcher_ = std::make_unique<Dispatcher>(*recorded_broker_, producer_, providers_, std::move(handlers),
                                               DispatcherOptions{.group = group_,
                                                                 .concurrency = 0,
                                                                 .clock = &clock_,
                                                                 .observer = recorder_.get(),
                                                                 .tracer = tracer_,
                                                                 .seed = 1});
    return started_ = dispatcher_->Start();
  }

  absl::Status SetPaused(const Part& part, bool paused) {
    if (absl::Status started = Start(); !started.ok()) return started;
    return dispatcher_->SetPaused(part.handler, part.topic, paused);
  }

  void RunUntilIdle() {
    if (absl::Status started = Start(); !started.ok()) EndTest(started.ToString());
    for (int round = 0; round < kMaxRounds; ++round) {
      const bool delivered = broker_.Step();
      const bool ran = dispatcher_->RunReady();
      if (!delivered && !ran) return;
    }
    EndTest("does not become idle: a handler sends to its own topic, or is retried without delay, without end");
  }

  void Advance(absl::Duration by) {
    const absl::Time end = clock_.Now() + by;
    RunUntilIdle();
    while (true) {
      const absl::Time next = std::min(broker_.NextEvent(), dispatcher_->NextEvent());
      if (next > end || next <= clock_.Now()) break;
      clock_.AdvanceTo(next);
      RunUntilIdle();
    }
    clock_.AdvanceTo(end);
    RunUntilIdle();
  }

  std::vector<HarnessEvent> DeadLetters() {
    std::vector<HarnessEvent> events;
    const absl::Status listed = broker_.dead_letters().List({}, [&](const DeadLetter& letter) {
      events.push_back({.topic = letter.message.topic,
                        .handler = letter.failure.handler,
                        .message = letter.message,
                        .attempts = letter.failure.attempts,
                        .status = letter.failure.status});
      return true;
    });
    if (!listed.ok()) EndTest(listed.ToString());
    return events;
  }

  std::vector<Message> Sent(std::string_view topic) const {
    std::vector<Message> sent = broker_.messages(topic);
    sent.erase(std::remove_if(sent.begin(), sent.end(),
                              [this](const Message& message) { return published_.contains(message.id); }),
               sent.end());
    return sent;
  }

  // Gives it an id and a time, and notes that the test has sent it.
  void Complete(std::string& id, absl::Time& timestamp) {
    if (id.empty()) {
      do {
        id = absl::StrCat(++last_id_);
      } while (published_.contains(id));
    }
    if (timestamp == absl::InfinitePast()) timestamp = clock_.Now();
    published_.insert(id);
  }

  SimulatedClock clock_;
  const std::vector<Handler> handlers_;
  const std::string group_;
  Tracer* const tracer_;
  Providers providers_;
  const std::shared_ptr<testing_internal::Recorder> recorder_ = std::make_shared<testing_internal::Recorder>();
  MemoryBroker broker_;
  const std::unique_ptr<Broker> recorded_broker_;
  Producer producer_;
  std::set<std::string> published_;
  int last_id_ = 0;
  absl::Status started_;
  std::unique_ptr<Dispatcher> dispatcher_;  // Last: its end needs the others.
};

TestHarness::TestHarness(HarnessOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
TestHarness::~TestHarness() = default;

Providers& TestHarness::providers() { return impl_->providers_; }
absl::Status TestHarness::Start() { return impl_->Start(); }
void TestHarness::RunUntilIdle() { impl_->RunUntilIdle(); }
void TestHarness::Advance(absl::Duration by) { impl_->Advance(by); }
absl::Time TestHarness::now() const { return impl_->clock_.Now(); }
absl::Status TestHarness::Pause(const Part& part) { return impl_->SetPaused(part, true); }
absl::Status TestHarness::Resume(const Part& part) { return impl_->SetPaused(part, false); }
Progress TestHarness::progress() const {
  return impl_->dispatcher_ == nullptr ? Progress() : impl_->dispatcher_->progress();
}
std::vector<HarnessEvent> TestHarness::handled() const { return impl_->recorder_->handled(); }
std::vector<HarnessEvent> TestHarness::retried() const { return impl_->recorder_->retried(); }
std::vector<HarnessEvent> TestHarness::dead_letters() const { return impl_->DeadLetters(); }
std::vector<Message> TestHarness::sent(std::string_view topic) const { return impl_->Sent(topic); }
size_t TestHarness::in_flight() const { return impl_->dispatcher_ == nullptr ? 0 : impl_->dispatcher_->in_flight(); }
MemoryBroker& TestHarness::broker() { return impl_->broker_; }
Producer& TestHarness::producer() { return impl_->producer_; }

Confirmation TestHarness::Publish(Message message) {
  impl_->Complete(message.id, message.timestamp);
  return impl_->producer_.Send(std::move(message));
}

SendOptions TestHarness::Complete(SendOptions options) {
  impl_->Complete(options.id, options.timestamp);
  return options;
}

}  // namespace messaging
