// Dead letters: a compacted topic for each topic and group. Each has a key of its own; a tombstone of that key deletes
// it, and what lies before the first that lives is deleted from the log.
#ifndef KAFKA_LETTERS_H_
#define KAFKA_LETTERS_H_

#include <librdkafka/rdkafka.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kafka/producer.h"
#include "kafka/reader.h"
#include "messaging/broker/dead_letters.h"

namespace messaging::kafka {

// A dead letter's own: of the message that died, and of its handler. The same message stored twice is one.
std::string LetterKey(const rd_kafka_message_t& message, std::string_view handler);

class Letters : public DeadLetters {
 public:
  Letters(std::shared_ptr<const KafkaOptions> options, std::shared_ptr<Producer> producer)
      : options_(options), producer_(std::move(producer)), reader_(options) {}

  absl::Status List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) override;
  absl::StatusOr<int64_t> Replay(const DeadLetterFilter& filter) override;
  absl::Status Import(const DeadLetter& letter) override;
  absl::StatusOr<int64_t> Purge(const DeadLetterFilter& filter) override;

 private:
  struct Found {
    std::string place;
    int64_t offset = 0;
    DeadLetter letter;
  };
  absl::StatusOr<std::vector<std::string>> Places(const DeadLetterFilter& filter);
  // Those that live in a place, oldest first; `trim_to`: where the first of them lies.
  absl::StatusOr<std::vector<Found>> Living(const std::string& place, int64_t& trim_to);
  absl::StatusOr<std::vector<Found>> Find(const DeadLetterFilter& filter);
  absl::Status Send(std::vector<Message> messages);
  absl::Status Bury(const std::vector<Found>& found);
  void Trim(const std::string& place);

  const std::shared_ptr<const KafkaOptions> options_;
  const std::shared_ptr<Producer> producer_;
  Reader reader_;
};

}  // namespace messaging::kafka

#endif  // KAFKA_LETTERS_H_
