// The tables of a database file, and their version.
#ifndef SQLITE_SCHEMA_H_
#define SQLITE_SCHEMA_H_

#include "absl/status/status.h"
#include "sqlite/database.h"

namespace messaging::sqlite {

// messages  every message sent, in the order of sending (seq), until retention deletes it
// cursors   for each group and topic: the first message that was never dealt out
// work      what a group has dealt out and not finished: in a member's hand (member), or waiting for its turn or for
//           its retry (member 0, due). One row a message; after a failure one for each failing handler
// dead      dead letters, with a copy of their message
// members   who takes part; each has a byte of the lock file locked while its process lives (member_lock.h)
//
// All times are microseconds since 1970, in the file's time (file_clock.h). Makes the tables in an empty file.
// FailedPrecondition: the file belongs to another program, or to a newer version.
absl::Status PrepareSchema(Database& database);

}  // namespace messaging::sqlite

#endif  // SQLITE_SCHEMA_H_
