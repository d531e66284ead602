// What the tables tell a person: topics, lag, messages as they were sent.
#include <utility>

#include "absl/strings/str_cat.h"
#include "sqlite/store.h"

namespace messaging::sqlite {
namespace {

// The condition that names are those, where they are not empty.
std::string Where(std::string_view topic, std::string_view group) {
  return absl::StrCat(" WHERE 1", topic.empty() ? "" : " AND t.name = CAST(?1 AS TEXT)",
                      group.empty() ? "" : " AND g.name = CAST(?2 AS TEXT)");
}

void BindNames(Statement& statement, const std::string& topic, const std::string& group) {
  if (!topic.empty()) statement.Bind(1, topic);
  if (!group.empty()) statement.Bind(2, group);
}

// Calls `visit` for each row.
absl::Status ForEach(absl::StatusOr<Statement> rows, const std::function<bool(Statement& row)>& visit) {
  while (true) {
    absl::StatusOr<bool> row = rows->Step();
    if (!row.ok()) return row.status();
    if (!*row || !visit(*rows)) return absl::OkStatus();
  }
}

}  // namespace

// A topic keeps its number for good, as every process remembers those that it uses: a removed one is emptied and noted
// in a table that the first removal makes, and listed again once there is something of it.
absl::Status Store::RemoveTopic(const std::string& topic) {
  int64_t id = 0;
  {
    absl::StatusOr<Statement> row = database_->Prepare("SELECT id FROM topics WHERE name = CAST(? AS TEXT)");
    if (!row.ok()) return row.status();
    row->Bind(1, topic);
    absl::StatusOr<bool> found = row->Step();
    if (!found.ok()) return found.status();
    if (!*found) return absl::OkStatus();
    id = row->Int(0);
  }
  absl::Status status = database_->Execute("CREATE TABLE IF NOT EXISTS removed(topic INTEGER PRIMARY KEY)");
  // Retries and replays of its messages lie under its number's negative.
  for (const std::string& sql :
       {absl::StrCat("DELETE FROM messages WHERE topic IN (", id, ", ", -id, ")"),
        absl::StrCat("DELETE FROM work WHERE topic = ", id), absl::StrCat("DELETE FROM dead WHERE topic = ", id),
        absl::StrCat("DELETE FROM cursors WHERE topic = ", id),
        absl::StrCat("INSERT OR IGNORE INTO removed VALUES(", id, ")")}) {
    if (status.ok()) status = database_->Execute(sql.c_str());
  }
  return status;
}

absl::StatusOr<bool> Store::HasTable(std::string_view name) {
  absl::StatusOr<Statement> table = database_->Prepare("SELECT 1 FROM sqlite_schema WHERE name = CAST(? AS TEXT)");
  if (!table.ok()) return table.status();
  return table->Bind(1, name).Step();
}

absl::Status Store::ListAgain(int64_t topic) {
  const absl::StatusOr<bool> removed = HasTable("removed");
  if (!removed.ok() || !*removed) return removed.status();
  return database_->Execute(absl::StrCat("DELETE FROM removed WHERE topic = ", topic).c_str());
}

absl::StatusOr<std::vector<TopicInfo>> Store::ListTopics(const std::string& topic) {
  std::vector<TopicInfo> topics;
  const absl::StatusOr<bool> removed = HasTable("removed");
  if (!removed.ok()) return removed.status();
  absl::StatusOr<Statement> rows = database_->Prepare(absl::StrCat(
      "SELECT t.name, (SELECT count(*) FROM messages m WHERE m.topic = t.id) FROM topics t", Where(topic, ""),
      *removed ? " AND (t.id NOT IN (SELECT topic FROM removed)"
                 " OR EXISTS (SELECT 1 FROM messages m WHERE m.topic = t.id)"
                 " OR EXISTS (SELECT 1 FROM cursors c WHERE c.topic = t.id))"
               : "",
      " ORDER BY t.name"));
  if (!rows.ok()) return rows.status();
  BindNames(*rows, topic, "");
  absl::Status status = ForEach(*std::move(rows), [&](Statement& row) {
    topics.push_back({.name = std::string(row.Blob(0)), .messages = row.Int(1)});
    return true;
  });
  for (TopicInfo& info : topics) {
    absl::StatusOr<Statement> groups = database_->Prepare(
        "SELECT g.name FROM cursors c JOIN topics t ON t.id = c.topic JOIN groups g ON g.id = c.grp "
        "WHERE t.name = CAST(? AS TEXT) ORDER BY g.name");
    if (!groups.ok()) return groups.status();
    groups->Bind(1, info.name);
    status.Update(ForEach(*std::move(groups), [&](Statement& row) {
      info.groups.emplace_back(row.Blob(0));
      return true;
    }));
  }
  if (!status.ok()) return status;
  return topics;
}

absl::StatusOr<std::vector<GroupLag>> Store::Lags(const std::string& topic, const std::string& group, absl::Time now,
                                                  const std::function<bool(int64_t member)>& lives) {
  absl::StatusOr<std::vector<std::pair<int64_t, int64_t>>> members = MembersOfGroups();
  if (!members.ok()) return members.status();
  // Retries are of one handler; what has none was given back, or waits for its key.
  absl::StatusOr<Statement> rows = database_->Prepare(
      absl::StrCat("SELECT t.name, g.name, g.id,"
                   " (SELECT count(*) FROM messages m WHERE m.topic = t.id AND m.seq >= c.next),"
                   " (SELECT min(m.stored) FROM messages m WHERE m.seq ="
                   "   (SELECT m.seq FROM messages m WHERE m.topic = t.id AND m.seq >= c.next ORDER BY m.seq LIMIT 1)),"
                   " total(w.member = 0 AND w.handler = ''), min(iif(w.member = 0 AND w.handler = '', m.stored, NULL)),"
                   " total(w.member <> 0), total(w.member = 0 AND w.handler <> ''),"
                   " min(iif(w.member = 0 AND w.handler <> '', w.due, NULL)),"
                   " (SELECT count(*) FROM dead d WHERE d.grp = g.id AND d.topic = t.id)"
                   " FROM cursors c JOIN topics t ON t.id = c.topic JOIN groups g ON g.id = c.grp"
                   " LEFT JOIN work w ON w.grp = g.id AND w.topic = t.id LEFT JOIN messages m ON m.seq = w.seq",
                   Where(topic, group), " GROUP BY g.id, t.id ORDER BY t.name, g.name"));
  if (!rows.ok()) return rows.status();
  BindNames(*rows, topic, group);
  std::vector<GroupLag> lags;
  absl::Status status = ForEach(*std::move(rows), [&](Statement& row) {
    GroupLag lag{.topic = std::string(row.Blob(0)), .group = std::string(row.Blob(1)), .members = 0};
    for (const auto& [member, its_group] : *members) {
      if (its_group == row.Int(2) && lives(member)) ++*lag.members;
    }
    lag.waiting = row.Int(3) + row.Int(5);
    for (const int column : {4, 6}) {
      if (row.IsNull(column)) continue;
      const absl::Time stored = absl::FromUnixMicros(row.Int(column));
      if (!lag.oldest || stored < *lag.oldest) lag.oldest = stored;
    }
    lag.in_flight = row.Int(7);
    lag.retrying = row.Int(8);
    if (!row.IsNull(9)) lag.next_retry = row.Int(9) == 0 ? now : absl::FromUnixMicros(row.Int(9));
    lag.dead = row.Int(10);
    lags.push_back(std::move(lag));
    return true;
  });
  if (!status.ok()) return status;
  return lags;
}

absl::StatusOr<std::vector<std::pair<int64_t, int64_t>>> Store::MembersOfGroups() {
  std::vector<std::pair<int64_t, int64_t>> members;
  absl::StatusOr<Statement> rows = database_->Prepare("SELECT id, grp FROM members");
  if (!rows.ok()) return rows.status();
  absl::Status status = ForEach(*std::move(rows), [&](Statement& row) {
    members.emplace_back(row.Int(0), row.Int(1));
    return true;
  });
  if (!status.ok()) return status;
  return members;
}

absl::StatusOr<int64_t> Store::FirstToShow(const TailOptions& options) {
  const bool by_time = options.since.has_value();
  absl::StatusOr<Statement> first = database_->Prepare(
      by_time ? "SELECT min(m.seq) FROM messages m JOIN topics t ON t.id = m.topic WHERE t.name = CAST(?1 AS TEXT) "
                "AND m.stored >= ?2"
              : "SELECT min(seq) FROM (SELECT m.seq FROM messages m JOIN topics t ON t.id = m.topic "
                "WHERE t.name = CAST(?1 AS TEXT) ORDER BY m.seq DESC LIMIT ?2)");
  if (!first.ok()) return first.status();
  first->Bind(1, options.topic).Bind(2, by_time ? absl::ToUnixMicros(*options.since) : options.last.value_or(0));
  absl::StatusOr<bool> row = first->Step();
  if (!row.ok()) return row.status();
  if (*row && !first->IsNull(0)) return first->Int(0);
  absl::StatusOr<Statement> next =
      database_->Prepare("SELECT 1 + coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'messages'), 0)");
  if (!next.ok()) return next.status();
  row = next->Step();
  if (!row.ok()) return row.status();
  return next->Int(0);
}

absl::StatusOr<int64_t> Store::Show(const std::string& topic, int64_t from,
                                    const std::function<bool(const Record&)>& visit) {
  absl::StatusOr<Statement> rows = database_->Prepare(
      "SELECT m.seq, m.key, m.payload, m.id, m.content_type, m.headers, m.timestamp FROM messages m "
      "JOIN topics t ON t.id = m.topic WHERE t.name = CAST(? AS TEXT) AND m.seq >= ? ORDER BY m.seq");
  if (!rows.ok()) return rows.status();
  rows->Bind(1, topic).Bind(2, from);
  bool more = true;
  absl::Status status = ForEach(*std::move(rows), [&](Statement& row) {
    Record record;
    record.topic = topic;
    record.position = row.Int(0);
    from = row.Int(0) + 1;
    record.has_key = !row.IsNull(1);
    record.key = row.Blob(1);
    record.null_payload = row.IsNull(2);
    record.payload = row.Blob(2);
    record.id = row.Blob(3);
    record.content_type = row.Blob(4);
    std::vector<HeaderView> headers;
    DecodeHeaders(row.Blob(5), headers);
    record.headers = headers;
    record.timestamp = absl::FromUnixMicros(row.Int(6));
    return more = visit(record);
  });
  if (!status.ok()) return status;
  return more ? from : -1;
}

}  // namespace messaging::sqlite
