// Implementation of provide.h's templates: how factories become Providers.
#ifndef MESSAGING_INTERNAL_PROVIDE_IMPL_H_
#define MESSAGING_INTERNAL_PROVIDE_IMPL_H_

#include <concepts>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <typeindex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/provide.h"

namespace messaging {
namespace internal {

// The type's name as its author writes it, as far as the compiler tells.
std::string TypeName(std::type_index type);

// Callables whose parameters can be read off: neither overloaded nor generic.
template <typename Function>
concept HasOneSignature = requires(Function function) {
  std::function{function};
};
template <HasOneSignature Function>
using SignatureOf = decltype(std::function{std::declval<Function>()});

// What a factory returns, seen through StatusOr.
template <typename R>
struct Made {
  using type = R;
};
template <typename R>
struct Made<absl::StatusOr<R>> {
  using type = R;
};

template <typename T, typename R>
concept MadeFor = std::same_as<R, T> || std::convertible_to<R, std::shared_ptr<T>>;

template <typename T, typename R>
std::shared_ptr<T> Own(R&& made) {
  if constexpr (std::same_as<std::remove_cvref_t<R>, T>) {
    return std::make_shared<T>(std::forward<R>(made));
  } else {
    return std::forward<R>(made);
  }
}

template <typename T>
bool Resolve(Scope& scope, T*& object, absl::Status& status) {
  absl::StatusOr<T*> found = scope.Get<T>();
  if (!found.ok()) status = found.status();
  if (found.ok()) object = *found;
  return found.ok();
}

// Fills what depends on the factory's signature.
template <typename T, typename Factory, typename R, typename... Needs>
void SetFactory(Provider& provider, Factory factory, std::type_identity<std::function<R(Needs...)>>) {
  constexpr bool kMakes = MadeFor<T, typename Made<R>::type>;
  constexpr bool kTakesReferences = (std::is_lvalue_reference_v<Needs> && ...);
  static_assert(kMakes, "messaging: the factory of a provided T returns T, std::unique_ptr<T> or a StatusOr of either");
  static_assert(kTakesReferences,
                "messaging: a factory takes other provided objects by reference, as in 'Database& db'");
  if constexpr (kMakes && kTakesReferences) {
    provider.needs = {TypeId::Of<std::remove_cvref_t<Needs>>()...};
    provider.make = [factory = std::move(factory)](Scope& scope) mutable -> absl::StatusOr<std::shared_ptr<void>> {
      std::tuple<std::remove_cvref_t<Needs>*...> needs;
      absl::Status status;
      auto resolve = [&](auto*&... need) { return (Resolve(scope, need, status) && ...); };
      if (!std::apply(resolve, needs)) return status;
      auto call = [&](auto*... need) -> R { return factory(*need...); };
      if constexpr (std::same_as<R, T>) {
        return std::shared_ptr<T>(new T(std::apply(call, needs)));  // T need not be movable.
      } else if constexpr (std::same_as<R, typename Made<R>::type>) {
        return Own<T>(std::apply(call, needs));
      } else {
        R made = std::apply(call, needs);
        if (!made.ok()) return made.status();
        return Own<T>(*std::move(made));
      }
    };
  }
}

template <typename T>
void SetCommit(Provider& provider) {
  if constexpr (requires(T & object) { object.Commit(); }) {
    using R = decltype(std::declval<T&>().Commit());
    static_assert(std::same_as<R, absl::Status> || std::is_void_v<R>,
                  "messaging: Commit() of an object provided per message returns absl::Status or void");
    provider.commit = [](void* object) {
      if constexpr (std::same_as<R, absl::Status>) {
        return static_cast<T*>(object)->Commit();
      } else {
        static_cast<T*>(object)->Commit();
        return absl::OkStatus();
      }
    };
  }
  if constexpr (requires(T & object) { object.Rollback(); }) {
    provider.rollback = [](void* object) { (void)static_cast<T*>(object)->Rollback(); };
  }
  if constexpr (requires(T & object, const Received& received) { object.MarkHandled(received); }) {
    provider.mark = [](void* object, const Received& received) -> absl::StatusOr<bool> {
      return static_cast<T*>(object)->MarkHandled(received);
    };
  }
}

template <typename T, typename Factory>
Provider ProviderOf(Lifetime lifetime, Factory factory) {
  static_assert(std::same_as<T, std::remove_cvref_t<T>>,
                "messaging: provide the plain type, without const or reference");
  static_assert(HasOneSignature<Factory>,
                "messaging: a factory is a function or lambda, neither overloaded nor generic");
  Provider provider{.type = TypeId::Of<T>(), .lifetime = lifetime};
  if constexpr (HasOneSignature<Factory>) {
    SetFactory<T>(provider, std::move(factory), std::type_identity<SignatureOf<Factory>>());
  }
  if (lifetime == Lifetime::kMessage) SetCommit<T>(provider);
  return provider;
}

}  // namespace internal

template <typename T>
TypeId TypeId::Of() {
  return {typeid(T), internal::TypeName(typeid(T))};
}

template <typename T, typename Source>
void Providers::Provide(Source source) {
  if constexpr (std::convertible_to<Source, T*>) {
    Add({.type = TypeId::Of<T>(), .make = [object = static_cast<T*>(source)](Scope&) {
           return std::shared_ptr<void>(std::shared_ptr<void>(), object);  // Not owned.
         }});
  } else {
    Add(internal::ProviderOf<T>(Lifetime::kProcess, std::move(source)));
  }
}

template <typename T, typename Factory>
void Providers::ProvidePerLane(Factory factory) {
  Add(internal::ProviderOf<T>(Lifetime::kLane, std::move(factory)));
}

template <typename T, typename Factory>
void Providers::ProvidePerMessage(Factory factory) {
  Add(internal::ProviderOf<T>(Lifetime::kMessage, std::move(factory)));
}

}  // namespace messaging

#endif  // MESSAGING_INTERNAL_PROVIDE_IMPL_H_
