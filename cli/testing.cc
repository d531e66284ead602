#include "cli/testing.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <thread>
#include <utility>

#include "absl/log/check.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "cli/output.h"
#include "cli/program.h"
#include "messaging/messaging.h"

namespace messaging::cli {
namespace {

class MemoryFile {
 public:
  explicit MemoryFile(const std::string& text = "") : fd_(memfd_create("stream", MFD_CLOEXEC)) {
    CHECK_EQ(pwrite(fd_, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  }
  ~MemoryFile() { close(fd_); }
  int fd() const { return fd_; }
  std::string Text() const {
    std::string text(static_cast<size_t>(lseek(fd_, 0, SEEK_CUR)), '\0');  // The position is at its end.
    text.resize(static_cast<size_t>(pread(fd_, text.data(), text.size(), 0)));
    return text;
  }

 private:
  const int fd_;
};

std::atomic<pthread_t> core{};

}  // namespace

void SignalCore(int number) { CHECK_EQ(pthread_kill(core, number), 0); }

int RunCoreOver(std::vector<std::string> arguments, int in, int out, int err) {
  core = pthread_self();
  arguments.insert(arguments.begin(), "core");
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  Output output(out, "standard output");
  Output errors(err, "standard error");
  Context context{.program = "", .in = in, .out = output, .err = errors};
  const ExitCode code = RunProgram(static_cast<int>(argv.size()), argv.data(), context);
  Shutdown();
  return code;
}

Result RunCore(std::vector<std::string> arguments, const std::string& input, const Meanwhile& meanwhile) {
  MemoryFile in(input), out, err;
  std::thread beside;
  if (meanwhile) {
    beside = std::thread([&] { meanwhile([&out] { return out.Text(); }, [&err] { return err.Text(); }); });
  }
  Result result;
  result.code = RunCoreOver(std::move(arguments), in.fd(), out.fd(), err.fd());
  if (beside.joinable()) beside.join();
  result.out = out.Text();
  result.err = err.Text();
  return result;
}

bool AwaitText(const std::function<std::string()>& text, const std::string& part) {
  const absl::Time limit = absl::Now() + absl::Minutes(1);
  while (!absl::StrContains(text(), part)) {
    if (absl::Now() > limit) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

std::unique_ptr<Client> Keep(const std::string& url) {
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create({.name = "keeper", .url = url});
  CHECK_OK(client.status());
  return *std::move(client);
}

}  // namespace messaging::cli
