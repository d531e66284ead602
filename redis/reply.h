// Replies of the server: hiredis' own type, but a reply and all that is in it lie in a few blocks, not in one or two
// for each string of it: a message has ten of them.
#ifndef REDIS_REPLY_H_
#define REDIS_REPLY_H_

#include <hiredis/hiredis.h>

#include <memory>

namespace messaging::redis {

// For readers (redisReader::fn) whose replies go into a ReplyPtr.
redisReplyObjectFunctions* ReplyFunctions();

struct FreeReply {
  void operator()(redisReply* reply) const;
};
// Of a reader that has ReplyFunctions; the root, not a part.
using ReplyPtr = std::unique_ptr<redisReply, FreeReply>;

}  // namespace messaging::redis

#endif  // REDIS_REPLY_H_
