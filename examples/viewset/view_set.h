// The five things that one does with rows over HTTP, as JSON. ModelViewSet (model_view_set.h) does them for a struct.
#ifndef EXAMPLES_VIEWSET_VIEW_SET_H_
#define EXAMPLES_VIEWSET_VIEW_SET_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "sql/connection.h"

namespace viewset {

// Each is called in a transaction, which is committed when it returned OK. NotFound, AlreadyExists, InvalidArgument
// (with what is wrong with which field, see FieldErrors), Unavailable, ... become answers to the client.
class ViewSet {
 public:
  virtual ~ViewSet() = default;
  // Rows with an id greater than `after`, in order of id, at most `limit`.
  virtual absl::StatusOr<nlohmann::json> List(int64_t after, int64_t limit, messaging::sql::Transaction& db) = 0;
  virtual absl::StatusOr<nlohmann::json> Get(int64_t id, messaging::sql::Transaction& db) = 0;
  virtual absl::StatusOr<nlohmann::json> Create(const nlohmann::json& body, messaging::sql::Transaction& db) = 0;
  virtual absl::StatusOr<nlohmann::json> Update(int64_t id, const nlohmann::json& body,
                                                messaging::sql::Transaction& db) = 0;
  virtual absl::Status Delete(int64_t id, messaging::sql::Transaction& db) = 0;
  virtual absl::Status CreateTable(messaging::sql::Connection& db) = 0;
};

// InvalidArgument that says for each field what is wrong: {"total": "is negative"}.
absl::Status FieldErrors(const nlohmann::json& errors);
// What FieldErrors was made of; null for any other status.
nlohmann::json FieldErrorsOf(const absl::Status& status);

}  // namespace viewset

#endif  // EXAMPLES_VIEWSET_VIEW_SET_H_
