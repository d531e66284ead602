// Dead letters in the tables.
#include <utility>

#include "absl/strings/str_cat.h"
#include "sqlite/store.h"

namespace messaging::sqlite {
namespace {

// A condition on `dead d`, and what it is bound to.
struct Condition {
  std::string sql = " WHERE 1";
  std::vector<std::string> texts;

  void And(std::string_view clause, std::string text) {
    absl::StrAppend(&sql, " AND ", clause);
    texts.push_back(std::move(text));
  }
};

Condition ConditionOf(const DeadLetterFilter& filter) {
  Condition condition;
  if (!filter.group.empty())
    condition.And("d.grp = (SELECT id FROM groups WHERE name = CAST(? AS TEXT))", filter.group);
  if (!filter.topic.empty())
    condition.And("d.topic = (SELECT id FROM topics WHERE name = CAST(? AS TEXT))", filter.topic);
  if (!filter.handler.empty()) condition.And("d.handler = ?", filter.handler);
  if (filter.since != absl::InfinitePast()) {
    absl::StrAppend(&condition.sql, " AND d.since >= ", absl::ToUnixMicros(filter.since));
  }
  if (!filter.ids.empty()) {
    absl::StrAppend(&condition.sql, " AND (0");
    for (const std::string& id : filter.ids) {
      absl::StrAppend(&condition.sql, " OR CAST(d.id AS TEXT) = CAST(? AS TEXT) OR d.message_id = ?");
      condition.texts.push_back(id);
      condition.texts.push_back(id);
    }
    absl::StrAppend(&condition.sql, ")");
  }
  return condition;
}

absl::Time FromMicros(int64_t micros) { return micros == 0 ? absl::InfinitePast() : absl::FromUnixMicros(micros); }

DeadLetter Read(const Statement& row) {
  DeadLetter letter;
  letter.id = absl::StrCat(row.Int(0));
  letter.group = std::string(row.Blob(1));
  letter.message.topic = std::string(row.Blob(2));
  letter.failure.handler = std::string(row.Blob(3));
  letter.failure.status = absl::Status(static_cast<absl::StatusCode>(row.Int(4)), row.Blob(5));
  letter.failure.attempts = static_cast<int>(row.Int(6));
  letter.failure.first = FromMicros(row.Int(7));
  letter.failure.last = FromMicros(row.Int(8));
  letter.dead_since = FromMicros(row.Int(9));
  letter.message.timestamp = FromMicros(row.Int(10));
  if (!row.IsNull(11)) letter.message.key = std::string(row.Blob(11));
  letter.message.null_payload = row.IsNull(12);
  letter.message.payload = std::string(row.Blob(12));
  letter.message.id = std::string(row.Blob(13));
  letter.message.content_type = std::string(row.Blob(14));
  std::vector<HeaderView> headers;
  DecodeHeaders(row.Blob(15), headers);
  for (const HeaderView& header : headers) letter.message.headers.emplace_back(header.name, header.value);
  return letter;
}

}  // namespace

absl::Status Store::ListDead(const DeadLetterFilter& filter, const std::function<bool(const DeadLetter&)>& visit) {
  const Condition condition = ConditionOf(filter);
  absl::StatusOr<Statement> rows = database_->Prepare(
      absl::StrCat("SELECT d.id, g.name, t.name, d.handler, d.code, d.error, d.attempts, d.first, d.last, d.since, "
                   "d.timestamp, d.key, "
                   "d.payload, d.message_id, d.content_type, d.headers FROM dead d JOIN groups g ON g.id = d.grp "
                   "JOIN topics t ON t.id = d.topic",
                   condition.sql, " ORDER BY d.since, d.id"));
  if (!rows.ok()) return rows.status();
  for (size_t i = 0; i < condition.texts.size(); ++i) rows->Bind(static_cast<int>(i + 1), condition.texts[i]);
  while (true) {
    absl::StatusOr<bool> row = rows->Step();
    if (!row.ok()) return row.status();
    if (!*row || !visit(Read(*rows))) return absl::OkStatus();
  }
}

absl::StatusOr<std::vector<int64_t>> Store::DeadIds(const DeadLetterFilter& filter) {
  const Condition condition = ConditionOf(filter);
  absl::StatusOr<Statement> rows =
      database_->Prepare(absl::StrCat("SELECT d.id FROM dead d", condition.sql, " ORDER BY d.id"));
  if (!rows.ok()) return rows.status();
  for (size_t i = 0; i < condition.texts.size(); ++i) rows->Bind(static_cast<int>(i + 1), condition.texts[i]);
  std::vector<int64_t> ids;
  while (true) {
    absl::StatusOr<bool> row = rows->Step();
    if (!row.ok()) return row.status();
    if (!*row) return ids;
    ids.push_back(rows->Int(0));
  }
}

absl::StatusOr<int64_t> Store::ReplayDead(const DeadLetterFilter& filter, absl::Time now) {
  absl::StatusOr<std::vector<int64_t>> ids = DeadIds(filter);
  if (!ids.ok()) return ids.status();
  absl::StatusOr<Statement> message = database_->Prepare(
      "INSERT INTO messages(topic, stored, timestamp, key, payload, id, content_type, headers) "
      "SELECT -topic, ?, timestamp, key, payload, message_id, content_type, headers FROM dead WHERE id = ?");
  absl::StatusOr<Statement> work = database_->Prepare(
      "INSERT INTO work(grp, topic, seq, member, key, handler, redelivered) "
      "SELECT grp, topic, ?, 0, key, handler, 1 FROM dead WHERE id = ?");
  absl::StatusOr<Statement> remove = database_->Prepare("DELETE FROM dead WHERE id = ?");
  for (const auto* statement : {&message, &work, &remove}) {
    if (!statement->ok()) return statement->status();
  }
  for (int64_t id : *ids) {
    // Its message may have been deleted long ago: a copy, under no topic's number, which no cursor meets.
    if (absl::Status s = message->Bind(1, absl::ToUnixMicros(now)).Bind(2, id).Run(); !s.ok()) return s;
    if (absl::Status s = work->Bind(1, database_->last_row_id()).Bind(2, id).Run(); !s.ok()) return s;
    if (absl::Status s = remove->Bind(1, id).Run(); !s.ok()) return s;
  }
  return static_cast<int64_t>(ids->size());
}

absl::StatusOr<int64_t> Store::PurgeDead(const DeadLetterFilter& filter) {
  absl::StatusOr<std::vector<int64_t>> ids = DeadIds(filter);
  if (!ids.ok()) return ids.status();
  absl::StatusOr<Statement> remove = database_->Prepare("DELETE FROM dead WHERE id = ?");
  if (!remove.ok()) return remove.status();
  for (int64_t id : *ids) {
    if (absl::Status status = remove->Bind(1, id).Run(); !status.ok()) return status;
  }
  return static_cast<int64_t>(ids->size());
}

absl::Status Store::AddDead(const DeadLetter& letter) {
  absl::StatusOr<int64_t> group = Group(letter.group);
  if (!group.ok()) return group.status();
  absl::StatusOr<int64_t> topic = Topic(letter.message.topic);
  if (!topic.ok()) return topic.status();
  absl::StatusOr<Statement> insert = database_->Prepare(
      "INSERT INTO dead(grp, topic, handler, code, error, attempts, first, last, since, timestamp, key, payload, "
      "message_id, content_type, headers) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  if (!insert.ok()) return insert.status();
  auto micros = [](absl::Time time) { return time == absl::InfinitePast() ? 0 : absl::ToUnixMicros(time); };
  const Message& message = letter.message;
  const Failure& failure = letter.failure;
  const std::string headers = EncodeHeaders(message.headers);
  insert->Bind(1, *group).Bind(2, *topic).Bind(3, failure.handler);
  insert->Bind(4, static_cast<int64_t>(failure.status.raw_code())).Bind(5, failure.status.message());
  insert->Bind(6, failure.attempts).Bind(7, micros(failure.first)).Bind(8, micros(failure.last));
  insert->Bind(9, micros(letter.dead_since)).Bind(10, micros(message.timestamp));
  if (message.key) {
    insert->Bind(11, *message.key);
  } else {
    insert->BindNull(11);
  }
  if (message.null_payload) {
    insert->BindNull(12);
  } else {
    insert->Bind(12, message.payload);
  }
  return insert->Bind(13, message.id).Bind(14, message.content_type).Bind(15, headers).Run();
}

}  // namespace messaging::sqlite
