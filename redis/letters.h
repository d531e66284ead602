// Dead letters and Admin: asked for by people and programs, on connections of their own, blocking.
#ifndef REDIS_LETTERS_H_
#define REDIS_LETTERS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker/dead_letters.h"
#include "redis/connection.h"

namespace messaging::redis {

// An error reply as a status.
absl::StatusOr<ReplyPtr> Ask(Connection& connection, const RedisOptions& options,
                             const std::vector<std::string_view>& arguments);
// All keys of streams that match, sorted.
absl::StatusOr<std::vector<std::string>> ScanStreams(Connection& connection, const RedisOptions& options,
                                                     std::string_view pattern);
// All keys that match, with `more` of SCAN's arguments.
absl::StatusOr<std::vector<std::string>> ScanKeys(Connection& connection, const RedisOptions& options,
                                                  std::string_view pattern,
                                                  const std::vector<std::string_view>& more = {});

class Letters : public DeadLetters {
 public:
  Letters(const RedisOptions& options, Connector connect) : options_(options), connect_(std::move(connect)) {}

  absl::Status List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) override;
  absl::StatusOr<int64_t> Replay(const DeadLetterFilter& filter) override;
  absl::Status Import(const DeadLetter& letter) override;
  absl::StatusOr<int64_t> Purge(const DeadLetterFilter& filter) override;

 private:
  struct Found {
    std::string key;    // The stream that holds it,
    std::string entry;  // and its id there.
    DeadLetter letter;
  };
  absl::Status ForEach(Connection& connection, const DeadLetterFilter& filter,
                       const std::function<absl::StatusOr<bool>(const Found&)>& visit);
  absl::StatusOr<int64_t> Count(const DeadLetterFilter& filter,
                                const std::function<absl::StatusOr<bool>(Connection&, const Found&)>& take);

  const RedisOptions& options_;
  const Connector connect_;
};

}  // namespace messaging::redis

#endif  // REDIS_LETTERS_H_
