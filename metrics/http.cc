#include "metrics/http.h"

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "httplib.h"
#include "messaging/broker/broker.h"
#include "metrics/health.h"
#include "nlohmann/json.hpp"

namespace messaging::metrics {
namespace {

using nlohmann::json;

constexpr int kThreads = 4;
constexpr absl::Duration kPingLimit = absl::Seconds(1);
constexpr absl::Duration kPingHolds = absl::Seconds(1);  // Probes and people may ask often; the broker is spared.
constexpr int kPatience = 2;  // Seconds for a client to send its request and take the answer.
constexpr char kText[] = "text/plain; charset=utf-8";

void Answer(bool ok, std::string text, httplib::Response& response) {
  response.status = ok ? 200 : 503;
  response.set_content(std::move(text), kText);
}

json PartsAsJson(const Readiness& ready) {
  json parts;
  for (const auto& [part, status] : ready.Parts()) parts[part] = status->ok() ? "ok" : std::string(status->message());
  return parts;
}

json AssignmentAsJson(const Assignment& assignment) {
  json as_json = {{"group", assignment.group}};
  if (assignment.partitions != Assignment::kShared) as_json["partitions"] = assignment.partitions;
  if (!assignment.missing.empty()) as_json["missing"] = assignment.missing;
  return as_json;
}

json HandlerAsJson(const HandlerProgress& handler) {
  return {{"name", handler.name},
          {"group", handler.group},
          {"topics", handler.topics},
          {"gate", GateName(handler.gate)},
          {"paused_topics", handler.paused_topics},
          {"waiting", handler.waiting},
          {"running", handler.running},
          {"longest_seconds", absl::ToDoubleSeconds(handler.longest)}};
}

// In a time that tells nothing about where they differ.
bool SameSecret(std::string_view given, std::string_view secret) {
  unsigned char differs = given.size() == secret.size() ? 0 : 1;
  for (size_t i = 0; i < given.size(); ++i) {
    differs |= static_cast<unsigned char>(given[i] ^ secret[i % secret.size()]);
  }
  return differs == 0;
}

int HttpCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kInvalidArgument:
      return 400;
    default:
      return 409;
  }
}

}  // namespace

class HttpServer::Impl {
 public:
  Impl(HttpOptions options, Client& client, const PrometheusObserver& observer)
      : options_(std::move(options)), client_(client), observer_(observer) {
    server_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
    // Not SO_REUSEPORT, as the library would: two programs on one port would each get some of the questions.
    server_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    server_.set_keep_alive_max_count(1);  // Else an idle connection would hold a thread.
    server_.set_read_timeout(kPatience);
    server_.set_write_timeout(kPatience);
    server_.set_payload_max_length(4096);
    Route();
  }
  ~Impl() {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    Address address;
    if (absl::Status parsed = ParseAddress(options_.address, address); !parsed.ok()) return parsed;
    int port = address.port;
    if (port == 0) {
      port = server_.bind_to_any_port(address.host);
    } else if (!server_.bind_to_port(address.host, port)) {
      port = -1;
    }
    if (port < 0) {
      return absl::AlreadyExistsError(
          absl::StrCat("cannot listen on ", options_.address, ": it is in use, or not this machine's to take"));
    }
    const bool v6 = address.host.find(':') != std::string::npos;
    address_ = absl::StrCat(v6 ? "[" : "", address.host, v6 ? "]:" : ":", port);
    thread_ = std::thread([this] { server_.listen_after_bind(); });
    server_.wait_until_ready();
    return absl::OkStatus();
  }
  const std::string& address() const { return address_; }

