#include "tests/conformance/worker_options.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace messaging::conformance {
namespace {

// Visits each option with its name: one list for both directions.
template <typename Options, typename Visit>
void ForEach(Options& o, Visit visit) {
  visit("broker", o.broker);
  visit("url", o.url);
  visit("group", o.group);
  visit("ledger", o.ledger);
  visit("native", o.native);
  visit("topics", o.topics);
  visit("handler", o.handler);
  visit("concurrency", o.concurrency);
  visit("max_retries", o.max_retries);
  visit("retry_delay", o.retry_delay);
  visit("drain_timeout", o.drain_timeout);
  visit("slow", o.slow);
  visit("max_messages", o.max_messages);
  visit("max_bytes", o.max_bytes);
  visit("stop_point", o.stop_point);
  visit("stop_at", o.stop_at);
  visit("abort_on", o.abort_on);
  visit("fail_on", o.fail_on);
  visit("report_idle", o.report_idle);
  visit("send", o.send);
  visit("prefix", o.prefix);
  visit("keys", o.keys);
  visit("size", o.size);
  visit("wait_for_room", o.wait_for_room);
}

std::string Text(const std::string& value) { return value; }
std::string Text(int value) { return absl::StrCat(value); }
std::string Text(size_t value) { return absl::StrCat(value); }
std::string Text(bool value) { return value ? "true" : "false"; }
std::string Text(absl::Duration value) { return absl::FormatDuration(value); }
std::string Text(const std::vector<std::string>& value) { return absl::StrJoin(value, ","); }
std::string Text(const std::map<std::string, std::string>& value) {
  return absl::StrJoin(value, ",", absl::PairFormatter(":"));
}

bool Parse(const std::string& text, std::string& value) { return value = text, true; }
bool Parse(const std::string& text, int& value) { return absl::SimpleAtoi(text, &value); }
bool Parse(const std::string& text, size_t& value) { return absl::SimpleAtoi(text, &value); }
bool Parse(const std::string& text, bool& value) { return absl::SimpleAtob(text, &value); }
bool Parse(const std::string& text, absl::Duration& value) { return absl::ParseDuration(text, &value); }
bool Parse(const std::string& text, std::vector<std::string>& value) {
  value = absl::StrSplit(text, ',', absl::SkipEmpty());
  return true;
}
bool Parse(const std::string& text, std::map<std::string, std::string>& value) {
  for (std::string_view each : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    value.insert(std::pair<std::string, std::string>(absl::StrSplit(each, absl::MaxSplits(':', 1))));
  }
  return true;
}

}  // namespace

std::vector<std::string> ToArguments(const WorkerOptions& options) {
  std::vector<std::string> arguments;
  ForEach(options,
          [&](const char* name, const auto& value) { arguments.push_back(absl::StrCat(name, "=", Text(value))); });
  return arguments;
}

WorkerOptions FromArguments(int argc, char** argv) {
  WorkerOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::pair<std::string, std::string> argument = absl::StrSplit(argv[i], absl::MaxSplits('=', 1));
    bool known = false;
    ForEach(options, [&](const char* name, auto& value) {
      if (argument.first == name) known = Parse(argument.second, value);
    });
    if (known) continue;
    std::fprintf(stderr, "worker: bad argument %s\n", argv[i]);
    std::exit(2);
  }
  return options;
}

}  // namespace messaging::conformance
