// One question to a server that starts: is that what it answers?
#ifndef TESTS_SERVERS_SOCKET_H_
#define TESTS_SERVERS_SOCKET_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace messaging::servers {

// Connects to a port of 127.0.0.1, sends, and gives the first `size` bytes of the answer. Unavailable: no connection,
// or it was closed, or silent for two seconds.
absl::StatusOr<std::string> Ask(int port, std::string_view question, size_t size);
// The same by a Unix socket.
absl::StatusOr<std::string> AskUnix(const std::string& path, std::string_view question, size_t size);

}  // namespace messaging::servers

#endif  // TESTS_SERVERS_SOCKET_H_
