// The Redis broker: streams and consumer groups of one server (7.0 or newer), by hiredis.
//
//   redis://user:password@host:6379/0      rediss:// the same with TLS      redis+unix:///run/redis.sock
//
// Options, in the URL's query or among the native ones:
//   tls_ca=FILE                        PEM: the authority to trust instead of the system's
//   tls_certificate=FILE tls_key=FILE  PEM: what this client shows when the server asks
//   tls_server_name=NAME               whom the server's certificate has to name; else the URL's host
//   tls_verify=true                    false takes any certificate: for tests
//   partitions=0                       how many streams a topic has, each with one owner at a time: order per key
//   across
//                                      the group. Senders and consumers say the same. 0: one stream, shared
//   claim_idle=10s                     after how long without a sign of its member a message is given to another
//   retention=168h                     how long messages are kept; what some group has not handled stays. 0: for ever
//   max_length=0                       about how many messages a stream keeps, under the same condition. 0: any number
//   trim_unhandled=false               true: retention and max_length count for what no group has handled, too
//   wait_replicas=0                    a send is accepted when so many replicas have it, too (WAIT) ...
//   wait_timeout=1s                    ... within this time; else it is sent again until its deadline
//   connect_timeout=2s
//   response_timeout=10s
//   start_timeout=30s                  how long a consumer that starts waits for a server that does not answer
//
// How topics, groups, retries and dead letters lie on the server, so that other programs can read and write them, is
// told in docs/redis.md.
#ifndef REDIS_REDIS_BROKER_H_
#define REDIS_REDIS_BROKER_H_

#include <map>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/registry.h"
#include "messaging/observer.h"
#include "messaging/topic_options.h"

namespace messaging {

// What the URL and the native settings say.
struct RedisOptions {
  std::string host = "127.0.0.1";
  int port = 6379;
  std::string unix_socket;  // Instead of host and port.
  std::string user;
  std::string password;
  int database = 0;

  bool tls = false;
  std::string tls_ca, tls_certificate, tls_key, tls_server_name;
  bool tls_verify = true;

  absl::Duration connect_timeout = absl::Seconds(2);
  absl::Duration response_timeout = absl::Seconds(10);
  absl::Duration start_timeout = absl::Seconds(30);
  absl::Duration claim_idle = absl::Seconds(10);
  absl::Duration retention = absl::Hours(168);
  int64_t max_length = 0;
  bool trim_unhandled = false;
  int wait_replicas = 0;
  absl::Duration wait_timeout = absl::Seconds(1);

  std::map<std::string, TopicOptions> topics;
  int partitions = 0;
  std::string client_name;       // As CLIENT LIST shows it.
  Observer* observer = nullptr;  // May be null.

  // "redis 10.0.0.7:6379" or "redis /run/redis.sock": for messages; holds no secret.
  std::string Address() const;
  int PartitionsOf(const std::string& topic) const;
};

// InvalidArgument: what is wrong with a URL or an option.
absl::StatusOr<RedisOptions> ParseRedisOptions(const BrokerOptions& options);

// Connects when it is first used. InvalidArgument: the options; files of TLS that cannot be read.
absl::StatusOr<std::unique_ptr<Broker>> MakeRedisBroker(RedisOptions options);

// The same from a URL and native options, for register.cc.
absl::StatusOr<std::unique_ptr<Broker>> MakeRedisBrokerFromUrl(const BrokerOptions& options);

}  // namespace messaging

#endif  // REDIS_REDIS_BROKER_H_
