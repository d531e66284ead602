#include "sqlite/store.h"

#include <cstring>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "sqlite/schema.h"

namespace messaging::sqlite {
namespace {

int64_t Micros(absl::Time time) { return time == absl::InfinitePast() ? 0 : absl::ToUnixMicros(time); }
absl::Time FromMicros(int64_t micros) { return micros == 0 ? absl::InfinitePast() : absl::FromUnixMicros(micros); }
std::optional<std::string_view> KeyOf(const Message& message) {
  return message.key ? std::optional<std::string_view>(*message.key) : std::nullopt;
}

void AppendSized(std::string& out, std::string_view bytes) {
  const uint32_t size = static_cast<uint32_t>(bytes.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof size).append(bytes);
}

bool TakeSized(std::string_view& in, std::string_view& bytes) {
  uint32_t size;
  if (in.size() < sizeof size) return false;
  std::memcpy(&size, in.data(), sizeof size);
  in.remove_prefix(sizeof size);
  if (in.size() < size) return false;
  bytes = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}

}  // namespace

std::string EncodeHeaders(const std::vector<Header>& headers) {
  std::string bytes;
  for (const auto& [name, value] : headers) {
    AppendSized(bytes, name);
    AppendSized(bytes, value);
  }
  return bytes;
}

bool DecodeHeaders(std::string_view bytes, std::vector<HeaderView>& headers) {
  while (!bytes.empty()) {
    HeaderView header;
    if (!TakeSized(bytes, header.name) || !TakeSized(bytes, header.value)) return false;
    headers.push_back(header);
  }
  return true;
}

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const StoreOptions& options) {
  absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(options.path, options.full_sync, options.busy);
  if (!database.ok()) return database.status();
  if (absl::Status status = PrepareSchema(**database); !status.ok()) return status;
  return std::unique_ptr<Store>(new Store(*std::move(database)));
}

absl::StatusOr<Statement*> Store::Prepared(const char* sql) {
  std::unique_ptr<Statement>& prepared = statements_[sql];
  if (prepared == nullptr) {
    absl::StatusOr<Statement> statement = database_->Prepare(sql);
    if (!statement.ok()) return statement.status();
    prepared = std::make_unique<Statement>(*std::move(statement));
  }
  return prepared.get();
}

