#include "cli/config.h"

#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "cli/suggestion.h"
#include "messaging/broker/url.h"

namespace messaging::cli {
namespace {

// Flags of every command that a file has no section for: they say where the broker is, or are questions of their own.
constexpr std::string_view kNotInFile[] = {"broker", "url",     "group", "config", "native",
                                           "help",   "version", "exec",  "json"};

std::vector<CLI::App*> Commands(const CLI::App& app) {
  return const_cast<CLI::App&>(app).get_subcommands([](const CLI::App*) { return true; });
}

// The command of that section; null: there is none.
const CLI::App* FindCommand(const CLI::App& root, const std::vector<std::string>& section) {
  const CLI::App* at = &root;
  for (const std::string& name : section) {
    const std::vector<CLI::App*> commands = Commands(*at);
    const auto found = std::find_if(commands.begin(), commands.end(), [&](auto* c) { return c->get_name() == name; });
    if (found == commands.end()) return nullptr;
    at = *found;
  }
  return at;
}

std::vector<std::string> FlagNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      if (std::find(std::begin(kNotInFile), std::end(kNotInFile), name) == std::end(kNotInFile)) names.push_back(name);
    }
  }
  return names;
}

absl::Status Wrong(const std::string& path, const std::vector<std::string>& section, const std::string& name,
                   std::string_view what) {
  const std::string where = section.empty() ? "" : absl::StrCat("[", absl::StrJoin(section, "."), "] ");
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", where, name, ": ", what));
}

absl::Status Unknown(const std::string& path, const std::vector<std::string>& section, const std::string& name,
                     const std::vector<std::string>& known) {
  return Wrong(path, section, name, absl::StrCat("there is no such setting", DidYouMean(name, known)));
}

absl::Status Take(const CLI::ConfigItem& item, const CLI::App& root, Config& config) {
  const std::vector<std::string>& section = item.parents;
  // The parser ends a value at a # even within quotes, and takes a comma outside them for a list.
  for (const std::string& value : item.inputs) {
    if (!value.empty() && (value[0] == '"' || value[0] == '\'')) {
      return Wrong(config.path, section, item.name, "a quote does not end; write %23 for a # in a URL");
    }
  }
  const bool native = !section.empty() && section[0] == "native";
  if (section.empty() || native) {
    if (item.inputs.size() != 1) return Wrong(config.path, section, item.name, "is one value; put it in quotes");
    if (native) {  // A dot in a name is a section to the parser.
      std::vector<std::string> name(section.begin() + 1, section.end());
      name.push_back(item.name);
      config.native[absl::StrJoin(name, ".")] = item.inputs[0];
      return absl::OkStatus();
    }
    for (const auto& [name, to] :
         {std::pair("broker", &config.broker), {"url", &config.url}, {"group", &config.group}}) {
      if (item.name != name) continue;
      *to = item.inputs[0];
      return absl::OkStatus();
    }
    return Unknown(config.path, section, item.name, {"broker", "url", "group"});
  }
  const CLI::App* command = FindCommand(root, section);
  if (command == nullptr) return Wrong(config.path, section, item.name, "there is no such command");
  const std::vector<std::string> known = FlagNames(*command);
  if (std::find(known.begin(), known.end(), item.name) == known.end()) {
    return Unknown(config.path, section, item.name, known);
  }
  config.flags[absl::StrCat(absl::StrJoin(section, " "), " ", item.name)] = item.inputs;
  return absl::OkStatus();
}

absl::Status WrongLine(const std::string& path, int line, std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": line ", line, ": ", what));
}

std::string_view WithoutComment(std::string_view text) {
  return absl::StripAsciiWhitespace(text.substr(0, text.find('#')));
}

