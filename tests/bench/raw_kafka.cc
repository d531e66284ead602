// raw_kafka send|consume|latency|drop TOPIC N: plain librdkafka doing what kafka_bench has the library do: the same
// headers and properties, an idempotent producer. send: without a copy, at most 10,000 messages unreported. consume:
// 1,000 read at a time, progress committed every 100 ms and at the end. Prints one line of JSON.
#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "tests/bench/raw.h"
#include "tests/bench/usage.h"

namespace {

using bench::Check;

constexpr int64_t kOpen = 10'000;

rd_kafka_t* New(rd_kafka_type_t type, const std::vector<std::pair<const char*, std::string>>& properties) {
  const char* const url = std::getenv("MESSAGING_URL");
  Check(url != nullptr, "no MESSAGING_URL");
  rd_kafka_conf_t* const conf = rd_kafka_conf_new();
  char why[512];
  const auto set = [&](const char* name, const std::string& value) {
    Check(rd_kafka_conf_set(conf, name, value.c_str(), why, sizeof(why)) == RD_KAFKA_CONF_OK, why);
  };
  const std::string_view servers = absl::StripPrefix(url, "kafka://");
  set("bootstrap.servers", std::string(servers.substr(0, servers.find_first_of("/?"))));
  set("socket.nagle.disable", "true");
  for (const auto& [name, value] : properties) set(name, value);
  rd_kafka_conf_set_events(conf, type == RD_KAFKA_PRODUCER ? RD_KAFKA_EVENT_DR : 0);
  rd_kafka_t* const handle = rd_kafka_new(type, conf, why, sizeof(why));
  Check(handle != nullptr, why);
  return handle;
}

class Sender {
 public:
  Sender()
      : handle_(New(RD_KAFKA_PRODUCER, {{"enable.idempotence", "true"}, {"linger.ms", "0"}})),
        events_(rd_kafka_queue_get_main(handle_)) {}
  ~Sender() {
    rd_kafka_queue_destroy(events_);
    rd_kafka_destroy(handle_);
  }
  rd_kafka_t* handle() const { return handle_; }
  int64_t open() const { return open_; }

  void Send(const std::string& topic, std::string_view payload, int64_t number) {
    char id[37];
    std::snprintf(id, sizeof id, "%036lld", static_cast<long long>(number));
    rd_kafka_headers_t* const headers = rd_kafka_headers_new(2);
    rd_kafka_header_add(headers, "messaging-id", -1, id, 36);
    rd_kafka_header_add(headers, "messaging-type", -1, "application/octet-stream", -1);
    const rd_kafka_resp_err_t error = rd_kafka_producev(
        handle_, RD_KAFKA_V_TOPIC(topic.c_str()), RD_KAFKA_V_MSGFLAGS(0),
        RD_KAFKA_V_VALUE(const_cast<char*>(payload.data()), payload.size()), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_TIMESTAMP(absl::ToUnixMillis(absl::Now())), RD_KAFKA_V_END);
    Check(error == RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_err2str(error));
    ++open_;
  }
  void ReadReports(int milliseconds) {
    rd_kafka_event_t* const event = rd_kafka_queue_poll(events_, milliseconds);
    if (event == nullptr) return;
    while (const rd_kafka_message_t* report = rd_kafka_event_message_next(event)) {
      Check(report->err == RD_KAFKA_RESP_ERR_NO_ERROR, rd_kafka_err2str(report->err));
      --open_;
    }
    rd_kafka_event_destroy(event);
  }

