#include "cli/child.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "messaging/broker/io/no_sigpipe.h"

namespace messaging::cli {
namespace {

constexpr size_t kErrors = 1024;
constexpr absl::Duration kGrace = absl::Seconds(2);

class Fd {
 public:
  explicit Fd(int fd = -1) : fd_(fd) {}
  ~Fd() { Close(); }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  int get() const { return fd_; }
  void Set(int fd) {
    Close();
    fd_ = fd;
  }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

struct Pipe {
  Fd read, write;
  bool Open() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    read.Set(ends[0]);
    write.Set(ends[1]);
    return true;
  }
};

std::vector<char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (const std::string& text : texts) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// In the new process, where only what is safe in a signal handler may be called. Writes errno to `failed`.
[[noreturn]] void Become(const char* path, char* const* arguments, char* const* environment, int in, int err,
                         int failed, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // It died before that was asked for.
  signal(SIGPIPE, SIG_DFL);             // Ignored signals would stay ignored.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (dup2(in, STDIN_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0) {
    syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);  // Also what somebody opened without it.
    execve(path, arguments, environment);
  }
  const int why = errno;
  (void)!write(failed, &why, sizeof why);
  _exit(127);
}

absl::Status CannotStart(const ChildCommand& command, int error) {
  const std::string text = absl::StrCat(command.arguments[0], ": cannot be started: ", strerror(error));
  return error == E2BIG ? absl::InvalidArgumentError(text) : absl::UnavailableError(text);
}

// A started process on its way to its end.
class Running {
 public:
  Running(pid_t pid, const ChildCommand& command, const std::function<void(std::string_view)>& errors)
      : pid_(pid), input_(command.input), errors_(errors) {}

  Fd in, err;
  ChildResult Await(absl::Duration timeout);

 private:
  void Write();
  void Read();
  bool Ended(int pidfd, ChildResult& result);

  const pid_t pid_;
  std::string_view input_;
  const std::function<void(std::string_view)>& errors_;
  std::string tail_;
};

void Running::Write() {
  const io::NoSigpipe guard;
  while (!input_.empty()) {
    const ssize_t written = write(in.get(), input_.data(), input_.size());
    if (written < 0 && errno == EAGAIN) return;
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) break;  // It does not want to read it all.
    input_.remove_prefix(static_cast<size_t>(written));
  }
  in.Close();
}

void Running::Read() {
  char buffer[4096];
  while (err.get() >= 0) {
    const ssize_t got = read(err.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) break;
    errors_(std::string_view(buffer, static_cast<size_t>(got)));
    tail_.append(buffer, static_cast<size_t>(got));
    if (tail_.size() > kErrors) tail_.erase(0, tail_.size() - kErrors);
  }
  err.Close();
}

bool Running::Ended(int pidfd, ChildResult& result) {
  pollfd end{.fd = pidfd, .events = POLLIN};
  int status = 0;
  if (poll(&end, 1, 0) <= 0 || waitpid(pid_, &status, 0) != pid_) return false;
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  result.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  return true;
}

ChildResult Running::Await(absl::Duration timeout) {
  ChildResult result;
  const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  absl::Time limit = absl::Now() + timeout;
  int signal = SIGTERM;
  if (input_.empty()) in.Close();
  while (!Ended(pidfd.get(), result)) {
    pollfd fds[] = {{.fd = pidfd.get(), .events = POLLIN},
                    {.fd = in.get(), .events = POLLOUT},
                    {.fd = err.get(), .events = POLLIN}};
    const absl::Duration left = std::clamp(limit - absl::Now(), absl::ZeroDuration(), absl::Hours(1));
    (void)poll(fds, 3, static_cast<int>(absl::ToInt64Milliseconds(absl::Ceil(left, absl::Milliseconds(1)))));
    if (fds[1].revents != 0) Write();
    if (fds[2].revents != 0) Read();
    if (absl::Now() < limit) continue;
    result.timed_out = true;
    kill(-pid_, signal);
    signal = SIGKILL;
    limit = absl::Now() + kGrace;
  }
  if (result.timed_out) kill(-pid_, SIGKILL);  // What it started, and left.
  Read();                                      // What is there; what others of its group write later is nobody's.
  while (!tail_.empty() && (tail_.back() == '\n' || tail_.back() == '\r')) tail_.pop_back();
  result.errors = std::move(tail_);
  return result;
}

}  // namespace

absl::StatusOr<ChildResult> RunChild(const ChildCommand& command, const std::function<void(std::string_view)>& errors) {
  const std::vector<char*> arguments = Pointers(command.arguments), environment = Pointers(command.environment);
  Pipe in, err, failed;
  if (!in.Open() || !err.Open() || !failed.Open()) return CannotStart(command, errno);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return CannotStart(command, errno);
  if (pid == 0) {
    Become(command.path.c_str(), arguments.data(), environment.data(), in.read.get(), err.write.get(),
           failed.write.get(), parent);
  }
  setpgid(pid, pid);  // Whoever comes first: it may have to be signalled before it ran.
  in.read.Close();
  err.write.Close();
  failed.write.Close();
  int why = 0;
  ssize_t got;
  while ((got = read(failed.read.get(), &why, sizeof why)) < 0 && errno == EINTR) {
  }
  if (got > 0) {
    (void)waitpid(pid, nullptr, 0);
    return CannotStart(command, why);
  }
  Running running(pid, command, errors);
  running.in.Set(fcntl(in.write.get(), F_DUPFD_CLOEXEC, 3));
  running.err.Set(fcntl(err.read.get(), F_DUPFD_CLOEXEC, 3));
  in.write.Close();
  for (int fd : {running.in.get(), running.err.get()}) fcntl(fd, F_SETFL, O_NONBLOCK);
  return running.Await(command.timeout);
}

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::vector<std::string> places;
  if (name.find('/') != std::string::npos) {
    places.push_back(name);
  } else if (!name.empty()) {
    for (std::string_view folder : absl::StrSplit(path != nullptr ? path : "/usr/bin:/bin", ':')) {
      places.push_back(absl::StrCat(folder.empty() ? "." : folder, "/", name));
    }
  }
  for (const std::string& place : places) {
    struct stat about = {};
    if (stat(place.c_str(), &about) == 0 && S_ISREG(about.st_mode) && access(place.c_str(), X_OK) == 0) return place;
  }
  return absl::NotFoundError(absl::StrCat("there is no program ", name));
}

}  // namespace messaging::cli
