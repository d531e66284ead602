#include "messaging/client.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "messaging/broker/broker.h"
#include "messaging/broker/registry.h"
#include "messaging/broker/url.h"
#include "messaging/dispatch/dispatcher.h"
#include "messaging/internal/environment.h"
#include "messaging/internal/observer_relay.h"
#include "messaging/log.h"

namespace messaging {
namespace {

// Handlers for the chosen topics, each with those of its topics only.
absl::StatusOr<std::vector<Handler>> ChooseTopics(std::vector<Handler> handlers,
                                                  const std::vector<std::string>& topics) {
  if (topics.empty()) return handlers;
  std::vector<std::string> known;
  for (const Handler& handler : handlers) {
    known.insert(known.end(), handler.options.topics.begin(), handler.options.topics.end());
  }
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  for (const std::string& topic : topics) {
    if (!std::binary_search(known.begin(), known.end(), topic)) {
      return absl::FailedPreconditionError(absl::StrCat("no handler for topic ", topic, "; there are handlers for ",
                                                        known.empty() ? "none" : absl::StrJoin(known, ", ")));
    }
  }
  std::vector<Handler> chosen;
  for (Handler& handler : handlers) {
    std::vector<std::string>& own = handler.options.topics;
    own.erase(std::remove_if(own.begin(), own.end(),
                             [&](const std::string& topic) {
                               return std::find(topics.begin(), topics.end(), topic) == topics.end();
                             }),
              own.end());
    if (!own.empty()) chosen.push_back(std::move(handler));
  }
  return chosen;
}

std::string WithoutSecrets(const std::string& url) {
  const absl::StatusOr<Url> parsed = Url::Parse(url);
  return parsed.ok() ? parsed->Redacted() : "";
}

}  // namespace

class Client::Impl {
 public:
  Impl(ClientOptions options, internal::ResolvedOptions resolved, std::unique_ptr<internal::ObserverRelay> relay,
       std::unique_ptr<Broker> broker)
      : options_(std::move(options)),
        group_(std::move(resolved.group)),
        url_(WithoutSecrets(resolved.broker.url)),
        relay_(std::move(relay)),
        broker_(std::move(broker)),
        producer_(std::make_unique<Producer>(broker_.get(), options_.producer, relay_->target(), options_.tracer)) {}

  ~Impl() {
    (void)Stop();
    producer_.reset();  // Flushes, while the broker is still there.
  }

  absl::Status Start(ConsumerOptions options);
  absl::Status Wait();
  absl::Status Stop();
  absl::Status SetPaused(const Part& part, bool paused) {
    Dispatcher* const dispatcher = this->dispatcher();
    if (dispatcher == nullptr) return absl::FailedPreconditionError("the consumer was not started");
    return dispatcher->SetPaused(part.handler, part.topic, paused);
  }

  std::vector<Handler> handlers() const {
    std::vector<Handler> all;
    for (Handler& handler : RegisteredHandlers()) {
      if (handler.options.client == options_.name) all.push_back(std::move(handler));
    }
    absl::MutexLock lock(&mutex_);
    all.insert(all.end(), added_.begin(), added_.end());
    return all;
  }
  void AddHandler(Handler handler) {
    absl::MutexLock lock(&mutex_);
    added_.push_back(std::move(handler));
  }
  void Observe(std::shared_ptr<Observer> observer) {
    absl::MutexLock lock(&mutex_);
    relay_->Add(observer.get());
    observers_.push_back(std::move(observer));
    producer_->set_observer(relay_->target());
  }
  Producer& producer() { return *producer_; }
  Providers& providers() { return options_.name.empty() ? DefaultProviders() : providers_; }
  Broker& broker() { return *broker_; }
  const std::string& group() const { return group_; }
  const std::string& url() const { return url_; }
  // A handler never returned: it may still use all of this.
  bool stuck() const { return stuck_; }
  // The consumer; null before Start.
  Dispatcher* dispatcher() const {
    absl::MutexLock lock(&mutex_);
    return dispatcher_.get();
  }

