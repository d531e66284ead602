#include "redis/entry.h"

#include <hiredis/hiredis.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "redis/keys.h"
#include "redis/producer.h"

namespace messaging::redis {
namespace {

// An entry as the server's reader makes it.
class Reply {
 public:
  Reply(const std::string& id, const std::vector<std::string>& fields) : reader_(redisReaderCreate(), redisReaderFree) {
    std::string bytes = absl::StrCat("*2\r\n$", id.size(), "\r\n", id, "\r\n*", fields.size(), "\r\n");
    for (const std::string& field : fields) absl::StrAppend(&bytes, "$", field.size(), "\r\n", field, "\r\n");
    redisReaderFeed(reader_.get(), bytes.data(), bytes.size());
    void* reply = nullptr;
    EXPECT_EQ(redisReaderGetReply(reader_.get(), &reply), REDIS_OK);
    reply_.reset(static_cast<redisReply*>(reply));
  }
  const redisReply& operator*() const { return *reply_; }

 private:
  std::unique_ptr<redisReader, void (*)(redisReader*)> reader_;
  std::unique_ptr<redisReply, void (*)(void*)> reply_{nullptr, freeReplyObject};
};

Message Whole() {
  return {.topic = "t",
          .payload = std::string("\0\xff bytes", 8),
          .key = "",
          .headers = {{"a", "1"}, {"a", "2"}, {"", ""}},
          .content_type = "application/json",
          .id = "id-1",
          .timestamp = absl::FromUnixMicros(1'700'000'000'123'456)};
}

TEST(RedisEntryTest, ADeadLetterComesBackAsItWas) {
  DeadLetter letter{.group = "g", .message = Whole()};
  letter.failure = {.handler = "h",
                    .status = absl::UnavailableError("why \xff"),
                    .attempts = 4,
                    .first = absl::FromUnixMicros(11),
                    .last = absl::FromUnixMicros(22)};
  letter.dead_since = absl::FromUnixMicros(33);
  const DeadLetter read = ReadDeadLetter(*Reply("5-0", DeadParts(letter).values));
  EXPECT_EQ(read.group, "g");
  EXPECT_EQ(read.message.topic, "t");
  EXPECT_EQ(read.message.payload, letter.message.payload);
  EXPECT_EQ(read.message.key, "");
  EXPECT_EQ(read.message.headers, letter.message.headers);
  EXPECT_EQ(read.message.content_type, "application/json");
  EXPECT_EQ(read.message.id, "id-1");
  EXPECT_EQ(read.message.timestamp, letter.message.timestamp);
  EXPECT_EQ(read.failure.handler, "h");
  EXPECT_EQ(read.failure.attempts, 4);
  EXPECT_EQ(read.failure.first, letter.failure.first);
  EXPECT_EQ(read.failure.last, letter.failure.last);
  EXPECT_EQ(read.failure.status, letter.failure.status);
  EXPECT_EQ(read.dead_since, letter.dead_since);
}

TEST(RedisEntryTest, NoPayloadAndNoKeyAreNotEmptyOnes) {
  Message message = Whole();
  message.null_payload = true;
  message.payload.clear();
  message.key.reset();
  Parts parts;
  ForEachField(message, "1", [&](std::string_view name, std::string_view value) { parts.Add(name, value); });
  const Reply reply("7-3", parts.values);
  RedisRecord record;
  ASSERT_TRUE(ReadEntry(*reply, record));
  EXPECT_TRUE(record.null_payload);
  EXPECT_FALSE(record.has_key);
  EXPECT_EQ(record.entry, "7-3");
}

TEST(RedisEntryTest, AReplayStartsAnew) {
  DeadLetter letter{.group = "g", .message = Whole()};
  letter.failure = {.handler = "h", .status = absl::InternalError("e"), .attempts = 4};
  const Reply reply("7-3", ReplayParts(letter).values);
  RedisRecord record;
  ASSERT_TRUE(ReadEntry(*reply, record));
  EXPECT_EQ(record.handler, "h");
  EXPECT_EQ(record.attempts, 0);
  EXPECT_EQ(record.last_error, "");
}

TEST(RedisEntryTest, PositionsRiseAndNonsenseHasNone) {
  EXPECT_LT(PositionOf("1700000000000-0"), PositionOf("1700000000000-1"));
  EXPECT_LT(PositionOf("1700000000000-2000000"), PositionOf("1700000000001-0"));
  for (const char* id : {"", "5", "5-", "-5", "a-b", "9999999999999999-0", "5-99999999"}) {
    EXPECT_EQ(PositionOf(id), -1) << id;
  }
  EXPECT_EQ(TimeOfId("1700000000000-3"), absl::FromUnixMillis(1'700'000'000'000));
}

// FNV-1a's published test values, modulo: other programs have to find the same partition.
TEST(RedisPartitionTest, IsFnv1a) {
  EXPECT_EQ(PartitionOf("", 1'000), static_cast<int>(0xcbf29ce484222325 % 1'000));
  EXPECT_EQ(PartitionOf("a", 1'000), static_cast<int>(0xaf63dc4c8601ec8c % 1'000));
  EXPECT_EQ(PartitionOf("foobar", 1'000), static_cast<int>(0x85944171f73967e8 % 1'000));
}

TEST(RedisKeysTest, WhatBelongsToAStreamSharesItsSlot) {
  const GroupKeys keys("orders.created", 3, "billing");
  EXPECT_EQ(keys.stream, "orders.created/3");
  for (const std::string& key : {keys.retry, keys.due, keys.held, keys.begun, keys.dead, keys.owner}) {
    EXPECT_TRUE(key.starts_with("{orders.created/3}:__messaging.")) << key;
  }
  EXPECT_EQ(GroupKeys("t", -1, "g").stream, "t");
}

}  // namespace
}  // namespace messaging::redis
