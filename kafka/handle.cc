#include "kafka/handle.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "messaging/broker/url.h"
#include "messaging/log.h"

namespace messaging::kafka {
namespace {

constexpr absl::Duration kAskAgain = absl::Milliseconds(10);

// Beneath what the user sets. Latency before batches; a broker that is away is asked again within a second.
const std::map<std::string, std::string>& Defaults(rd_kafka_type_t type) {
  static const auto* const both = new std::map<std::string, std::string>{
      {"reconnect.backoff.max.ms", "1000"},
      {"topic.metadata.refresh.interval.ms", "60000"},
      {"log.connection.close", "false"},
      {"socket.nagle.disable", "true"},
      // As the server's own default: what it would refuse is refused before it is sent.
      {"message.max.bytes", "1048576"},
  };
  static const auto* const producer = new std::map<std::string, std::string>([] {
    std::map<std::string, std::string> all = *both;
    all["enable.idempotence"] = "true";
    all["linger.ms"] = "0";
    all["partitioner"] = "murmur2_random";  // As the Java client.
    all["queue.buffering.max.messages"] = "1000000";
    all["topic.metadata.propagation.max.ms"] = "5000";
    return all;
  }());
  static const auto* const consumer = new std::map<std::string, std::string>([] {
    std::map<std::string, std::string> all = *both;
    all["partition.assignment.strategy"] = "cooperative-sticky";
    // So long it takes to notice that a topic was made anew, or has more partitions.
    all["topic.metadata.refresh.interval.ms"] = "5000";
    // A member that was killed keeps its partitions, and who takes its place, waiting for so long: less than
    // start_timeout.
    all["session.timeout.ms"] = "10000";
    all["queued.max.messages.kbytes"] = "8192";  // Of each queue: what is read ahead.
    all["fetch.queue.backoff.ms"] = "5";
    // One request a broker is on its way at a time: what is due in a partition that joins, or goes on, waits for it.
    all["fetch.wait.max.ms"] = "100";
    all["fetch.error.backoff.ms"] = "100";
    return all;
  }());
  return type == RD_KAFKA_PRODUCER ? *producer : *consumer;
}

void OnLog(const rd_kafka_t*, int level, const char* facility, const char* text) {
  // What cannot be reached it says of each broker and each try: Connectivity says it once.
  for (const std::string_view often :
       {"FAIL", "ERROR", "TERMINATE", "REQTMOUT", "CONFWARN", "GETPID", "METADATAUPDATE"}) {
    if (often == facility) return;
  }
  const Severity severity = level <= 3 ? Severity::kError : level == 4 ? Severity::kWarning : Severity::kInfo;
  Log(severity, absl::StrCat("kafka: ", facility, ": ", text));
}

struct Configuration {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  absl::Status status;
  ~Configuration() {
    if (conf != nullptr) rd_kafka_conf_destroy(conf);
  }
  void Set(const std::string& name, const std::string& value) {
    char why[512];
    if (!status.ok() || rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why, sizeof(why)) == RD_KAFKA_CONF_OK) {
      return;
    }
    status = absl::InvalidArgumentError(
        absl::StrCat("kafka: ", name, ": ", IsSecretName(name) ? "librdkafka does not take its value" : why));
  }
};

// With TLS 1.3 a server looks at a client's certificate, or misses it, when the client has long begun to talk: to
// librdkafka a lost connection, of which it tells what OpenSSL says of the server's alert.
bool IsAboutOurCertificate(std::string_view reason) {
  if (!absl::StrContains(reason, "SSL routines") || !absl::StrContains(reason, " alert ")) return false;
  for (const std::string_view what : {"certificate", "unknown ca", "access denied"}) {
    if (absl::StrContains(reason, what)) return true;
  }
  return false;
}

// Of the other kind of client only.
bool Concerns(rd_kafka_type_t type, const std::string& name) {
  static const std::string_view producers[] = {"linger.ms",
                                               "acks",
                                               "partitioner",
                                               "enable.idempotence",
                                               "retries",
                                               "enable.gapless.guarantee",
                                               "sticky.partitioning.linger.ms"};
  static const std::string_view starts[] = {"queue.buffering.", "batch.",    "compression.",
                                            "message.timeout",  "delivery.", "request.required"};
  if (type == RD_KAFKA_PRODUCER) return true;
  for (const std::string_view one : producers) {
    if (one == name) return false;
  }
  for (const std::string_view start : starts) {
    if (absl::StartsWith(name, start)) return false;
  }
  return true;
}

}  // namespace

