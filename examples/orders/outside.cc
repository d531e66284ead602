#include "examples/orders/outside.h"

#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace orders {
namespace {

constexpr char kSchema[] = R"(
    CREATE TABLE IF NOT EXISTS mails(order_id INTEGER PRIMARY KEY, address TEXT, requests INTEGER DEFAULT 1) STRICT;
    CREATE TABLE IF NOT EXISTS requests(order_id INTEGER PRIMARY KEY, count INTEGER DEFAULT 1) STRICT;
    CREATE TABLE IF NOT EXISTS charges(order_id INTEGER PRIMARY KEY, amount_cents INTEGER, card TEXT) STRICT;
)";

}  // namespace

absl::StatusOr<Database*> Ledger::Opened() {
  if (db_ == nullptr) {
    absl::StatusOr<std::unique_ptr<Database>> db = Database::Open(path_, kSchema);
    if (!db.ok()) return db.status();
    db_ = *std::move(db);
  }
  return db_.get();
}

absl::Status Mailer::SendConfirmation(int64_t order_id, std::string_view to) {
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<Database*> db = Opened();
  if (!db.ok()) return db.status();
  return (*db)
      ->Execute(
          "INSERT INTO mails(order_id, address) VALUES(?, ?) "
          "ON CONFLICT(order_id) DO UPDATE SET requests = requests + 1",
          {order_id, to})
      .status();
}

absl::Status Gateway::Charge(int64_t order_id, int64_t amount_cents, std::string_view card_token) {
  absl::MutexLock lock(&mutex_);
  absl::StatusOr<Database*> db = Opened();
  if (!db.ok()) return db.status();
  absl::StatusOr<std::optional<int64_t>> requests = (*db)->Number(
      "INSERT INTO requests(order_id) VALUES(?) ON CONFLICT(order_id) DO UPDATE SET count = count + 1 RETURNING count",
      {order_id});
  if (!requests.ok()) return requests.status();
  std::error_code ignored;
  if (FailsAlways(order_id) && !std::filesystem::exists(absl::StrCat(path_, ".mended"), ignored)) {
    return absl::UnavailableError(absl::StrCat("the bank does not answer for order ", order_id));
  }
  if (FailsOnce(order_id) && **requests == 1) {
    return absl::UnavailableError(absl::StrCat("the gateway is busy with order ", order_id));
  }
  return (*db)
      ->Execute("INSERT OR IGNORE INTO charges(order_id, amount_cents, card) VALUES(?, ?, ?)",
                {order_id, amount_cents, card_token})
      .status();
}

}  // namespace orders
