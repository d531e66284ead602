#include "examples/viewset/http_service.h"

#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "httplib.h"

namespace viewset {
namespace {

namespace sql = messaging::sql;
using httplib::Request;
using httplib::Response;
using nlohmann::json;

constexpr size_t kLongestBody = 1 << 20;
constexpr int64_t kLongestList = 500;

std::string Text(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

void Answer(Response& response, int code, const json& body) {
  response.status = code;
  response.set_content(Text(body), "application/json");
}

void Problem(Response& response, int code, const std::string& detail, const json& errors = nullptr) {
  json problem = {{"type", "about:blank"}, {"title", httplib::status_message(code)}, {"status", code}};
  if (!detail.empty()) problem["detail"] = detail;
  if (!errors.is_null()) problem["errors"] = errors;
  response.status = code;
  response.set_content(Text(problem), "application/problem+json");
}

void Problem(Response& response, const absl::Status& status) {
  const std::string detail(status.message());
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return Problem(response, 422, detail, FieldErrorsOf(status));
    case absl::StatusCode::kNotFound:
      return Problem(response, 404, detail);
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return Problem(response, 409, detail);
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
      response.set_header("Retry-After", "1");
      return Problem(response, 503, "try again later");
    default:
      fprintf(stderr, "viewset: %s\n", status.ToString().c_str());  // Not for the client's eyes.
      return Problem(response, 500, "");
  }
}

}  // namespace

class HttpService::Impl {
 public:
  explicit Impl(std::string database) : database_(std::move(database)) {
    server_.set_payload_max_length(kLongestBody);
    server_.set_error_handler([](const Request&, Response& response) {
      if (response.body.empty()) Problem(response, response.status, "");
    });
    server_.Get("/live", [](const Request&, Response& response) { Answer(response, 200, {{"live", true}}); });
    server_.Get("/ready", [this](const Request&, Response& response) {
      WithTransaction(response, [](sql::Transaction& db) { return db.Number("SELECT 1").status(); });
      if (response.status == 200 || response.status == -1) Answer(response, 200, {{"ready", true}});
    });
  }

  void Mount(const std::string& path, ViewSet& view_set);
  absl::StatusOr<std::string> Start(const std::string& address);
  void Stop() {
    server_.stop();
    if (thread_.joinable()) thread_.join();
  }

 private:
  absl::StatusOr<std::unique_ptr<sql::Connection>> Borrow();
  void WithTransaction(Response& response, const std::function<absl::Status(sql::Transaction&)>& work);
  bool ParseBody(const Request& request, Response& response, json& body);

