// Injection: what handlers take besides their message, found by type. One object for the process, one for each lane (a
// worker thread), or one for each message.
//
//   messaging::Provide<Gateway>(&gateway);
//   messaging::ProvidePerLane<Database>([] { return Database::Open("orders.db"); });
//   messaging::ProvidePerMessage<Transaction>([](Database& db) { return db.Begin(); });
//
// A factory returns a T, a std::unique_ptr<T>, or a StatusOr of either, and may take references to other injected
// types; it is called from several threads at once. A factory that fails makes the attempt fail with its status. A
// per-message object that has `Commit()` (returning absl::Status or void) is committed after the handler returned OK
// and before the acknowledgement; a failed commit is a failed attempt. Otherwise, and after a failed commit, its
// `Rollback()`, where it has one, is called. For a batch there is one per-message object a call: committed when at
// least one message of the batch is OK, rolled back when none is.
#ifndef MESSAGING_PROVIDE_H_
#define MESSAGING_PROVIDE_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <typeindex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace messaging {

class Received;
class Scope;

// How long an injected object lives: one for the process, for a worker thread, for a message.
enum class Lifetime { kProcess, kLane, kMessage };

// A type that can be injected, with a name for people.
struct TypeId {
  std::type_index index = typeid(void);
  std::string name;
  template <typename T>
  static TypeId Of();
};

// How one type is made; built by the templates below.
struct Provider {
  TypeId type;
  Lifetime lifetime = Lifetime::kProcess;
  std::vector<TypeId> needs;  // What the factory takes.
  std::function<absl::StatusOr<std::shared_ptr<void>>(Scope&)> make;
  std::function<absl::Status(void*)> commit;  // Null where the type has none.
  std::function<void(void*)> rollback;
  std::function<absl::StatusOr<bool>(void*, const Received&)> mark;  // Its MarkHandled.
};

// Every provided type of a client. Filled before consumption starts, read-only and thread-safe afterwards.
class Providers {
 public:
  // As the functions below, for this client alone.
  template <typename T, typename Source>
  void Provide(Source source);
  template <typename T, typename Factory>
  void ProvidePerLane(Factory factory);
  template <typename T, typename Factory>
  void ProvidePerMessage(Factory factory);

  // A type that is provided twice is an error that Check tells.
  void Add(Provider provider);
  const Provider* Find(std::type_index type) const;
  bool IsAmbiguous(std::type_index type) const;  // Provided more than once.
  // OK when `needs` and all that their factories need are provided, without a circle and without a longer-lived object
  // needing a shorter-lived one. Else FailedPrecondition, naming `who` (a handler), the type, and the cure; a line
  // each.
  absl::Status Check(const std::string& who, const std::vector<TypeId>& needs) const;

 private:
  std::vector<Provider> providers_;
  std::vector<std::type_index> ambiguous_;
};

// Those of the default client: what Provide and its kin add to. Usable before the client is configured.
Providers& DefaultProviders();

// For the process: an object that outlives consumption (a T*, not owned), or a factory, called when first needed.
template <typename T, typename Source>
void Provide(Source source) {
  DefaultProviders().Provide<T>(std::move(source));
}
template <typename T, typename Factory>
void ProvidePerLane(Factory factory) {
  DefaultProviders().ProvidePerLane<T>(std::move(factory));
}
template <typename T, typename Factory>
void ProvidePerMessage(Factory factory) {
  DefaultProviders().ProvidePerMessage<T>(std::move(factory));
}

// The objects of one lifetime, made when first asked for, destroyed in reverse order. A message's scope has its lane's
// for parent, that the process's. The process's is thread-safe; the others belong to one thread at a time.
class Scope {
 public:
  Scope(const Providers& providers, Lifetime lifetime, Scope* parent);
  ~Scope();  // Rolls back what was not finished.

  template <typename T>
  absl::StatusOr<T*> Get() {
    absl::StatusOr<void*> object = GetErased(typeid(T));
    if (!object.ok()) return object.status();
    return static_cast<T*>(*object);
  }
  absl::StatusOr<void*> GetErased(std::type_index type);
  // Keeps `object` until this scope is finished.
  void Keep(std::shared_ptr<void> object);

  // Has one of the objects made here note, to be committed with its other effects, that this message was handled.
  // False: it was before. For handlers that are idempotent (handler_options.h).
  absl::StatusOr<bool> MarkHandled(const Received& received);
  bool has_commits() const { return !objects_.empty() && AnyCommits(); }  // An object with a Commit was made.
  // Commits (in order of making; the first failure rolls back that object and the rest, and is returned) or rolls back,
  // and destroys all, in reverse order. What throws is a failure. The scope can be used again.
  absl::Status Finish(bool commit);

 private:
  struct Object {
    const Provider* provider;  // Null: kept, or the parent's.
    std::type_index type;
    std::shared_ptr<void> object;
  };
  absl::StatusOr<void*> GetOwn(const Provider& provider);
  bool AnyCommits() const;

  const Providers& providers_;
  const Lifetime lifetime_;
  Scope* const parent_;
  std::recursive_mutex mutex_;  // Locked in the process's scope; factories ask for more while it is held.
  std::vector<Object> objects_;
};

}  // namespace messaging

#include "messaging/internal/provide_impl.h"  // IWYU pragma: export. Definitions of the templates.

#endif  // MESSAGING_PROVIDE_H_
