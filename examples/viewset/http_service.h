// Serves view sets over HTTP: JSON in, JSON out, errors as application/problem+json (RFC 9457).
//
//   GET /orders?after=0&limit=50   POST /orders   GET, PUT, DELETE /orders/7   GET /live   GET /ready
#ifndef EXAMPLES_VIEWSET_HTTP_SERVICE_H_
#define EXAMPLES_VIEWSET_HTTP_SERVICE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "examples/viewset/view_set.h"

namespace viewset {

// Requests run in a few threads, each with a database connection while it lasts and a transaction of its own.
class HttpService {
 public:
  explicit HttpService(std::string database);  // As sql::Open takes it.
  ~HttpService();                              // Stop.

  // Before Start. `view_set` outlives the service.
  void Mount(const std::string& path, ViewSet& view_set);
  // "127.0.0.1:8080"; port 0: any that is free. The address with the port that was taken; AlreadyExists: it is in use.
  absl::StatusOr<std::string> Start(const std::string& address);
  // Takes no more connections, and returns when the requests in hand are answered.
  void Stop();

 private:
  class Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace viewset

#endif  // EXAMPLES_VIEWSET_HTTP_SERVICE_H_
