// What the parser knows of the commands, for those who describe them: completion, the man page, docs/cli.md.
#ifndef CLI_COMMAND_TREE_H_
#define CLI_COMMAND_TREE_H_

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace messaging::cli {

struct FlagInfo {
  std::string name;                  // "--topic"; of an argument "topic".
  std::string value;                 // "TOPIC": what stands behind it. Empty: nothing.
  std::vector<std::string> choices;  // The only values there are; empty: any.
  std::string help;
  std::string default_value;
};

struct CommandInfo {
  std::string path;  // "deadletters replay"; empty: the program.
  std::string help;
  std::vector<FlagInfo> arguments;
  std::vector<FlagInfo> flags;
  std::vector<std::string> examples;
  std::vector<CommandInfo> commands;
};

CommandInfo Describe(const CLI::App& app);

// It and all below, those that can be run only: outermost first, in their order.
std::vector<const CommandInfo*> Leaves(const CommandInfo& root);
// It and all below.
std::vector<const CommandInfo*> All(const CommandInfo& root);
// "deadletters replay [--group GROUP] ... [id]"
std::string Synopsis(const CommandInfo& command);

}  // namespace messaging::cli

#endif  // CLI_COMMAND_TREE_H_
