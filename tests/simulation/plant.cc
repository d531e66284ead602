#include "tests/simulation/plant.h"

namespace simulation {
namespace {

std::string planted;  // NOLINT: set by the program's own arguments.

}  // namespace

const std::vector<PlantedBug>& PlantedBugs() {
  static const auto* const bugs = new std::vector<PlantedBug>{
      // Of drivers and servers.
      {"acknowledged-early", Model::kQueue, "a message is acknowledged when it is delivered"},
      {"acknowledged-before-confirm", Model::kQueue, "the original is acknowledged though its copy was refused"},
      {"requeue-forgotten", Model::kQueue, "what a lost connection had is not put back"},
      {"redelivered-is-no-suspect", Model::kQueue, "what comes again after a crash is handled like any other"},
      {"retry-forgotten", Model::kLeases, "the original is done and its retry is not stored"},
      {"retries-early", Model::kLeases, "a retry comes after half its delay"},
      {"attempt-counted-twice", Model::kLeases, "a retry copy says one attempt more than there were"},
      {"dead-letter-twice", Model::kLeases, "a dead letter is stored twice"},
      {"begin-not-written", Model::kLeases, "a suspect's attempt is not recorded before its call"},
      {"bystander-counted", Model::kLeases, "a crash counts as an attempt of all that was in hand"},
      {"crash-makes-no-suspects", Model::kLeases, "what a dead member had is handled like any other"},
      {"release-is-ack", Model::kLeases, "what a drain gives back is done"},
      {"key-shared", Model::kLeases, "a key may be in two members' hands"},
      {"dead-not-swept", Model::kLeases, "nobody takes what a dead member had"},
      {"settled-twice", Model::kClaims, "a verdict given again stores its copies again"},
      {"settles-what-is-anothers", Model::kClaims, "a verdict counts though another has claimed the message"},
      {"claimed-is-no-suspect", Model::kClaims, "what was claimed from a dead member is handled like any other"},
      {"history-forgotten", Model::kClaims, "what a lost reply had given out is not asked for again"},
      {"claims-not-refreshed", Model::kClaims, "a living member's messages lie idle, and are claimed"},
      // Of the engine: see plant.py.
      {"engine-acks-a-failure", Model::kLeases, "a failed attempt is acknowledged"},
      {"engine-one-retry-too-few", Model::kLeases, "the last attempt is not made"},
      {"engine-suspect-in-company", Model::kLeases, "a suspect does not wait until nothing runs"},
      {"engine-suspect-unrecorded", Model::kLeases, "a suspect begins before its attempt is recorded"},
      {"engine-lane-not-busy", Model::kLeases, "a key's next message does not wait for the one before"},
      {"engine-strict-overtakes", Model::kLeases, "what follows a failing message does not wait"},
      {"engine-lost-wake-up", Model::kLeases, "who waits for a free place is not told"},
      {"engine-refusal-forgotten", Model::kLeases, "a refused verdict is not given again"},
      {"engine-settles-after-the-first", Model::kLeases, "a message is settled when its first handler has ended"},
      {"engine-batch-never-due", Model::kLeases, "a batch that does not fill waits for ever"},
      {"engine-no-limit", Model::kLeases, "it takes more messages than it may"},
      {"engine-release-keeps-attempt", Model::kLeases, "an attempt that was released counts"},
      {"engine-suspects-overtake", Model::kLeases, "a suspect overtakes earlier messages of its key"},
      {"engine-paused-topic-begins", Model::kLeases, "a paused topic's messages are handled"},
      {"engine-resume-wakes-nobody", Model::kLeases, "who was told not to read is not told otherwise"},
      {"engine-no-probe", Model::kLeases, "an open breaker tries no message"},
      {"engine-put-back-behind", Model::kLeases, "what was taken and not begun goes behind what follows it"},
  };
  return *bugs;
}

void Plant(std::string_view name) { planted = std::string(name); }
bool Planted(std::string_view name) { return !planted.empty() && planted == name; }

}  // namespace simulation
