#include "sql/connection.h"

#include <map>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "sql/sqlite.h"

namespace messaging::sql {
namespace {

std::map<std::string, Opener>& Openers() {
  static auto& openers = *new std::map<std::string, Opener>;
  return openers;
}

}  // namespace

bool RegisterOpener(const char* scheme, Opener opener) { return Openers().emplace(scheme, opener).second; }

absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& url) {
  const size_t colon = url.find("://");
  if (colon == std::string::npos) return OpenSqlite(url);
  const std::string scheme = url.substr(0, colon);
  if (scheme == "sqlite") return OpenSqlite(url.substr(colon + 3));
  const auto found = Openers().find(scheme);
  if (found != Openers().end()) return found->second(url);
  const char* cure = absl::StartsWith(scheme, "postgres") ? "; add //sql:postgres to the deps" : "";
  return absl::NotFoundError(absl::StrCat("no database for ", scheme, ":// is linked", cure));
}

absl::Status Transaction::Start() {
  const char* begin = dialect() == Dialect::kSqlite ? "BEGIN IMMEDIATE" : "BEGIN";
  absl::Status status = connection_.Execute(begin).status();
  open_ = status.ok();
  return status;
}

absl::Status Transaction::Commit() {
  if (!open_) return absl::FailedPreconditionError("the transaction has ended");
  absl::Status status = connection_.Execute("COMMIT").status();
  // PostgreSQL's has ended either way; SQLite's may be open still.
  if (status.ok() || dialect() == Dialect::kPostgres) open_ = false;
  return status;
}

void Transaction::Rollback() {
  // A failed ROLLBACK leaves nothing to do: the database has rolled back by itself then.
  if (std::exchange(open_, false)) connection_.Execute("ROLLBACK").IgnoreError();
}

}  // namespace messaging::sql
