// The configuration file: the plain part of TOML, read by CLI11.
//
//   # as MESSAGING_URL; broker and group alike
//   url = "redis://orders@redis1:6379/0"
//   # a command's flags, for when they are not given
//   [consumer]
//   concurrency = 16
//   [deadletters.replay]
//   rate = 50
//   # settings by the broker's own names
//   [native]
//   retention = "24h"
#ifndef CLI_CONFIG_H_
#define CLI_CONFIG_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace CLI {
class App;
}

namespace messaging::cli {

struct Config {
  std::string path;  // Empty: none was read.
  std::string broker;
  std::string url;
  std::string group;
  std::map<std::string, std::string> native;
  // "consumer concurrency": by the command, and the flag without its dashes.
  std::map<std::string, std::vector<std::string>> flags;
  std::string warning;  // The file holds a password, and others can read it. Empty: no such thing.
};

// InvalidArgument, naming file and setting or line: it cannot be read, or holds what no command of `root` knows. Shows
// no value.
absl::StatusOr<Config> ReadConfig(const std::string& path, const CLI::App& root);

// Sets those flags of `command` that its line left out. InvalidArgument: a value is not right.
absl::Status ApplyConfig(const Config& config, CLI::App& command);

// "deadletters replay" for the innermost; empty for the root.
std::string CommandPath(const CLI::App& command);

}  // namespace messaging::cli

#endif  // CLI_CONFIG_H_
