// Any reply of a Redis server as a message, and as a dead letter.
#include <hiredis/hiredis.h>

#include <cstdint>
#include <memory>

#include "messaging/broker/dead_letters.h"
#include "redis/entry.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::unique_ptr<redisReader, void (*)(redisReader*)> reader(redisReaderCreate(), redisReaderFree);
  redisReaderFeed(reader.get(), reinterpret_cast<const char*>(data), size);
  void* raw = nullptr;
  if (redisReaderGetReply(reader.get(), &raw) != REDIS_OK || raw == nullptr) return 0;
  const std::unique_ptr<redisReply, void (*)(void*)> reply(static_cast<redisReply*>(raw), freeReplyObject);
  // What the driver looks at before it reads one.
  if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) return 0;
  if (reply->element[1]->type != REDIS_REPLY_ARRAY) return 0;
  messaging::redis::RedisRecord record;
  record.topic = "t";
  (void)messaging::redis::ReadEntry(*reply, record);
  (void)messaging::redis::ReadDeadLetter(*reply);
  return 0;
}
