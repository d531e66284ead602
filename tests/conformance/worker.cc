#include "tests/conformance/worker.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/conformance/worker_options.h"
#include "tests/ledger/ledger.h"

namespace messaging::conformance {

Worker Worker::Start(const std::string& program, const WorkerOptions& options) {
  std::vector<std::string> arguments = ToArguments(options);
  arguments.insert(arguments.begin(), program);
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  if (const int error = posix_spawn(&pid, program.c_str(), nullptr, nullptr, argv.data(), environ); error != 0) {
    std::fprintf(stderr, "%s: cannot be started: error %d\n", program.c_str(), error);
    std::abort();
  }
  return Worker(pid, options.ledger);
}

Worker::Worker(pid_t pid, std::string ledger) : pid_(pid), ledger_(std::move(ledger)) {}
Worker::Worker(Worker&& other) noexcept { *this = std::move(other); }
Worker& Worker::operator=(Worker&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(ended_, other.ended_);
  std::swap(status_, other.status_);
  std::swap(ledger_, other.ledger_);
  return *this;
}
Worker::~Worker() {
  if (pid_ > 0 && !ended_) Kill();
}

void Worker::Kill() {
  if (ended_) return;
  kill(pid_, SIGKILL);
  int status = 0;
  waitpid(pid_, &status, 0);
  Ended(status);
}

void Worker::Terminate() {
  if (!ended_) kill(pid_, SIGTERM);
}

void Worker::Ended(int status) {
  ended_ = true;
  status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  // However it ended, it holds nothing any more.
  if (absl::StatusOr<ledger::Ledger> ledger = ledger::Ledger::Open(ledger_); ledger.ok()) {
    ledger->Append({.event = ledger::Event::kKilled, .pid = pid_, .note = absl::StrCat(status_)});
  }
}

bool Worker::running() {
  int status = 0;
  if (!ended_ && waitpid(pid_, &status, WNOHANG) == pid_) Ended(status);
  return !ended_;
}

absl::StatusOr<int> Worker::Wait(absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  while (running()) {
    if (absl::Now() > end) return absl::DeadlineExceededError(absl::StrCat("worker ", pid_, " runs on"));
    absl::SleepFor(absl::Milliseconds(1));
  }
  return status_;
}

size_t Worker::peak_memory() const {
  std::ifstream file(absl::StrCat("/proc/", pid_, "/status"));
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    size_t kilobytes = 0;
    if (words.size() >= 2 && words[0] == "VmHWM:" && absl::SimpleAtoi(words[1], &kilobytes)) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace messaging::conformance
