// For the driver's own tests: a real server, another program's connection to it, sends and members.
#ifndef REDIS_TESTING_WITH_SERVER_H_
#define REDIS_TESTING_WITH_SERVER_H_

#include <hiredis/hiredis.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/testing/fake_sink.h"
#include "messaging/outgoing.h"
#include "redis/redis_broker.h"
#include "tests/servers/redis_server.h"

namespace messaging::redis_testing {

using servers::RedisServer;

inline constexpr absl::Duration kLimit = absl::Seconds(20);

// Another program's connection, by the Unix socket: passwords and TLS of the port do not concern it.
class Other {
 public:
  explicit Other(RedisServer& server)
      : context_(redisConnectUnix((server.server().folder() + "/redis.sock").c_str()), redisFree) {}
  // The reply as text: an error, a status, a string, a number, or an array's size.
  std::string Ask(const std::vector<std::string>& arguments) {
    Begin(arguments);
    return End();
  }
  // The same in two steps: a server that is paused answers later.
  void Begin(const std::vector<std::string>& arguments) {
    std::vector<const char*> values;
    std::vector<size_t> sizes;
    for (const std::string& argument : arguments) {
      values.push_back(argument.data());
      sizes.push_back(argument.size());
    }
    redisAppendCommandArgv(context_.get(), static_cast<int>(values.size()), values.data(), sizes.data());
    int done = 0;
    while (done == 0 && redisBufferWrite(context_.get(), &done) == REDIS_OK) continue;
  }
  std::string End() {
    void* answer = nullptr;
    redisGetReply(context_.get(), &answer);
    const std::unique_ptr<redisReply, void (*)(void*)> reply(static_cast<redisReply*>(answer), freeReplyObject);
    if (reply == nullptr) return context_->errstr;
    if (reply->type == REDIS_REPLY_INTEGER) return absl::StrCat(reply->integer);
    if (reply->type == REDIS_REPLY_ARRAY) return absl::StrCat(reply->elements);
    return reply->str == nullptr ? "" : std::string(reply->str, reply->len);
  }

 private:
  const std::unique_ptr<redisContext, void (*)(redisContext*)> context_;
};

inline std::unique_ptr<RedisServer> Start(servers::RedisOptions options = {}) {
  auto server = std::make_unique<RedisServer>(std::move(options));
  const absl::Status started = server->Start();
  EXPECT_TRUE(started.ok()) << started;
  return server;
}

inline absl::StatusOr<std::unique_ptr<Broker>> Connect(const std::string& url,
                                                       std::map<std::string, std::string> native = {}) {
  return MakeRedisBrokerFromUrl({.url = url, .native = std::move(native), .client_name = "test"});
}

inline OutgoingPtr NewMessage(std::string payload, std::string topic = "t",
                              absl::Duration deadline = absl::Seconds(10)) {
  return std::make_shared<Outgoing>(
      Message{.topic = std::move(topic), .payload = std::move(payload), .id = "id", .timestamp = absl::Now()},
      absl::Now() + deadline, nullptr);
}

inline absl::Status Send(Broker& broker, std::string payload, std::string topic = "t",
                         absl::Duration deadline = absl::Seconds(10)) {
  const OutgoingPtr message = NewMessage(std::move(payload), std::move(topic), deadline);
  broker.Publish(message);
  if (!message->WaitUntil(message->deadline())) message->CompleteAsOverdue();  // As the producer does.
  return message->result().status();
}

// One member of a group.
struct Joined {
  FakeSink sink;
  std::shared_ptr<Subscription> subscription;
  absl::Status started;

  Joined(Broker& broker, const std::string& topic = "t", const std::string& group = "g",
         const std::string& member = "m", Room room = {.messages = 1'000'000, .bytes = size_t{1} << 30}) {
    sink.set_room(room);
    auto made = broker.Subscribe({.group = group, .topics = {{.topic = topic}}, .member = member}, &sink);
    EXPECT_TRUE(made.ok());
    subscription = *made;
    started = subscription->Start();
  }
  ~Joined() {
    subscription->StopFetching();  // Or what is given back comes again, and outlives it.
    for (Delivery& delivery : sink.TakeAll()) delivery = Delivery();
    EXPECT_TRUE(subscription->Close(absl::Now() + kLimit).ok());
  }
  void Settle(Settlement::Verdict verdict) {
    std::vector<Settlement> batch(1);
    batch[0].delivery = sink.TakeFirst();
    batch[0].verdict = verdict;
    subscription->Settle(std::move(batch));
    EXPECT_TRUE(sink.WaitForAnswers(1));
    EXPECT_EQ(sink.TakeAnswers()[0].status, absl::OkStatus());
  }
};

}  // namespace messaging::redis_testing

#endif  // REDIS_TESTING_WITH_SERVER_H_
