// A real server for a test: on loopback, in a folder of its own, ended with the test however that ends.
#ifndef TESTS_SERVERS_SERVER_H_
#define TESTS_SERVERS_SERVER_H_

#include <sys/types.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace messaging::servers {

// A free TCP port of 127.0.0.1, this process's until it ends: no other that asks here gets it, in a sandbox or not.
int FreePort();

// A program that serves. Its children are of its process group, and end with it. Not thread-safe.
class Server {
 public:
  struct Program {
    std::string name;               // For messages: "redis".
    std::vector<std::string> argv;  // argv[0] is looked up in PATH.
    std::map<std::string, std::string> environment;
    // OK: it answers. Asked over and over while it starts.
    std::function<absl::Status()> ready;
    absl::Duration start_limit = absl::Seconds(60);
    // Who gets the signal of Stop; null: the program itself.
    std::function<pid_t()> main_process;
  };

  // Makes a folder, removed at the end of the process or of this object.
  explicit Server(const std::string& name);
  ~Server();  // Kill.
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  const std::string& folder() const { return folder_; }
  // Writes a file into the folder and gives its path.
  std::string WriteFile(const std::string& name, const std::string& text) const;

  // Starts it and waits until it is ready; else why, with the end of its log. Once before all of the rest.
  absl::Status Start(Program program);
  // Ends it: by SIGTERM, and SIGKILL when that takes longer than `limit` (DeadlineExceeded), or by SIGKILL at once. Its
  // folder stays.
  absl::Status Stop(absl::Duration limit = absl::Seconds(60));
  void Kill();
  // The same program again, on the same folder and ports.
  absl::Status StartAgain();
  // SIGSTOP and SIGCONT: it keeps its connections and says nothing.
  void Pause();
  void Continue();

  bool running();
  std::string LogTail(size_t bytes = 2'000) const;

 private:
  absl::Status Launch();
  absl::Status AwaitReady();
  bool AwaitEnd(absl::Duration limit);

  Program program_;
  std::string folder_;
  pid_t group_ = -1;  // The program's id, and its process group's. -1: not running.
  pid_t guardian_ = -1;
  int guardian_pipe_ = -1;
};

}  // namespace messaging::servers

#endif  // TESTS_SERVERS_SERVER_H_
