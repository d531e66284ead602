// A broker with a fault that --fault names, over the memory broker: the suite has to find each of them.
#include <atomic>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "memory/memory_broker.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/registry.h"
#include "tests/conformance/conformance.h"

namespace messaging::conformance {
namespace {

std::string fault;  // NOLINT: set once, by main.

// Changes verdicts on their way to the broker.
class BrokenSubscription : public Subscription {
 public:
  explicit BrokenSubscription(std::shared_ptr<Subscription> whole) : whole_(std::move(whole)) {}
  absl::Status Start() override { return whole_->Start(); }
  void Settle(std::vector<Settlement> batch) override {
    for (Settlement& settlement : batch) {
      if (settlement.verdict != Settlement::Verdict::kAck || settlement.copies == nullptr) continue;
      if (fault == "forgets-retries") settlement.copies.reset();
      if (fault == "doubles-copies") settlement.copies->push_back(settlement.copies->front());
      if (settlement.copies == nullptr) continue;
      for (Copy& copy : *settlement.copies) {
        if (fault == "retries-early") copy.delay = copy.delay / 2;
        if (fault == "retries-late") copy.delay = copy.delay * 2 + absl::Seconds(1);
        if (fault == "miscounts-attempts") ++copy.failure.attempts;
        if (fault == "forgets-why") copy.failure.status = absl::UnknownError("");
      }
    }
    whole_->Settle(std::move(batch));
  }
  void Wake() override { whole_->Wake(); }
  void StopFetching() override { whole_->StopFetching(); }
  absl::Status Close(absl::Time deadline) override { return whole_->Close(deadline); }
  absl::StatusOr<int64_t> Backlog() override { return whole_->Backlog(); }
  void Drop(Record* record) override { whole_->Drop(record); }

 private:
  const std::shared_ptr<Subscription> whole_;
};

class BrokenBroker : public MemoryBroker {
 public:
  explicit BrokenBroker(MemoryBrokerOptions options) : MemoryBroker(std::move(options)) {
    if (fault == "duplicates") DuplicateNext(1);
  }
  void Publish(OutgoingPtr message) override {
    if (fault == "drops-a-send" && ++sent_ % 50 == 0) return message->Complete(Receipt{.id = message->message().id});
    MemoryBroker::Publish(std::move(message));
  }
  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions options, DeliverySink* sink) override {
    if (fault == "forgets-order") {
      for (TopicPlan& topic : options.topics) topic.ordered = false;
    }
    if (fault == "one-group-for-all") options.group = "all";
    if (fault == "never-from-the-beginning") options.start_at = StartAt::kNow;
    absl::StatusOr<std::shared_ptr<Subscription>> whole = MemoryBroker::Subscribe(std::move(options), sink);
    if (!whole.ok()) return whole;
    return std::make_shared<BrokenSubscription>(*std::move(whole));
  }

 private:
  std::atomic<int> sent_{0};
};

absl::StatusOr<std::unique_ptr<Broker>> Make(const BrokerOptions& options) {
  return std::make_unique<BrokenBroker>(
      MemoryBrokerOptions{.name = std::string(absl::StripPrefix(options.url, "broken://"))});
}

}  // namespace
}  // namespace messaging::conformance

int main(int argc, char** argv) {
  using messaging::conformance::fault;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    std::string_view argument = argv[i];
    if (absl::ConsumePrefix(&argument, "--fault=")) {
      fault = std::string(argument);
    } else {
      argv[kept++] = argv[i];
    }
  }
  messaging::RegisterBroker({.name = "broken",
                             .schemes = {"broken"},
                             .target = "//tests/conformance:broken_broker",
                             .make = messaging::conformance::Make});
  messaging::conformance::Environment environment;
  environment.name = "broken";
  environment.url = [](std::string_view name) { return absl::StrCat("broken://", name); };
  environment.messages = 500;
  return messaging::conformance::Main(kept, argv, std::move(environment));
}
