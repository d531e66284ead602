#include "sqlite/sqlite_broker.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "messaging/broker/url.h"
#include "sqlite/admin.h"
#include "sqlite/loop.h"
#include "sqlite/member.h"
#include "sqlite/store.h"

namespace messaging {
namespace {

using sqlite::Loop;
using sqlite::Member;
using sqlite::Store;

constexpr size_t kMaxMessageBytes = 256 << 20;
constexpr absl::Duration kAdminLimit = absl::Seconds(30);

class Letters : public DeadLetters {
 public:
  explicit Letters(std::shared_ptr<Loop> loop, SqliteOptions options)
      : loop_(std::move(loop)), options_(std::move(options)) {}

  absl::Status List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) override {
    // A connection of its own: a long listing holds up nobody, as readers of a WAL do not block writers.
    absl::StatusOr<std::unique_ptr<Store>> store = Store::Open({.path = options_.path});
    if (!store.ok()) return store.status();
    const absl::Duration to_wall = loop_->clock().ToWall();
    return (*store)->ListDead(InFileTime(filter), [&visit, to_wall](const DeadLetter& letter) {
      if (to_wall == absl::ZeroDuration()) return visit(letter);
      DeadLetter shown = letter;
      shown.dead_since += to_wall;
      return visit(shown);
    });
  }
  absl::StatusOr<int64_t> Replay(const DeadLetterFilter& filter) override {
    return Count([this, ours = InFileTime(filter)](Store& store) { return store.ReplayDead(ours, loop_->Now()); });
  }
  absl::Status Import(const DeadLetter& letter) override {
    DeadLetter ours = letter;
    ours.dead_since -= loop_->clock().ToWall();
    return loop_->Run([ours](Store& store) { return store.AddDead(ours); }, absl::Now() + kAdminLimit);
  }
  absl::StatusOr<int64_t> Purge(const DeadLetterFilter& filter) override {
    return Count([ours = InFileTime(filter)](Store& store) { return store.PurgeDead(ours); });
  }

 private:
  DeadLetterFilter InFileTime(DeadLetterFilter filter) {
    filter.since -= loop_->clock().ToWall();
    return filter;
  }
  absl::StatusOr<int64_t> Count(std::function<absl::StatusOr<int64_t>(Store&)> work) {
    auto count = std::make_shared<int64_t>(0);  // The loop may still run it after the deadline.
    absl::Status done = loop_->Run(
        [work = std::move(work), count](Store& store) {
          absl::StatusOr<int64_t> counted = work(store);
          if (counted.ok()) *count = *counted;
          return counted.status();
        },
        absl::Now() + kAdminLimit);
    if (!done.ok()) return done;
    loop_->Nudge();
    return *count;
  }

  const std::shared_ptr<Loop> loop_;
  const SqliteOptions options_;
};

class SqliteBroker : public Broker {
 public:
  SqliteBroker(SqliteOptions options, std::shared_ptr<Loop> loop)
      : options_(options), loop_(std::move(loop)), letters_(loop_, options), admin_(loop_, std::move(options)) {
    capabilities_.max_message_bytes = kMaxMessageBytes;
  }
  ~SqliteBroker() override { loop_->Stop(); }

  std::string_view name() const override { return "sqlite"; }
  const Capabilities& capabilities() const override { return capabilities_; }
  void Publish(OutgoingPtr message) override {
    const size_t size = message->message().payload.size();
    if (size > kMaxMessageBytes) {
      return message->Complete(absl::InvalidArgumentError(
          absl::StrCat("the payload has ", size, " bytes; sqlite takes ", kMaxMessageBytes, " at most")));
    }
    loop_->Publish(std::move(message));
  }
  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions options, DeliverySink* sink) override {
    return std::make_shared<Member>(loop_, std::move(options), sink);
  }
  DeadLetters& dead_letters() override { return letters_; }
  Admin& admin() override { return admin_; }
  absl::Status Ping(absl::Duration limit) override {
    return loop_->Run([](Store&) { return absl::OkStatus(); }, absl::Now() + limit);
  }
  std::vector<std::string> Warnings() override {
    if (options_.full_synchronous) return {};
    return {"sqlite: synchronous=NORMAL: the last accepted messages can be lost with the power; FULL keeps them"};
  }

 private:
  const SqliteOptions options_;
  Capabilities capabilities_;
  const std::shared_ptr<Loop> loop_;
  Letters letters_;
  sqlite::SqliteAdmin admin_;
};

absl::Status Set(SqliteOptions& options, const std::string& name, const std::string& value) {
  if (name == "synchronous") {
    const std::string upper = absl::AsciiStrToUpper(value);
    if (upper != "FULL" && upper != "NORMAL") {
      return absl::InvalidArgumentError(absl::StrCat("sqlite: synchronous is FULL or NORMAL, not ", value));
    }
    options.full_synchronous = upper == "FULL";
    return absl::OkStatus();
  }
  absl::Duration* duration = name == "retention"      ? &options.retention
                             : name == "busy_timeout" ? &options.busy_timeout
                                                      : nullptr;
  if (duration == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("sqlite has no option ", name, "; it has synchronous, retention and busy_timeout"));
  }
  if (!absl::ParseDuration(value, duration) || *duration < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("sqlite: ", name, " is a duration as 30s or 168h, not ", value));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> MakeSqliteBroker(SqliteOptions options) {
  if (options.path.empty()) {
    return absl::InvalidArgumentError(
        "sqlite: the URL names no file: sqlite:///var/lib/orders.db, or sqlite://orders.db");
  }
  absl::StatusOr<std::shared_ptr<Loop>> loop = Loop::Open(options);
  if (!loop.ok()) return loop.status();
  return std::make_unique<SqliteBroker>(std::move(options), *std::move(loop));
}

absl::StatusOr<std::unique_ptr<Broker>> MakeSqliteBrokerFromUrl(const BrokerOptions& options) {
  absl::StatusOr<Url> url = Url::Parse(options.url);
  if (!url.ok()) return url.status();
  SqliteOptions made{.path = url->FilePath(), .observer = options.observer};
  for (const auto& [name, value] : url->query) {
    if (absl::Status status = Set(made, name, value); !status.ok()) return status;
  }
  for (const auto& [name, value] : options.native) {
    if (absl::Status status = Set(made, name, value); !status.ok()) return status;
  }
  return MakeSqliteBroker(std::move(made));
}

}  // namespace messaging
