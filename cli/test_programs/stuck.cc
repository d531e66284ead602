// A handler that does not return, and says when it began; in a program with a main of its own.
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "absl/status/status.h"
#include "cli/main.h"
#include "messaging/messaging.h"

namespace {

absl::Status Stick(const std::string_view&) {
  std::puts("began");
  std::fflush(stdout);
  while (true) pause();
}
MESSAGE_HANDLER(Stick, {.topics = {"stuck"}});

}  // namespace

int main(int argc, char** argv) { return messaging::cli::Main(argc, argv); }
