#include "tests/servers/server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace messaging::servers {
namespace {

constexpr absl::Duration kPoll = absl::Milliseconds(20);

// Each of its threads, which /proc lists.
bool HasStopped(pid_t process) {
  std::error_code error;
  for (const auto& thread : std::filesystem::directory_iterator(absl::StrCat("/proc/", process, "/task"), error)) {
    std::ifstream in(thread.path() / "stat");
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    const size_t name_end = text.rfind(')');
    if (name_end != std::string::npos && text.substr(name_end, 4).find_first_of("TtZX") == std::string::npos) {
      return false;
    }
  }
  return true;
}

bool CanBind(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  const bool free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  close(fd);
  return free;
}

// Holds the port's name among all processes of this network namespace, whatever folders they see.
bool Reserve(int port) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  const std::string name = absl::StrCat("core_messaging_test_port_", port);  // Abstract: after a NUL, in no folder.
  memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0) return true;  // Kept open until the process ends.
  close(fd);
  return false;
}

// Runs as a process of its own until the test has ended (its end of the pipe is closed), then ends what that started:
// also after a crash or SIGKILL. Only calls that are safe after a fork of a program with threads.
[[noreturn]] void Guard(int pipe_end, const char* folder) {
  setpgid(0, 0);  // Ctrl-C of the terminal is not for it.
  pid_t group = -1;
  pid_t next = -1;
  ssize_t n = 0;
  while ((n = read(pipe_end, &next, sizeof(next))) == sizeof(next) || (n < 0 && errno == EINTR)) {
    if (n > 0) group = next;
  }
  if (group > 0) kill(-group, SIGKILL);
  execl("/bin/rm", "rm", "-rf", folder, static_cast<char*>(nullptr));
  _exit(1);
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

}  // namespace

int FreePort() {
  // Below the range that the system gives to outgoing connections.
  static auto* const random = new std::mt19937(std::random_device{}());
  while (true) {
    const int port = std::uniform_int_distribution<int>(15'000, 32'000)(*random);
    if (CanBind(port) && Reserve(port)) return port;
  }
}

Server::Server(const std::string& name) {
  program_.name = name;
  // Not in TEST_TMPDIR: its path is too long for the Unix sockets that servers make in their folders.
  folder_ = absl::StrCat("/tmp/", name, ".XXXXXX");
  if (mkdtemp(folder_.data()) == nullptr) {
    perror(folder_.c_str());
    abort();
  }
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) abort();
  guardian_pipe_ = ends[1];
  guardian_ = fork();
  if (guardian_ == 0) {
    // Of other servers' guardians, too: an end held here would keep them waiting.
    for (int fd = 3; fd < 1024; ++fd) {
      if (fd != ends[0]) close(fd);
    }
    Guard(ends[0], folder_.c_str());
  }
  close(ends[0]);
}

Server::~Server() {
  Kill();
  close(guardian_pipe_);
  while (waitpid(guardian_, nullptr, 0) < 0 && errno == EINTR) continue;
}

std::string Server::WriteFile(const std::string& name, const std::string& text) const {
  const std::string path = absl::StrCat(folder_, "/", name);
  std::ofstream(path) << text;
  return path;
}

absl::Status Server::Start(Program program) {
  program_ = std::move(program);
  return StartAgain();
}

absl::Status Server::StartAgain() {
  if (absl::Status status = Launch(); !status.ok()) return status;
  return AwaitReady();
}

absl::Status Server::Launch() {
  std::vector<std::string> argv = program_.argv;
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!program_.environment.contains(text.substr(0, text.find('=')))) environment.push_back(text);
  }
  for (const auto& [name, value] : program_.environment) environment.push_back(absl::StrCat(name, "=", value));
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  sigset_t all;
  sigfillset(&all);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string log = absl::StrCat(folder_, "/log");
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t pid = -1;
  const int error =
      posix_spawnp(&pid, argv[0].c_str(), &actions, &attributes, Pointers(argv).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error == ENOENT) {
    return absl::NotFoundError(absl::StrCat(argv[0], " is not installed: run tools/setup --servers"));
  }
  if (error != 0) return absl::ErrnoToStatus(error, argv[0]);
  group_ = pid;
  if (write(guardian_pipe_, &group_, sizeof(group_)) != sizeof(group_)) abort();
  return absl::OkStatus();
}

absl::Status Server::AwaitReady() {
  const absl::Time limit = absl::Now() + program_.start_limit;
  absl::Status status;
  do {
    if (!running()) {
      Kill();
      return absl::UnavailableError(absl::StrCat(program_.name, " ended while it started:\n", LogTail()));
    }
    status = program_.ready();
    if (status.ok()) return status;
    absl::SleepFor(kPoll);
  } while (absl::Now() < limit);
  Kill();
  return absl::DeadlineExceededError(
      absl::StrCat(program_.name, " does not answer: ", status.message(), "\n", LogTail()));
}

absl::Status Server::Stop(absl::Duration limit) {
  if (group_ < 0) return absl::OkStatus();
  const pid_t main = program_.main_process ? program_.main_process() : group_;
  if (main > 0) kill(main, SIGTERM);
  const bool ended = main > 0 && AwaitEnd(limit);
  Kill();
  return ended ? absl::OkStatus() : absl::DeadlineExceededError(absl::StrCat(program_.name, " did not end"));
}

void Server::Kill() {
  if (group_ < 0) return;
  kill(-group_, SIGKILL);
  while (waitpid(group_, nullptr, 0) < 0 && errno == EINTR) continue;
  // A group's other processes are not our children: gone when no signal reaches any more.
  const absl::Time limit = absl::Now() + absl::Seconds(10);
  while (kill(-group_, 0) == 0 && absl::Now() < limit) absl::SleepFor(kPoll);
  group_ = -1;
}

bool Server::AwaitEnd(absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  while (running()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(kPoll);
  }
  return true;
}

// A program of many threads goes on for a moment after the signal: returns when the last has stopped.
void Server::Pause() {
  kill(-group_, SIGSTOP);
  const absl::Time give_up = absl::Now() + absl::Seconds(10);
  while (running() && !HasStopped(group_) && absl::Now() < give_up) absl::SleepFor(absl::Milliseconds(1));
}

void Server::Continue() { kill(-group_, SIGCONT); }

bool Server::running() {
  if (group_ < 0) return false;
  siginfo_t info = {};
  // WNOWAIT: the id stays ours until Kill has waited for it.
  return waitid(P_PID, static_cast<id_t>(group_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

std::string Server::LogTail(size_t bytes) const {
  std::ifstream in(absl::StrCat(folder_, "/log"));
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  return text.size() > bytes ? text.substr(text.size() - bytes) : text;
}

}  // namespace messaging::servers
