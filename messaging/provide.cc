#include "messaging/provide.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <exception>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace messaging {
namespace internal {

std::string TypeName(std::type_index type) {
  int failed = 0;
  std::unique_ptr<char, void (*)(void*)> demangled(abi::__cxa_demangle(type.name(), nullptr, nullptr, &failed),
                                                   std::free);
  if (failed != 0) return type.name();
  std::string name = demangled.get();
  // Aliases whose full names nobody recognises.
  if (absl::StartsWith(name, "nlohmann::") && absl::StrContains(name, "basic_json<std::map")) return "nlohmann::json";
  return absl::StrReplaceAll(
      name, {{"(anonymous namespace)::", ""},
             {"std::__cxx11::", "std::"},
             {"std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string"},
             {"std::basic_string_view<char, std::char_traits<char> >", "std::string_view"}});
}

}  // namespace internal

namespace {

std::string_view Each(Lifetime lifetime) {
  switch (lifetime) {
    case Lifetime::kProcess:
      return "one for the process";
    case Lifetime::kLane:
      return "one for each lane";
    case Lifetime::kMessage:
      break;
  }
  return "one for each message";
}

// Walks from a handler through what factories take, and notes what cannot be made.
class Checker {
 public:
  explicit Checker(const Providers& providers) : providers_(providers) {}

  // `way`: how we came to need `type`, as text. `user`: the provider whose factory takes it; null: the handler.
  void Visit(const std::string& way, const TypeId& type, const Provider* user) {
    const Provider* provider = providers_.Find(type.index);
    const std::string takes = absl::StrCat(way, " takes ", type.name, "&");
    if (provider == nullptr) {
      errors_.push_back(
          absl::StrCat(takes, ", which nobody provided: call messaging::Provide<", type.name, ">(...) before Start"));
      return;
    }
    if (providers_.IsAmbiguous(type.index)) {
      errors_.push_back(
          absl::StrCat(takes, ", which was provided twice: keep one messaging::Provide<", type.name, ">"));
    }
    if (user != nullptr && user->lifetime < provider->lifetime) {
      errors_.push_back(absl::StrCat(takes, ": ", user->type.name, " is ", Each(user->lifetime), ", ", type.name, " ",
                                     Each(provider->lifetime), ", and so gone before it"));
    }
    if (std::find(path_.begin(), path_.end(), provider) != path_.end()) {
      errors_.push_back(absl::StrCat(takes, ", a circle: ", absl::StrJoin(path_, " -> ", Name), " -> ", type.name));
      return;
    }
    path_.push_back(provider);
    for (const TypeId& need : provider->needs) Visit(absl::StrCat(takes, ", whose factory"), need, provider);
    path_.pop_back();
  }
  const std::vector<std::string>& errors() const { return errors_; }

 private:
  static void Name(std::string* out, const Provider* provider) { out->append(provider->type.name); }

  const Providers& providers_;
  std::vector<const Provider*> path_;
  std::vector<std::string> errors_;
};

// What `call` says or throws.
template <typename Call>
absl::Status Guarded(std::string_view what, const TypeId& type, Call call) {
  try {
    absl::Status status = call();
    if (status.ok()) return status;
    return absl::Status(status.code(), absl::StrCat(what, " ", type.name, ": ", status.message()));
  } catch (const std::exception& exception) {
    return absl::UnknownError(absl::StrCat(what, " ", type.name, " threw: ", exception.what()));
  } catch (...) {
    return absl::UnknownError(absl::StrCat(what, " ", type.name, " threw something that is no std::exception"));
  }
}

}  // namespace

void Providers::Add(Provider provider) {
  if (Find(provider.type.index) != nullptr) {
    ambiguous_.push_back(provider.type.index);
  } else {
    providers_.push_back(std::move(provider));
  }
}

const Provider* Providers::Find(std::type_index type) const {
  for (const Provider& provider : providers_) {
    if (provider.type.index == type) return &provider;
  }
  return nullptr;
}

