#include "redis/redis_broker.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "messaging/broker/io/loop.h"
#include "messaging/broker/io/tls.h"
#include "redis/admin.h"
#include "redis/connection.h"
#include "redis/entry.h"
#include "redis/letters.h"
#include "redis/member.h"
#include "redis/producer.h"

namespace messaging {
namespace {

using redis::Connection;
using redis::Connector;
using redis::kMaxHeaders;
using redis::Letters;
using redis::Member;
using redis::ReplyPtr;

// The server's proto-max-bulk-len is 512 MiB; a script that copies a message holds it twice.
constexpr size_t kMaxMessageBytes = 128 << 20;

class RedisBroker : public Broker {
 public:
  RedisBroker(RedisOptions options, std::shared_ptr<ssl_ctx_st> tls)
      : options_(std::move(options)),
        tls_(std::move(tls)),
        connect_([this] { return Connection::Open(options_, tls_.get()); }),
        loop_(std::make_shared<io::Loop>()),
        producer_(std::make_shared<redis::Producer>(*loop_, options_, connect_)),
        letters_(options_, connect_),
        admin_(options_, connect_) {
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
    return std::make_shared<Member>(loop_, options_, connect_, std::move(options), sink);
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
    absl::StatusOr<std::unique_ptr<Connection>> connection = connect_();
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
  const Connector connect_;
  Capabilities capabilities_;
  const std::shared_ptr<io::Loop> loop_;
  const std::shared_ptr<redis::Producer> producer_;
  Letters letters_;
  redis::RedisAdmin admin_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> MakeRedisBroker(RedisOptions options) {
  std::shared_ptr<ssl_ctx_st> tls;
  if (options.tls) {
    auto made = io::MakeTlsContext("redis", {.ca = options.tls_ca,
                                             .certificate = options.tls_certificate,
                                             .key = options.tls_key,
                                             .verify = options.tls_verify});
    if (!made.ok()) return made.status();
    tls = *std::move(made);
  }
  return std::make_unique<RedisBroker>(std::move(options), std::move(tls));
}

absl::StatusOr<std::unique_ptr<Broker>> MakeRedisBrokerFromUrl(const BrokerOptions& options) {
  absl::StatusOr<RedisOptions> parsed = ParseRedisOptions(options);
  if (!parsed.ok()) return parsed.status();
  return MakeRedisBroker(*std::move(parsed));
}

}  // namespace messaging
