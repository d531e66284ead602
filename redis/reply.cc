#include "redis/reply.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

namespace messaging::redis {
namespace {

constexpr size_t kFirstBlock = 4 << 10;
constexpr size_t kLargestBlock = 64 << 10;

struct Arena {
  redisReply root = {};  // First: what the reader has is its address.
  char* at = first;
  size_t left = sizeof(first);
  size_t next_block = kFirstBlock;
  std::vector<std::unique_ptr<char[]>> blocks;
  alignas(redisReply) char first[128];  // Enough for most that are no arrays.

  // `align` is a power of two.
  char* Allocate(size_t size, size_t align) {
    const size_t skip = -reinterpret_cast<uintptr_t>(at) & (align - 1);
    if (skip + size <= left) {
      char* const here = at + skip;
      at = here + size;
      left -= skip + size;
      return here;
    }
    if (size > next_block / 4) {  // A block of its own: what is left of the last one stays of use.
      blocks.emplace_back(new char[size]);
      return blocks.back().get();
    }
    blocks.emplace_back(new char[next_block]);
    at = blocks.back().get();
    left = next_block;
    next_block = std::min(2 * next_block, kLargestBlock);
    return Allocate(size, align);
  }
};
static_assert(std::is_standard_layout_v<redisReply>);

Arena& ArenaOf(const redisReadTask* task) {
  while (task->parent != nullptr) task = task->parent;
  return *static_cast<Arena*>(task->obj);
}

redisReply* New(const redisReadTask* task) {
  if (task->parent == nullptr) {
    auto* const arena = new Arena;
    arena->root.type = task->type;
    return &arena->root;
  }
  auto* const reply = new (ArenaOf(task).Allocate(sizeof(redisReply), alignof(redisReply))) redisReply{};
  reply->type = task->type;
  static_cast<redisReply*>(task->parent->obj)->element[task->idx] = reply;
  return reply;
}

// The reader hands over a task whose own object it does not know yet.
Arena& ArenaFor(const redisReadTask* task, redisReply* reply) {
  return task->parent == nullptr ? *reinterpret_cast<Arena*>(reply) : ArenaOf(task);
}

void* NewString(const redisReadTask* task, char* text, size_t size) {
  redisReply* const reply = New(task);
  reply->str = ArenaFor(task, reply).Allocate(size + 1, 1);
  std::memcpy(reply->str, text, size);
  reply->str[size] = '\0';
  reply->len = size;
  return reply;
}

void* NewArray(const redisReadTask* task, size_t elements) {
  redisReply* const reply = New(task);
  if (elements > 0) {
    const size_t size = elements * sizeof(redisReply*);
    reply->element = reinterpret_cast<redisReply**>(ArenaFor(task, reply).Allocate(size, alignof(redisReply*)));
    std::memset(reply->element, 0, size);
  }
  reply->elements = elements;
  return reply;
}

void* NewInteger(const redisReadTask* task, long long value) {
  redisReply* const reply = New(task);
  reply->integer = value;
  return reply;
}

void* NewDouble(const redisReadTask* task, double value, char* text, size_t size) {
  auto* const reply = static_cast<redisReply*>(NewString(task, text, size));
  reply->dval = value;
  return reply;
}

void* NewNil(const redisReadTask* task) {
  redisReply* const reply = New(task);
  reply->type = REDIS_REPLY_NIL;  // The task's is what it is nil of.
  return reply;
}

void* NewBool(const redisReadTask* task, int value) { return NewInteger(task, value != 0 ? 1 : 0); }

void Free(void* reply) { delete static_cast<Arena*>(reply); }

}  // namespace

redisReplyObjectFunctions* ReplyFunctions() {
  static redisReplyObjectFunctions functions = {NewString, NewArray, NewInteger, NewDouble, NewNil, NewBool, Free};
  return &functions;
}

void FreeReply::operator()(redisReply* reply) const { Free(reply); }

}  // namespace messaging::redis
