#include "cli/send_command.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/json_check.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/status_text.h"
#include "cli/tally.h"
#include "messaging/messaging.h"

namespace messaging::cli {
namespace {

// NotFound and alike: the file cannot be read.
absl::StatusOr<Input> OpenInput(const SendFlags& flags, int standard_input, int stop_fd) {
  if (flags.file.empty() || flags.file == "-") {
    return Input{.source = FdSource(standard_input, stop_fd), .name = "standard input"};
  }
  const int fd = open(flags.file.c_str(), O_RDONLY | O_CLOEXEC);  // Open until the program ends.
  struct stat about = {};
  if (fd < 0 || fstat(fd, &about) != 0) return absl::NotFoundError(absl::StrCat(flags.file, ": ", strerror(errno)));
  if (S_ISDIR(about.st_mode)) return absl::NotFoundError(absl::StrCat(flags.file, ": is a folder"));
  return Input{.source = FdSource(fd, stop_fd), .name = flags.file, .total_bytes = about.st_size};
}

// Topic, key, headers and content type: what the messages have in common.
absl::StatusOr<Message> Model(const SendFlags& flags) {
  if (!IsValidTopic(flags.topic)) {
    return absl::InvalidArgumentError(absl::StrCat("topic \"", flags.topic, "\" is not [A-Za-z0-9._-]{1,120}"));
  }
  Message model;
  model.topic = flags.topic;
  model.key = flags.key;
  model.content_type = "application/json";
  for (const std::string& header : flags.headers) {
    const size_t equals = header.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(absl::StrCat("--header: \"", header, "\" is not NAME=VALUE"));
    }
    model.headers.emplace_back(header.substr(0, equals), header.substr(equals + 1));
  }
  return model;
}

SendOptions Options(absl::Duration deadline) {
  SendOptions options;
  options.deadline = deadline;
  options.wait_for_room = true;
  return options;
}

ExitCode SendOne(Message message, absl::Duration deadline, Producer& producer, Context& context) {
  const std::string topic = message.topic;
  const absl::StatusOr<Receipt> receipt = producer.Send(std::move(message), Options(deadline)).Wait();
  if (receipt.ok()) return context.Print(absl::StrCat("sent 1 message to ", topic, ", id ", receipt->id, "\n"));
  context.Say(absl::StrCat(IsUnknownOutcome(receipt.status()) ? "not known to be stored: " : "refused: ",
                           Text(receipt.status())));
  return kFailed;
}

std::string Summary(const std::string& topic, const Tally::Counts& counts, int64_t malformed, absl::Duration elapsed) {
  std::string text = absl::StrCat("sent ", Thousands(counts.accepted), counts.accepted == 1 ? " message" : " messages",
                                  " to ", topic, " in ", absl::StrFormat("%.2f", absl::ToDoubleSeconds(elapsed)),
                                  " s (", Rate(counts.accepted, elapsed), "/s)");
  if (malformed > 0) absl::StrAppend(&text, "; ", Thousands(malformed), " malformed");
  if (counts.refused > 0) absl::StrAppend(&text, "; ", Thousands(counts.refused), " refused");
  if (counts.unknown > 0) absl::StrAppend(&text, "; ", Thousands(counts.unknown), " not known to be stored");
  return text + "\n";
}

// What was sent while reading.
struct Sending {
  explicit Sending(int64_t total_bytes, Output& err) : progress(err, total_bytes, absl::Now()) {}
  const std::shared_ptr<Tally> tally = std::make_shared<Tally>();  // Shared with callbacks.
  Progress progress;
  const absl::Time began = absl::Now();
  int64_t sent = 0;
  int64_t malformed = 0;
};

// Until the end of the input: then OK, or why reading ended before it.
absl::Status SendAll(NdjsonReader& reader, const Input& input, const Message& model, const SendOptions& options,
                     Producer& producer, Sending& state, Context& context) {
  while (true) {
    absl::StatusOr<std::optional<NdjsonReader::Line>> line = reader.Next();
    if (!line.ok()) return line.status();
    if (!line->has_value()) return absl::OkStatus();
    const int64_t number = (*line)->number;
    if (!(*line)->status.ok()) {
      ++state.malformed;
      state.progress.Clear();
      context.Say(absl::StrCat(input.name, ": line ", number, ": ", Text((*line)->status)));
      continue;
    }
    Message message = model;
    message.payload = std::string((*line)->text);
    ++state.sent;
    producer.Send(std::move(message), options).Then([tally = state.tally, number](const absl::StatusOr<Receipt>& r) {
      tally->Add(number, r.status());
    });
    if (state.sent % 64 == 0) state.progress.Update(state.sent, reader.bytes_read(), absl::Now());
  }
}

ExitCode Run(const SendFlags& flags, Context& context) {
  const auto usage = [&context](const absl::Status& status) {
    context.Say(Text(status));
    return kUsage;
  };
  const bool lines = flags.body.empty() || flags.body == "-";
  absl::StatusOr<Message> model = Model(flags);
  if (!model.ok()) return usage(model.status());
  if (!lines) {
    if (absl::Status json = CheckJson(flags.body); !json.ok()) return usage(json);
  }
  StopSignals signals;
  absl::StatusOr<Input> input = Input{};
  if (lines) input = OpenInput(flags, context.in, signals.fd());
  if (!input.ok()) return usage(input.status());

  const absl::StatusOr<Client*> client = OpenClient(flags.connection);
  if (!client.ok()) {
    context.Say(Text(client.status()));
    return ExitCodeFor(client.status());
  }
  Producer& producer = (*client)->producer();
  if (lines) {
    const ExitCode code = SendLines(*std::move(input), *model, flags.deadline, producer, context);
    return signals.number() == 0 ? code : static_cast<ExitCode>(kSignalled + signals.number());
  }
  model->payload = flags.body;
  return SendOne(*std::move(model), flags.deadline, producer, context);
}

}  // namespace

