// Which brokers are linked into this binary, by name and URL scheme. A broker's `register.cc` adds it before main.
#ifndef MESSAGING_BROKER_REGISTRY_H_
#define MESSAGING_BROKER_REGISTRY_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "messaging/broker/broker.h"
#include "messaging/observer.h"
#include "messaging/topic_options.h"

namespace messaging {

// What a factory gets: values that are already resolved (arguments, then environment).
struct BrokerOptions {
  std::string url;
  std::map<std::string, std::string> native;
  std::map<std::string, TopicOptions> topics;  // ClientOptions::topics.
  std::string client_name;                     // For the server's list of connections.
  Observer* observer = nullptr;                // May be null.
};

// What a broker says of itself when it is linked.
struct BrokerEntry {
  std::string name;                  // "sqlite"
  std::vector<std::string> schemes;  // "sqlite": which URLs it takes
  std::string target;                // "//sqlite": what to link for it
  std::string environment;           // The variable with its URL: "REDIS_URL". Empty: none.
  std::string default_url;           // Without any; empty: one is needed.
  std::function<absl::StatusOr<std::unique_ptr<Broker>>(const BrokerOptions&)> make;
};

// The brokers that are linked, by name.
class Registry {
 public:
  // AlreadyExists when the name or a scheme is taken.
  absl::Status Add(BrokerEntry entry);
  // By name, or by the URL's scheme, or the only one there is. NotFound: none linked, or not this one (lists those that
  // are and says that a target of that name, "@core_messaging//NAME", is to be added); InvalidArgument: name and URL
  // disagree, or two candidates and nothing that chooses.
  absl::StatusOr<BrokerEntry> Find(const std::string& name, const std::string& url) const;
  std::vector<BrokerEntry> entries() const;  // Sorted by name.

  static Registry& Global();

 private:
  mutable absl::Mutex mutex_;
  std::map<std::string, BrokerEntry> entries_ ABSL_GUARDED_BY(mutex_);
};

// For register.cc: static const bool registered = messaging::RegisterBroker({...}); a name twice ends the program with
// one line.
bool RegisterBroker(BrokerEntry entry);

}  // namespace messaging

#endif  // MESSAGING_BROKER_REGISTRY_H_
