// raw_redis send|consume|latency|drop TOPIC N: plain hiredis doing what redis_bench has the library do: the same fields
// a message, the same group. send: pipelines of 500. consume: 500 read at a time, acknowledged by one XACK that goes
// with the next read. Prints one line of JSON.
#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "messaging/broker/url.h"
#include "tests/bench/raw.h"
#include "tests/bench/usage.h"

namespace {

using bench::Check;

constexpr int64_t kPipeline = 500;

class Raw {
 public:
  Raw() {
    const char* const text = std::getenv("MESSAGING_URL");
    Check(text != nullptr, "no MESSAGING_URL");
    const auto url = messaging::Url::Parse(text);
    Check(url.ok() && !url->hosts.empty(), "no such MESSAGING_URL");
    context_ = redisConnect(url->hosts[0].name.c_str(), url->hosts[0].port);
    Check(context_ != nullptr && context_->err == 0, "cannot connect");
  }
  ~Raw() { redisFree(context_); }

  void Ask(const std::vector<std::string_view>& arguments) {
    std::vector<const char*> values;
    std::vector<size_t> sizes;
    for (const std::string_view argument : arguments) {
      values.push_back(argument.data());
      sizes.push_back(argument.size());
    }
    Check(redisAppendCommandArgv(context_, static_cast<int>(values.size()), values.data(), sizes.data()) == REDIS_OK,
          "cannot ask");
  }
  void Flush() {
    for (int done = 0; done == 0;) Check(redisBufferWrite(context_, &done) == REDIS_OK, context_->errstr);
  }
  redisReply* Reply() {
    void* reply = nullptr;
    Check(redisGetReply(context_, &reply) == REDIS_OK, context_->errstr);
    return static_cast<redisReply*>(reply);
  }
  void ExpectAnswer() {
    redisReply* const reply = Reply();
    Check(reply->type != REDIS_REPLY_ERROR || std::string_view(reply->str).substr(0, 9) == "BUSYGROUP", reply->str);
    freeReplyObject(reply);
  }

 private:
  redisContext* context_ = nullptr;
};

void MakeGroup(Raw& raw, std::string_view topic) {
  raw.Ask({"XGROUP", "CREATE", topic, "bench", "0", "MKSTREAM"});
  raw.ExpectAnswer();
}

void AskSend(Raw& raw, std::string_view topic, std::string_view payload, int64_t number) {
  char id[37];
  std::snprintf(id, sizeof id, "%036lld", static_cast<long long>(number));
  raw.Ask({"XADD", topic, "*", "payload", payload, "id", id, "time", absl::StrCat(absl::ToUnixMicros(absl::Now())),
           "type", "application/octet-stream"});
}

void Send(const std::string& topic, int64_t messages) {
  Raw raw;
  MakeGroup(raw, topic);
  const std::string payload(256, 'x');
  const bench::Usage usage;
  for (int64_t sent = 0; sent < messages;) {
    const int64_t n = std::min(kPipeline, messages - sent);
    for (int64_t i = 0; i < n; ++i) AskSend(raw, topic, payload, sent + i);
    for (int64_t i = 0; i < n; ++i) raw.ExpectAnswer();
    sent += n;
  }
  usage.Print(messages);
}

// Payload and id of each entry, as a handler would see them.
size_t Look(const redisReply& entries) {
  size_t bytes = 0;
  for (size_t i = 0; i < entries.elements; ++i) {
    const redisReply& fields = *entries.element[i]->element[1];
    for (size_t j = 0; j + 1 < fields.elements; j += 2) {
      if (std::string_view(fields.element[j]->str) == "payload") bytes += fields.element[j + 1]->len;
    }
  }
  return bytes;
}

void Consume(const std::string& topic, int64_t messages) {
  const bench::Usage usage;
  Raw raw;
  MakeGroup(raw, topic);
  const std::string count = absl::StrCat(kPipeline);
  std::vector<std::string> ids;
  size_t bytes = 0;
  for (int64_t handled = 0; handled < messages;) {
    const bool acknowledges = !ids.empty();
    if (acknowledges) {
      std::vector<std::string_view> arguments = {"XACK", topic, "bench"};
      arguments.insert(arguments.end(), ids.begin(), ids.end());
      raw.Ask(arguments);
    }
    raw.Ask({"XREADGROUP", "GROUP", "bench", "raw", "COUNT", count, "STREAMS", topic, ">"});
    if (acknowledges) raw.ExpectAnswer();
    ids.clear();
    redisReply* const reply = raw.Reply();
    Check(reply->type == REDIS_REPLY_ARRAY && reply->elements == 1, "nothing read");
    const redisReply& entries = *reply->element[0]->element[1];
    bytes += Look(entries);
    for (size_t i = 0; i < entries.elements; ++i) {
      ids.emplace_back(entries.element[i]->element[0]->str, entries.element[i]->element[0]->len);
    }
    handled += static_cast<int64_t>(entries.elements);
    freeReplyObject(reply);
  }
  std::vector<std::string_view> arguments = {"XACK", topic, "bench"};
  arguments.insert(arguments.end(), ids.begin(), ids.end());
  raw.Ask(arguments);
  raw.ExpectAnswer();
  Check(bytes == 256 * static_cast<size_t>(messages), "other payloads");
  usage.Print(messages);
}

// One message at a time: sent by one connection while the other waits for it.
void Latency(const std::string& topic, int64_t messages) {
  Raw sender, reader;
  MakeGroup(reader, topic);
  const std::string payload(256, 'x');
  std::vector<double> micros;
  for (int64_t i = -100; i < messages; ++i) {
    reader.Ask({"XREADGROUP", "GROUP", "bench", "raw", "COUNT", "1", "BLOCK", "10000", "STREAMS", topic, ">"});
    reader.Flush();
    absl::SleepFor(absl::Milliseconds(5));
    AskSend(sender, topic, payload, i + 100);
    const absl::Time sent = absl::Now();
    sender.ExpectAnswer();
    redisReply* const reply = reader.Reply();
    Check(reply->type == REDIS_REPLY_ARRAY, "nothing came");
    if (i >= 0) micros.push_back(absl::ToDoubleMicroseconds(absl::Now() - sent));
    const std::string id = reply->element[0]->element[1]->element[0]->element[0]->str;
    freeReplyObject(reply);
    reader.Ask({"XACK", topic, "bench", id});
    reader.ExpectAnswer();
  }
  bench::PrintLatency(std::move(micros));
}

void Drop(const std::string& topic) {
  Raw raw;
  raw.Ask({"DEL", topic});
  raw.ExpectAnswer();
}

}  // namespace

int main(int argc, char** argv) {
  return bench::RunRaw(argc, argv, {.send = Send, .consume = Consume, .latency = Latency, .drop = Drop});
}
