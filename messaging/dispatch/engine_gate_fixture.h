// What tests of gates share: runs all that may begin, and answers what is settled.
#ifndef MESSAGING_DISPATCH_ENGINE_GATE_FIXTURE_H_
#define MESSAGING_DISPATCH_ENGINE_GATE_FIXTURE_H_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "messaging/dispatch/engine.h"
#include "messaging/dispatch/engine_fixture.h"

namespace messaging {

class GateFixture : public EngineFixture {
 protected:
  void Offer(const std::string& payload, const std::string& key = "", const std::string& topic = "t") {
    EngineFixture::Offer(source_.Make(key, topic, payload));
  }
  // `attempts` of it are recorded, and the next is to come at `not_before`.
  void OfferSuspect(const std::string& payload, const std::string& key, const std::string& topic = "t",
                    int attempts = 0, absl::Time not_before = absl::InfinitePast()) {
    Delivery delivery = source_.Make(key, topic, payload);
    delivery.record()->suspect = true;
    delivery.record()->attempts = attempts;
    delivery.record()->not_before = not_before;
    EngineFixture::Offer(std::move(delivery));
  }
  void Finish(const Engine::Work& work, const absl::Status& status = absl::OkStatus()) {
    EngineFixture::Finish(work, status, absl::Milliseconds(10));
    Answer();
  }
  void Answer() {
    for (auto& [subscription, settlements] : engine_->TakeSettlements()) {
      for (Settlement& settlement : settlements) {
        if (settlement.copies != nullptr && settlement.verdict == Settlement::Verdict::kAck) {
          for (const Copy& copy : *settlement.copies) copies_.push_back(copy);
        }
        if (settlement.verdict == Settlement::Verdict::kRelease) ++released_;
        if (settlement.verdict != Settlement::Verdict::kBegin) settlement.delivery.Take();
      }
      engine_->Settled(subscription, std::move(settlements), now_);
    }
  }
  // Runs all that may begin now; the payloads, by handler.
  std::vector<std::string> RunAll(absl::Status status = absl::OkStatus()) {
    std::vector<std::string> ran;
    for (int rounds = 0; rounds < 1000; ++rounds) {
      std::optional<Engine::Work> work = engine_->Take(now_);
      Answer();
      if (!work && !(work = engine_->Take(now_))) return ran;
      for (Engine::Task* task : work->tasks) ran.push_back(std::string(task->record->payload));
      Finish(*work, status);
    }
    ADD_FAILURE() << "does not end";
    return ran;
  }
  std::vector<std::string> Closed() {
    const Room room = engine_->room(0);
    return room.closed == nullptr ? std::vector<std::string>() : *room.closed;
  }

  std::vector<Copy> copies_;
  int released_ = 0;
  int count_ = 0;
};

}  // namespace messaging

#endif  // MESSAGING_DISPATCH_ENGINE_GATE_FIXTURE_H_
