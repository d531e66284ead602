#include "messaging/messaging.h"

#include <atomic>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/base/const_init.h"
#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "messaging/log.h"

namespace messaging {
namespace {

constexpr absl::Duration kFlushAtExit = absl::Seconds(1);

ABSL_CONST_INIT absl::Mutex mutex(absl::kConstInit);
Client* client ABSL_GUARDED_BY(mutex) = nullptr;

// Why there is no client, and what refuses sends with that. Never destroyed: somebody may hold the producer. There is
// one for each failed Configure and each Shutdown.
struct Failure {
  absl::Status why;
  Producer refusing;
  const Failure* earlier;  // Keeps them all in reach, so that nobody takes them for leaks.
};
const Failure* failures ABSL_GUARDED_BY(mutex) = nullptr;
bool failed ABSL_GUARDED_BY(mutex) = false;      // The last of them is what counts now.
bool configured ABSL_GUARDED_BY(mutex) = false;  // By the program, not by the environment: it may try again.
// What GetProducer returns, where that is decided: it is called for each send.
std::atomic<Producer*> producer{nullptr};

void SetFailure(const absl::Status& why) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
  auto* failure = new Failure{why, Producer(why), failures};
  failures = failure;
  failed = true;
  producer.store(&failure->refusing, std::memory_order_release);
}

// A program that ends without Shutdown has still sent what it sent.
void FlushAtExit() {
  absl::MutexLock lock(&mutex);
  if (client == nullptr || client->producer().pending() == 0) return;
  if (const absl::Status status = client->Flush(kFlushAtExit); !status.ok()) {
    Log(Severity::kWarning, absl::StrCat("at exit, without messaging::Shutdown: ", status.message()));
  }
}

absl::Status Create(ClientOptions options) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
  absl::StatusOr<std::unique_ptr<Client>> created = Client::Create(std::move(options));
  if (!created.ok()) {
    SetFailure(created.status());
    return created.status();
  }
  static const bool flushed_at_exit = std::atexit(&FlushAtExit) == 0;
  (void)flushed_at_exit;
  client = created->release();
  failed = false;
  producer.store(&client->producer(), std::memory_order_release);
  return absl::OkStatus();
}

}  // namespace

absl::Status Configure(ClientOptions options) {
  absl::MutexLock lock(&mutex);
  if (client != nullptr || (failed && !configured)) {
    return absl::FailedPreconditionError(
        "Configure: the default client is in use already; call it once, before anything is sent or handled");
  }
  configured = true;
  return Create(std::move(options));
}

absl::StatusOr<Client*> DefaultClient() {
  absl::MutexLock lock(&mutex);
  if (client != nullptr) return client;
  if (failed) return failures->why;
  if (absl::Status status = Create({}); !status.ok()) return status;
  return client;
}

Producer& GetProducer() {
  if (Producer* known = producer.load(std::memory_order_acquire)) return *known;
  (void)DefaultClient();
  return *producer.load(std::memory_order_acquire);
}

void Shutdown() {
  Client* ending;
  {
    absl::MutexLock lock(&mutex);
    ending = client;
  }
  if (ending == nullptr) return;
  // Handlers that finish meanwhile still send through it.
  if (const absl::Status status = ending->Stop(); !status.ok()) {
    Log(Severity::kWarning, absl::StrCat("messaging::Shutdown: ", status.message()));
  }
  {
    absl::MutexLock lock(&mutex);
    if (client != ending) return;  // Another thread's Shutdown.
    client = nullptr;
    configured = true;  // It may be configured again.
    SetFailure(absl::FailedPreconditionError("not sent: messaging::Shutdown was called"));
  }
  delete ending;
}

}  // namespace messaging
