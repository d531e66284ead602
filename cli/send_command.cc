#include "cli/send_command.h"

#include <CLI/CLI.hpp>
#include <memory>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/json_check.h"
#include "cli/json_line.h"
#include "cli/ndjson_reader.h"
#include "cli/pace.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/status_text.h"
#include "cli/tally.h"
#include "messaging/message.h"
#include "messaging/producer.h"

namespace messaging::cli {
namespace {

// JSON as application/json or something+json.
bool IsJson(const std::string& content_type) {
  const std::string type = absl::AsciiStrToLower(content_type.substr(0, content_type.find(';')));
  return absl::EndsWith(absl::StripAsciiWhitespace(type), "json");
}

// Topic, key, headers and content type: what the messages have in common.
absl::StatusOr<Message> Model(const SendFlags& flags) {
  if (!IsValidTopic(flags.topic)) {
    return absl::InvalidArgumentError(absl::StrCat("topic \"", flags.topic, "\" is not [A-Za-z0-9._-]{1,120}"));
  }
  Message model;
  model.topic = flags.topic;
  model.key = flags.key;
  model.id = flags.id;
  model.content_type = flags.content_type;
  for (const std::string& text : flags.headers) {
    absl::StatusOr<std::pair<std::string, std::string>> header = NameAndValue("--header", text);
    if (!header.ok()) return header.status();
    model.headers.push_back(*std::move(header));
  }
  return model;
}

SendOptions Options(const SendFlags& flags) {
  SendOptions options;
  options.deadline = flags.deadline;
  options.wait_for_room = true;
  return options;
}

constexpr std::string_view kStopping = "stopping: waiting for what is on its way; a second signal ends at once";

ExitCode SendOne(const SendFlags& flags, Message message, const StopSignals& signals, Producer& producer,
                 Context& context) {
  const std::string topic = message.topic;
  const Confirmation sent = producer.Send(std::move(message), Options(flags));
  while (!sent.resolved() && signals.number() == 0) (void)sent.Wait(absl::Milliseconds(100));
  if (!sent.resolved()) context.Say(kStopping);
  const absl::StatusOr<Receipt> receipt = sent.Wait();
  if (!receipt.ok()) {
    context.Say(absl::StrCat(IsUnknownOutcome(receipt.status()) ? "not known to be stored: " : "refused: ",
                             Text(receipt.status())));
    return kFailed;
  }
  if (!flags.json) return context.Print(absl::StrCat("sent 1 message to ", topic, ", id ", receipt->id, "\n"));
  JsonLine line;
  line.Text("topic", topic).Text("id", receipt->id).Number("sent", 1);
  return context.Print(std::move(line).Finish());
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

std::string SummaryJson(const std::string& topic, const Tally::Counts& counts, int64_t malformed,
                        absl::Duration elapsed) {
  JsonLine line;
  line.Text("topic", topic).Number("sent", counts.accepted).Number("malformed", malformed);
  line.Number("refused", counts.refused).Number("unknown", counts.unknown);
  line.Number("milliseconds", absl::ToInt64Milliseconds(elapsed));
  return std::move(line).Finish();
}

int64_t BytesBesidePayload(const Message& message) {
  constexpr int64_t kOther = 200;  // Id, timestamp, and what is kept of a message besides its text.
  size_t bytes = message.topic.size() + message.content_type.size() + (message.key ? message.key->size() : 0);
  for (const Header& header : message.headers) bytes += header.first.size() + header.second.size();
  return static_cast<int64_t>(bytes) + kOther;
}

// Many messages that are like one.
class Sending {
 public:
  Sending(const SendFlags& flags, const Message& model, const StopSignals& signals, int64_t total, Producer& producer,
          Context& context)
      : flags_(flags),
        model_(model),
        signals_(signals),
        pace_(flags.rate, signals),
        model_bytes_(BytesBesidePayload(model)),
        producer_(producer),
        context_(context),
        progress_(context.err, total, absl::Now()) {}

  // Each line as a message, until the end of the input: then OK, or why reading ended before it. Cancelled: a signal.
  absl::Status SendLines(const Input& input);
  absl::Status SendRepeated(const std::string& payload);
  // Waits until each is resolved, and tells what became of them. `read`: why nothing more is sent.
  ExitCode Finish(const std::string& input, const absl::Status& read);

 private:
  // Waits for its time, and for room: Producer::Send would, too, and hear no signal. False: one came.
  bool Send(int64_t number, std::string payload);
  bool AwaitRoom(int64_t bytes);

  const SendFlags& flags_;
  const Message& model_;
  const StopSignals& signals_;
  const Pace pace_;
  const int64_t model_bytes_;
  Producer& producer_;
  Context& context_;
  const std::shared_ptr<Tally> tally_ = std::make_shared<Tally>();  // Shared with callbacks.
  Progress progress_;
  const absl::Time began_ = absl::Now();
  int64_t sent_ = 0;
  int64_t sent_bytes_ = 0;
  int64_t malformed_ = 0;
  int64_t done_ = 0;  // Of what the progress counts.
};

bool Sending::AwaitRoom(int64_t bytes) {
  while (!tally_->AwaitRoom(sent_, sent_bytes_, bytes, absl::Milliseconds(100))) {
    if (signals_.number() != 0) return false;
    progress_.Update(tally_->counts().resolved(), done_, absl::Now());
  }
  return true;
}

bool Sending::Send(int64_t number, std::string payload) {
  const int64_t bytes = model_bytes_ + static_cast<int64_t>(payload.size());
  if (!pace_.Await(sent_, [this] { progress_.Update(sent_, done_, absl::Now()); }) || !AwaitRoom(bytes)) return false;
  Message message = model_;
  message.payload = std::move(payload);
  ++sent_;
  sent_bytes_ += bytes;
  producer_.Send(std::move(message), Options(flags_))
      .Then(
          [tally = tally_, number, bytes](const absl::StatusOr<Receipt>& r) { tally->Add(number, r.status(), bytes); });
  if (sent_ % 64 == 0) progress_.Update(sent_, done_, absl::Now());
  return true;
}

absl::Status Sending::SendLines(const Input& input) {
  NdjsonReader reader(input.source, 64 << 20, IsJson(flags_.content_type));
  while (true) {
    absl::StatusOr<std::optional<NdjsonReader::Line>> line = reader.Next();
    if (!line.ok()) return line.status();
    if (!line->has_value()) return absl::OkStatus();
    done_ = reader.bytes_read();
    const int64_t number = (*line)->number;
    if (!(*line)->status.ok()) {
      ++malformed_;
      progress_.Clear();
      context_.Say(absl::StrCat(input.name, ": line ", number, ": ", Text((*line)->status)));
    } else if (!Send(number, std::string((*line)->text))) {
      return absl::CancelledError("a signal");
    }
  }
}

absl::Status Sending::SendRepeated(const std::string& payload) {
  for (done_ = 1; done_ <= flags_.repeat; ++done_) {
    if (!Send(done_, payload)) return absl::CancelledError("a signal");
  }
  return absl::OkStatus();
}

ExitCode Sending::Finish(const std::string& input, const absl::Status& read) {
  bool stopping = false;
  while (!tally_->AwaitResolved(sent_, absl::Milliseconds(100))) {
    if (!stopping && signals_.number() != 0) {
      progress_.Clear();
      context_.Say(kStopping);
      stopping = true;
    }
    progress_.Update(tally_->counts().resolved(), done_, absl::Now());
  }
  progress_.Clear();
  const Tally::Counts counts = tally_->counts();
  for (const std::string& failure : tally_->Failures()) context_.Say(absl::StrCat(input, ": ", failure));
  if (!read.ok() && !absl::IsCancelled(read)) context_.Say(absl::StrCat(input, ": ", Text(read)));
  const absl::Duration elapsed = absl::Now() - began_;
  const ExitCode printed = context_.Print(flags_.json ? SummaryJson(model_.topic, counts, malformed_, elapsed)
                                                      : Summary(model_.topic, counts, malformed_, elapsed));
  if (!read.ok()) return kFailed;
  if (counts.accepted == 0 && counts.resolved() > 0 && malformed_ == 0) return kFailed;
  if (malformed_ > 0 || counts.accepted < sent_) return kPartlySent;
  return printed;
}

ExitCode Run(const SendFlags& flags, Context& context) {
  const auto usage = [&context](const absl::Status& status) {
    context.Say(Text(status));
    return kUsage;
  };
  const bool lines = flags.body.empty() || flags.body == "-";
  absl::StatusOr<Message> model = Model(flags);
  if (!model.ok()) return usage(model.status());
  if (!lines && IsJson(flags.content_type)) {
    if (absl::Status json = CheckJson(flags.body); !json.ok()) return usage(json);
  }
  StopSignals signals;
  absl::StatusOr<Input> input = Input{.name = "message"};
  if (lines) input = OpenInput(flags.file, context.in, signals.fd());
  if (!input.ok()) return usage(input.status());

  return WithClient(flags.connection, "", context, [&](Client& client) {
    Producer& producer = client.producer();
    ExitCode code = kOk;
    if (!lines && flags.repeat == 1) {
      model->payload = flags.body;
      code = SendOne(flags, *std::move(model), signals, producer, context);
    } else {
      Sending sending(flags, *model, signals, lines ? input->total_bytes : flags.repeat, producer, context);
      const absl::Status read = lines ? sending.SendLines(*input) : sending.SendRepeated(flags.body);
      code = sending.Finish(input->name, read);
    }
    return signals.number() == 0 ? code : static_cast<ExitCode>(kSignalled + signals.number());
  });
}

}  // namespace

void AddSendCommand(CLI::App& app, Action& chosen) {
  CLI::App* command = app.add_subcommand("send", "Sends to a topic: one message, or one for each line of JSON");
  auto flags = std::make_shared<SendFlags>();
  command->add_option("topic", flags->topic, "Where to")->required()->type_name("TOPIC");
  CLI::Option* body = command->add_option("message", flags->body, "The message; - for lines from standard input");
  body->type_name("JSON");
  CLI::Option* file = command->add_option("--file", flags->file, "Lines from this file, a message each");
  file->type_name("FILE")->excludes(body);
  command->add_option("--key", flags->key, "Key of the messages: those of one key stay in order")->type_name("KEY");
  AddRepeated(*command, "--header", flags->headers, "A header of the messages")->type_name("NAME=VALUE");
  CLI::Option* id = command->add_option("--id", flags->id, "Id of the message, else a random one");
  id->type_name("ID");
  command
      ->add_option("--content-type", flags->content_type, "What the messages hold; JSON is checked, else they are text")
      ->type_name("TYPE")
      ->capture_default_str();
  command->add_option("--rate", flags->rate, "So many a second at most; 0: as fast as it goes")
      ->check(CLI::Range(0.0, 1e9))
      ->type_name("N")
      ->capture_default_str();
  CLI::Option* repeat = command->add_option("--repeat", flags->repeat, "Send the message so many times");
  repeat->check(CLI::Range(int64_t{1}, int64_t{1} << 40))->type_name("N")->capture_default_str();
  AddDuration(*command, "--deadline", flags->deadline, "How long a message may take to be accepted");
  AddJson(*command, flags->json);
  AddConnectionFlags(*command, flags->connection);
  AddExamples(*command,
              {"send orders.created '{\"order_id\": 7}' --key 7 --header source=shop",
               "send orders.created --file orders.ndjson --rate 100", "send pings '{}' --repeat 1000 --rate 50",
               "send notes 'plain text' --content-type text/plain"});
  command->callback([&chosen, flags, body, file, id, repeat] {
    if (body->count() + file->count() == 0) {
      throw CLI::RequiredError("JSON, --file FILE, or - for standard input: what to send");
    }
    const bool lines = flags->body.empty() || flags->body == "-";
    if (lines && repeat->count() > 0) throw CLI::ValidationError("--repeat", "is for a message on the command line");
    if ((lines || flags->repeat > 1) && id->count() > 0) throw CLI::ValidationError("--id", "is for one message");
    chosen = [flags](Context& context) { return Run(*flags, context); };
  });
}

}  // namespace messaging::cli