// The file as the parser can read it: it takes a line without "=" for a setting that is true, passes over the shortest,
// and knows no list that begins at the end of a line, or does not end.
absl::StatusOr<std::string> Lines(const std::string& path, const std::string& text) {
  std::string lines;
  int number = 0, list = 0;  // `list`: the line that began one; 0: in none.
  for (std::string_view line : absl::StrSplit(text, '\n')) {
    line = absl::StripAsciiWhitespace(line);
    ++number;
    const bool opens = absl::StartsWith(line, "[");
    if (list != 0) {
      if (opens) break;
      line = WithoutComment(line);
      if (absl::EndsWith(line, "]")) list = 0;
      absl::StrAppend(&lines, " ", line, list == 0 ? "\n" : "");
      continue;
    }
    const bool says_something = !line.empty() && line[0] != '#' && line[0] != ';';
    if (says_something && !(opens && absl::EndsWith(line, "]"))) {
      const size_t equals = line.find('=');
      if (opens || equals == 0 || equals == line.npos || line.size() < 3) {
        return WrongLine(path, number, "is not NAME = VALUE");  // It may be a secret: it is not shown.
      }
      const std::string_view value = WithoutComment(line.substr(equals + 1));
      if (absl::StartsWith(value, "[") && !absl::EndsWith(value, "]")) {
        list = number;
        line = WithoutComment(line);
      }
    }
    absl::StrAppend(&lines, line, list == 0 ? "\n" : "");
  }
  if (list != 0) return WrongLine(path, list, "its list does not end");
  return lines;
}

bool HoldsPassword(const Config& config) {
  const absl::StatusOr<Url> url = Url::Parse(config.url);
  return (url.ok() && absl::StrContains(url->Redacted(), "***")) ||
         std::any_of(config.native.begin(), config.native.end(),
                     [](const auto& setting) { return Redact(setting.first, setting.second) != setting.second; });
}

}  // namespace

absl::StatusOr<Config> ReadConfig(const std::string& path, const CLI::App& root) {
  std::ifstream file(path);
  struct stat about = {};
  if (!file || stat(path.c_str(), &about) != 0) {
    return absl::InvalidArgumentError(absl::StrCat("configuration file ", path, ": ", strerror(errno)));
  }
  if (!S_ISREG(about.st_mode) && !S_ISFIFO(about.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("configuration file ", path, ": is no file"));
  }
  std::stringstream text;  // Of a pipe there is no second reading.
  text << file.rdbuf();
  const absl::StatusOr<std::string> lines = Lines(path, text.str());
  if (!lines.ok()) return lines.status();
  text.str(*lines);
  Config config{.path = path};
  try {
    for (const CLI::ConfigItem& item : CLI::ConfigTOML().from_config(text)) {
      if (item.name == "++" || item.name == "--") continue;  // Where sections begin and end.
      if (absl::Status taken = Take(item, root, config); !taken.ok()) return taken;
    }
  } catch (const std::exception&) {  // Its text may hold a value.
    return absl::InvalidArgumentError(absl::StrCat("configuration file ", path, ": is not TOML"));
  }
  if ((about.st_mode & 044) != 0 && HoldsPassword(config)) {
    config.warning = absl::StrCat(path, " holds a password, and others can read it: chmod 600");
  }
  return config;
}

absl::Status ApplyConfig(const Config& config, CLI::App& command) {
  const std::string prefix = CommandPath(command) + " ";
  for (const auto& [name, values] : config.flags) {
    if (!absl::StartsWith(name, prefix)) continue;
    CLI::Option* option = command.get_option_no_throw("--" + name.substr(prefix.size()));
    if (option == nullptr || option->count() > 0) continue;
    try {
      for (const std::string& value : values) option->add_result(value);
      option->run_callback();
    } catch (const CLI::ParseError& error) {
      return absl::InvalidArgumentError(absl::StrCat(config.path, ": ", error.what()));
    }
  }
  return absl::OkStatus();
}

std::string CommandPath(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* at = &command; at->get_parent() != nullptr; at = at->get_parent()) {
    names.insert(names.begin(), at->get_name());
  }
  return absl::StrJoin(names, " ");
}

}  // namespace messaging::cli
