// Faults of access: a server that is not there, not to be trusted, or does not let one in. And which other cases stand
// for the rows of the table that ask for no load.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "messaging/broker/broker.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/load.h"

namespace messaging::conformance {
namespace {

using ledger::Report;
using ::testing::AnyOf;
using ::testing::Eq;
using ::testing::HasSubstr;

constexpr absl::Duration kSoon = absl::Seconds(5);  // For an error that does not pass to be told.

std::string Whole(absl::Duration duration) {
  return absl::FormatDuration(absl::Trunc(duration, absl::Milliseconds(1)));
}

absl::StatusOr<std::unique_ptr<Client>> MakeClient(Bench& bench, const std::string& url,
                                                   const std::map<std::string, std::string>& native) {
  std::map<std::string, std::string> all = bench.environment().native;
  for (const auto& [name, value] : native) all[name] = value;
  return Client::Create(
      {.name = "access", .broker = bench.environment().name, .url = url, .group = bench.Group(), .native = all});
}

bool IsRefusal(const absl::Status& status) {
  return absl::IsUnauthenticated(status) || absl::IsPermissionDenied(status);
}

// Rows 16 and 17: bytes of any kind.
void AnyBytesAreCovered(Bench& bench) {
  const std::vector<std::pair<int, std::vector<std::string>>> rows = {
      {16, {"AnyPayloadIntact", "AnyKeyIntact", "AnyHeadersIntact", "NullPayloadIsNotEmpty", "NoKeyIsNotAnEmptyKey"}},
      {17, {"AnyPayloadIntact", "AnyKeyIntact", "AnyHeadersIntact", "ForeignMessages", "RefusedSaysWhy"}}};
  for (const auto& [row, names] : rows) {
    std::vector<std::string> run;
    for (const std::string& name : names) {
      const std::vector<Case> all = AllCases();
      const auto found = std::find_if(all.begin(), all.end(), [&](const Case& c) { return c.name == name; });
      ASSERT_NE(found, all.end()) << name;
      if (!SkipReason(*found, bench.environment(), bench.capabilities())) run.push_back(name);
    }
    EXPECT_FALSE(run.empty());
    PrintRow(bench, row, absl::StrCat("of the suite: ", absl::StrJoin(run, ", ")), nullptr, 0, "");
  }
}

// Row 24.
void AServerThatIsNotTrusted(Bench& bench) {
  for (const Environment::Untrusted& place : bench.environment().untrusted()) {
    const absl::Time begin = absl::Now();
    const auto client = MakeClient(bench, place.url, place.native);
    ASSERT_TRUE(client.ok()) << place.why << ": " << client.status();
    const absl::Status ping = (*client)->broker().Ping(absl::Seconds(3));
    const absl::Duration took = absl::Now() - begin;
    EXPECT_THAT(ping.code(), AnyOf(Eq(absl::StatusCode::kUnauthenticated), Eq(absl::StatusCode::kUnavailable)))
        << place.why << ": " << ping;
    EXPECT_LE(took, kSoon) << place.why;
    const auto sent = (*client)->producer().Send(bench.Topic(), std::string("secret"), {.deadline = kSoon}).Wait();
    EXPECT_FALSE(sent.ok()) << place.why;
    (*client)->AddHandler(
        MakeHandler("h", [](std::string_view) { return absl::OkStatus(); }, {.topics = {bench.Topic()}}));
    if (absl::IsUnauthenticated(ping)) {
      EXPECT_EQ((*client)->Start().code(), ping.code()) << place.why;
    }
    PrintRow(bench, 24, absl::StrCat(place.why, ": ", ping.message()), nullptr, 0,
             absl::StrCat("refused in ", Whole(took), " (", Whole(kSoon), ")"));
  }
}

// Row 25. Those who were in wait outside; who comes is told at once; when it is mended all go on by themselves.
void TheCredentialsChange(Bench& bench) {
  Load load(bench);
  Worker one = load.StartConsumer();
  Worker two = load.StartConsumer();
  load.StartSenders();
  load.AwaitHandling(absl::Now());
  const std::function<void()> mend = bench.environment().lock_out();
  const auto outside = MakeClient(bench, bench.url(), {});
  ASSERT_TRUE(outside.ok()) << outside.status();
  const absl::Time asked = absl::Now();
  const auto sent = (*outside)->producer().Send(bench.Topic("none"), std::string("m")).Wait();
  EXPECT_TRUE(IsRefusal(sent.status())) << sent.status();
  (*outside)->AddHandler(
      MakeHandler("h", [](std::string_view) { return absl::OkStatus(); }, {.topics = {bench.Topic("none")}}));
  const absl::Status started = (*outside)->Start();
  EXPECT_TRUE(IsRefusal(started)) << started;
  const absl::Duration told = absl::Now() - asked;
  EXPECT_LE(told, kSoon);
  absl::SleepFor(absl::Seconds(2));  // The fault's length.
  mend();
  load.FaultIsOver();
  load.JoinSenders();
  load.Finish(25, absl::StrCat("credentials wrong for 2 s (who came was refused in ", Whole(told), ")"),
              load.MostDuplicates(1), kSoon);
  load.processes().Stop(one);
  load.processes().Stop(two);
}

// Row 26.
void OneTopicIsDenied(Bench& bench) {
  Load load(bench);
  load.set_messages(1'000);
  const std::string allowed = load.consumer().topics[0];
  const std::string denied = bench.Topic("denied");
  load.consumer().topics = {allowed};
  Worker consumer = load.StartConsumer();
  const std::function<void()> mend = bench.environment().allow_only(allowed);
  Worker sender = load.StartSender(0, load.messages(), "m");
  const auto client = MakeClient(bench, bench.url(), {});
  ASSERT_TRUE(client.ok()) << client.status();
  const absl::Time asked = absl::Now();
  const auto sent = (*client)->producer().Send(denied, std::string("m")).Wait();
  EXPECT_EQ(sent.status().code(), absl::StatusCode::kPermissionDenied) << sent.status();
  EXPECT_THAT(std::string(sent.status().message()), HasSubstr(denied));
  (*client)->AddHandler(MakeHandler("h", [](std::string_view) { return absl::OkStatus(); }, {.topics = {denied}}));
  const absl::Status started = (*client)->Start();
  EXPECT_EQ(started.code(), absl::StatusCode::kPermissionDenied) << started;
  EXPECT_THAT(std::string(started.message()), HasSubstr(denied));
  const absl::Duration told = absl::Now() - asked;
  EXPECT_LE(told, 2 * kSoon);
  const absl::StatusOr<int> code = sender.Wait(kStuck);
  EXPECT_TRUE(code.ok() && *code == 0) << code.status();
  EXPECT_TRUE(WaitUntil([&] { return load.processes().Report().lost == 0; }));
  mend();  // Whoever looks for dead letters looks everywhere.
  const Report report =
      load.Finish(26, absl::StrCat("no right to one of two topics (told in ", Whole(told), ")"), 0, kSoon);
  EXPECT_EQ(report.accepted, load.messages()) << "the other topic goes on";
  load.processes().Stop(consumer);
}

// Row 28.
void TheServerComesLater(Bench& bench) {
  Load load(bench);
  load.set_messages(1'000);
  {
    const auto earlier = bench.NewClient();  // The topics are there: only the server is not.
    for (const std::string& topic : load.consumer().topics) bench.Expect(*earlier, topic);
  }
  const std::function<absl::Status()> bring_back = bench.environment().take_server_away();
  const auto hasty = MakeClient(bench, bench.url(), bench.environment().impatient);
  ASSERT_TRUE(hasty.ok()) << hasty.status();
  (*hasty)->AddHandler(
      MakeHandler("h", [](std::string_view) { return absl::OkStatus(); }, {.topics = {bench.Topic("none")}}));
  const absl::Time asked = absl::Now();
  const absl::Status started = (*hasty)->Start();
  const absl::Duration gave_up = absl::Now() - asked;
  EXPECT_EQ(started.code(), absl::StatusCode::kUnavailable) << started;
  EXPECT_LE(gave_up, kSoon);
  EXPECT_THAT(std::string(started.message()), HasSubstr("127.0.0.1:")) << "the address";
  Worker consumer = load.processes().Start(load.consumer());
  load.StartSenders();
  absl::SleepFor(absl::Seconds(2));  // The fault's length.
  EXPECT_TRUE(consumer.running());
  const absl::Status back = bring_back();
  ASSERT_TRUE(back.ok()) << back;
  load.FaultIsOver();
  load.JoinSenders();
  const Report report = load.Finish(
      28, absl::StrCat("no server for 2 s at the start (told to be hasty, gave up in ", Whole(gave_up), ")"), 0, kSoon);
  EXPECT_EQ(report.accepted, load.messages()) << "what was sent early too";
  load.processes().Stop(consumer);
}

}  // namespace

std::vector<Case> AccessFaultCases() {
  return {
      {"AnyBytesAreCovered", AnyBytesAreCovered, {}},
      {"AServerThatIsNotTrusted", AServerThatIsNotTrusted, {Need::kUntrusted}},
      {"TheCredentialsChange", TheCredentialsChange, {Need::kSeveralProcesses, Need::kLockOut}},
      {"OneTopicIsDenied", OneTopicIsDenied, {Need::kSeveralProcesses, Need::kAllowOnly}},
      {"TheServerComesLater", TheServerComesLater, {Need::kSeveralProcesses, Need::kTakeServerAway}},
  };
}

}  // namespace messaging::conformance
