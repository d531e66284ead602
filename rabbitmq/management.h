// The server's management API, as far as AMQP does not tell: what there is, and figures. Blocking, any thread.
#ifndef RABBITMQ_MANAGEMENT_H_
#define RABBITMQ_MANAGEMENT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "rabbitmq/rabbitmq_broker.h"

namespace messaging::rabbitmq {

class Management {
 public:
  explicit Management(const RabbitmqOptions& options) : options_(options) {}

  bool given() const { return !options_.management_url.empty(); }
  // "overview", "nodes". Unavailable, Unauthenticated, PermissionDenied, NotFound: as the server answers.
  absl::StatusOr<nlohmann::json> Get(const std::string& path) const;
  // All of a kind in the virtual host: "queues", "bindings". Each an object.
  absl::StatusOr<std::vector<nlohmann::json>> List(const std::string& kind, const std::string& columns) const;

 private:
  const RabbitmqOptions& options_;
};

}  // namespace messaging::rabbitmq

#endif  // RABBITMQ_MANAGEMENT_H_