#define SQLITE_PREPARE(name, sql)                             \
  absl::StatusOr<Statement*> name##_prepared = Prepared(sql); \
  if (!name##_prepared.ok()) return name##_prepared.status(); \
  Statement& name = **name##_prepared

absl::Status Store::Begin() {
  SQLITE_PREPARE(begin, "BEGIN IMMEDIATE");
  return begin.Run();
}

absl::Status Store::Commit() {
  SQLITE_PREPARE(commit, "COMMIT");
  return commit.Run();
}

void Store::Rollback() {
  for (auto& [sql, statement] : statements_) {
    if (statement != nullptr) statement->Reset();
  }
  if (database_->in_transaction()) (void)database_->Execute("ROLLBACK");
  seen_ = absl::InfinitePast();
  topics_.clear();  // Rows that were made in this transaction are gone.
  groups_.clear();
}

absl::StatusOr<int64_t> Store::NameId(absl::flat_hash_map<std::string, int64_t>& known, std::string_view table,
                                      const std::string& name) {
  auto found = known.find(name);
  if (found != known.end()) return found->second;
  const bool topics = table == "topics";
  SQLITE_PREPARE(select, topics ? "SELECT id FROM topics WHERE name = CAST(? AS TEXT)"
                                : "SELECT id FROM groups WHERE name = CAST(? AS TEXT)");
  absl::StatusOr<bool> row = select.Bind(1, name).Step();
  if (!row.ok()) return row.status();
  int64_t id = *row ? select.Int(0) : 0;
  select.Reset();
  if (id == 0) {
    SQLITE_PREPARE(insert, topics ? "INSERT INTO topics(name) VALUES(CAST(? AS TEXT))"
                                  : "INSERT INTO groups(name) VALUES(CAST(? AS TEXT))");
    if (absl::Status status = insert.Bind(1, name).Run(); !status.ok()) return status;
    id = database_->last_row_id();
  }
  known[name] = id;
  return id;
}

absl::StatusOr<int64_t> Store::Topic(const std::string& name) { return NameId(topics_, "topics", name); }
absl::StatusOr<int64_t> Store::Group(const std::string& name) { return NameId(groups_, "groups", name); }

absl::StatusOr<int64_t> Store::Append(const Message& message, absl::Time now) {
  absl::StatusOr<int64_t> topic = Topic(message.topic);
  if (!topic.ok()) return topic.status();
  SQLITE_PREPARE(insert,
                 "INSERT INTO messages(topic, stored, timestamp, key, payload, id, content_type, headers) "
                 "VALUES(?, ?, ?, ?, ?, ?, ?, ?)");
  const std::string headers = EncodeHeaders(message.headers);
  insert.Bind(1, *topic).Bind(2, Micros(now)).Bind(3, Micros(message.timestamp)).BindOptional(4, KeyOf(message));
  insert.BindOptional(5, message.null_payload ? std::nullopt : std::optional<std::string_view>(message.payload));
  insert.Bind(6, message.id).Bind(7, message.content_type).Bind(8, headers);
  if (absl::Status status = insert.Run(); !status.ok()) return status;
  return database_->last_row_id();
}

absl::Status Store::Join(int64_t group, int64_t topic, StartAt start_at) {
  SQLITE_PREPARE(join,
                 start_at == StartAt::kBeginning
                     ? "INSERT OR IGNORE INTO cursors(grp, topic, next) VALUES(?, ?, 0)"
                     : "INSERT OR IGNORE INTO cursors(grp, topic, next) "
                       "VALUES(?, ?, 1 + coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'messages'), 0))");
  return join.Bind(1, group).Bind(2, topic).Run();
}

absl::StatusOr<int64_t> Store::AddMember(int64_t group, const std::string& name) {
  SQLITE_PREPARE(insert, "INSERT INTO members(grp, name) VALUES(?, CAST(? AS TEXT))");
  if (absl::Status status = insert.Bind(1, group).Bind(2, name).Run(); !status.ok()) return status;
  return database_->last_row_id();
}

absl::StatusOr<std::vector<int64_t>> Store::Members() {
  SQLITE_PREPARE(select, "SELECT id FROM members");
  std::vector<int64_t> members;
  while (true) {
    absl::StatusOr<bool> row = select.Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    members.push_back(select.Int(0));
  }
  select.Reset();
  return members;
}

absl::Status Store::RemoveMember(int64_t member, bool clean) {
  SQLITE_PREPARE(free, "UPDATE work SET member = 0, redelivered = 1, suspect = max(suspect, ?) WHERE member = ?");
  if (absl::Status status = free.Bind(1, clean ? 0 : 1).Bind(2, member).Run(); !status.ok()) return status;
  SQLITE_PREPARE(remove, "DELETE FROM members WHERE id = ?");
  return remove.Bind(1, member).Run();
}

absl::StatusOr<bool> Store::HasOtherMembers(int64_t group, int64_t member) {
  SQLITE_PREPARE(select, "SELECT 1 FROM members WHERE grp = ? AND id <> ? LIMIT 1");
  absl::StatusOr<bool> row = select.Bind(1, group).Bind(2, member).Step();
  select.Reset();
  return row;
}

absl::StatusOr<int64_t> Store::Backlog(int64_t group, int64_t topic, absl::Time now) {
  SQLITE_PREPARE(count,
                 "SELECT (SELECT count(*) FROM messages WHERE topic = ?2 AND seq >= "
                 "coalesce((SELECT next FROM cursors WHERE grp = ?1 AND topic = ?2), 0)) "
                 "+ (SELECT count(*) FROM work WHERE grp = ?1 AND topic = ?2 AND member = 0 AND due <= ?3)");
  absl::StatusOr<bool> row = count.Bind(1, group).Bind(2, topic).Bind(3, Micros(now)).Step();
  if (!row.ok()) return row.status();
  const int64_t messages = count.Int(0);
  count.Reset();
  return messages;
}

absl::StatusOr<absl::Time> Store::NextDue(int64_t group, int64_t topic, absl::Time now) {
  SQLITE_PREPARE(next,
                 "SELECT due FROM work WHERE grp = ? AND topic = ? AND member = 0 AND due > ? ORDER BY due LIMIT 1");
  absl::StatusOr<bool> row = next.Bind(1, group).Bind(2, topic).Bind(3, Micros(now)).Step();
  if (!row.ok()) return row.status();
  const absl::Time due = *row ? absl::FromUnixMicros(next.Int(0)) : absl::InfiniteFuture();
  next.Reset();
  return due;
}

absl::StatusOr<bool> Store::Ack(int64_t work, int64_t member, const std::vector<Copy>* copies, absl::Time now) {
  if (copies != nullptr) {
    for (const Copy& copy : *copies) {
      if (absl::Status status = StoreCopy(work, member, copy, now); !status.ok()) return status;
      if (database_->changes() == 0) return false;
    }
  }
  SQLITE_PREPARE(remove, "DELETE FROM work WHERE id = ? AND member = ?");
  if (absl::Status status = remove.Bind(1, work).Bind(2, member).Run(); !status.ok()) return status;
  return database_->changes() > 0;
}

absl::Status Store::StoreCopy(int64_t work, int64_t member, const Copy& copy, absl::Time now) {
  const Failure& failure = copy.failure;
  const std::string error = failure.status.ToString();
  if (copy.kind == Copy::Kind::kRetry) {
    if (absl::Status seen = Seen(now); !seen.ok()) return seen;
    SQLITE_PREPARE(
        retry,
        "INSERT INTO work(grp, topic, seq, member, key, handler, attempts, due, suspect, first_failure, "
        "last_error) SELECT grp, topic, seq, 0, key, ?, ?, ?, ?, ?, ? FROM work WHERE id = ? AND member = ?");
    retry.Bind(1, failure.handler).Bind(2, failure.attempts);
    retry.Bind(3, copy.delay > absl::ZeroDuration() ? Micros(now + copy.delay) : 0).Bind(4, copy.suspect ? 1 : 0);
    return retry.Bind(5, Micros(failure.first)).Bind(6, error).Bind(7, work).Bind(8, member).Run();
  }
  SQLITE_PREPARE(
      dead,
      "INSERT INTO dead(grp, topic, handler, code, error, attempts, first, last, since, timestamp, key, payload, "
      "message_id, content_type, headers) SELECT w.grp, w.topic, ?, ?, ?, ?, ?, ?, ?, m.timestamp, m.key, "
      "m.payload, m.id, m.content_type, m.headers FROM work w JOIN messages m ON m.seq = w.seq "
      "WHERE w.id = ? AND w.member = ?");
  dead.Bind(1, failure.handler).Bind(2, static_cast<int64_t>(failure.status.raw_code()));
  dead.Bind(3, failure.status.message()).Bind(4, failure.attempts).Bind(5, Micros(failure.first));
  return dead.Bind(6, Micros(failure.last)).Bind(7, Micros(now)).Bind(8, work).Bind(9, member).Run();
}

absl::StatusOr<bool> Store::Release(int64_t work, int64_t member) {
  SQLITE_PREPARE(release, "UPDATE work SET member = 0, redelivered = 1, suspect = 0 WHERE id = ? AND member = ?");
  if (absl::Status status = release.Bind(1, work).Bind(2, member).Run(); !status.ok()) return status;
  return database_->changes() > 0;
}

absl::StatusOr<bool> Store::NoteAttempts(int64_t work, int64_t member, const Copy& begin, absl::Time now) {
  SQLITE_PREPARE(note, "UPDATE work SET attempts = ?, attempts_of = ?, not_before = ? WHERE id = ? AND member = ?");
  if (absl::Status seen = Seen(now); !seen.ok()) return seen;
  note.Bind(1, begin.failure.attempts).Bind(2, begin.failure.handler);
  note.Bind(3, begin.delay > absl::ZeroDuration() ? Micros(now + begin.delay) : 0).Bind(4, work).Bind(5, member);
  if (absl::Status status = note.Run(); !status.ok()) return status;
  return database_->changes() > 0;
}

absl::Status Store::Clean(absl::Time before, int64_t limit) {
  // Retries keep their message in place; the oldest of them holds up what is younger, for no longer than its delays.
  SQLITE_PREPARE(clean,
                 "DELETE FROM messages WHERE seq IN (SELECT m.seq FROM messages m WHERE m.stored < ?1 "
                 "AND m.seq < coalesce((SELECT min(seq) FROM work), 9223372036854775807) "
                 "AND m.seq < coalesce((SELECT min(next) FROM cursors c WHERE c.topic = m.topic), 9223372036854775807) "
                 "ORDER BY m.seq LIMIT ?2)");
  return clean.Bind(1, Micros(before)).Bind(2, limit).Run();
}

namespace {

// A waiting row or a new message, as the two queries of Fetch give it from column `at` on.
void FillMessage(Statement& row, int at, WorkRecord& record, Batch& batch) {
  record.has_key = !row.IsNull(at);
  record.key = batch.Keep(row.Blob(at));
  record.null_payload = row.IsNull(at + 1);
  record.payload = batch.Keep(row.Blob(at + 1));
  record.id = batch.Keep(row.Blob(at + 2));
  record.content_type = batch.Keep(row.Blob(at + 3));
  DecodeHeaders(batch.Keep(row.Blob(at + 4)), record.header_views);
  record.headers = record.header_views;
  record.timestamp = FromMicros(row.Int(at + 5));
}

void FillHistory(Statement& row, int at, WorkRecord& record, Batch& batch) {
  record.handler = batch.Keep(row.Blob(at));
  record.attempts = static_cast<int>(row.Int(at + 1));
  record.attempts_of = batch.Keep(row.Blob(at + 2));
  record.not_before = FromMicros(row.Int(at + 3));
  record.redelivered = row.Int(at + 4) != 0;
  record.suspect = row.Int(at + 5) != 0;
  record.first_failure = FromMicros(row.Int(at + 6));
  record.last_error = batch.Keep(row.Blob(at + 7));
}

}  // namespace

absl::Status Store::Fetch(const FetchRequest& request, absl::Time now, Batch& batch) {
  absl::StatusOr<bool> others = request.ordered ? HasOtherMembers(request.group, request.member) : false;
  if (!others.ok()) return others.status();
  SQLITE_PREPARE(elsewhere,
                 "SELECT 1 FROM work WHERE grp = ? AND topic = ? AND key = ? AND member NOT IN (0, ?) LIMIT 1");
  std::set<std::string, std::less<>> blocked;  // Keys that are in another member's hands.
  auto is_blocked = [&](std::string_view key) -> absl::StatusOr<bool> {
    if (!*others) return false;
    if (blocked.contains(key)) return true;
    absl::StatusOr<bool> row =
        elsewhere.Bind(1, request.group).Bind(2, request.topic).Bind(3, key).Bind(4, request.member).Step();
    elsewhere.Reset();
    if (row.ok() && *row) blocked.emplace(key);
    return row;
  };
  size_t bytes = 0;
  const size_t begin = batch.records.size();
  auto full = [&] { return batch.records.size() - begin >= request.messages || bytes >= request.bytes; };
  auto add = [&](int64_t seq) -> WorkRecord& {
    WorkRecord& record = batch.records.emplace_back();
    record.topic = request.name;
    record.position = seq;
    record.batch = &batch;
    return record;
  };

  SQLITE_PREPARE(
      waiting,
      "SELECT w.id, w.seq, m.key, m.payload, m.id, m.content_type, m.headers, m.timestamp, w.handler, w.attempts, "
      "w.attempts_of, w.not_before, w.redelivered, w.suspect, w.first_failure, w.last_error "
      "FROM work w JOIN messages m ON m.seq = w.seq "
      "WHERE w.grp = ? AND w.topic = ? AND w.member = 0 AND w.due <= ? ORDER BY w.due, w.id");
  waiting.Bind(1, request.group).Bind(2, request.topic).Bind(3, Micros(now));
  while (!full()) {
    absl::StatusOr<bool> row = waiting.Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    if (request.ordered && !waiting.IsNull(2)) {
      absl::StatusOr<bool> taken = is_blocked(waiting.Blob(2));
      if (!taken.ok()) return taken.status();
      if (*taken) continue;
    }
    WorkRecord& record = add(waiting.Int(1));
    record.work = waiting.Int(0);
    FillMessage(waiting, 2, record, batch);
    FillHistory(waiting, 8, record, batch);
    bytes += record.ByteSize();
  }
  waiting.Reset();
  SQLITE_PREPARE(claim, "UPDATE work SET member = ? WHERE id = ?");
  for (size_t i = begin; i < batch.records.size(); ++i) {
    if (absl::Status s = claim.Bind(1, request.member).Bind(2, batch.records[i].work).Run(); !s.ok()) return s;
  }
  if (full()) return absl::OkStatus();

  SQLITE_PREPARE(cursor, "SELECT next FROM cursors WHERE grp = ? AND topic = ?");
  absl::StatusOr<bool> has_cursor = cursor.Bind(1, request.group).Bind(2, request.topic).Step();
  if (!has_cursor.ok()) return has_cursor.status();
  int64_t next = *has_cursor ? cursor.Int(0) : 0;
  const int64_t from = next;
  cursor.Reset();
  SQLITE_PREPARE(fresh,
                 "SELECT seq, key, payload, id, content_type, headers, timestamp FROM messages "
                 "WHERE topic = ? AND seq >= ? ORDER BY seq");
  SQLITE_PREPARE(deal, "INSERT INTO work(grp, topic, seq, member, key) VALUES(?, ?, ?, ?, ?)");
  fresh.Bind(1, request.topic).Bind(2, from);
  size_t set_aside = 0;
  while (!full() && set_aside < 4 * request.messages) {
    absl::StatusOr<bool> row = fresh.Step();
    if (!row.ok()) return row.status();
    if (!*row) break;
    const int64_t seq = fresh.Int(0);
    next = seq + 1;
    bool aside = false;
    if (request.ordered && !fresh.IsNull(1)) {
      absl::StatusOr<bool> taken = is_blocked(fresh.Blob(1));
      if (!taken.ok()) return taken.status();
      aside = *taken;
    }
    deal.Bind(1, request.group).Bind(2, request.topic).Bind(3, seq).Bind(4, aside ? 0 : request.member);
    deal.BindOptional(5, fresh.IsNull(1) ? std::nullopt : std::optional<std::string_view>(fresh.Blob(1)));
    if (absl::Status status = deal.Run(); !status.ok()) return status;
    if (aside) {
      ++set_aside;
      continue;
    }
    WorkRecord& record = add(seq);
    record.work = database_->last_row_id();
    FillMessage(fresh, 1, record, batch);
    bytes += record.ByteSize();
  }
  fresh.Reset();
  if (next == from) return absl::OkStatus();
  SQLITE_PREPARE(advance, "UPDATE cursors SET next = ? WHERE grp = ? AND topic = ?");
  return advance.Bind(1, next).Bind(2, request.group).Bind(3, request.topic).Run();
}

}  // namespace messaging::sqlite