absl::StatusOr<Handle> MakeHandle(rd_kafka_type_t type, const KafkaOptions& options,
                                  const std::map<std::string, std::string>& own, int events) {
  Configuration configuration;
  configuration.Set("bootstrap.servers", options.servers);
  if (!options.client_name.empty()) configuration.Set("client.id", options.client_name);
  for (const auto& [name, value] : Defaults(type)) configuration.Set(name, value);
  for (const auto& [name, value] : options.properties) {
    if (Concerns(type, name)) configuration.Set(name, value);
  }
  for (const auto& [name, value] : own) configuration.Set(name, value);
  if (!configuration.status.ok()) return configuration.status;
  rd_kafka_conf_set_log_cb(configuration.conf, OnLog);
  rd_kafka_conf_set_events(configuration.conf, events);
  char why[512];
  rd_kafka_t* const handle = rd_kafka_new(type, configuration.conf, why, sizeof(why));
  if (handle == nullptr) return absl::InvalidArgumentError(absl::StrCat("kafka: ", why));
  configuration.conf = nullptr;
  return Handle(handle);
}

absl::Status StatusOf(rd_kafka_resp_err_t error, const KafkaOptions& options, const std::string& what,
                      const char* detail) {
  const std::string text = absl::StrCat(options.Address(), ": ", what, what.empty() ? "" : ": ",
                                        detail != nullptr ? detail : rd_kafka_err2str(error));
  switch (error) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
      return absl::OkStatus();
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return absl::PermissionDeniedError(text);
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR__SSL:
      return absl::UnauthenticatedError(text);
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
      return absl::InvalidArgumentError(text);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      return absl::NotFoundError(text);
    case RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS:
      return absl::AlreadyExistsError(text);
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
      return absl::ResourceExhaustedError(text);
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL:
      return absl::FailedPreconditionError(text);
    default:
      return absl::UnavailableError(text);
  }
}

void Connectivity::Tell(Observer::Connection state, const std::string& what) {
  if (options_.observer != nullptr) options_.observer->OnConnection("kafka", state, what);
}

void Connectivity::OnError(rd_kafka_resp_err_t error, const char* reason) {
  if (error == RD_KAFKA_RESP_ERR__TRANSPORT && IsAboutOurCertificate(reason)) error = RD_KAFKA_RESP_ERR__SSL;
  if (error == RD_KAFKA_RESP_ERR__AUTHENTICATION || error == RD_KAFKA_RESP_ERR__SSL) {
    const absl::Status why = StatusOf(error, options_, "", reason);
    if (denied_.ok()) Log(Severity::kError, std::string(why.message()));
    denied_ = why;
    return;
  }
  if (error != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || std::exchange(lost_, true)) return;
  const std::string what = absl::StrCat(options_.Address(), ": no broker answers; trying again: ", reason);
  Log(Severity::kWarning, what);
  Tell(connected_ ? Observer::Connection::kLost : Observer::Connection::kReconnecting, what);
}

void Connectivity::OnProgress() {
  denied_ = absl::OkStatus();
  const bool first = !std::exchange(connected_, true);
  if (!std::exchange(lost_, false) && !first) return;
  const std::string what = absl::StrCat(options_.Address(), first ? ": connected" : ": connected again");
  if (!first) Log(Severity::kInfo, what);
  Tell(Observer::Connection::kConnected, what);
}

absl::StatusOr<Metadata> AskMetadata(rd_kafka_t* handle, const KafkaOptions& options, const std::string* topic,
                                     absl::Duration limit) {
  const rd_kafka_metadata_t* metadata = nullptr;
  rd_kafka_topic_t* one = topic == nullptr ? nullptr : rd_kafka_topic_new(handle, topic->c_str(), nullptr);
  const rd_kafka_resp_err_t error = rd_kafka_metadata(handle, topic == nullptr ? 1 : 0, one, &metadata,
                                                      static_cast<int>(absl::ToInt64Milliseconds(limit)));
  if (one != nullptr) rd_kafka_topic_destroy(one);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return StatusOf(error, options, "no answer");
  return Metadata(metadata);
}

