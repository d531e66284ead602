#include "cli/reference_command.h"

#include <CLI/CLI.hpp>
#include <memory>

#include "cli/command.h"
#include "cli/command_tree.h"
#include "cli/completion.h"
#include "cli/manual.h"

namespace messaging::cli {

void AddReferenceCommands(CLI::App& app, const std::string& version, Action& chosen) {
  CLI::App* completion =
      app.add_subcommand("completion", "Writes a script that completes commands and flags in a shell");
  auto shell = std::make_shared<std::string>();
  completion->add_option("shell", *shell, "Which one")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->type_name("SHELL");
  AddExamples(*completion, {"completion bash >~/.local/share/bash-completion/completions/core",
                            "completion zsh >~/.zfunc/_core", "completion fish >~/.config/fish/completions/core.fish"});
  completion->callback([&app, &chosen, shell] {
    chosen = [&app, shell](Context& context) {
      return context.Print(CompletionScript(*shell, context.program, Describe(app)));
    };
  });

  CLI::App* man = app.add_subcommand("man", "Writes the manual page, for man -l");
  auto markdown = std::make_shared<bool>(false);
  man->add_flag("--markdown", *markdown, "As Markdown");
  AddExamples(*man, {"man >core.1", "man --markdown"});
  man->callback([&app, version, &chosen, markdown] {
    chosen = [&app, version, markdown](Context& context) {
      const CommandInfo root = Describe(app);
      return context.Print(*markdown ? MarkdownReference(context.program, root)
                                     : ManPage(context.program, version, root));
    };
  });
}

}  // namespace messaging::cli