 private:
  void Route() {
    using Request = httplib::Request;
    using Response = httplib::Response;
    server_.Get("/metrics", [this](const Request&, Response& response) {
      response.set_content(observer_.Text(), "text/plain; version=0.0.4; charset=utf-8");
    });
    server_.Get("/live", [this](const Request&, Response& response) {
      const absl::Status live = Live(client_.progress(), options_.stuck_after);
      Answer(live.ok(), live.ok() ? "ok\n" : absl::StrCat(live.message(), "\n"), response);
    });
    server_.Get("/ready", [this](const Request&, Response& response) {
      const Progress progress = client_.progress();
      const Readiness ready = Ready(progress, Connection(), options_.stuck_after);
      const std::string idle = Idle(progress);
      Answer(ready.ok(), ready.ok() ? absl::StrCat("ok", idle.empty() ? "" : "; ", idle, "\n") : ready.Missing(),
             response);
    });
    server_.Get("/status", [this](const Request&, Response& response) {
      // Handlers' names may be any bytes.
      response.set_content(Status().dump(2, ' ', false, json::error_handler_t::replace) + "\n", "application/json");
    });
    server_.Post("/pause", [this](const Request& request, Response& response) { SetPaused(true, request, response); });
    server_.Post("/resume",
                 [this](const Request& request, Response& response) { SetPaused(false, request, response); });
    server_.Get("/", [](const Request&, Response& response) {
      response.set_content("/metrics\n/live\n/ready\n/status\nPOST /pause\nPOST /resume\n", kText);
    });
  }

  void SetPaused(bool paused, const httplib::Request& request, httplib::Response& response) {
    const auto refuse = [&response](int code, std::string_view why) {
      response.status = code;
      response.set_content(absl::StrCat(why, "\n"), kText);
    };
    if (options_.token.empty()) return refuse(403, "no token was set, so nobody may do this");
    const std::string authorization = request.get_header_value("Authorization");
    std::string_view given = authorization;
    if (!absl::ConsumePrefix(&given, "Bearer ") || !SameSecret(given, options_.token)) {
      response.set_header("WWW-Authenticate", "Bearer");
      return refuse(401, "the token is missing, or another one");
    }
    Part part;
    for (const auto& [name, value] : request.params) {
      std::string* const field = name == "handler" ? &part.handler : name == "topic" ? &part.topic : nullptr;
      // An empty name is a slip, and would mean everything.
      if (field == nullptr || value.empty() || !field->empty()) {
        return refuse(400, "?handler=NAME, ?topic=NAME or neither");
      }
      *field = value;
    }
    const absl::Status done = paused ? client_.Pause(part) : client_.Resume(part);
    refuse(HttpCode(done), done.ok() ? (paused ? "paused" : "resumed") : done.message());
  }

  json Status() {
    const Progress progress = client_.progress();
    const absl::Status connection = Connection();
    const absl::Status live = Live(progress, options_.stuck_after);
    const Readiness ready = Ready(progress, connection, options_.stuck_after);
    json assignments = json::array();
    for (const Assignment& one : progress.assignments) assignments.push_back(AssignmentAsJson(one));
    json handlers = json::array();
    for (const HandlerProgress& handler : progress.handlers) handlers.push_back(HandlerAsJson(handler));
    json status = {{"broker", client_.broker().name()},
                   {"url", client_.url()},
                   {"group", client_.group()},
                   {"phase", PhaseName(progress.phase)},
                   {"connected", connection.ok()},
                   {"live", live.ok()},
                   {"ready", ready.ok()},
                   {"ready_parts", PartsAsJson(ready)},
                   {"assignments", std::move(assignments)},
                   {"in_flight_messages", progress.messages},
                   {"in_flight_bytes", progress.bytes},
                   {"refused_settlements", progress.refused},
                   {"pending_sends", client_.producer().pending()},
                   {"handlers", std::move(handlers)}};
    if (!live.ok()) status["not_live"] = live.message();
    return status;
  }

  // What the broker answered, not long ago.
  absl::Status Connection() {
    absl::MutexLock lock(&mutex_);
    if (const absl::Time now = absl::Now(); now - asked_ > kPingHolds || now < asked_) {
      connection_ = client_.broker().Ping(kPingLimit);
      asked_ = absl::Now();
    }
    return connection_;
  }

  const HttpOptions options_;
  Client& client_;
  const PrometheusObserver& observer_;
  httplib::Server server_;
  std::string address_;
  absl::Mutex mutex_;
  absl::Status connection_ ABSL_GUARDED_BY(mutex_);
  absl::Time asked_ ABSL_GUARDED_BY(mutex_) = absl::InfinitePast();
  std::thread thread_;
};

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(HttpOptions options, Client& client,
                                                              const PrometheusObserver& observer) {
  auto impl = std::make_unique<Impl>(std::move(options), client, observer);
  if (absl::Status listening = impl->Listen(); !listening.ok()) return listening;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() = default;
const std::string& HttpServer::address() const { return impl_->address(); }

}  // namespace messaging::metrics
