// What tests of the engine alone begin with: records that stay, and an engine for handlers h0, h1, ...
#ifndef MESSAGING_DISPATCH_ENGINE_FIXTURE_H_
#define MESSAGING_DISPATCH_ENGINE_FIXTURE_H_

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "messaging/dispatch/engine.h"

namespace messaging {

// Records whose drops are counted: what a driver would get back.
class TestSource : public RecordOwner {
 public:
  Delivery Make(std::string key, std::string topic = "t", std::string payload = "") {
    Record& record = records_.emplace_back();
    record.key = Keep(std::move(key));
    record.has_key = !record.key.empty();
    record.topic = Keep(std::move(topic));
    record.payload = Keep(std::move(payload));
    record.position = static_cast<int64_t>(records_.size());
    record.pinned_bytes = 100;
    record.owner = this;
    return Delivery(&record);
  }
  Record& last() { return records_.back(); }
  void Drop(Record*) override { ++dropped; }
  int dropped = 0;

 private:
  const std::string& Keep(std::string text) { return texts_.emplace_back(std::move(text)); }

  std::list<Record> records_;
  std::list<std::string> texts_;
};

class EngineFixture : public testing::Test {
 protected:
  // Handlers that name no topic have "t".
  Engine& Make(std::vector<HandlerOptions> options, EngineLimits limits = {}, bool batch = false) {
    options_ = std::move(options);
    std::vector<EngineHandler> handlers;
    for (HandlerOptions& o : options_) {
      if (o.topics.empty()) o.topics = {"t"};
      handlers.push_back({.name = "h" + std::to_string(handlers.size()), .options = &o, .is_batch = batch});
    }
    engine_ = std::make_unique<Engine>(handlers, 1, limits, 1, nullptr);
    return *engine_;
  }
  void Offer(Delivery delivery) {
    std::vector<Delivery> batch;
    batch.push_back(std::move(delivery));
    engine_->Offer(0, std::move(batch), now_);
  }
  // All of it ends with `status`, after `elapsed`.
  void Finish(const Engine::Work& work, const absl::Status& status, absl::Duration elapsed) {
    std::vector<Engine::Outcome> outcomes(work.tasks.size());
    for (Engine::Outcome& outcome : outcomes) outcome.status = status;
    engine_->Finish(work, outcomes, elapsed, now_);
  }

  TestSource source_;  // Outlives the engine.
  std::vector<HandlerOptions> options_;
  std::unique_ptr<Engine> engine_;
  absl::Time now_ = absl::UnixEpoch();
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_ENGINE_FIXTURE_H_