ExitCode SendLines(Input input, const Message& model, absl::Duration deadline, Producer& producer, Context& context) {
  NdjsonReader reader(input.source);
  Sending state(input.total_bytes, context.err);
  const absl::Status read = SendAll(reader, input, model, Options(deadline), producer, state, context);
  if (absl::IsCancelled(read)) {
    state.progress.Clear();
    context.Say("stopping: waiting for what is on its way; a second signal ends at once");
  }
  while (!state.tally->AwaitResolved(state.sent, absl::Milliseconds(100))) {
    state.progress.Update(state.tally->counts().resolved(), reader.bytes_read(), absl::Now());
  }
  state.progress.Clear();
  const Tally::Counts counts = state.tally->counts();
  for (const std::string& failure : state.tally->Failures()) context.Say(absl::StrCat(input.name, ": ", failure));
  if (!read.ok() && !absl::IsCancelled(read)) context.Say(absl::StrCat(input.name, ": ", Text(read)));
  const ExitCode printed = context.Print(Summary(model.topic, counts, state.malformed, absl::Now() - state.began));
  if (!read.ok()) return kFailed;
  if (counts.accepted == 0 && counts.resolved() > 0 && state.malformed == 0) return kFailed;
  if (state.malformed > 0 || counts.accepted < state.sent) return kPartlySent;
  return printed;
}

void AddSendCommand(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("send", "Sends JSON to a topic: one message, or one for each line");
  auto flags = std::make_shared<SendFlags>();
  command->add_option("topic", flags->topic, "Where to")->required()->type_name("TOPIC");
  CLI::Option* body = command->add_option("json", flags->body, "The message; - for lines of JSON from standard input");
  body->type_name("JSON");
  CLI::Option* file = command->add_option("--file", flags->file, "Lines of JSON from this file, a message each");
  file->type_name("FILE")->excludes(body);
  command->add_option("--key", flags->key, "Key of the messages: those of one key stay in order")->type_name("KEY");
  command->add_option("--header", flags->headers, "A header of the messages; may be repeated")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  AddDuration(*command, "--deadline", flags->deadline, "How long a message may take to be accepted");
  AddConnectionFlags(*command, flags->connection);
  command->callback([&chosen, flags, body, file] {
    if (body->count() + file->count() == 0) {
      throw CLI::RequiredError("JSON, --file FILE, or - for standard input: what to send");
    }
    chosen = [flags](Context& context) { return Run(*flags, context); };
  });
}

}  // namespace messaging::cli
