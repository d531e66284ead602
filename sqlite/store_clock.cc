// The file's time: a table of one row, made by the first process that knows of it.
//   boot   which start of the machine began is about
//   began  when that was, in the file's time
//   seen   the file's time was this late: after the machine's next start it goes on from there, or from the wall clock
#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "sqlite/store.h"

namespace messaging::sqlite {
namespace {

constexpr absl::Duration kSeenEvery = absl::Seconds(1);  // How late a retry can be that waits through a start.

struct Row {
  std::string boot;
  absl::Time began;
  absl::Time seen;
};

absl::StatusOr<std::optional<Row>> Read(Database& database) {
  absl::StatusOr<Statement> select = database.Prepare("SELECT boot, began, seen FROM clock");
  if (!select.ok()) return select.status();
  const absl::StatusOr<bool> row = select->Step();
  if (!row.ok()) return row.status();
  if (!*row) return std::nullopt;
  return Row{std::string(select->Blob(0)), absl::FromUnixMicros(select->Int(1)), absl::FromUnixMicros(select->Int(2))};
}

// In a transaction.
absl::StatusOr<absl::Time> BeginTime(Database& database, const MachineClock& machine) {
  const char* const table =
      "CREATE TABLE IF NOT EXISTS clock(id INTEGER PRIMARY KEY CHECK(id = 1), boot TEXT NOT NULL, began INTEGER NOT "
      "NULL, seen INTEGER NOT NULL)";
  if (absl::Status made = database.Execute(table); !made.ok()) return made;
  const absl::StatusOr<std::optional<Row>> row = Read(database);
  if (!row.ok()) return row.status();
  const std::string boot = machine.boot();
  if (row->has_value() && (*row)->boot == boot) return (*row)->began;  // Another process was here first.
  const absl::Time seen = row->has_value() ? (*row)->seen : absl::UnixEpoch();
  const absl::Time now = std::max(machine.wall(), seen);
  const absl::Time began = absl::FromUnixMicros(absl::ToUnixMicros(now - machine.since_boot()));
  absl::StatusOr<Statement> put = database.Prepare("INSERT OR REPLACE INTO clock VALUES(1, CAST(? AS TEXT), ?, ?)");
  if (!put.ok()) return put.status();
  put->Bind(1, boot).Bind(2, absl::ToUnixMicros(began)).Bind(3, absl::ToUnixMicros(now));
  if (absl::Status status = put->Run(); !status.ok()) return status;
  return began;
}

}  // namespace

absl::StatusOr<absl::Time> Store::BootTime(const MachineClock& machine) {
  const absl::Time unshared = machine.wall() - machine.since_boot();
  if (machine.boot().empty()) return unshared;
  const absl::StatusOr<bool> there = HasTable("clock");
  if (!there.ok()) return there.status();
  if (*there) {  // Reads only: it waits for nobody.
    const absl::StatusOr<std::optional<Row>> row = Read(*database_);
    if (!row.ok()) return row.status();
    has_clock_ = row->has_value() && (*row)->boot == machine.boot();
    if (has_clock_) return (*row)->began;
  }
  if (absl::Status begun = Begin(); !begun.ok()) return begun;
  absl::StatusOr<absl::Time> began = BeginTime(*database_, machine);
  const absl::Status ended = began.ok() ? Commit() : began.status();
  if (!ended.ok()) {
    Rollback();
    return ended;
  }
  has_clock_ = true;
  return began;
}

absl::Status Store::Seen(absl::Time now) {
  if (!has_clock_ || now < seen_ + kSeenEvery) return absl::OkStatus();
  absl::StatusOr<Statement*> update = Prepared("UPDATE clock SET seen = max(seen, ?)");
  if (!update.ok()) return update.status();
  if (absl::Status status = (*update)->Bind(1, absl::ToUnixMicros(now)).Run(); !status.ok()) return status;
  seen_ = now;
  return absl::OkStatus();
}

}  // namespace messaging::sqlite
