#include "redis/redis_broker.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "redis/admin.h"
#include "redis/connection.h"
#include "redis/entry.h"
#include "redis/letters.h"
#include "redis/loop.h"
#include "redis/member.h"
#include "redis/producer.h"

namespace messaging {
namespace {

using redis::Connection;
using redis::kMaxHeaders;
using redis::Letters;
using redis::Loop;
using redis::Member;
using redis::ReplyPtr;

// The server's proto-max-bulk-len is 512 MiB; a script that copies a message holds it twice.
constexpr size_t kMaxMessageBytes = 128 << 20;

class RedisBroker : public Broker {
 public:
  RedisBroker(RedisOptions options, std::shared_ptr<ssl_ctx_st> tls)
      : options_(std::move(options)),
        tls_(std::move(tls)),
        loop_(std::make_shared<Loop>(options_, tls_)),
        producer_(std::make_shared<redis::Producer>(*loop_)),
        letters_(options_, [this] { return Connection::Open(options_, tls_.get()); }),
        admin_(options_, [this] { return Connection::Open(options_, tls_.get()); }) {
    capabilities_.max_message_bytes = kMaxMessageBytes;
    // Of topics for which nobody says anything else.
    if (options_.partitions == 0) {
      capabilities_.order = Capabilities::OrderScope::kProcess;
    } else {
      capabilities_.shares_messages = false;
    }
    loop_->Post([this] { loop_->Add(producer_); });
  }
  ~RedisBroker() override {
    loop_->Stop();
    producer_->DropAll();
  }

  std::string_view name() const override { return "redis"; }
  const Capabilities& capabilities() const override { return capabilities_; }

  void Publish(OutgoingPtr message) override {
    const size_t size = message->bytes();
    if (size > kMaxMessageBytes) {
      return message->Complete(absl::InvalidArgumentError(
          absl::StrCat("the message has ", size, " bytes; redis takes ", kMaxMessageBytes, " at most")));
    }
    if (message->message().headers.size() > kMaxHeaders) {
      return message->Complete(absl::InvalidArgumentError(absl::StrCat(
          "the message has ", message->message().headers.size(), " headers; redis takes ", kMaxHeaders, " at most")));
    }
    producer_->Publish(std::move(message));
  }

  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions options, DeliverySink* sink) override {
    return std::make_shared<Member>(loop_, std::move(options), sink);
  }

  DeadLetters& dead_letters() override { return letters_; }

  absl::Status Ping(absl::Duration limit) override {
    RedisOptions options = options_;
    options.connect_timeout = std::min(options.connect_timeout, limit);
    options.response_timeout = std::min(options.response_timeout, limit);
    absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(options, tls_.get());
    if (!connection.ok()) return connection.status();
    return redis::Ask(**connection, options, {"PING"}).status();
  }

  Admin& admin() override { return admin_; }

  std::vector<std::string> Warnings() override {
    absl::StatusOr<std::unique_ptr<Connection>> connection = Connection::Open(options_, tls_.get());
    if (!connection.ok()) return {};
    std::vector<std::string> warnings;
    for (const Finding& finding : redis::DurabilityFindings(**connection, options_)) {
      if (finding.level == Finding::Level::kOk) continue;
      warnings.push_back(absl::StrCat("redis: ", finding.message, "; better: ", finding.cure));
    }
    return warnings;
  }

 private:
  const RedisOptions options_;
  const std::shared_ptr<ssl_ctx_st> tls_;
  Capabilities capabilities_;
  const std::shared_ptr<Loop> loop_;
  const std::shared_ptr<redis::Producer> producer_;
  Letters letters_;
  redis::RedisAdmin admin_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> MakeRedisBroker(RedisOptions options) {
  absl::StatusOr<std::shared_ptr<ssl_ctx_st>> tls = Connection::MakeTls(options);
  if (!tls.ok()) return tls.status();
  return std::make_unique<RedisBroker>(std::move(options), *std::move(tls));
}

absl::StatusOr<std::unique_ptr<Broker>> MakeRedisBrokerFromUrl(const BrokerOptions& options) {
  absl::StatusOr<RedisOptions> parsed = ParseRedisOptions(options);
  if (!parsed.ok()) return parsed.status();
  return MakeRedisBroker(*std::move(parsed));
}

}  // namespace messaging
