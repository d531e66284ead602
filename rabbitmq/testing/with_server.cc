#include "rabbitmq/testing/with_server.h"

#include <rabbitmq-c/tcp_socket.h>

#include <atomic>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/message.h"

namespace messaging::rabbitmq_testing {
namespace {

amqp_bytes_t Bytes(std::string_view text) { return {text.size(), const_cast<char*>(text.data())}; }

}  // namespace

bool WaitUntil(const std::function<bool()>& condition) {
  const absl::Time limit = absl::Now() + kLimit;
  while (!condition()) {
    if (absl::Now() > limit) return false;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return true;
}

Other::Other(RabbitmqServer& server, const std::string& virtual_host)
    : connection_(amqp_new_connection(), amqp_destroy_connection) {
  amqp_socket_t* const socket = amqp_tcp_socket_new(connection_.get());
  EXPECT_EQ(amqp_socket_open(socket, "127.0.0.1", server.port()), AMQP_STATUS_OK);
  amqp_login(connection_.get(), virtual_host.c_str(), 0, 131'072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  amqp_channel_open(connection_.get(), 1);
  EXPECT_EQ(Told(), absl::OkStatus());
}

absl::Status Other::Told() {
  const amqp_rpc_reply_t reply = amqp_get_rpc_reply(connection_.get());
  if (reply.reply_type == AMQP_RESPONSE_NORMAL) return absl::OkStatus();
  if (reply.reply_type != AMQP_RESPONSE_SERVER_EXCEPTION || reply.reply.id != AMQP_CHANNEL_CLOSE_METHOD) {
    return absl::UnavailableError("not connected");
  }
  const auto& close = *static_cast<const amqp_channel_close_t*>(reply.reply.decoded);
  absl::Status why = absl::InternalError(absl::StrCat(
      close.reply_code, " ", std::string_view(static_cast<const char*>(close.reply_text.bytes), close.reply_text.len)));
  amqp_channel_close_ok_t ok = {};
  amqp_send_method(connection_.get(), 1, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
  amqp_channel_open(connection_.get(), 1);
  return why;
}

absl::Status Other::DeclareQueue(const rabbitmq::QueueSpec& spec) {
  rabbitmq::Arguments arguments(spec);
  amqp_queue_declare(connection_.get(), 1, Bytes(spec.name), 0, /*durable=*/1, 0, 0, arguments.table());
  return Told();
}

absl::Status Other::DeclareExchange(const std::string& name, const std::string& type) {
  amqp_exchange_declare(connection_.get(), 1, Bytes(name), Bytes(type), 0, /*durable=*/1, 0, 0, amqp_empty_table);
  return Told();
}

absl::Status Other::Bind(const std::string& queue, const std::string& exchange, const std::string& key) {
  amqp_queue_bind(connection_.get(), 1, Bytes(queue), Bytes(exchange), Bytes(key), amqp_empty_table);
  return Told();
}

absl::Status Other::DeleteQueue(const std::string& name) {
  amqp_queue_delete(connection_.get(), 1, Bytes(name), 0, 0);
  return Told();
}

absl::Status Other::Publish(const std::string& exchange, const std::string& key, std::string_view body,
                            amqp_basic_properties_t properties) {
  amqp_basic_publish(connection_.get(), 1, Bytes(exchange), Bytes(key), 0, 0, &properties, Bytes(body));
  // What the server answers after it, it answers when it has taken the message.
  amqp_basic_qos(connection_.get(), 1, 0, 1, 0);
  return Told();
}

int64_t Other::Ready(const std::string& queue) {
  const amqp_queue_declare_ok_t* const found =
      amqp_queue_declare(connection_.get(), 1, Bytes(queue), /*passive=*/1, 0, 0, 0, amqp_empty_table);
  const int64_t ready = found == nullptr ? -1 : found->message_count;
  (void)Told();
  return ready;
}

bool Other::Get(const std::string& queue, const std::function<void(const amqp_message_t&)>& look) {
  const amqp_rpc_reply_t reply = amqp_basic_get(connection_.get(), 1, Bytes(queue), /*no_ack=*/1);
  if (reply.reply_type != AMQP_RESPONSE_NORMAL || reply.reply.id != AMQP_BASIC_GET_OK_METHOD) return false;
  amqp_message_t message;
  if (amqp_read_message(connection_.get(), 1, &message, 0).reply_type != AMQP_RESPONSE_NORMAL) return false;
  look(message);
  amqp_destroy_message(&message);
  return true;
}

absl::StatusOr<std::unique_ptr<Broker>> Connect(const std::string& url, std::map<std::string, std::string> native,
                                                std::map<std::string, TopicOptions> topics) {
  return MakeRabbitmqBrokerFromUrl(
      {.url = url, .native = std::move(native), .topics = std::move(topics), .client_name = "test"});
}

OutgoingPtr NewMessage(std::string payload, std::string topic, absl::Duration deadline) {
  return std::make_shared<Outgoing>(
      Message{.topic = std::move(topic), .payload = std::move(payload), .id = "id", .timestamp = absl::Now()},
      absl::Now() + deadline, nullptr);
}

absl::Status Send(Broker& broker, std::string payload, std::string topic, absl::Duration deadline) {
  const OutgoingPtr message = NewMessage(std::move(payload), std::move(topic), deadline);
  broker.Publish(message);
  if (!message->WaitUntil(message->deadline())) message->CompleteAsOverdue();  // As the producer does.
  return message->result().status();
}

void SendMany(Broker& broker, int n, const std::string& topic) {
  std::vector<OutgoingPtr> messages;
  for (int i = 0; i < n; ++i) {
    messages.push_back(NewMessage(absl::StrCat(i), topic));
    broker.Publish(messages.back());
  }
  for (const OutgoingPtr& message : messages) {
    EXPECT_TRUE(message->WaitUntil(message->deadline()));
    EXPECT_EQ(message->result().status(), absl::OkStatus());
  }
}

Joined::Joined(Broker& broker, const std::vector<std::string>& topics, const std::string& member, Room room,
               const std::string& group) {
  sink.set_room(room);
  SubscribeOptions options = {.group = group, .member = member};
  for (const std::string& topic : topics) options.topics.push_back({.topic = topic, .handlers = {"h"}});
  auto made = broker.Subscribe(std::move(options), &sink);
  EXPECT_TRUE(made.ok());
  subscription = *made;
  started = subscription->Start();
}

Joined::~Joined() {
  subscription->StopFetching();  // Or what is given back comes again, and outlives it.
  for (Delivery& delivery : sink.TakeAll()) delivery = Delivery();
  EXPECT_EQ(subscription->Close(absl::Now() + kLimit), absl::OkStatus());
}

void Joined::Settle(Settlement::Verdict verdict) {
  Settlement settlement;
  settlement.delivery = sink.TakeFirst();
  settlement.verdict = verdict;
  Give(std::move(settlement));
}

void Joined::Give(Settlement settlement) {
  std::vector<Settlement> batch;
  batch.push_back(std::move(settlement));
  subscription->Settle(std::move(batch));
  EXPECT_TRUE(sink.WaitForAnswers(1, kLimit));
  EXPECT_EQ(sink.TakeAnswers()[0].status, absl::OkStatus());
}

std::set<std::string> Joined::SettleAll(Settlement::Verdict verdict) {
  std::set<std::string> payloads;
  std::vector<Settlement> batch;
  for (Delivery& delivery : sink.TakeAll()) {
    payloads.emplace(delivery.record()->payload);
    batch.emplace_back();
    batch.back().delivery = std::move(delivery);
    batch.back().verdict = verdict;
  }
  if (batch.empty()) return payloads;
  const size_t count = batch.size();
  subscription->Settle(std::move(batch));
  EXPECT_TRUE(sink.WaitForAnswers(count, kLimit));
  for (const Settlement& answer : sink.TakeAnswers()) {
    EXPECT_TRUE(answer.status.ok() || absl::IsCancelled(answer.status)) << answer.status;  // With its connection.
  }
  return payloads;
}

std::set<std::string> Joined::AcknowledgeAll(size_t n) {
  std::set<std::string> seen;
  (void)WaitUntil([&] {
    seen.merge(SettleAll(Settlement::Verdict::kAck));
    subscription->Wake();
    return seen.size() >= n && sink.payloads().empty();
  });
  return seen;
}

RabbitmqServer& WithServer::server() {
  static RabbitmqServer* const server = [] {  // Ends with the process.
    auto* const made =
        new RabbitmqServer({.management = true, .tls = true, .tls_auth_clients = true, .tls_log_in = true});
    EXPECT_EQ(made->Start(), absl::OkStatus());
    return made;
  }();
  return *server;
}

RabbitmqManagement& WithServer::management() {
  static auto* const management = new RabbitmqManagement(server().management_port());
  return *management;
}

WithServer::WithServer()
    : virtual_host_([] {
        static std::atomic<int> count{0};
        return absl::StrCat("v", ++count);
      }()) {
  EXPECT_EQ(management().Put("vhosts/" + virtual_host_), absl::OkStatus());
  EXPECT_EQ(management().Permit(virtual_host_, "guest", ".*", ".*", ".*"), absl::OkStatus());
}

WithServer::~WithServer() { EXPECT_EQ(management().Delete("vhosts/" + virtual_host_), absl::OkStatus()); }

std::unique_ptr<Broker> WithServer::NewBroker(std::map<std::string, std::string> native,
                                              std::map<std::string, TopicOptions> topics) const {
  auto broker = Connect(url(), std::move(native), std::move(topics));
  EXPECT_TRUE(broker.ok()) << broker.status();
  return *std::move(broker);
}

}  // namespace messaging::rabbitmq_testing
