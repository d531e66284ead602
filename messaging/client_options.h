// How a client is configured.
#ifndef MESSAGING_CLIENT_OPTIONS_H_
#define MESSAGING_CLIENT_OPTIONS_H_

#include <map>
#include <string>

#include "messaging/observer.h"
#include "messaging/producer.h"
#include "messaging/topic_options.h"
#include "messaging/tracer.h"

namespace messaging {

// Each value that is empty comes from the environment:
//   broker  MESSAGING_BROKER; else the one whose URL is given; else the only one that is linked
//   url     MESSAGING_URL; else the variable of the broker (KAFKA_BOOTSTRAP_SERVERS, RABBITMQ_URL, REDIS_URL), which
//           also chooses that broker when several are linked; else the broker's default, where it has one
//   group   MESSAGING_GROUP; else the program's file name
// A broker or URL given here is never combined with variables that are for another broker.
struct ClientOptions {
  std::string name;               // Handlers name it in their options; empty: the default client.
  std::string broker;             // "sqlite", "redis", ...; empty: by the URL's scheme, or the only one linked.
  std::string url;                // "sqlite:///path/file.db", see messaging/broker/url.h.
  std::string bootstrap_servers;  // Kafka's way to say it: "host1:9092,host2:9092"; not both.
  std::string group;  // Consumer group of handlers that name none; empty: MESSAGING_GROUP, or the program's name.
  std::map<std::string, std::string> native;   // Settings of the broker's own library or file, by its own names.
  std::map<std::string, TopicOptions> topics;  // By topic; for those that are to differ from the default.
  ProducerOptions producer;
  Observer* observer = nullptr;  // Not owned; outlives the client. Null: none.
  Tracer* tracer = nullptr;      // Likewise.
};

}  // namespace messaging

#endif  // MESSAGING_CLIENT_OPTIONS_H_
