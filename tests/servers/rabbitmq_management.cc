#include "tests/servers/rabbitmq_management.h"

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace messaging::servers {
namespace {

absl::Status Told(const std::string& path, const httplib::Result& result) {
  if (!result) return absl::UnavailableError(absl::StrCat(path, ": ", httplib::to_string(result.error())));
  return result->status < 300 ? absl::OkStatus()
                              : absl::InternalError(absl::StrCat(path, ": HTTP ", result->status, ": ", result->body));
}

}  // namespace

RabbitmqManagement::RabbitmqManagement(int port) : client_("127.0.0.1", port) {
  client_.set_basic_auth("guest", "guest");
  client_.set_read_timeout(std::chrono::seconds(60));
}

absl::Status RabbitmqManagement::Put(const std::string& path, const std::string& body) {
  return Told(path, client_.Put("/api/" + path, body, "application/json"));
}

absl::Status RabbitmqManagement::Delete(const std::string& path) { return Told(path, client_.Delete("/api/" + path)); }

nlohmann::json RabbitmqManagement::Get(const std::string& path) {
  const httplib::Result result = client_.Get("/api/" + path);
  return result ? nlohmann::json::parse(result->body, nullptr, false)
                : nlohmann::json(nlohmann::json::value_t::discarded);
}

absl::Status RabbitmqManagement::Permit(const std::string& virtual_host, const std::string& user,
                                        const std::string& configure, const std::string& write,
                                        const std::string& read) {
  const nlohmann::json rights = {{"configure", configure}, {"write", write}, {"read", read}};
  return Put(absl::StrCat("permissions/", virtual_host, "/", user), rights.dump());
}

}  // namespace messaging::servers
