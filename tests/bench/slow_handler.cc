#include <thread>

#include "messaging/messaging.h"

namespace {

absl::Status HandleSlowly(std::string_view) {
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return absl::OkStatus();
}
MESSAGE_HANDLER(HandleSlowly, {.topics = {"t"}});

}  // namespace
