// PostgreSQL as a Connection, by libpq. Linked, it makes postgres:// and postgresql:// known to sql::Open.
#ifndef SQL_POSTGRES_H_
#define SQL_POSTGRES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "sql/connection.h"

namespace messaging::sql {

// Takes libpq's URLs: "postgres://user:password@host:5432/database?sslmode=verify-full", with libpq's environment for
// what is missing. Connects when first used, and again after it was lost. InvalidArgument: not such a URL.
absl::StatusOr<std::unique_ptr<Connection>> OpenPostgres(const std::string& url);

}  // namespace messaging::sql

#endif  // SQL_POSTGRES_H_
