#include "rabbitmq/rabbitmq_broker.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "messaging/broker/io/loop.h"
#include "messaging/broker/io/tls.h"
#include "rabbitmq/admin.h"
#include "rabbitmq/connection.h"
#include "rabbitmq/letters.h"
#include "rabbitmq/member.h"
#include "rabbitmq/producer.h"

namespace messaging {
namespace {

using rabbitmq::Connection;
using rabbitmq::Connector;
using rabbitmq::Letters;
using rabbitmq::Member;
using rabbitmq::Producer;

// The server's max_message_size in 3.x; where it is smaller the server says so.
constexpr size_t kMaxMessageBytes = 128 << 20;

class RabbitmqBroker : public Broker {
 public:
  RabbitmqBroker(RabbitmqOptions options, std::shared_ptr<ssl_ctx_st> tls)
      : options_(std::move(options)),
        tls_(std::move(tls)),
        connect_([this](std::string_view purpose) { return Connection::Open(options_, tls_.get(), purpose); }),
        loop_(std::make_shared<io::Loop>()),
        producer_(std::make_shared<Producer>(*loop_, options_, connect_)),
        letters_(options_, connect_),
        admin_(options_, connect_) {
    capabilities_.max_message_bytes = kMaxMessageBytes;
    capabilities_.new_group_sees_old = false;
    capabilities_.keeps_messages = false;
    capabilities_.accepts_unknown_topics = false;
    // Of topics for which nobody says anything else.
    if (options_.partitions == 0) {
      capabilities_.order = Capabilities::OrderScope::kProcess;
    } else {
      capabilities_.shares_messages = false;
    }
    loop_->Post([this] { loop_->Add(producer_); });
  }
  ~RabbitmqBroker() override {
    loop_->Post([this] { producer_->SayGoodbye(); });
    loop_->Stop();
    producer_->DropAll();
  }

  std::string_view name() const override { return "rabbitmq"; }
  const Capabilities& capabilities() const override { return capabilities_; }

  void Publish(OutgoingPtr message) override {
    const size_t size = message->bytes();
    if (size > kMaxMessageBytes) {
      return message->Complete(absl::InvalidArgumentError(
          absl::StrCat("the message has ", size, " bytes; rabbitmq takes ", kMaxMessageBytes, " at most")));
    }
    producer_->Publish(std::move(message));
  }

  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions options, DeliverySink* sink) override {
    for (const TopicPlan& plan : options.topics) letters_.Know(plan.topic, options.group);
    return std::make_shared<Member>(loop_, options_, connect_, std::move(options), sink);
  }

  DeadLetters& dead_letters() override { return letters_; }

  absl::Status Ping(absl::Duration limit) override {
    RabbitmqOptions options = options_;
    options.connect_timeout = std::min(options.connect_timeout, limit);
    options.response_timeout = std::min(options.response_timeout, limit);
    return Connection::Open(options, tls_.get(), "ping").status();
  }

  Admin& admin() override { return admin_; }

  std::vector<std::string> Warnings() override {
    if (!options_.classic_queues) return {};
    return {
        "rabbitmq: queue_type is classic: an accepted message is on one node, and lost with it; better: "
        "queue_type=quorum"};
  }

 private:
  const RabbitmqOptions options_;
  const std::shared_ptr<ssl_ctx_st> tls_;
  const Connector connect_;
  Capabilities capabilities_;
  const std::shared_ptr<io::Loop> loop_;
  const std::shared_ptr<Producer> producer_;
  Letters letters_;
  rabbitmq::RabbitmqAdmin admin_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> MakeRabbitmqBroker(RabbitmqOptions options) {
  std::shared_ptr<ssl_ctx_st> tls;
  if (options.tls) {
    auto made = io::MakeTlsContext("rabbitmq", {.ca = options.tls_ca,
                                                .certificate = options.tls_certificate,
                                                .key = options.tls_key,
                                                .verify = options.tls_verify});
    if (!made.ok()) return made.status();
    tls = *std::move(made);
  }
  return std::make_unique<RabbitmqBroker>(std::move(options), std::move(tls));
}

absl::StatusOr<std::unique_ptr<Broker>> MakeRabbitmqBrokerFromUrl(const BrokerOptions& options) {
  absl::StatusOr<RabbitmqOptions> parsed = ParseRabbitmqOptions(options);
  if (!parsed.ok()) return parsed.status();
  return MakeRabbitmqBroker(*std::move(parsed));
}

}  // namespace messaging
