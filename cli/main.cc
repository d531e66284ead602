#include "cli/main.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/log_format.h"
#include "cli/output.h"
#include "cli/program.h"
#include "messaging/messaging.h"

namespace messaging::cli {
namespace {

// A standard descriptor that was closed would become that of the next file opened, which what we print would destroy.
// In its place comes one that fails in its direction.
void HoldStandardDescriptors() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    (void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);  // The lowest that is free: fd.
  }
}

// ps shows a process's arguments to everybody: a URL that may hold a password is wiped in place, behind its scheme.
void HideUrls(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    char* const behind = strstr(argv[i], "://");
    if (behind != nullptr && strpbrk(behind, "@?") != nullptr) memset(behind + 3, '*', strlen(behind + 3));
  }
}

}  // namespace

int Main(int argc, char** argv) {
  HoldStandardDescriptors();
  signal(SIGPIPE, SIG_IGN);
  StartLogging(argc > 0 ? argv[0] : "core");
  Output out(STDOUT_FILENO, "standard output");
  Output err(STDERR_FILENO, "standard error");
  Context context{.program = "", .in = STDIN_FILENO, .out = out, .err = err};
  const std::vector<std::string> arguments(argv, argv + argc);
  std::vector<const char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  HideUrls(argc, argv);
  const ExitCode code = RunProgram(argc, pointers.data(), context);
  if (code == kDrainTimeout) {  // A handler still runs, and may use anything that the end of main destroys.
    std::fflush(nullptr);
    _exit(code);
  }
  Shutdown();
  return code;
}

}  // namespace messaging::cli
