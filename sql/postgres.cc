#include "sql/postgres.h"

#include <poll.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "libpq-fe.h"

namespace messaging::sql {
namespace {

constexpr size_t kMostStatements = 200;  // Prepared ones that are kept.

// Types by the numbers that every PostgreSQL gives them (pg_type.dat).
constexpr Oid kBool = 16, kBytea = 17, kInt8 = 20, kInt2 = 21, kInt4 = 23, kFloat4 = 700, kFloat8 = 701,
              kNumeric = 1700;

struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Answer = std::unique_ptr<PGresult, Clear>;

bool IsGood(const Answer& answer) {
  const ExecStatusType status = PQresultStatus(answer.get());
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

absl::StatusCode CodeOf(std::string_view state) {
  if (state == "23505") return absl::StatusCode::kAlreadyExists;
  if (state == "40001" || state == "40P01" || state == "25P02") return absl::StatusCode::kAborted;
  const std::string_view kind = state.substr(0, 2);
  if (kind == "23") return absl::StatusCode::kFailedPrecondition;
  if (kind == "22") return absl::StatusCode::kInvalidArgument;
  if (kind == "28" || state == "42501") return absl::StatusCode::kPermissionDenied;
  if (kind == "08" || kind == "53" || kind == "55" || kind == "57") return absl::StatusCode::kUnavailable;
  return absl::StatusCode::kInternal;
}

// What the statement's parameters point at.
struct Parameters {
  std::vector<std::string> texts;
  std::vector<const char*> values;
  std::vector<int> lengths, formats;

  explicit Parameters(absl::Span<const Value> given) {
    texts.reserve(given.size());
    for (const Value& value : given) {
      const bool is_bytes = std::holds_alternative<Bytes>(value);
      if (const auto* integer = std::get_if<int64_t>(&value)) {
        texts.push_back(absl::StrCat(*integer));
      } else if (const auto* real = std::get_if<double>(&value)) {
        char buffer[40];
        snprintf(buffer, sizeof buffer, "%.17g", *real);
        texts.emplace_back(buffer);
      } else {
        texts.push_back(TextOf(value));
      }
      values.push_back(std::holds_alternative<Null>(value) ? nullptr : texts.back().c_str());
      lengths.push_back(static_cast<int>(texts.back().size()));
      formats.push_back(is_bytes ? 1 : 0);
    }
  }
};

Value Column(PGresult* result, int row, int column) {
  if (PQgetisnull(result, row, column)) return Null();
  const char* text = PQgetvalue(result, row, column);
  switch (PQftype(result, column)) {
    case kBool:
      return int64_t{text[0] == 't'};
    case kInt2:
    case kInt4:
    case kInt8:
      return static_cast<int64_t>(strtoll(text, nullptr, 10));
    case kFloat4:
    case kFloat8:
    case kNumeric:
      return strtod(text, nullptr);
    case kBytea: {
      size_t size = 0;
      unsigned char* bytes = PQunescapeBytea(reinterpret_cast<const unsigned char*>(text), &size);
      Bytes value{std::string(reinterpret_cast<char*>(bytes), size)};
      PQfreemem(bytes);
      return value;
    }
    default:
      return std::string(text, static_cast<size_t>(PQgetlength(result, row, column)));
  }
}

// The same number for a name in every process.
int64_t LockNumber(const std::string& name) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return static_cast<int64_t>(hash);
}

class PostgresConnection final : public Connection {
 public:
  explicit PostgresConnection(std::string url) : url_(std::move(url)) {}
  ~PostgresConnection() override { PQfinish(connection_); }

  using Executor::Execute;
  Dialect dialect() const override { return Dialect::kPostgres; }
  absl::StatusOr<Result> Execute(const std::string& sql, absl::Span<const Value> values) override;
  absl::Status Script(const std::string& sql) override;
  absl::StatusOr<bool> TryLock(const std::string& name) override;
  bool HoldsLock() override { return locked_ && PQstatus(connection_) == CONNECTION_OK; }
  absl::Status Wait(const std::string& channel, int stop_fd, absl::Duration limit) override;

