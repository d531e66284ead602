#include "outbox/relay.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "messaging/confirmation.h"
#include "messaging/log.h"
#include "messaging/message.h"
#include "outbox/outbox.h"
#include "outbox/table.h"

namespace messaging::outbox {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(50);
constexpr absl::Duration kLongestPause = absl::Seconds(5);
// Then it looks for its election, its housekeeping, and the beginning of the table again.
constexpr int kBatchesInARow = 16;

struct Row {
  int64_t id = 0;
  Message message;
};

absl::StatusOr<Row> ToRow(sql::Row& columns) {
  Row row{.id = sql::NumberOf(columns[0])};
  Message& message = row.message;
  message.id = sql::TextOf(columns[1]);
  message.topic = sql::TextOf(columns[2]);
  if (!std::holds_alternative<sql::Null>(columns[3])) message.key = sql::TextOf(columns[3]);
  message.null_payload = std::holds_alternative<sql::Null>(columns[4]);
  if (auto* payload = std::get_if<sql::Bytes>(&columns[4])) message.payload = std::move(payload->data);
  message.content_type = sql::TextOf(columns[5]);
  absl::StatusOr<std::vector<Header>> headers = UnpackHeaders(sql::TextOf(columns[6]));
  if (!headers.ok()) return headers.status();
  message.headers = *std::move(headers);
  message.timestamp = absl::FromUnixMicros(sql::NumberOf(columns[7]));
  return row;
}

// What became of a batch.
struct Outcome {
  std::vector<int64_t> accepted;
  std::vector<std::pair<int64_t, std::string>> refused;  // For good, with why.
  absl::Status failure;                                  // The first that is to be tried again.
};

// The next message of a key waits for the one before.
class Batch {
 public:
  Batch(std::vector<Row> rows, Producer& producer)
      : rows_(std::move(rows)), producer_(producer), next_(rows_.size(), 0) {
    for (size_t i = 0; i < rows_.size(); ++i) {
      const std::optional<std::string>& key = rows_[i].message.key;
      if (!key) {
        Send(i);
        continue;
      }
      const auto [found, is_first] = last_of_.try_emplace(*key, i);
      if (is_first) {
        Send(i);
      } else {
        next_[found->second] = i;
        found->second = i;
      }
    }
  }

  // Waits for all answers, for as long as `patience` gives more time.
  Outcome Await(const std::function<absl::Duration()>& patience) {
    Outcome outcome;
    while (!open_.empty()) {
      const auto [i, confirmation] = std::move(open_.front());
      open_.pop_front();
      absl::Status status = absl::CancelledError("the relay was stopped before the broker answered");
      for (absl::Duration more = patience(); more > absl::ZeroDuration() || confirmation.resolved();
           more = patience()) {
        status = confirmation.Wait(more).status();
        if (confirmation.resolved()) break;
      }
      if (status.ok()) {
        outcome.accepted.push_back(rows_[i].id);
      } else if (absl::IsInvalidArgument(status)) {
        outcome.refused.emplace_back(rows_[i].id, std::string(status.message()));
      } else {
        outcome.failure.Update(status);  // And what waits for it stays.
        continue;
      }
      if (next_[i] != 0) Send(next_[i]);
    }
    return outcome;
  }

 private:
  void Send(size_t i) { open_.emplace_back(i, producer_.Send(std::move(rows_[i].message))); }

  std::vector<Row> rows_;
  Producer& producer_;
  std::unordered_map<std::string, size_t> last_of_;  // Of each key.
  std::vector<size_t> next_;                         // The next of the same key; 0: none.
  std::deque<std::pair<size_t, Confirmation>> open_;
};

}  // namespace

class Relay::Impl {
 public:
  Impl(RelayOptions options, std::unique_ptr<sql::Connection> connection, Producer& producer)
      : options_(std::move(options)),
        connection_(std::move(connection)),
        producer_(producer),
        stop_event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        thread_([this] { Run(); }) {}

  ~Impl() { close(stop_event_); }