 private:
  rd_kafka_t* const handle_;
  rd_kafka_queue_t* const events_;
  int64_t open_ = 0;
};

// Makes it, with the server's own number of partitions.
void Declare(const Sender& sender, const std::string& topic) {
  rd_kafka_NewTopic_t* made = rd_kafka_NewTopic_new(topic.c_str(), -1, -1, nullptr, 0);
  rd_kafka_queue_t* const answers = rd_kafka_queue_new(sender.handle());
  rd_kafka_CreateTopics(sender.handle(), &made, 1, nullptr, answers);
  rd_kafka_event_t* const event = rd_kafka_queue_poll(answers, 30'000);
  Check(event != nullptr && rd_kafka_event_error(event) == RD_KAFKA_RESP_ERR_NO_ERROR, "cannot make the topic");
  rd_kafka_event_destroy(event);
  rd_kafka_queue_destroy(answers);
  rd_kafka_NewTopic_destroy(made);
}

void Send(const std::string& topic, int64_t messages) {
  Sender sender;
  Declare(sender, topic);
  const std::string payload(256, 'x');
  const bench::Usage usage;
  for (int64_t i = 0; i < messages; ++i) {
    while (sender.open() >= kOpen) sender.ReadReports(100);
    sender.Send(topic, payload, i);
    if (i % 256 == 0) sender.ReadReports(0);
  }
  while (sender.open() > 0) sender.ReadReports(100);
  usage.Print(messages);
}

class Reader {
 public:
  explicit Reader(const std::string& topic)
      : handle_(New(RD_KAFKA_CONSUMER, {{"group.id", "raw"},
                                        {"enable.auto.commit", "true"},
                                        {"auto.commit.interval.ms", "100"},
                                        {"auto.offset.reset", "earliest"}})) {
    rd_kafka_poll_set_consumer(handle_);
    queue_ = rd_kafka_queue_get_consumer(handle_);
    rd_kafka_topic_partition_list_t* const topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, topic.c_str(), RD_KAFKA_PARTITION_UA);
    Check(rd_kafka_subscribe(handle_, topics) == RD_KAFKA_RESP_ERR_NO_ERROR, "cannot subscribe");
    rd_kafka_topic_partition_list_destroy(topics);
  }
  ~Reader() {
    rd_kafka_queue_destroy(queue_);
    rd_kafka_consumer_close(handle_);  // Commits.
    rd_kafka_destroy(handle_);
  }
  // How many came, of at most `most`.
  int64_t Read(size_t most, size_t& bytes) {
    const ssize_t n = rd_kafka_consume_batch_queue(queue_, 100, batch_.data(), std::min(most, batch_.size()));
    int64_t messages = 0;
    for (ssize_t i = 0; i < n; ++i) {
      messages += batch_[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR ? 1 : 0;
      bytes += batch_[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR ? batch_[i]->len : 0;
      rd_kafka_message_destroy(batch_[i]);
    }
    return messages;
  }

 private:
  rd_kafka_t* const handle_;
  rd_kafka_queue_t* queue_ = nullptr;
  std::array<rd_kafka_message_t*, 1000> batch_ = {};
};

void Consume(const std::string& topic, int64_t messages) {
  const bench::Usage usage;
  size_t bytes = 0;
  {
    Reader reader(topic);
    for (int64_t handled = 0; handled < messages;) handled += reader.Read(1000, bytes);
  }
  Check(bytes == 256 * static_cast<size_t>(messages), "other payloads");
  usage.Print(messages);
}

// One message at a time: the sender's thread waits for the reader.
void Latency(const std::string& topic, int64_t messages) {
  Sender sender;
  Declare(sender, topic);
  Reader reader(topic);
  const std::string payload(256, 'x');
  std::vector<double> micros;
  size_t bytes = 0;
  for (int64_t i = -100; i < messages; ++i) {
    absl::SleepFor(absl::Milliseconds(5));
    const absl::Time sent = absl::Now();
    sender.Send(topic, payload, i + 100);
    while (reader.Read(1, bytes) == 0) {
    }
    if (i >= 0) micros.push_back(absl::ToDoubleMicroseconds(absl::Now() - sent));
    while (sender.open() > 0) sender.ReadReports(100);
  }
  bench::PrintLatency(std::move(micros));
}

void Drop(const std::string& topic) {
  const Sender sender;
  rd_kafka_DeleteTopic_t* gone = rd_kafka_DeleteTopic_new(topic.c_str());
  rd_kafka_queue_t* const answers = rd_kafka_queue_new(sender.handle());
  rd_kafka_DeleteTopics(sender.handle(), &gone, 1, nullptr, answers);
  rd_kafka_event_t* const event = rd_kafka_queue_poll(answers, 30'000);
  Check(event != nullptr, "cannot delete the topic");
  rd_kafka_event_destroy(event);
  rd_kafka_queue_destroy(answers);
  rd_kafka_DeleteTopic_destroy(gone);
}

}  // namespace

int main(int argc, char** argv) {
  return bench::RunRaw(argc, argv, {.send = Send, .consume = Consume, .latency = Latency, .drop = Drop});
}