bool Providers::IsAmbiguous(std::type_index type) const {
  return std::find(ambiguous_.begin(), ambiguous_.end(), type) != ambiguous_.end();
}

absl::Status Providers::Check(const std::string& who, const std::vector<TypeId>& needs) const {
  Checker checker(*this);
  for (const TypeId& need : needs) checker.Visit(absl::StrCat("handler ", who), need, nullptr);
  if (checker.errors().empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrJoin(checker.errors(), "\n"));
}

Providers& DefaultProviders() {
  static Providers& providers = *new Providers;  // Never destroyed: threads may outlive main's statics.
  return providers;
}

Scope::Scope(const Providers& providers, Lifetime lifetime, Scope* parent)
    : providers_(providers), lifetime_(lifetime), parent_(parent) {}

Scope::~Scope() { (void)Finish(/*commit=*/false); }

absl::StatusOr<void*> Scope::GetErased(std::type_index type) {
  std::unique_lock<std::recursive_mutex> lock(mutex_, std::defer_lock);
  if (lifetime_ == Lifetime::kProcess) lock.lock();
  for (const Object& object : objects_) {
    if (object.type == type) return object.object.get();
  }
  const Provider* provider = providers_.Find(type);
  if (provider == nullptr || provider->lifetime > lifetime_) {
    return absl::FailedPreconditionError(absl::StrCat("nobody provided ", internal::TypeName(type), " here"));
  }
  if (provider->lifetime == lifetime_ || parent_ == nullptr) return GetOwn(*provider);
  absl::StatusOr<void*> inherited = parent_->GetErased(type);
  // A lane remembers the process's objects, so that its calls need not lock.
  if (inherited.ok() && lifetime_ == Lifetime::kLane) {
    objects_.push_back({nullptr, type, std::shared_ptr<void>(std::shared_ptr<void>(), *inherited)});
  }
  return inherited;
}

absl::StatusOr<void*> Scope::GetOwn(const Provider& provider) {
  std::shared_ptr<void> object;
  absl::Status status = Guarded("making", provider.type, [&]() -> absl::Status {
    absl::StatusOr<std::shared_ptr<void>> made = provider.make(*this);
    if (!made.ok()) return made.status();
    object = *std::move(made);
    return object == nullptr ? absl::InternalError("there is none, a null pointer") : absl::OkStatus();
  });
  if (!status.ok()) return status;
  objects_.push_back({&provider, provider.type.index, object});
  return object.get();
}

void Scope::Keep(std::shared_ptr<void> object) { objects_.push_back({nullptr, typeid(void), std::move(object)}); }

absl::StatusOr<bool> Scope::MarkHandled(const Received& received) {
  for (const Object& object : objects_) {
    if (object.provider != nullptr && object.provider->mark) {
      return object.provider->mark(object.object.get(), received);
    }
  }
  return absl::FailedPreconditionError("no injected object can mark a message as handled");
}

bool Scope::AnyCommits() const {
  return std::any_of(objects_.begin(), objects_.end(), [](const Object& object) {
    return object.provider != nullptr && object.provider->commit != nullptr;
  });
}

absl::Status Scope::Finish(bool commit) {
  absl::Status result;
  size_t good = 0;  // Objects before this one are committed, where they can be.
  for (; commit && good < objects_.size(); ++good) {
    const Object& object = objects_[good];
    if (object.provider == nullptr || object.provider->commit == nullptr) continue;
    result = Guarded("committing", object.provider->type, [&] { return object.provider->commit(object.object.get()); });
    if (!result.ok()) break;
  }
  const bool failed = !commit || !result.ok();
  while (!objects_.empty()) {
    const Object& object = objects_.back();
    const Provider* provider = object.provider;
    const bool committed = objects_.size() <= good && provider != nullptr && provider->commit != nullptr;
    if (failed && !committed && provider != nullptr && provider->rollback != nullptr) {
      (void)Guarded("rolling back", provider->type, [&] {
        provider->rollback(object.object.get());
        return absl::OkStatus();
      });
    }
    objects_.pop_back();
  }
  return result;
}

}  // namespace messaging