 private:
  absl::Status Connected();
  absl::Status Error(const std::string& doing, const PGresult* result) const;
  absl::StatusOr<Result> ExecuteOnce(const std::string& sql, absl::Span<const Value> values);
  absl::StatusOr<std::string> Prepared(const std::string& sql);
  bool HasNews();

  const std::string url_;
  PGconn* connection_ = nullptr;
  std::unordered_map<std::string, std::string> statements_;  // Name by SQL.
  std::string listening_;
  bool locked_ = false;
  bool in_transaction_ = false;
};

absl::Status PostgresConnection::Error(const std::string& doing, const PGresult* result) const {
  const char* state = result != nullptr ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : nullptr;
  const char* text = result != nullptr ? PQresultErrorMessage(result) : PQerrorMessage(connection_);
  const absl::StatusCode code = state != nullptr                         ? CodeOf(state)
                                : PQstatus(connection_) != CONNECTION_OK ? absl::StatusCode::kUnavailable
                                                                         : absl::StatusCode::kInternal;
  return absl::Status(code, absl::StrCat(doing, ": ", absl::StripTrailingAsciiWhitespace(text)));
}

absl::Status PostgresConnection::Connected() {
  if (connection_ != nullptr && PQstatus(connection_) == CONNECTION_OK) return absl::OkStatus();
  // What was begun on the lost connection is rolled back; going on as if it were open would commit the rest alone.
  if (in_transaction_) return absl::UnavailableError("PostgreSQL: the connection was lost in a transaction");
  PQfinish(connection_);
  statements_.clear();
  listening_.clear();
  locked_ = false;
  // Later ones override earlier ones: the URL's own win.
  const char* const names[] = {"connect_timeout",
                               "keepalives_idle",
                               "keepalives_interval",
                               "keepalives_count",
                               "fallback_application_name",
                               "dbname",
                               nullptr};
  const char* const values[] = {"10", "10", "5", "3", "core_messaging", url_.c_str(), nullptr};
  connection_ = PQconnectdbParams(names, values, /*expand_dbname=*/1);
  if (PQstatus(connection_) != CONNECTION_OK) {
    return absl::UnavailableError(
        absl::StrCat("PostgreSQL: ", absl::StripTrailingAsciiWhitespace(PQerrorMessage(connection_))));
  }
  PQsetNoticeProcessor(
      connection_, [](void*, const char*) {}, nullptr);
  return absl::OkStatus();
}

absl::StatusOr<std::string> PostgresConnection::Prepared(const std::string& sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second;
  if (statements_.size() >= kMostStatements) {
    Answer(PQexec(connection_, "DEALLOCATE ALL"));
    statements_.clear();
  }
  const std::string name = absl::StrCat("s", statements_.size());
  const Answer answer(PQprepare(connection_, name.c_str(), sql.c_str(), 0, nullptr));
  if (!IsGood(answer)) return Error(sql, answer.get());
  statements_.emplace(sql, name);
  return name;
}

absl::StatusOr<Result> PostgresConnection::ExecuteOnce(const std::string& sql, absl::Span<const Value> values) {
  if (absl::Status status = Connected(); !status.ok()) return status;
  Answer answer;
  if (values.empty()) {
    answer.reset(PQexecParams(connection_, sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0));
  } else {
    absl::StatusOr<std::string> name = Prepared(sql);
    if (!name.ok()) return name.status();
    const Parameters given(values);
    answer.reset(PQexecPrepared(connection_, name->c_str(), static_cast<int>(values.size()), given.values.data(),
                                given.lengths.data(), given.formats.data(), 0));
  }
  if (!IsGood(answer)) return Error(sql, answer.get());
  // COMMIT of a transaction in which something had failed rolls back, and is no error to the server.
  if (sql == "COMMIT" && std::strcmp(PQcmdStatus(answer.get()), "COMMIT") != 0) {
    return absl::AbortedError("COMMIT: a statement had failed, so all of the transaction was rolled back");
  }
  Result result;
  for (int row = 0; row < PQntuples(answer.get()); ++row) {
    Row& to = result.rows.emplace_back();
    for (int column = 0; column < PQnfields(answer.get()); ++column) to.push_back(Column(answer.get(), row, column));
  }
  if (!absl::SimpleAtoi(PQcmdTuples(answer.get()), &result.changed) ||
      absl::StartsWith(PQcmdStatus(answer.get()), "SELECT")) {
    result.changed = 0;
  }
  return result;
}

absl::StatusOr<Result> PostgresConnection::Execute(const std::string& sql, absl::Span<const Value> values) {
  for (const Value& value : values) {
    const auto* text = std::get_if<std::string>(&value);
    if (text != nullptr && text->find('\0') != std::string::npos) {
      return absl::InvalidArgumentError("PostgreSQL's text holds no NUL: use sql::Bytes");
    }
  }
  absl::StatusOr<Result> result = ExecuteOnce(sql, values);
  // A connection that the server closed while nothing was asked is noticed only now. What changes nothing may be asked
  // again.
  const bool again = sql == "BEGIN" || (!in_transaction_ && absl::StartsWith(sql, "SELECT"));
  if (!result.ok() && again && PQstatus(connection_) != CONNECTION_OK && !locked_) result = ExecuteOnce(sql, values);
  if (sql == "BEGIN") in_transaction_ = result.ok();
  if (sql == "COMMIT" || sql == "ROLLBACK") in_transaction_ = false;
  return result;
}

absl::Status PostgresConnection::Script(const std::string& sql) {
  if (absl::Status status = Connected(); !status.ok()) return status;
  // CREATE ... IF NOT EXISTS by two at once fails for one of them, so one waits for the other.
  const std::string all =
      absl::StrCat("BEGIN; SELECT pg_advisory_xact_lock(", LockNumber("messaging.schema"), ");", sql, ";COMMIT");
  const Answer answer(PQexec(connection_, all.c_str()));
  if (IsGood(answer)) return absl::OkStatus();
  absl::Status error = Error("schema", answer.get());
  Answer(PQexec(connection_, "ROLLBACK"));
  return error;
}

absl::StatusOr<bool> PostgresConnection::TryLock(const std::string& name) {
  if (HoldsLock()) return true;
  absl::StatusOr<int64_t> got = Number("SELECT pg_try_advisory_lock($1::bigint)", {LockNumber(name)});
  if (!got.ok()) return got.status();
  locked_ = *got != 0;
  return locked_;
}

bool PostgresConnection::HasNews() {
  bool news = false;
  while (PGnotify* notify = PQnotifies(connection_)) {
    PQfreemem(notify);
    news = true;
  }
  return news;
}

absl::Status PostgresConnection::Wait(const std::string& channel, int stop_fd, absl::Duration limit) {
  if (absl::Status status = Connected(); !status.ok()) return status;
  if (listening_ != channel) {
    const Answer answer(PQexec(connection_, absl::StrCat("LISTEN ", channel).c_str()));
    if (!IsGood(answer)) return Error("LISTEN", answer.get());
    listening_ = channel;
    return absl::OkStatus();  // What was committed before is for the caller to find.
  }
  if (HasNews()) return absl::OkStatus();
  pollfd waits[] = {{PQsocket(connection_), POLLIN, 0}, {stop_fd, POLLIN, 0}};
  poll(waits, stop_fd >= 0 ? 2 : 1,
       static_cast<int>(std::clamp<int64_t>(absl::ToInt64Milliseconds(limit), 0, 600'000)));
  if (PQconsumeInput(connection_) == 0) return Error("waiting", nullptr);
  HasNews();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> OpenPostgres(const std::string& url) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(url.c_str(), &error);
  if (options == nullptr) {
    absl::Status status = absl::InvalidArgumentError(
        absl::StrCat("database URL: ", error != nullptr ? absl::StripTrailingAsciiWhitespace(error) : "out of memory"));
    PQfreemem(error);
    return status;
  }
  PQconninfoFree(options);
  return std::make_unique<PostgresConnection>(url);
}

}  // namespace messaging::sql