absl::StatusOr<Event> AskAdmin(rd_kafka_t* handle, const KafkaOptions& options, rd_kafka_admin_op_t kind,
                               absl::Duration limit,
                               const std::function<void(rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>& ask) {
  const auto milliseconds = static_cast<int>(absl::ToInt64Milliseconds(limit));
  const std::unique_ptr<rd_kafka_AdminOptions_t, Destroyer<rd_kafka_AdminOptions_destroy>> request(
      rd_kafka_AdminOptions_new(handle, kind));
  char why[256];
  rd_kafka_AdminOptions_set_request_timeout(request.get(), milliseconds, why, sizeof(why));
  const Queue answers(rd_kafka_queue_new(handle));
  ask(request.get(), answers.get());
  Event event(rd_kafka_queue_poll(answers.get(), milliseconds + 1'000));
  if (event == nullptr) return absl::UnavailableError(absl::StrCat(options.Address(), ": no answer"));
  const rd_kafka_resp_err_t error = rd_kafka_event_error(event.get());
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return StatusOf(error, options, "", rd_kafka_event_error_string(event.get()));
  }
  return event;
}

bool IsUsable(const rd_kafka_metadata_topic_t& topic) {
  return topic.err == RD_KAFKA_RESP_ERR_NO_ERROR && topic.partition_cnt > 0 &&
         std::all_of(topic.partitions, topic.partitions + topic.partition_cnt,
                     [](const rd_kafka_metadata_partition_t& partition) { return partition.leader >= 0; });
}

// Metadata tells of a leader before it is one.
bool LeadersAnswer(rd_kafka_t* handle, const rd_kafka_metadata_topic_t& topic) {
  return std::all_of(topic.partitions, topic.partitions + topic.partition_cnt,
                     [&](const rd_kafka_metadata_partition_t& partition) {
                       int64_t low = 0;
                       int64_t high = 0;
                       return rd_kafka_query_watermark_offsets(handle, topic.topic, partition.id, &low, &high, 1'000) ==
                              RD_KAFKA_RESP_ERR_NO_ERROR;
                     });
}

bool AwaitTopics(rd_kafka_t* handle, const KafkaOptions& options, const std::vector<NewTopic>& topics,
                 absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  for (const NewTopic& topic : topics) {
    while (true) {
      const absl::StatusOr<Metadata> metadata = AskMetadata(handle, options, &topic.name, limit);
      if (metadata.ok() && (*metadata)->topic_cnt == 1 && IsUsable((*metadata)->topics[0]) &&
          LeadersAnswer(handle, (*metadata)->topics[0])) {
        break;
      }
      if (absl::Now() > end) return false;
      absl::SleepFor(kAskAgain);
    }
  }
  return true;
}

NewTopic DescribeTopic(const KafkaOptions& options, const std::string& topic) {
  NewTopic made{.name = topic};
  const auto found = options.topics.find(topic);
  if (found == options.topics.end()) return made;
  if (found->second.partitions > 0) made.partitions = found->second.partitions;
  if (found->second.replicas > 0) made.replicas = found->second.replicas;
  made.settings = found->second.settings;
  return made;
}

absl::Status CreateTopics(rd_kafka_t* handle, const KafkaOptions& options, const std::vector<NewTopic>& topics,
                          absl::Duration limit) {
  if (topics.empty()) return absl::OkStatus();
  std::vector<rd_kafka_NewTopic_t*> made;
  char why[256];
  absl::Status status;
  for (const NewTopic& topic : topics) {
    rd_kafka_NewTopic_t* const one =
        rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions, topic.replicas, why, sizeof(why));
    if (one == nullptr) {
      status.Update(absl::InvalidArgumentError(absl::StrCat("kafka: topic ", topic.name, ": ", why)));
      continue;
    }
    for (const auto& [name, value] : topic.settings) rd_kafka_NewTopic_set_config(one, name.c_str(), value.c_str());
    made.push_back(one);
  }
  if (status.ok()) {
    absl::StatusOr<Event> event = AskAdmin(handle, options, RD_KAFKA_ADMIN_OP_CREATETOPICS, limit,
                                           [&](rd_kafka_AdminOptions_t* request, rd_kafka_queue_t* answers) {
                                             rd_kafka_CreateTopics(handle, made.data(), made.size(), request, answers);
                                           });
    status = event.status();
    size_t count = 0;
    const rd_kafka_topic_result_t** const results =
        event.ok() ? rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event->get()), &count)
                   : nullptr;
    for (size_t i = 0; i < count; ++i) {
      const rd_kafka_resp_err_t error = rd_kafka_topic_result_error(results[i]);
      if (error == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) continue;
      status.Update(StatusOf(error, options, absl::StrCat("making topic ", rd_kafka_topic_result_name(results[i])),
                             rd_kafka_topic_result_error_string(results[i])));
    }
  }
  rd_kafka_NewTopic_destroy_array(made.data(), made.size());
  return status;
}

}  // namespace messaging::kafka
