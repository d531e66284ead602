#include "kafka/kafka_broker.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "kafka/admin.h"
#include "kafka/handle.h"
#include "kafka/letters.h"
#include "kafka/member.h"
#include "kafka/producer.h"
#include "kafka/reader.h"

namespace messaging {
namespace {

using kafka::Member;

// What a record has besides its payload, key and headers.
constexpr size_t kOverhead = 4 << 10;

class KafkaBroker : public Broker {
 public:
  KafkaBroker(std::shared_ptr<const KafkaOptions> options, kafka::Handle producer)
      : options_(std::move(options)),
        producer_(std::make_shared<kafka::Producer>(options_, std::move(producer))),
        letters_(options_, producer_),
        admin_(options_, producer_) {
    size_t largest = 1 << 20;
    const auto given = options_->properties.find("message.max.bytes");
    if (given != options_->properties.end()) (void)absl::SimpleAtoi(given->second, &largest);
    capabilities_.max_message_bytes = largest > 2 * kOverhead ? largest - kOverhead : largest / 2;
    capabilities_.shares_messages = false;
  }

  std::string_view name() const override { return "kafka"; }
  const Capabilities& capabilities() const override { return capabilities_; }

  void Publish(OutgoingPtr message) override {
    const Message& content = message->message();
    size_t size = content.payload.size() + (content.key ? content.key->size() : 0);
    for (const Header& header : content.headers) size += header.first.size() + header.second.size();
    if (size > capabilities_.max_message_bytes) {
      return message->Complete(absl::InvalidArgumentError(
          absl::StrCat("the message has ", size, " bytes; kafka takes ", capabilities_.max_message_bytes,
                       " at most: message.max.bytes, here and on the server")));
    }
    for (const Header& header : content.headers) {
      if (header.first.find('\0') == std::string::npos) continue;
      return message->Complete(absl::InvalidArgumentError("kafka: the name of a header holds a NUL byte"));
    }
    producer_->Publish(std::move(message));
  }

  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions options, DeliverySink* sink) override {
    return std::make_shared<Member>(options_, producer_, std::move(options), sink);
  }

  DeadLetters& dead_letters() override { return letters_; }
  Admin& admin() override { return admin_; }

  absl::Status Ping(absl::Duration limit) override { return kafka::Probe(*options_, limit); }

  std::vector<std::string> Warnings() override {
    std::vector<std::string> warnings;
    for (const Finding& finding : admin_.DurabilityFindings()) {
      warnings.push_back(absl::StrCat("kafka: ", finding.subject, ": ", finding.message, "; better: ", finding.cure));
    }
    return warnings;
  }

 private:
  const std::shared_ptr<const KafkaOptions> options_;
  Capabilities capabilities_;
  const std::shared_ptr<kafka::Producer> producer_;
  kafka::Letters letters_;
  kafka::KafkaAdmin admin_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> MakeKafkaBroker(KafkaOptions options) {
  auto shared = std::make_shared<const KafkaOptions>(std::move(options));
  absl::StatusOr<kafka::Handle> producer = kafka::Producer::MakeProducerHandle(*shared);
  if (!producer.ok()) return producer.status();
  return std::make_unique<KafkaBroker>(std::move(shared), *std::move(producer));
}

absl::StatusOr<std::unique_ptr<Broker>> MakeKafkaBrokerFromUrl(const BrokerOptions& options) {
  absl::StatusOr<KafkaOptions> parsed = ParseKafkaOptions(options);
  if (!parsed.ok()) return parsed.status();
  return MakeKafkaBroker(*std::move(parsed));
}

}  // namespace messaging