  const std::string database_;
  httplib::Server server_;
  std::thread thread_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<sql::Connection>> idle_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::unique_ptr<sql::Connection>> HttpService::Impl::Borrow() {
  absl::MutexLock lock(&mutex_);
  if (idle_.empty()) return sql::Open(database_);
  std::unique_ptr<sql::Connection> connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void HttpService::Impl::WithTransaction(Response& response,
                                        const std::function<absl::Status(sql::Transaction&)>& work) {
  absl::StatusOr<std::unique_ptr<sql::Connection>> connection = Borrow();
  if (!connection.ok()) return Problem(response, connection.status());
  absl::Cleanup give_back = [&] {
    absl::MutexLock lock(&mutex_);
    idle_.push_back(*std::move(connection));
  };
  absl::StatusOr<std::unique_ptr<sql::Transaction>> transaction = sql::Begin(**connection);
  if (!transaction.ok()) return Problem(response, transaction.status());
  absl::Status status = work(**transaction);
  if (status.ok()) status = (*transaction)->Commit();
  transaction->reset();  // Before the connection is another's.
  if (!status.ok()) Problem(response, status);
}

bool HttpService::Impl::ParseBody(const Request& request, Response& response, json& body) {
  const std::string type = request.get_header_value("Content-Type");
  if (!absl::StartsWithIgnoreCase(type, "application/json")) {
    Problem(response, 415, "the body has to be application/json");
    return false;
  }
  body = json::parse(request.body, nullptr, /*allow_exceptions=*/false);
  if (!body.is_discarded()) return true;
  Problem(response, 400, "the body is no JSON");
  return false;
}

void HttpService::Impl::Mount(const std::string& path, ViewSet& view_set) {
  const std::string one = path + R"(/(\d{1,18}))";
  const auto id_of = [](const Request& request) {
    int64_t id = 0;
    return absl::SimpleAtoi(request.matches[1].str(), &id) ? id : 0;
  };
  server_.Get(path, [this, &view_set](const Request& request, Response& response) {
    int64_t after = 0, limit = 50;
    const bool good = (!request.has_param("after") || absl::SimpleAtoi(request.get_param_value("after"), &after)) &&
                      (!request.has_param("limit") || absl::SimpleAtoi(request.get_param_value("limit"), &limit)) &&
                      limit > 0;
    if (!good) return Problem(response, 400, "after and limit are integers");
    WithTransaction(response, [&](sql::Transaction& db) {
      absl::StatusOr<json> rows = view_set.List(after, std::min(limit, kLongestList), db);
      if (rows.ok()) Answer(response, 200, {{"results", *rows}});
      return rows.status();
    });
  });
  server_.Post(path, [this, &view_set, path](const Request& request, Response& response) {
    json body;
    if (!ParseBody(request, response, body)) return;
    WithTransaction(response, [&](sql::Transaction& db) {
      absl::StatusOr<json> row = view_set.Create(body, db);
      if (!row.ok()) return row.status();
      response.set_header("Location", absl::StrCat(path, "/", row->at("id").get<int64_t>()));
      Answer(response, 201, *row);
      return absl::OkStatus();
    });
  });
  server_.Get(one, [this, &view_set, id_of](const Request& request, Response& response) {
    WithTransaction(response, [&](sql::Transaction& db) {
      absl::StatusOr<json> row = view_set.Get(id_of(request), db);
      if (row.ok()) Answer(response, 200, *row);
      return row.status();
    });
  });
  server_.Put(one, [this, &view_set, id_of](const Request& request, Response& response) {
    json body;
    if (!ParseBody(request, response, body)) return;
    WithTransaction(response, [&](sql::Transaction& db) {
      absl::StatusOr<json> row = view_set.Update(id_of(request), body, db);
      if (row.ok()) Answer(response, 200, *row);
      return row.status();
    });
  });
  server_.Delete(one, [this, &view_set, id_of](const Request& request, Response& response) {
    WithTransaction(response, [&](sql::Transaction& db) {
      absl::Status status = view_set.Delete(id_of(request), db);
      if (status.ok()) response.status = 204;
      return status;
    });
  });
}

absl::StatusOr<std::string> HttpService::Impl::Start(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port) || port < 0 || port > 65'535) {
    return absl::InvalidArgumentError(absl::StrCat(address, " is not HOST:PORT"));
  }
  const std::string host = address.substr(0, colon);
  if (port == 0) {
    port = server_.bind_to_any_port(host);
  } else if (!server_.bind_to_port(host, port)) {
    port = -1;
  }
  if (port <= 0) return absl::AlreadyExistsError(absl::StrCat(address, " cannot be taken"));
  thread_ = std::thread([this] { server_.listen_after_bind(); });
  server_.wait_until_ready();
  return absl::StrCat(host, ":", port);
}

HttpService::HttpService(std::string database) : impl_(std::make_unique<Impl>(std::move(database))) {}
HttpService::~HttpService() { Stop(); }
void HttpService::Mount(const std::string& path, ViewSet& view_set) { impl_->Mount(path, view_set); }
absl::StatusOr<std::string> HttpService::Start(const std::string& address) { return impl_->Start(address); }
void HttpService::Stop() { impl_->Stop(); }

}  // namespace viewset
