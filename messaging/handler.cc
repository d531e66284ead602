#include "messaging/handler.h"

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"

namespace messaging {
namespace {

struct Registered {
  absl::Mutex mutex;
  std::vector<Handler> handlers ABSL_GUARDED_BY(mutex);
};

Registered& All() {
  static Registered& all = *new Registered;  // Handlers register before main; never destroyed.
  return all;
}

}  // namespace

namespace internal {

std::string FunctionName(std::string_view name) {
  const std::string_view plain = name.substr(0, name.find('<'));
  const size_t colons = plain.rfind("::");
  return std::string(colons == std::string_view::npos ? name : name.substr(colons + 2));
}

absl::Status Threw(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("decoding or validating threw: ", what));
}

absl::Status WrongOutcomes(size_t messages, size_t outcomes) {
  return absl::InternalError(
      absl::StrCat("the batch handler returned ", outcomes, " outcomes for ", messages, " messages"));
}

}  // namespace internal

void RegisterHandler(Handler handler) {
  absl::MutexLock lock(&All().mutex);
  All().handlers.push_back(std::move(handler));
}

std::vector<Handler> RegisteredHandlers() {
  absl::MutexLock lock(&All().mutex);
  return All().handlers;
}

}  // namespace messaging
