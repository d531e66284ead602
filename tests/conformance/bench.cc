#include "tests/conformance/bench.h"

#include <unistd.h>

#include <random>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/time/clock.h"
#include "messaging/broker/broker.h"

namespace messaging::conformance {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kSlowness = 4;
#else
constexpr int kSlowness = 1;
#endif

absl::Duration limit = absl::Seconds(30);

// So that runs against one server do not meet.
const std::string& RunId() {
  static const std::string* id =
      new std::string(absl::StrCat("r", absl::Hex(std::random_device()() % 0xffffff, absl::kZeroPad6)));
  return *id;
}

}  // namespace

absl::Duration Limit() { return Slowed(limit); }
void SetLimit(absl::Duration set) { limit = set; }

absl::Duration Slowed(absl::Duration figure) { return kSlowness * figure; }

absl::Duration Tolerance(absl::Duration delay) {
  return Slowed(std::max(absl::Milliseconds(250), absl::Duration(delay / 10)));
}

bool WaitUntil(const std::function<bool()>& condition, absl::Duration limit, absl::Duration poll) {
  const absl::Time end = absl::Now() + limit;
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(poll);
  }
  return true;
}

void Journal::Add(const Received& received) {
  Seen seen = {.handler = std::string(received.handler()),
               .group = std::string(received.group()),
               .topic = std::string(received.topic()),
               .payload = std::string(received.payload()),
               .id = std::string(received.id()),
               .content_type = std::string(received.content_type()),
               .null_payload = received.null_payload(),
               .attempt = received.attempt(),
               .max_attempts = received.max_attempts(),
               .redelivered = received.redelivered(),
               .timestamp = received.timestamp(),
               .at = absl::Now()};
  if (received.key()) seen.key = std::string(*received.key());
  for (const HeaderView& header : received.headers()) seen.headers.emplace_back(header.name, header.value);
  absl::MutexLock lock(&mutex_);
  seen_.push_back(std::move(seen));
}

std::vector<Seen> Journal::all() const {
  absl::MutexLock lock(&mutex_);
  return seen_;
}

std::vector<Seen> Journal::Of(std::string_view payload) const {
  std::vector<Seen> found;
  for (Seen& seen : all()) {
    if (seen.payload == payload) found.push_back(std::move(seen));
  }
  return found;
}

size_t Journal::count(std::string_view handler) const { return payloads(handler).size(); }

size_t Journal::distinct(std::string_view handler) const {
  const std::vector<std::string> all = payloads(handler);
  return std::set<std::string>(all.begin(), all.end()).size();
}

std::vector<std::string> Journal::payloads(std::string_view handler) const {
  std::vector<std::string> payloads;
  absl::MutexLock lock(&mutex_);
  for (const Seen& seen : seen_) {
    if (handler.empty() || seen.handler == handler) payloads.push_back(seen.payload);
  }
  return payloads;
}

testing::AssertionResult Journal::Await(size_t calls, absl::Duration limit) const {
  auto enough = [this, calls]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return seen_.size() >= calls; };
  absl::MutexLock lock(&mutex_);
  if (mutex_.AwaitWithTimeout(absl::Condition(&enough), limit)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "of " << calls << " calls " << seen_.size() << " came";
}