 private:
  const ClientOptions options_;
  const std::string group_;
  const std::string url_;
  Providers providers_;
  mutable absl::Mutex mutex_;
  const std::unique_ptr<internal::ObserverRelay> relay_;
  std::vector<std::shared_ptr<Observer>> observers_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Broker> broker_;
  std::unique_ptr<Producer> producer_;
  std::vector<Handler> added_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Dispatcher> dispatcher_;  // Set once, by Start.
  std::atomic<bool> stuck_{false};
};

absl::Status Client::Impl::Start(ConsumerOptions options) {
  if (options.max_messages == 0 || options.max_bytes == 0) {
    return absl::InvalidArgumentError("ConsumerOptions: with max_messages or max_bytes 0 nothing would ever be read");
  }
  absl::StatusOr<std::vector<Handler>> chosen = ChooseTopics(handlers(), options.topics);
  if (!chosen.ok()) return chosen.status();
  auto dispatcher = std::make_unique<Dispatcher>(*broker_, *producer_, providers(), *std::move(chosen),
                                                 DispatcherOptions{.group = group_,
                                                                   .drain_timeout = options.drain_timeout,
                                                                   .concurrency = std::max(1, options.concurrency),
                                                                   .max_messages = options.max_messages,
                                                                   .max_bytes = options.max_bytes,
                                                                   .start_at = options.start_at,
                                                                   .observer = relay_->target(),
                                                                   .tracer = options_.tracer});
  Dispatcher* started = dispatcher.get();
  {
    absl::MutexLock lock(&mutex_);
    if (dispatcher_ != nullptr) return absl::FailedPreconditionError("this client's consumer was started before");
    dispatcher_ = std::move(dispatcher);
  }
  absl::Status status = started->Start();
  if (!status.ok()) (void)started->Stop();
  return status;
}

absl::Status Client::Impl::Wait() {
  Dispatcher* const dispatcher = this->dispatcher();
  if (dispatcher == nullptr) return absl::FailedPreconditionError("the consumer was not started");
  return dispatcher->Wait();
}

absl::Status Client::Impl::Stop() {
  Dispatcher* const dispatcher = this->dispatcher();
  if (dispatcher == nullptr) return absl::OkStatus();
  absl::Status status = dispatcher->Stop();
  if (absl::IsDeadlineExceeded(status)) stuck_ = true;
  return status;
}

absl::StatusOr<std::unique_ptr<Client>> Client::Create(ClientOptions options) {
  absl::StatusOr<internal::ResolvedOptions> resolved = internal::ResolveOptions(options, Registry::Global());
  if (!resolved.ok()) return resolved.status();
  auto relay = std::make_unique<internal::ObserverRelay>();
  if (options.observer != nullptr) relay->Add(options.observer);
  resolved->broker.observer = relay.get();  // It may be told of connections at any time.
  absl::StatusOr<std::unique_ptr<Broker>> broker = resolved->entry.make(resolved->broker);
  if (!broker.ok()) return broker.status();
  auto impl = std::make_unique<Impl>(std::move(options), *std::move(resolved), std::move(relay), *std::move(broker));
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() {
  (void)impl_->Stop();
  if (!impl_->stuck()) return;
  (void)Flush(absl::Seconds(1));
  // Kept, in reach of leak checkers; the program is about to end anyway.
  ABSL_CONST_INIT static absl::Mutex mutex(absl::kConstInit);
  absl::MutexLock lock(&mutex);
  static auto* const kept = new std::vector<std::unique_ptr<Impl>>;
  kept->push_back(std::move(impl_));
}

Producer& Client::producer() { return impl_->producer(); }
Providers& Client::providers() { return impl_->providers(); }
void Client::AddHandler(Handler handler) { impl_->AddHandler(std::move(handler)); }
absl::Status Client::Start(ConsumerOptions options) { return impl_->Start(std::move(options)); }
absl::Status Client::Wait() { return impl_->Wait(); }
absl::Status Client::Stop() { return impl_->Stop(); }
absl::Status Client::Pause(const Part& part) { return impl_->SetPaused(part, true); }
absl::Status Client::Resume(const Part& part) { return impl_->SetPaused(part, false); }
std::vector<Handler> Client::handlers() const { return impl_->handlers(); }
void Client::Observe(std::shared_ptr<Observer> observer) { impl_->Observe(std::move(observer)); }
Progress Client::progress() const {
  Dispatcher* const dispatcher = impl_->dispatcher();
  return dispatcher == nullptr ? Progress() : dispatcher->progress();
}
size_t Client::in_flight() const {
  Dispatcher* const dispatcher = impl_->dispatcher();
  return dispatcher == nullptr ? 0 : dispatcher->in_flight();
}
absl::StatusOr<int64_t> Client::Backlog() {
  Dispatcher* const dispatcher = impl_->dispatcher();
  if (dispatcher == nullptr) return absl::FailedPreconditionError("the consumer was not started");
  return dispatcher->Backlog();
}
bool Client::draining() const {
  Dispatcher* const dispatcher = impl_->dispatcher();
  return dispatcher != nullptr && dispatcher->draining();
}
Broker& Client::broker() { return impl_->broker(); }
const std::string& Client::group() const { return impl_->group(); }
const std::string& Client::url() const { return impl_->url(); }

}  // namespace messaging
