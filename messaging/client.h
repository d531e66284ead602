// A client: one broker's connection with its producer, its handlers and its consumer. Configure, GetProducer and
// Provide (sugar.h through messaging.h) are short for a default one; several brokers in a process are several clients.
#ifndef MESSAGING_CLIENT_H_
#define MESSAGING_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "messaging/client_options.h"
#include "messaging/handler.h"
#include "messaging/observer.h"
#include "messaging/producer.h"
#include "messaging/progress.h"
#include "messaging/provide.h"
#include "messaging/start_at.h"

namespace messaging {

class Broker;

// How Client::Start consumes.
struct ConsumerOptions {
  std::vector<std::string> topics;  // Handle only these; empty: all topics of the registered handlers.

  // What it promises.
  StartAt start_at = StartAt::kBeginning;            // For groups that this consumer creates.
  absl::Duration drain_timeout = absl::Seconds(30);  // What is in hand may take so long to finish when stopping.

  // How fast, and how much it holds.
  int concurrency = 8;          // Workers (threads) and thereby calls at once. Each has its per-lane injected objects.
  size_t max_messages = 2'000;  // In hand: received and not settled. Past either the broker is not read.
  size_t max_bytes = 64 << 20;
};

// Thread-safe, but for what has to be done before Start.
class Client {
 public:
  // InvalidArgument, NotFound (broker not linked: lists those that are and the target to add), ...: the text names the
  // cure. A server need not be reachable yet.
  static absl::StatusOr<std::unique_ptr<Client>> Create(ClientOptions options);
  ~Client();  // Stops, if started, and flushes.

  Producer& producer();
  Providers& providers();
  // Handlers besides those of MESSAGE_HANDLER that name this client.
  void AddHandler(Handler handler);

  // Checks every handler (names, types provided, topics), joins, and returns when messages can come.
  // FailedPrecondition: nothing to handle, a topic without handler (lists those there are), a type that nobody
  // provided, a name twice.
  absl::Status Start(ConsumerOptions options = {});
  // Blocks until Stop was called from elsewhere, or the consumer ended by itself: then why.
  absl::Status Wait();
  // Drains: takes no more, finishes what is in hand, settles, releases the rest, leaves. DeadlineExceeded naming the
  // handlers that did not return within drain_timeout. Any thread; not a handler. Then no handler is called any more.
  absl::Status Stop();
  // Resolves all sends.
  absl::Status Flush(absl::Duration limit) { return producer().Flush(limit); }

  // Tells `observer`, too, besides the one of the options. Before Start; kept until the client's end.
  void Observe(std::shared_ptr<Observer> observer);

  // What is paused is not begun: it waits in hand, in order, and counts for at most half the consumer's budget; then,
  // or when nobody else would handle it, its topic is not read. What runs goes on, and so do membership and the others:
  // a handler of the same topic until that half is used up; one with a group of its own for good. Lasts until Resume,
  // over reconnects and rebalances, not over a restart. Any thread. NotFound lists what there is; FailedPrecondition:
  // not started, or stopping. Resume of everything ends each pause.
  absl::Status Pause(const Part& part = {});
  absl::Status Resume(const Part& part = {});

  // The handlers that Start would take, before its choice of topics.
  std::vector<Handler> handlers() const;
  // What the consumer is doing; of a handler that is stuck in a call, for how long.
  Progress progress() const;
  // Messages received and not yet settled.
  size_t in_flight() const;
  // Messages of the consumer's groups that wait at the broker, without those in flight. Unimplemented where the broker
  // cannot tell; FailedPrecondition before Start.
  absl::StatusOr<int64_t> Backlog();
  // Stop was called, and what a handler answers with Cancelled is given back without an attempt counted.
  bool draining() const;
  Broker& broker();
  const std::string& group() const;
  const std::string& url() const;  // As it was resolved, with its password hidden.

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace messaging

#endif  // MESSAGING_CLIENT_H_
