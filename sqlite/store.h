// What the driver does to the tables (schema.h), as functions with a name each. No thread, no clock: times are handed
// in.
#ifndef SQLITE_STORE_H_
#define SQLITE_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/admin.h"
#include "messaging/broker/dead_letters.h"
#include "messaging/broker/delivery.h"
#include "messaging/message.h"
#include "messaging/start_at.h"
#include "sqlite/batch.h"
#include "sqlite/database.h"
#include "sqlite/file_clock.h"

namespace messaging::sqlite {

struct StoreOptions {
  std::string path;
  bool full_sync = true;
  absl::Duration busy = absl::Seconds(2);
};

// One thread at a time. All but Open, Begin and Rollback run inside a transaction.
class Store {
 public:
  static absl::StatusOr<std::unique_ptr<Store>> Open(const StoreOptions& options);

  absl::Status Begin();  // For writing. Unavailable: another process has been writing for longer than `busy`.
  absl::Status Commit();
  void Rollback();
  // When the machine was started, in the file's time (file_clock.h): as the file has it, or from now on. Not in a
  // transaction. Unavailable: as Begin.
  absl::StatusOr<absl::Time> BootTime(const MachineClock& machine);
  absl::StatusOr<int64_t> DataVersion() { return database_->DataVersion(); }

  absl::StatusOr<int64_t> Topic(const std::string& name);
  absl::StatusOr<int64_t> Group(const std::string& name);
  // Its number in the order of sending.
  absl::StatusOr<int64_t> Append(const Message& message, absl::Time now);

  // A group's place in a topic; made when it is new.
  absl::Status Join(int64_t group, int64_t topic, StartAt start_at);
  absl::StatusOr<int64_t> AddMember(int64_t group, const std::string& name);
  absl::StatusOr<std::vector<int64_t>> Members();
  // Gives back what the member has in hand. Unclean: as suspects.
  absl::Status RemoveMember(int64_t member, bool clean);
  absl::StatusOr<int64_t> Backlog(int64_t group, int64_t topic, absl::Time now);

  struct FetchRequest {
    int64_t group = 0;
    int64_t topic = 0;
    std::string_view name;  // The topic's; lives as long as the records.
    int64_t member = 0;
    bool ordered = true;
    size_t messages = 0;
    size_t bytes = 0;
  };
  // Adds what the member may have now to `batch`, oldest first. A key is in one member's hands at a time: what may not
  // be had yet waits, and nothing overtakes it.
  absl::Status Fetch(const FetchRequest& request, absl::Time now, Batch& batch);
  // When a waiting message of the group comes due; InfiniteFuture: none.
  absl::StatusOr<absl::Time> NextDue(int64_t group, int64_t topic, absl::Time now);

  // Verdicts. False: the row is no longer the member's; nothing was done.
  absl::StatusOr<bool> Ack(int64_t work, int64_t member, const std::vector<Copy>* copies, absl::Time now);
  absl::StatusOr<bool> Release(int64_t work, int64_t member);
  absl::StatusOr<bool> NoteAttempts(int64_t work, int64_t member, const Copy& begin, absl::Time now);

  // Deletes up to `limit` messages that were stored before `before` and that every group has done with.
  absl::Status Clean(absl::Time before, int64_t limit);

  absl::Status ListDead(const DeadLetterFilter& filter, const std::function<bool(const DeadLetter&)>& visit);
  absl::StatusOr<int64_t> ReplayDead(const DeadLetterFilter& filter, absl::Time now);
  absl::StatusOr<int64_t> PurgeDead(const DeadLetterFilter& filter);
  absl::Status AddDead(const DeadLetter& letter);

  // For people (store_admin.cc). Need no transaction.
  absl::StatusOr<std::vector<TopicInfo>> ListTopics(const std::string& topic);
  // Empties it and takes it out of the list until it is used again. In a transaction.
  absl::Status RemoveTopic(const std::string& topic);
  absl::Status ListAgain(int64_t topic);  // Though it is empty. In a transaction.
  // `lives`: whether a member's process does.
  absl::StatusOr<std::vector<GroupLag>> Lags(const std::string& topic, const std::string& group, absl::Time now,
                                             const std::function<bool(int64_t member)>& lives);
  // The number from which Show begins.
  absl::StatusOr<int64_t> FirstToShow(const TailOptions& options);
  // Shows what a topic has from that number on. The number to go on with; -1: the visitor wants no more.
  absl::StatusOr<int64_t> Show(const std::string& topic, int64_t from, const std::function<bool(const Record&)>& visit);

 private:
  absl::StatusOr<bool> HasTable(std::string_view name);  // Of those that not every file has.
  absl::Status Seen(absl::Time now);  // The file's time is no earlier than this, whatever the wall clock says.
  explicit Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
  // Prepared once. `sql`: a literal.
  absl::StatusOr<Statement*> Prepared(const char* sql);
  absl::StatusOr<int64_t> NameId(absl::flat_hash_map<std::string, int64_t>& known, std::string_view table,
                                 const std::string& name);
  absl::Status StoreCopy(int64_t work, int64_t member, const Copy& copy, absl::Time now);
  absl::StatusOr<bool> HasOtherMembers(int64_t group, int64_t member);
  absl::StatusOr<std::vector<std::pair<int64_t, int64_t>>> MembersOfGroups();
  absl::StatusOr<std::vector<int64_t>> DeadIds(const DeadLetterFilter& filter);

  std::unique_ptr<Database> database_;
  bool has_clock_ = false;                                                   // Its time is in the file.
  absl::Time seen_ = absl::InfinitePast();                                   // As it is there, or earlier.
  absl::flat_hash_map<const char*, std::unique_ptr<Statement>> statements_;  // By their literals' addresses.
  absl::flat_hash_map<std::string, int64_t> topics_;
  absl::flat_hash_map<std::string, int64_t> groups_;
};

// Names and values, any bytes, with their lengths.
std::string EncodeHeaders(const std::vector<Header>& headers);
// False: not what EncodeHeaders wrote; what could be read is there.
bool DecodeHeaders(std::string_view bytes, std::vector<HeaderView>& headers);

}  // namespace messaging::sqlite

#endif  // SQLITE_STORE_H_