  void Stop(absl::Duration limit) {
    absl::MutexLock one_at_a_time(&stop_mutex_);
    if (!thread_.joinable()) return;
    stop_by_.store(absl::ToUnixNanos(absl::Now() + limit));
    const uint64_t one = 1;
    (void)!write(stop_event_, &one, sizeof one);
    thread_.join();
    elected_ = false;
  }

  bool elected() const { return elected_; }
  int64_t sent() const { return sent_; }
  absl::Status status() const {
    absl::MutexLock lock(&status_mutex_);
    return status_;
  }

 private:
  bool stopping() const { return stop_by_.load() != 0; }
  // For the next answer; while stopping, what is left.
  absl::Duration Patience() const {
    const int64_t by = stop_by_.load();
    return by == 0 ? absl::Milliseconds(200) : std::max(absl::FromUnixNanos(by) - absl::Now(), absl::ZeroDuration());
  }
  void Step(std::string_view step) {
    if (options_.on_step) options_.on_step(step);
  }
  void Pause(absl::Duration limit) {
    pollfd waits[] = {{stop_event_, POLLIN, 0}};
    poll(waits, 1, static_cast<int>(absl::ToInt64Milliseconds(limit)));
  }

  void Run();
  absl::Status Round();
  absl::Status Elect();
  absl::StatusOr<size_t> SendBatches();
  absl::StatusOr<std::vector<Row>> Read(int64_t after);
  absl::Status Settle(const Outcome& outcome);
  void Note(absl::Status status);

  const RelayOptions options_;
  const std::unique_ptr<sql::Connection> connection_;
  Producer& producer_;
  const int stop_event_;
  std::atomic<int64_t> stop_by_{0};
  std::atomic<bool> elected_{false};
  std::atomic<int64_t> sent_{0};
  absl::Time next_housekeeping_ = absl::InfinitePast();
  absl::Mutex stop_mutex_;
  mutable absl::Mutex status_mutex_;
  absl::Status status_ ABSL_GUARDED_BY(status_mutex_);
  std::thread thread_;  // The last: it uses the others.
};

void Relay::Impl::Run() {
  absl::Duration pause = kFirstPause;
  while (!stopping()) {
    absl::Status status = Round();
    const bool ok = status.ok();
    Note(std::move(status));
    if (ok) {
      pause = kFirstPause;
    } else {
      Pause(pause);
      pause = std::min(pause * 2, kLongestPause);
    }
  }
}

void Relay::Impl::Note(absl::Status status) {
  absl::MutexLock lock(&status_mutex_);
  if (status.code() == status_.code()) return;  // Said already.
  Log(status.ok() ? Severity::kInfo : Severity::kWarning,
      absl::StrCat("outbox: ", status.ok() ? "sending again" : status.ToString()));
  status_ = std::move(status);
}

absl::Status Relay::Impl::Elect() {
  if (connection_->HoldsLock()) return absl::OkStatus();
  elected_ = false;
  if (absl::Status status = CreateTable(*connection_); !status.ok()) return status;
  absl::StatusOr<bool> got = connection_->TryLock("messaging_outbox_relay");
  if (!got.ok()) return got.status();
  elected_ = *got;
  if (elected_) Step("elected");
  return absl::OkStatus();
}

absl::Status Relay::Impl::Round() {
  if (absl::Status status = Elect(); !status.ok()) return status;
  if (!elected_) {
    Pause(options_.election_pause);
    return absl::OkStatus();
  }
  if (options_.housekeeping && absl::Now() >= next_housekeeping_) {
    if (absl::Status status = options_.housekeeping(*connection_); !status.ok()) return status;
    next_housekeeping_ = absl::Now() + absl::Hours(1);
  }
  absl::StatusOr<size_t> sent = SendBatches();
  if (!sent.ok()) return sent.status();
  if (*sent > 0 || stopping()) return absl::OkStatus();
  return connection_->Wait(kChannel, stop_event_, options_.safety_pause);
}

