#include "cli/asyncapi_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "cli/command.h"
#include "messaging/message_schema.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

using json = nlohmann::ordered_json;

// A name among the components: letters, digits, '.', '-' and '_'.
std::string Key(std::string_view name) {
  std::string key(name);
  for (char& c : key) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-') c = '_';
  }
  return key;
}

json Ref(std::string_view place, std::string_view key) { return {{"$ref", absl::StrCat("#/", place, "/", key)}}; }

// What a batch handler takes is a message each.
std::string TypeName(const Handler& handler) {
  constexpr std::string_view kBatch = "span of ";
  return handler.message_type.substr(handler.is_batch ? kBatch.size() : 0);
}

std::string Description(const HandlerOptions& options) {
  std::string text =
      absl::StrCat("At most ", options.max_retries + 1, options.max_retries == 0 ? " attempt" : " attempts");
  if (options.max_retries > 0) absl::StrAppend(&text, ", ", absl::FormatDuration(options.retry_delay), " apart");
  if (!options.group.empty()) absl::StrAppend(&text, "; consumer group ", options.group);
  return text;
}

class Document {
 public:
  explicit Document(const AsyncApiInfo& info) {
    document_ = {{"asyncapi", "3.0.0"},
                 {"info", {{"title", info.title}, {"version", info.version}}},
                 {"channels", json::object()},
                 {"operations", json::object()},
                 {"components", {{"messages", json::object()}, {"schemas", json::object()}}}};
  }

  absl::Status Add(const Handler& handler) {
    // Two handlers may read one type in two ways.
    const std::string message = Key(
        absl::StrCat(TypeName(handler), handler.options.content_type.empty() ? "" : "-", handler.options.content_type));
    if (absl::Status added = AddMessage(handler, message); !added.ok()) return added;
    for (const std::string& topic : handler.options.topics) {
      json& channel = document_["channels"][topic];
      channel["address"] = topic;
      channel["messages"][message] = Ref("components/messages", message);
      // An operation has one channel.
      const bool one = handler.options.topics.size() == 1;
      json& operation = document_["operations"][Key(one ? handler.name : absl::StrCat(handler.name, "-", topic))];
      operation["action"] = "receive";
      operation["channel"] = Ref("channels", topic);
      operation["title"] = handler.name;
      operation["description"] = Description(handler.options);
      operation["messages"] = json::array({Ref(absl::StrCat("channels/", topic, "/messages"), message)});
    }
    return absl::OkStatus();
  }

  std::string Text() const { return document_.dump(2, ' ', false, json::error_handler_t::replace) + "\n"; }

 private:
  absl::Status AddMessage(const Handler& handler, const std::string& key) {
    json& message = document_["components"]["messages"][key];
    message["name"] = TypeName(handler);
    message["contentType"] = handler.content_type;
    const MessageSchema schema = handler.schema != nullptr ? handler.schema() : MessageSchema();
    for (const auto& [name, text] : schema.schemas) {
      json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
      if (parsed.is_discarded()) {
        return absl::InternalError(absl::StrCat("handler ", handler.name, ": the schema of ", name, " is no JSON"));
      }
      document_["components"]["schemas"][Key(name)] = std::move(parsed);
    }
    if (!schema.schemas.empty()) message["payload"] = Ref("components/schemas", Key(schema.name));
    return absl::OkStatus();
  }

  json document_;
};

ExitCode Run(AsyncApiInfo info, Context& context) {
  if (info.title.empty()) info.title = context.program;
  const std::vector<Handler> handlers = RegisteredHandlers();
  if (handlers.empty()) context.Say("no handlers are linked into this program");
  const absl::StatusOr<std::string> document = AsyncApiDocument(info, handlers);
  if (document.ok()) return context.Print(*document);
  context.Say(document.status().message());
  return kConfiguration;
}

}  // namespace

absl::StatusOr<std::string> AsyncApiDocument(const AsyncApiInfo& info, std::vector<Handler> handlers) {
  std::stable_sort(handlers.begin(), handlers.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  Document document(info);
  for (const Handler& handler : handlers) {
    if (absl::Status added = document.Add(handler); !added.ok()) return added;
  }
  return document.Text();
}

void AddAsyncApiCommand(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("asyncapi", "Writes an AsyncAPI 3 document of the handlers, as JSON");
  auto info = std::make_shared<AsyncApiInfo>(AsyncApiInfo{.title = "", .version = "0.0.0"});
  command->add_option("--title", info->title, "The service's name; else the program's")->type_name("TEXT");
  command->add_option("--api-version", info->version, "The document's version")
      ->type_name("TEXT")
      ->capture_default_str();
  AddExamples(*command, {"asyncapi", "asyncapi --title Shop --api-version 1.2.0"});
  command->callback([&chosen, info] { chosen = [info](Context& context) { return Run(*info, context); }; });
}

}  // namespace messaging::cli
