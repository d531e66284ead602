#include "cli/completion.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"

namespace messaging::cli {
namespace {

// In single quotes, for any of the shells.
std::string Quoted(std::string_view text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string Identifier(const std::string& program) {
  std::string name = "_";
  for (const char c : program) name += absl::ascii_isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name + "_complete";
}

std::string LastWord(const std::string& path) { return path.substr(path.rfind(' ') + 1); }

bool IsFile(const FlagInfo& flag) { return flag.value == "FILE"; }

// "'deadletters list'|'lag'": each command below the root, as a pattern of a case.
std::string Commands(const CommandInfo& root) {
  std::vector<std::string> paths;
  for (const CommandInfo* command : All(root)) {
    if (!command->path.empty()) paths.push_back(Quoted(command->path));
  }
  return absl::StrJoin(paths, "|");
}

std::vector<std::string> Words(const CommandInfo& command) {
  std::vector<std::string> words;
  for (const CommandInfo& below : command.commands) words.push_back(LastWord(below.path));
  for (const FlagInfo& flag : command.flags) words.push_back(flag.name);
  return words;
}

// For a case on "COMMAND FLAG": what stands behind a flag that wants a value. `choices`, `files` and `nothing` are
// the shell's own statements; $ in `choices` is the list.
std::string Values(const CommandInfo& root, std::string_view choices, std::string_view files,
                   std::string_view nothing) {
  std::vector<std::string> file, other;
  std::string text;
  for (const CommandInfo* command : All(root)) {
    for (const FlagInfo& flag : command->flags) {
      const std::string pattern = Quoted(absl::StrCat(command->path, " ", flag.name));
      if (!flag.choices.empty()) {
        absl::StrAppend(&text, "    ", pattern, ") ",
                        absl::StrReplaceAll(choices, {{"$LIST", absl::StrJoin(flag.choices, " ")}}), "; return ;;\n");
      } else if (!flag.value.empty()) {
        (IsFile(flag) ? file : other).push_back(pattern);
      }
    }
  }
  if (!file.empty()) absl::StrAppend(&text, "    ", absl::StrJoin(file, "|"), ") ", files, "; return ;;\n");
  if (!other.empty()) absl::StrAppend(&text, "    ", absl::StrJoin(other, "|"), ") ", nothing, "return ;;\n");
  return text;
}

std::string Bash(const std::string& program, const CommandInfo& root) {
  const std::string function = Identifier(program);
  std::string text = absl::StrCat("# For bash: source <(", program, " completion bash)\n", function, R"(() {
  local cur=${COMP_WORDS[COMP_CWORD]} at='' i words=''
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "${at:+$at }${COMP_WORDS[i]}" in
      )",
                                  Commands(root), R"() at="${at:+$at }${COMP_WORDS[i]}" ;;
      'consumer --exec') COMPREPLY=($(compgen -A command -f -- "$cur")); return ;;
    esac
  done
  case "$at ${COMP_WORDS[COMP_CWORD-1]}" in
)",
                                  Values(root, "COMPREPLY=($(compgen -W '$LIST' -- \"$cur\"))",
                                         "COMPREPLY=($(compgen -f -- \"$cur\"))", "COMPREPLY=(); "),
                                  "  esac\n  case $at in\n");
  for (const CommandInfo* command : All(root)) {
    absl::StrAppend(&text, "    ", Quoted(command->path), ") words=", Quoted(absl::StrJoin(Words(*command), " ")),
                    " ;;\n");
  }
  absl::StrAppend(&text, "  esac\n  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n}\ncomplete -F ", function, " ",
                  Quoted(program), "\n");
  return text;
}

// "'lag:Shows ...' '--topic:...'", with the colons that zsh would take for its own escaped.
std::string Described(const std::string& word, const std::string& help) {
  return Quoted(absl::StrCat(word, ":", absl::StrReplaceAll(help, {{":", "\\:"}})));
}

std::string Zsh(const std::string& program, const CommandInfo& root) {
  const std::string function = Identifier(program);
  std::string text = absl::StrCat("#compdef ", program, "\n# For zsh, behind compinit: source <(", program,
                                  " completion zsh)\n", function, R"(() {
  local at='' i
  local -a commands flags
  for ((i = 2; i < CURRENT; i++)); do
    case "${at:+$at }${words[i]}" in
      )",
                                  Commands(root), R"() at="${at:+$at }${words[i]}" ;;
      'consumer --exec') _files; return ;;
    esac
  done
  case "$at ${words[CURRENT-1]}" in
)",
                                  Values(root, "compadd -- $LIST", "_files", ""), "  esac\n  case $at in\n");
  for (const CommandInfo* command : All(root)) {
    absl::StrAppend(&text, "    ", Quoted(command->path), ")\n");
    absl::StrAppend(&text, "      commands=(");
    for (const CommandInfo& below : command->commands) {
      absl::StrAppend(&text, "\n        ", Described(LastWord(below.path), below.help));
    }
    absl::StrAppend(&text, ")\n      flags=(");
    for (const FlagInfo& flag : command->flags) absl::StrAppend(&text, "\n        ", Described(flag.name, flag.help));
    absl::StrAppend(&text, ") ;;\n");
  }
  absl::StrAppend(&text, R"(  esac
  (( $#commands )) && _describe -t commands command commands
  [[ $PREFIX == -* || $#commands -eq 0 ]] && _describe -o -t flags flag flags
}
compdef )",
                  function, " ", Quoted(program), "\n");
  return text;
}

std::string Fish(const std::string& program, const CommandInfo& root) {
  const std::string function = Identifier(program);
  std::string known;
  for (const CommandInfo* command : All(root)) {
    if (!command->path.empty()) absl::StrAppend(&known, " ", Quoted(command->path));
  }
  std::string text = absl::StrCat("# For fish: ", program, " completion fish | source\nfunction ", function, R"(
  set -l at ''
  for word in (commandline -opc)[2..-1]
    set -l next (string trim -- "$at $word")
    contains -- $next)",
                                  known, R"(; and set at $next
  end
  test "$at" = "$argv[1]"
end
complete -c )",
                                  Quoted(program), " -f\n");
  for (const CommandInfo* command : All(root)) {
    const std::string here = absl::StrCat("complete -c ", Quoted(program), " -n ",
                                          Quoted(absl::StrCat(function, " ", Quoted(command->path))));
    for (const CommandInfo& below : command->commands) {
      absl::StrAppend(&text, here, " -a ", LastWord(below.path), " -d ", Quoted(below.help), "\n");
    }
    for (const FlagInfo& flag : command->flags) {
      absl::StrAppend(&text, here, " -l ", flag.name.substr(2),
                      flag.value.empty() ? ""
                      : IsFile(flag)     ? " -r -F"
                                         : " -x",
                      flag.choices.empty() ? "" : absl::StrCat(" -a ", Quoted(absl::StrJoin(flag.choices, " "))),
                      " -d ", Quoted(flag.help), "\n");
    }
  }
  return text;
}

}  // namespace

std::string CompletionScript(std::string_view shell, const std::string& program, const CommandInfo& root) {
  if (shell == "bash") return Bash(program, root);
  return shell == "zsh" ? Zsh(program, root) : Fish(program, root);
}

}  // namespace messaging::cli