absl::StatusOr<std::vector<Row>> Relay::Impl::Read(int64_t after) {
  absl::StatusOr<sql::Result> found = connection_->Execute(
      "SELECT id, message_id, topic, message_key, payload, content_type, headers, created FROM messaging_outbox"
      " WHERE refusal IS NULL AND id > $1 ORDER BY id LIMIT $2",
      {after, static_cast<int64_t>(options_.batch)});
  if (!found.ok()) return found.status();
  std::vector<Row> rows;
  rows.reserve(found->rows.size());
  for (sql::Row& columns : found->rows) {
    absl::StatusOr<Row> row = ToRow(columns);
    if (!row.ok()) return row.status();
    rows.push_back(*std::move(row));
  }
  return rows;
}

// How many messages it read at first. The next batch is read while the broker has one, and sent when that is deleted:
// keys stay in order, and a relay that has lost its lock with its connection sends no more. Not with PostgreSQL: there
// a message that took a low number may be committed late, and would be overtaken by the next of its key.
absl::StatusOr<size_t> Relay::Impl::SendBatches() {
  absl::StatusOr<std::vector<Row>> rows = Read(0);
  if (!rows.ok() || rows->empty()) return rows.ok() ? absl::StatusOr<size_t>(0) : rows.status();
  const size_t read = rows->size();
  Step("read");
  int64_t last = rows->back().id;
  std::optional<Batch> batch(std::in_place, *std::move(rows), producer_);
  Step("sent");
  for (int left = connection_->dialect() == sql::Dialect::kSqlite ? kBatchesInARow - 1 : 0;; --left) {
    rows = left > 0 ? Read(last) : std::vector<Row>();
    if (rows.ok() && !rows->empty()) Step("read");
    const Outcome outcome = batch->Await([this] { return Patience(); });
    Step("confirmed");
    if (absl::Status status = Settle(outcome); !status.ok()) return status;
    sent_ += static_cast<int64_t>(outcome.accepted.size());
    Step("deleted");
    if (!outcome.failure.ok()) return outcome.failure;
    if (!rows.ok()) return rows.status();
    if (rows->empty() || stopping()) return read;
    last = rows->back().id;
    batch.emplace(*std::move(rows), producer_);
    Step("sent");
  }
}

absl::Status Relay::Impl::Settle(const Outcome& outcome) {
  if (!outcome.accepted.empty()) {
    const std::string ids = absl::StrJoin(outcome.accepted, ",");
    absl::Status status =
        connection_->dialect() == sql::Dialect::kSqlite
            ? connection_
                  ->Execute("DELETE FROM messaging_outbox WHERE id IN (SELECT value FROM json_each($1))",
                            {absl::StrCat("[", ids, "]")})
                  .status()
            : connection_
                  ->Execute("DELETE FROM messaging_outbox WHERE id = ANY($1::bigint[])", {absl::StrCat("{", ids, "}")})
                  .status();
    if (!status.ok()) return status;
  }
  for (const auto& [id, why] : outcome.refused) {
    absl::Status status =
        connection_->Execute("UPDATE messaging_outbox SET refusal = $1 WHERE id = $2", {why, id}).status();
    if (!status.ok()) return status;
    Log(Severity::kError, absl::StrCat("outbox: message ", id, " was refused for good, and is kept: ", why));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Relay>> Relay::Start(RelayOptions options, Producer& producer) {
  absl::StatusOr<std::unique_ptr<sql::Connection>> connection = sql::Open(options.database);
  if (!connection.ok()) return connection.status();
  return std::unique_ptr<Relay>(
      new Relay(std::make_unique<Impl>(std::move(options), *std::move(connection), producer)));
}

Relay::Relay(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Relay::~Relay() { Stop(); }
void Relay::Stop(absl::Duration limit) { impl_->Stop(limit); }
bool Relay::elected() const { return impl_->elected(); }
int64_t Relay::sent() const { return impl_->sent(); }
absl::Status Relay::status() const { return impl_->status(); }

}  // namespace messaging::outbox