testing::AssertionResult Journal::AwaitDistinct(size_t payloads, absl::Duration limit) const {
  if (WaitUntil([&] { return distinct() >= payloads; }, limit)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "of " << payloads << " messages " << distinct() << " came";
}

absl::Status Succeed(const Received&) { return absl::OkStatus(); }

Outcome FailTimes(int times, absl::Status status) {
  return [times, status = std::move(status)](const Received& received) {
    return received.attempt() <= times ? status : absl::OkStatus();
  };
}

Handler Recording(std::string name, Journal& journal, HandlerOptions options, Outcome outcome) {
  return MakeHandler(
      std::move(name),
      [&journal, outcome = std::move(outcome)](const std::string_view&, const Received& received) -> absl::Status {
        journal.Add(received);
        return outcome(received);
      },
      std::move(options));
}

void Gate::Pass() {
  absl::MutexLock lock(&mutex_);
  ++waiting_;
  mutex_.Await(absl::Condition(&open_));
  --waiting_;
}

void Gate::Open() {
  absl::MutexLock lock(&mutex_);
  open_ = true;
}

testing::AssertionResult Gate::AwaitWaiting(int handlers, absl::Duration limit) const {
  auto enough = [this, handlers]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return waiting_ >= handlers; };
  absl::MutexLock lock(&mutex_);
  if (mutex_.AwaitWithTimeout(absl::Condition(&enough), limit)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "of " << handlers << " handlers " << waiting_ << " got there";
}

Bench::Bench(const Environment& environment, const Capabilities& capabilities, std::string worker,
             std::string case_name)
    : environment_(environment),
      capabilities_(capabilities),
      worker_(std::move(worker)),
      case_name_(std::move(case_name)),
      prefix_(absl::StrCat(RunId(), ".", case_name_)),
      url_(environment.url(case_name_)) {
  if (!capabilities_.durable) anchor_ = NewClient("anchor");
}

std::string Bench::Path(std::string_view name) const {
  return absl::StrCat(testing::TempDir(), "/", prefix_, ".", name);
}

std::unique_ptr<Client> Bench::NewClient(std::string_view group, ProducerOptions producer) {
  absl::StatusOr<std::unique_ptr<Client>> client = Client::Create({.name = absl::StrCat("client-", ++clients_),
                                                                   .broker = environment_.name,
                                                                   .url = url_,
                                                                   .group = Group(group),
                                                                   .native = environment_.native,
                                                                   .producer = std::move(producer)});
  // Main runs with exceptions on: gtest reports one that leaves a case as its failure, and goes on with the next.
  if (!client.ok()) throw std::runtime_error(client.status().ToString());
  return *std::move(client);
}

std::unique_ptr<Client> Bench::Consume(std::vector<Handler> handlers, std::string_view group, ConsumerOptions options) {
  std::unique_ptr<Client> client = NewClient(group);
  for (Handler& handler : handlers) client->AddHandler(std::move(handler));
  const absl::Status started = client->Start(std::move(options));
  if (!started.ok()) throw std::runtime_error(started.ToString());
  return client;
}

void Bench::Expect(Client& client, const std::string& topic) {
  if (capabilities_.accepts_unknown_topics) return;
  absl::MutexLock lock(&mutex_);
  if (!expected_.insert(topic).second) return;
  const absl::Status declared = client.broker().admin().Declare({.topic = topic, .groups = {Group()}});
  EXPECT_TRUE(declared.ok()) << declared;
}

void Bench::Send(Client& client, const std::string& topic, std::string_view payload, SendOptions options) {
  Expect(client, topic);
  const absl::StatusOr<Receipt> receipt =
      client.producer().Send(topic, std::string(payload), std::move(options)).Wait(Limit());
  EXPECT_TRUE(receipt.ok()) << receipt.status();
}

void Bench::SendMany(Client& client, const std::string& topic, int n, std::string_view prefix,
                     const std::function<std::string(int)>& key) {
  Expect(client, topic);
  std::vector<Confirmation> confirmations;
  for (int i = 0; i < n; ++i) {
    SendOptions options;
    if (key && !key(i).empty()) options.key = key(i);
    confirmations.push_back(client.producer().Send(topic, absl::StrCat(prefix, i), std::move(options)));
  }
  int accepted = 0;
  absl::Status why;
  for (const Confirmation& confirmation : confirmations) {
    const absl::StatusOr<Receipt> receipt = confirmation.Wait(Limit());
    if (receipt.ok()) ++accepted;
    why.Update(receipt.status());
  }
  EXPECT_EQ(accepted, n) << why;
}

std::vector<DeadLetter> Bench::DeadLettersOf(Client& client, std::string_view group, const std::string& topic) {
  std::vector<DeadLetter> letters;
  const absl::Status listed =
      client.broker().dead_letters().List({.group = Group(group), .topic = topic}, [&](const DeadLetter& letter) {
        letters.push_back(letter);
        return true;
      });
  EXPECT_TRUE(listed.ok()) << listed;
  return letters;
}

std::vector<DeadLetter> Bench::AwaitDeadLetters(Client& client, size_t n, std::string_view group,
                                                const std::string& topic) {
  std::vector<DeadLetter> letters;
  const bool came = WaitUntil([&] {
    letters = DeadLettersOf(client, group, topic);
    return letters.size() >= n || testing::Test::HasFailure();
  });
  EXPECT_TRUE(came) << "of " << n << " dead letters " << letters.size() << " came";
  EXPECT_EQ(letters.size(), n);
  return letters;
}

}  // namespace messaging::conformance
