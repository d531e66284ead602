#include "tests/servers/socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace messaging::servers {
namespace {

absl::StatusOr<std::string> AskAt(const sockaddr* address, socklen_t length, std::string_view question, size_t size) {
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit = {.tv_sec = 2, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  std::string answer(size, '\0');
  const bool asked = connect(fd, address, length) == 0 &&
                     send(fd, question.data(), question.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(question.size());
  const ssize_t n = asked ? recv(fd, answer.data(), size, MSG_WAITALL) : -1;
  const int error = errno;
  close(fd);
  if (n == static_cast<ssize_t>(size)) return answer;
  return absl::UnavailableError(n < 0 ? strerror(error) : "closed");
}

}  // namespace

absl::StatusOr<std::string> Ask(int port, std::string_view question, size_t size) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return AskAt(reinterpret_cast<sockaddr*>(&address), sizeof(address), question, size);
}

absl::StatusOr<std::string> AskUnix(const std::string& path, std::string_view question, size_t size) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  return AskAt(reinterpret_cast<sockaddr*>(&address), sizeof(address), question, size);
}

}  // namespace messaging::servers
