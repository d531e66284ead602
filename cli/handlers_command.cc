#include "cli/handlers_command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "cli/command.h"
#include "cli/json_line.h"
#include "cli/style.h"
#include "cli/table.h"

namespace messaging::cli {
namespace {

void SortByName(std::vector<Handler>& handlers) {
  std::stable_sort(handlers.begin(), handlers.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
}

std::string_view OrderName(Order order) {
  switch (order) {
    case Order::kPerKey:
      return "per key";
    case Order::kPerKeyStrict:
      return "strict";
    case Order::kNone:
      return "none";
  }
  return "";
}

std::string Delay(const HandlerOptions& options) {
  if (options.max_retries == 0) return "-";
  std::string delay = absl::FormatDuration(options.retry_delay);
  if (options.backoff.factor != 1.0) {
    absl::StrAppend(&delay, " x", options.backoff.factor, " to ", absl::FormatDuration(options.backoff.max));
  }
  return delay;
}

std::string BatchText(const Handler& handler) {
  if (!handler.is_batch) return "-";
  return absl::StrCat(handler.options.batch.max, " in ", absl::FormatDuration(handler.options.batch.wait));
}

ExitCode Run(bool json, Context& context) {
  const std::vector<Handler> handlers = RegisteredHandlers();
  if (handlers.empty()) context.Say("no handlers are linked into this program");
  if (handlers.empty() && !json) return kOk;
  return context.Print(json ? HandlersJson(handlers) : HandlersTable(handlers, Style::For(context.out)));
}

}  // namespace

std::string HandlersTable(std::vector<Handler> handlers, const Style& style) {
  SortByName(handlers);
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "TOPICS", "GROUP", "RETRIES", "DELAY", "CONCURRENCY", "ORDER", "BATCH", "MESSAGE", "VALIDATES"}};
  for (const Handler& handler : handlers) {
    const HandlerOptions& options = handler.options;
    rows.push_back({handler.name, absl::StrJoin(options.topics, ", "),
                    options.group.empty() ? "(default)" : options.group, absl::StrCat(options.max_retries),
                    Delay(options), options.concurrency == 0 ? "all" : absl::StrCat(options.concurrency),
                    std::string(OrderName(options.order)), BatchText(handler), handler.message_type,
                    handler.validates ? "yes" : "no"});
  }
  return Table(rows, [&](size_t row, size_t, const std::string& cell) { return row == 0 ? style.Bold(cell) : cell; });
}

std::string HandlersJson(std::vector<Handler> handlers) {
  SortByName(handlers);
  std::string text;
  for (const Handler& handler : handlers) {
    const HandlerOptions& options = handler.options;
    JsonLine line;
    line.Text("name", handler.name).Texts("topics", options.topics);
    if (!options.group.empty()) line.Text("group", options.group);
    if (!options.client.empty()) line.Text("client", options.client);
    line.Number("max_retries", options.max_retries).Text("retry_delay", absl::FormatDuration(options.retry_delay));
    line.Number("concurrency", options.concurrency).Text("order", OrderName(options.order));
    if (handler.is_batch) {
      line.Number("batch_max", static_cast<int64_t>(options.batch.max));
      line.Text("batch_wait", absl::FormatDuration(options.batch.wait));
    }
    line.Text("message_type", handler.message_type).Bool("asynchronous", handler.is_async);
    line.Bool("validates", handler.validates);
    if (!options.formerly.empty()) line.Texts("formerly", options.formerly);
    text += std::move(line).Finish();
  }
  return text;
}

void AddHandlersCommand(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("handlers", "Lists the handlers linked into this program");
  auto json = std::make_shared<bool>(false);
  AddJson(*command, *json);
  AddExamples(*command, {"handlers", "handlers --json"});
  command->callback([&chosen, json] { chosen = [json](Context& context) { return Run(*json, context); }; });
}

}  // namespace messaging::cli
