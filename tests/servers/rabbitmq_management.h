// A RabbitMQ server's management API, for a test that changes or asks what AMQP cannot.
#ifndef TESTS_SERVERS_RABBITMQ_MANAGEMENT_H_
#define TESTS_SERVERS_RABBITMQ_MANAGEMENT_H_

#include <string>

#include "absl/status/status.h"
#include "httplib.h"
#include "nlohmann/json.hpp"

namespace messaging::servers {

// Paths are below /api/. Not thread-safe.
class RabbitmqManagement {
 public:
  explicit RabbitmqManagement(int port);
  absl::Status Put(const std::string& path, const std::string& body = "{}");
  absl::Status Delete(const std::string& path);
  nlohmann::json Get(const std::string& path);  // Discarded: it did not answer.
  // Configure, write and read: patterns of names.
  absl::Status Permit(const std::string& virtual_host, const std::string& user, const std::string& configure,
                      const std::string& write, const std::string& read);

 private:
  httplib::Client client_;
};

}  // namespace messaging::servers

#endif  // TESTS_SERVERS_RABBITMQ_MANAGEMENT_H_
