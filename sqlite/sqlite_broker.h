// The embedded broker: messages in one SQLite file, shared by the processes of one machine, with no server.
//
// An accepted message survives the end of every process, and with synchronous=FULL (the default) the loss of power.
// Processes that die give back what they held at once. Sends and verdicts are gathered into transactions; no timer
// delays a lone one.
//
// URL: sqlite:///var/lib/orders.db (absolute), sqlite://orders.db (in the working directory). Parameters, also as
// native options:
//   synchronous=FULL   NORMAL does not wait for the disk: faster, and the last transactions can be lost with the power
//   retention=168h     how long handled messages are kept for new groups; what some group has not handled stays
//   busy_timeout=2s    how long one attempt waits for another process's transaction; attempts go on
// Files: NAME, NAME-wal and NAME-shm are SQLite's; NAME-lock tells which members live, NAME-wake wakes other processes.
#ifndef SQLITE_SQLITE_BROKER_H_
#define SQLITE_SQLITE_BROKER_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/registry.h"
#include "messaging/observer.h"

namespace messaging {

namespace sqlite {
class MachineClock;
}

// What the URL and the native settings say.
struct SqliteOptions {
  std::string path;
  bool full_synchronous = true;
  absl::Duration retention = absl::Hours(168);
  absl::Duration busy_timeout = absl::Seconds(2);
  Observer* observer = nullptr;                   // May be null.
  const sqlite::MachineClock* machine = nullptr;  // For tests; null: the machine's own.
};

// Opens the file, or makes it. PermissionDenied: not writable; DataLoss: damaged, or no database; FailedPrecondition:
// another program's, or a newer version's; InvalidArgument: an option. Names the file and the cure.
absl::StatusOr<std::unique_ptr<Broker>> MakeSqliteBroker(SqliteOptions options);

// The same from a URL and native options, for register.cc.
absl::StatusOr<std::unique_ptr<Broker>> MakeSqliteBrokerFromUrl(const BrokerOptions& options);

}  // namespace messaging

#endif  // SQLITE_SQLITE_BROKER_H_
