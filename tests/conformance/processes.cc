#include "tests/conformance/processes.h"

#include <unistd.h>

#include <stdexcept>
#include <utility>

#include "absl/strings/str_cat.h"

namespace messaging::conformance {
namespace {

using ledger::Entry;
using ledger::Event;

ledger::Ledger OpenNew(const std::string& path) {
  unlink(path.c_str());
  absl::StatusOr<ledger::Ledger> ledger = ledger::Ledger::Open(path);
  if (!ledger.ok()) throw std::runtime_error(ledger.status().ToString());
  return *std::move(ledger);
}

}  // namespace

Processes::Processes(Bench& bench)
    : bench_(bench), path_(bench.Path("ledger")), ledger_(OpenNew(path_)), client_(bench.NewClient()) {
  bench.Expect(*client_, bench.Topic());
  if (bench.worker_path().empty()) throw std::runtime_error("this case needs --worker=PATH");
}

WorkerOptions Processes::Options() const {
  return {.broker = bench_.environment().name,
          .url = bench_.url(),
          .group = bench_.Group(),
          .ledger = path_,
          .native = bench_.environment().native,
          .topics = {bench_.Topic()}};
}

void Processes::Send(int n, std::string_view prefix, const std::function<std::string(int)>& key) {
  std::vector<std::pair<std::string, Confirmation>> sent;
  for (int i = 0; i < n; ++i) {
    const std::string id = absl::StrCat(prefix, i);
    SendOptions options;
    if (key && !key(i).empty()) options.key = key(i);
    const std::string name = options.key.value_or("");
    ledger_.Append({.event = Event::kSent, .id = id, .key = name, .sequence = last_of_key_[name]++});
    sent.emplace_back(id, client_->producer().Send(bench_.Topic(), id, std::move(options)));
  }
  for (const auto& [id, confirmation] : sent) {
    const absl::StatusOr<Receipt> receipt = confirmation.Wait(Limit());
    EXPECT_TRUE(receipt.ok()) << receipt.status();
    ledger_.Append({.event = receipt.ok() ? Event::kAccepted : Event::kUnknown, .id = id});
  }
}

void Processes::SendOne(const std::string& payload, const std::string& key) {
  const std::string id = payload.substr(0, payload.find(' '));
  ledger_.Append({.event = Event::kSent, .id = id, .key = key, .sequence = last_of_key_[key]++});
  SendOptions options;
  if (!key.empty()) options.key = key;
  bench_.Send(*client_, bench_.Topic(), payload, std::move(options));
  ledger_.Append({.event = Event::kAccepted, .id = id});
}

ledger::Report Processes::Report() const {
  std::vector<Entry> entries = Entries();
  if (bench_.capabilities().order == Capabilities::OrderScope::kProcess) {
    for (Entry& entry : entries) entry.key.clear();
  }
  return ledger::Check(entries);
}

void Processes::NoteDeadLetters() {
  for (const DeadLetter& letter : bench_.DeadLettersOf(*client_)) {
    if (!dead_.insert(letter.id).second) continue;
    const std::string& payload = letter.message.payload;
    ledger_.Append({.event = Event::kDead,
                    .id = payload.substr(0, payload.find(' ')),
                    .handler = letter.failure.handler,
                    .attempt = letter.failure.attempts,
                    .note = letter.failure.status.ToString()});
  }
}

void Processes::Stop(Worker& worker) const {
  EXPECT_TRUE(AwaitPoint("ready", "", worker.pid()));
  worker.Terminate();
  const absl::StatusOr<int> code = worker.Wait(Limit());
  EXPECT_TRUE(code.ok()) << code.status();
  EXPECT_EQ(code.value_or(0), 0);
}

const std::vector<Entry>& Processes::Entries() const {
  const absl::Status read = ledger::ReadOn(path_, read_);
  if (!read.ok()) throw std::runtime_error(read.ToString());
  return read_.entries;
}

bool Processes::AwaitEntry(const std::function<bool(const Entry&)>& match, absl::Duration limit) const {
  return WaitUntil(
      [&] {
        for (const Entry& entry : Entries()) {
          if (match(entry)) return true;
        }
        return false;
      },
      limit, kLedgerPoll);
}

bool Processes::AwaitPoint(std::string_view point, const std::string& id, pid_t pid, absl::Duration limit) const {
  return AwaitEntry(
      [&](const Entry& entry) {
        return entry.event == Event::kPoint && entry.note == point && entry.id == id && entry.pid == pid;
      },
      limit);
}

testing::AssertionResult Processes::AwaitAll(absl::Duration limit) {
  const bool all = WaitUntil(
      [&] {
        NoteDeadLetters();
        return Report().lost == 0;
      },
      limit, kLedgerPoll);
  if (all) return testing::AssertionSuccess();
  return testing::AssertionFailure() << Report().ToString();
}

int Processes::Count(Event event, const std::string& id) const {
  int count = 0;
  for (const Entry& entry : Entries()) count += entry.event == event && entry.id == id ? 1 : 0;
  return count;
}

}  // namespace messaging::conformance
