// A call without an engine, for tests of what handlers are made into: messages by their payloads, verdicts to look at.
#ifndef MESSAGING_INTERNAL_FAKE_CALL_H_
#define MESSAGING_INTERNAL_FAKE_CALL_H_

#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "messaging/call.h"
#include "messaging/provide.h"
#include "messaging/received.h"
#include "messaging/record.h"

namespace messaging::internal {

class FakeCall : public Call {
 public:
  struct Verdict {
    absl::Status status;
    bool rejected = false;
  };

  FakeCall() : FakeCall(DefaultProviders()) {}
  explicit FakeCall(const Providers& providers)
      : process_(providers, Lifetime::kProcess, nullptr),
        lane_(providers, Lifetime::kLane, &process_),
        scope_(providers, Lifetime::kMessage, &lane_) {}

  FakeCall& Add(std::string_view payload, std::string_view content_type = "") {
    payloads_.push_back(std::string(payload));
    Record& record = records_.emplace_back();
    record.topic = "topic";
    record.payload = payloads_.back();
    record.content_type = content_type;
    received_.emplace_back(&record, "group", "handler", /*attempt=*/1, /*max_attempts=*/4, absl::InfiniteFuture());
    verdicts_.emplace_back();
    return *this;
  }
  Record& record(size_t i) { return records_[i]; }

  absl::Span<const Received> messages() const override { return received_; }
  Scope& scope() override { return scope_; }
  Sender& sender() override { return *sender_; }
  void SetOutcome(size_t i, absl::Status outcome) override { verdicts_.at(i) = {std::move(outcome), false}; }
  void Reject(size_t i, absl::Status why) override { verdicts_.at(i) = {std::move(why), true}; }
  Completion Defer() override {
    deferred_ = true;
    return Completion([this](absl::Status outcome) { SetOutcome(0, std::move(outcome)); });
  }

  void set_sender(Sender* sender) { sender_ = sender; }
  bool deferred() const { return deferred_; }
  // Empty: no verdict was given.
  const std::optional<Verdict>& verdict(size_t i) const { return verdicts_.at(i); }

 private:
  std::deque<std::string> payloads_;
  std::deque<Record> records_;
  std::vector<Received> received_;
  std::vector<std::optional<Verdict>> verdicts_;
  Scope process_, lane_, scope_;
  Sender* sender_ = nullptr;
  bool deferred_ = false;
};

}  // namespace messaging::internal

#endif  // MESSAGING_INTERNAL_FAKE_CALL_H_
