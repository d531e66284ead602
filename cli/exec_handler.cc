#include "cli/exec_handler.h"

#include <unistd.h>

#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/child.h"
#include "cli/json_line.h"
#include "messaging/broker/registry.h"
#include "messaging/broker/url.h"
#include "messaging/call.h"

namespace messaging::cli {
namespace {

constexpr int kDataError = 65;  // EX_DATAERR of sysexits.h: the message is wrong, and stays so.

std::string HeaderVariable(std::string_view name) {
  std::string variable = "MESSAGE_HEADER_";
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    variable.push_back(absl::ascii_isalnum(byte) ? absl::ascii_toupper(byte) : '_');
  }
  return variable;
}

std::string HeadersJson(const Received& received) {
  JsonLine line;
  line.Pairs("", received.headers());
  std::string text = std::move(line).Finish();
  constexpr std::string_view kBefore = "{\"\":", kAfter = "}\n";
  return text.substr(kBefore.size(), text.size() - kBefore.size() - kAfter.size());
}

absl::Status Outcome(const ChildResult& result, const std::string& command, absl::Duration timeout) {
  const std::string why = result.errors.empty() ? "" : absl::StrCat(": ", result.errors);
  if (result.timed_out) {
    return absl::DeadlineExceededError(
        absl::StrCat(command, " did not end within ", absl::FormatDuration(timeout), why));
  }
  if (result.signal != 0) return absl::AbortedError(absl::StrCat(command, ": signal ", result.signal, why));
  if (result.exit_code == 0) return absl::OkStatus();
  const std::string text = absl::StrCat(command, ": exit code ", result.exit_code, why);
  return result.exit_code == kDataError ? absl::InvalidArgumentError(text) : absl::UnknownError(text);
}

absl::Status Execute(const ExecOptions& options, const std::string& path, const std::vector<std::string>& inherited,
                     const Received& received, Output& errors) {
  ChildCommand command{.path = path,
                       .arguments = options.command,
                       .environment = inherited,
                       .input = received.payload(),
                       .timeout = options.timeout};
  for (std::string& variable : MessageEnvironment(received)) command.environment.push_back(std::move(variable));
  const absl::StatusOr<ChildResult> result =
      RunChild(command, [&errors](std::string_view text) { (void)errors.Write(text); });
  return result.ok() ? Outcome(*result, options.command[0], options.timeout) : result.status();
}

}  // namespace

std::vector<std::string> MessageEnvironment(const Received& received) {
  std::map<std::string, std::string> variables;
  const auto set = [&variables](std::string name, std::string_view value) {
    const bool zero = absl::StrContains(value, '\0');
    variables[zero ? name + "_BASE64" : name] = zero ? absl::Base64Escape(value) : std::string(value);
  };
  set("MESSAGE_TOPIC", received.topic());
  set("MESSAGE_GROUP", received.group());
  set("MESSAGE_HANDLER", received.handler());
  set("MESSAGE_ATTEMPT", absl::StrCat(received.attempt()));
  set("MESSAGE_MAX_ATTEMPTS", absl::StrCat(received.max_attempts()));
  set("MESSAGE_REDELIVERED", received.redelivered() ? "1" : "0");
  if (!received.id().empty()) set("MESSAGE_ID", received.id());
  if (received.key()) set("MESSAGE_KEY", *received.key());
  if (!received.content_type().empty()) set("MESSAGE_CONTENT_TYPE", received.content_type());
  if (received.null_payload()) set("MESSAGE_NULL_PAYLOAD", "1");
  if (received.partition() >= 0) set("MESSAGE_PARTITION", absl::StrCat(received.partition()));
  if (received.position() >= 0) set("MESSAGE_POSITION", absl::StrCat(received.position()));
  if (received.timestamp() != absl::InfinitePast()) {
    set("MESSAGE_TIMESTAMP", absl::FormatTime(absl::RFC3339_full, received.timestamp(), absl::UTCTimeZone()));
  }
  if (!received.headers().empty()) set("MESSAGE_HEADERS", HeadersJson(received));
  for (const HeaderView& header : received.headers()) set(HeaderVariable(header.name), header.value);
  std::vector<std::string> texts;
  for (const auto& [name, value] : variables) texts.push_back(absl::StrCat(name, "=", value));
  return texts;
}

std::vector<std::string> InheritedEnvironment() {
  std::set<std::string> ours;
  for (const BrokerEntry& entry : Registry::Global().entries()) ours.insert(entry.environment);
  std::vector<std::string> kept;
  for (char** at = environ; at != nullptr && *at != nullptr; ++at) {
    const std::string_view variable = *at;
    const size_t equals = variable.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = variable.substr(0, equals);
    if (absl::StartsWith(name, "MESSAGING_") || absl::StartsWith(name, "MESSAGE_")) continue;
    if (ours.contains(std::string(name))) continue;
    // Of a broker that is not linked here, or by another name.
    const absl::StatusOr<Url> url = Url::Parse(variable.substr(equals + 1));
    if (url.ok() && url->password) continue;
    kept.emplace_back(variable);
  }
  return kept;
}

absl::StatusOr<Handler> MakeExecHandler(ExecOptions options, Output& errors) {
  absl::StatusOr<std::string> path = FindProgram(options.command[0]);
  if (!path.ok()) return path.status();
  Handler handler;
  handler.name = options.name;
  handler.options.name = options.name;
  handler.options.topics = options.topics;
  handler.options.max_retries = options.max_retries;
  handler.options.retry_delay = options.retry_delay;
  handler.options.permanent = {absl::StatusCode::kInvalidArgument};
  handler.message_type = "bytes";
  handler.invoke = [options = std::move(options), path = *std::move(path), inherited = InheritedEnvironment(),
                    &errors](Call& call) {
    for (size_t i = 0; i < call.messages().size(); ++i) {
      const Received& received = call.messages()[i];
      if (!options.limits->Begin(options.draining)) {
        call.SetOutcome(i, absl::CancelledError("as many messages as were asked for"));
        continue;
      }
      absl::Status outcome = Execute(options, path, inherited, received, errors);
      options.limits->End(outcome.ok() || absl::IsInvalidArgument(outcome) || received.last_attempt());
      call.SetOutcome(i, std::move(outcome));
    }
  };
  return handler;
}

}  // namespace messaging::cli
