// The driver against real servers: what the conformance suite does not know of Redis.
#include "redis/redis_broker.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/broker/names.h"
#include "messaging/outgoing.h"
#include "redis/testing/with_server.h"
#include "tests/servers/redis_server.h"

namespace messaging {
namespace {

using redis_testing::Connect;
using redis_testing::Joined;
using redis_testing::kLimit;
using redis_testing::NewMessage;
using redis_testing::Other;
using redis_testing::Send;
using redis_testing::Start;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Until each further connection is answered so.
void AwaitAnswer(servers::RedisServer& server, const std::string& error) {
  const absl::Time limit = absl::Now() + kLimit;
  while (!Other(server).Ask({"PING"}).starts_with(error)) {
    ASSERT_LT(absl::Now(), limit);
    absl::SleepFor(absl::Milliseconds(5));
  }
}

TEST(RedisTlsTest, VerifiesTheServerAndShowsItsOwnCertificate) {
  const auto server = Start({.tls = true, .tls_auth_clients = true});
  const std::string url = absl::StrCat("rediss://localhost:", server->port(), "/0");
  const std::map<std::string, std::string> good = {{"tls_ca", server->ca_file()},
                                                   {"tls_certificate", server->client_certificate_file()},
                                                   {"tls_key", server->client_key_file()}};
  auto broker = Connect(url, good);
  ASSERT_TRUE(broker.ok()) << broker.status();
  EXPECT_EQ((*broker)->Ping(kLimit), absl::OkStatus());
  EXPECT_EQ(Send(**broker, std::string(3 << 20, 'x')), absl::OkStatus());
  Joined joined(**broker);
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  EXPECT_EQ(joined.sink.payloads()[0].size(), 3u << 20);
  joined.Settle(Settlement::Verdict::kAck);
}

TEST(RedisTlsTest, RefusesWhomItCannotTrust) {
  const auto server = Start({.tls = true});
  const auto stranger = Start({.tls = true});  // Of another authority.
  const std::string url = absl::StrCat("rediss://localhost:", server->port(), "/0");
  auto ping = [](const std::string& to, std::map<std::string, std::string> native) {
    auto broker = Connect(to, std::move(native));
    if (!broker.ok()) return broker.status();
    const absl::Time before = absl::Now();
    const absl::Status status = (*broker)->Ping(absl::Seconds(4));
    EXPECT_LE(absl::Now() - before, absl::Seconds(5));
    // Nothing is sent, and it does not take until the deadline to say so.
    EXPECT_EQ(Send(**broker, "m").code(), status.code());
    return status;
  };
  const absl::Status wrong_authority = ping(url, {{"tls_ca", stranger->ca_file()}});
  EXPECT_EQ(wrong_authority.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(wrong_authority.message()), HasSubstr("certificate"));
  EXPECT_EQ(ping(url, {}).code(), absl::StatusCode::kUnauthenticated) << "the system's authorities do not know it";
  const absl::Status wrong_name = ping(url, {{"tls_ca", server->ca_file()}, {"tls_server_name", "other.example"}});
  EXPECT_EQ(wrong_name.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(wrong_name.message()), HasSubstr("ostname mismatch"));
  EXPECT_EQ(ping(absl::StrCat("rediss://127.0.0.1:", server->port()), {{"tls_ca", server->ca_file()}}),
            absl::OkStatus());
  EXPECT_EQ(ping(url, {{"tls_verify", "false"}}), absl::OkStatus()) << "told not to look";
  const auto missing = Connect(url, {{"tls_ca", "/nowhere/ca.crt"}});
  EXPECT_EQ(missing.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("/nowhere/ca.crt"));
}

TEST(RedisTlsTest, APlainPortIsNoTls) {
  const auto server = Start();
  auto broker = Connect(absl::StrCat("rediss://127.0.0.1:", server->port()), {{"tls_verify", "false"}});
  ASSERT_TRUE(broker.ok());
  const absl::Time before = absl::Now();
  const absl::Status ping = (*broker)->Ping(absl::Seconds(2));
  EXPECT_EQ(ping.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(ping.message()), HasSubstr("a port without TLS?"));
  EXPECT_LE(absl::Now() - before, absl::Seconds(5));
}

TEST(RedisConnectionTest, UnixSocketDatabaseAndName) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(absl::StrCat("redis+unix://", server->server().folder(), "/redis.sock"));
  ASSERT_TRUE(broker.ok()) << broker.status();
  EXPECT_EQ(Send(**broker, "m"), absl::OkStatus());
  EXPECT_EQ(other.Ask({"XLEN", "t"}), "1");
  EXPECT_THAT(other.Ask({"CLIENT", "LIST"}), HasSubstr("name=test"));
  auto third = Connect(absl::StrCat("redis://127.0.0.1:", server->port(), "/3"));
  ASSERT_TRUE(third.ok());
  EXPECT_EQ(Send(**third, "m", "in.three"), absl::OkStatus());
  EXPECT_EQ(other.Ask({"EXISTS", "in.three"}), "0");
  EXPECT_EQ(other.Ask({"SELECT", "3"}), "OK");
  EXPECT_EQ(other.Ask({"XLEN", "in.three"}), "1");
}

TEST(RedisConnectionTest, WhatCannotBeReachedIsNamed) {
  auto broker = Connect(absl::StrCat("redis://127.0.0.1:", servers::FreePort()),
                        {{"start_timeout", "300ms"}, {"connect_timeout", "200ms"}});
  ASSERT_TRUE(broker.ok());
  const absl::Status ping = (*broker)->Ping(kLimit);
  EXPECT_EQ(ping.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(ping.message()), AllOf(HasSubstr("redis 127.0.0.1:"), HasSubstr("refused")));
  const Joined joined(**broker);
  EXPECT_EQ(joined.started.code(), absl::StatusCode::kUnavailable) << "after start_timeout";
  EXPECT_EQ(Send(**broker, "m", "t", absl::Milliseconds(300)).code(), absl::StatusCode::kDeadlineExceeded)
      << "unknown or not, it was tried until then";
}

TEST(RedisConnectionTest, AServerThatComesLaterIsUsed) {
  const auto server = Start();
  server->server().Kill();
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  const OutgoingPtr message = NewMessage("m");
  (*broker)->Publish(message);
  ASSERT_EQ(server->server().StartAgain(), absl::OkStatus());
  EXPECT_TRUE(message->WaitUntil(absl::Now() + kLimit));
  EXPECT_EQ(message->result().status(), absl::OkStatus());
}

TEST(RedisAuthenticationTest, PasswordsUsersAndRights) {
  const auto server = Start();
  ASSERT_EQ(Other(*server).Ask(
                {"ACL", "SETUSER", "limited", "on", ">s3cr:t/", "~allowed*", "~{allowed*}:*", "+@all", "-@dangerous"}),
            "OK");
  const std::string at = absl::StrCat("@127.0.0.1:", server->port(), "/0");
  auto wrong = Connect(absl::StrCat("redis://limited:wrong", at));
  ASSERT_TRUE(wrong.ok());
  const absl::Status refused = (*wrong)->Ping(kLimit);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(refused.message()), testing::Not(HasSubstr("wrong@")));
  const absl::Time before = absl::Now();
  EXPECT_EQ(Send(**wrong, "m", "allowed").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Joined(**wrong, "allowed").started.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_LE(absl::Now() - before, absl::Seconds(5));

  auto limited = Connect(absl::StrCat("redis://limited:s3cr%3At%2F", at));
  ASSERT_TRUE(limited.ok());
  const absl::Status denied = Send(**limited, "m", "denied");
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(denied.message()), HasSubstr("(topic denied)"));
  EXPECT_EQ(Send(**limited, "m", "allowed"), absl::OkStatus()) << "the other topic goes on";
  const Joined not_mine(**limited, "denied");
  EXPECT_EQ(not_mine.started.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(not_mine.started.message()), HasSubstr("denied"));
  Joined mine(**limited, "allowed");
  EXPECT_EQ(mine.started, absl::OkStatus());
  ASSERT_TRUE(mine.sink.WaitForDeliveries(1));
  mine.Settle(Settlement::Verdict::kAck);
}

TEST(RedisAuthenticationTest, APasswordThatIsChangedAndMended) {
  const auto server = Start();
  Other other(*server);
  ASSERT_EQ(other.Ask({"CONFIG", "SET", "requirepass", "one"}), "OK");
  auto broker = Connect(absl::StrCat("redis://:one@127.0.0.1:", server->port()));
  ASSERT_TRUE(broker.ok());
  EXPECT_EQ(Send(**broker, "m"), absl::OkStatus());
  ASSERT_EQ(other.Ask({"CONFIG", "SET", "requirepass", "two"}), "OK");
  ASSERT_THAT(other.Ask({"CLIENT", "KILL", "TYPE", "normal"}), testing::Not(HasSubstr("ERR")));
  EXPECT_EQ(Send(**broker, "m").code(), absl::StatusCode::kUnauthenticated);
  ASSERT_EQ(other.Ask({"CONFIG", "SET", "requirepass", "one"}), "OK");
  EXPECT_EQ(Send(**broker, "m"), absl::OkStatus()) << "without a restart";
}

TEST(RedisRefusalTest, AFullServerTakesNothingUntilThereIsRoom) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  ASSERT_EQ(other.Ask({"CONFIG", "SET", "maxmemory", "1"}), "OK");
  const absl::Status full = Send(**broker, "m", "t", absl::Seconds(1));
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  const OutgoingPtr patient = NewMessage("m");
  (*broker)->Publish(patient);
  EXPECT_FALSE(patient->WaitUntil(absl::Now() + absl::Milliseconds(500)));
  ASSERT_EQ(other.Ask({"CONFIG", "SET", "maxmemory", "0"}), "OK");
  EXPECT_TRUE(patient->WaitUntil(absl::Now() + absl::Seconds(5)));
  EXPECT_EQ(patient->result().status(), absl::OkStatus());
  EXPECT_EQ(other.Ask({"XLEN", "t"}), "1");
}

TEST(RedisRefusalTest, AReplicaIsUnavailableUntilItLeads) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  ASSERT_EQ(other.Ask({"REPLICAOF", "127.0.0.1", absl::StrCat(servers::FreePort())}), "OK");
  EXPECT_EQ(Send(**broker, "m", "t", absl::Seconds(1)).code(), absl::StatusCode::kUnavailable);
  const OutgoingPtr patient = NewMessage("m");
  (*broker)->Publish(patient);
  ASSERT_EQ(other.Ask({"REPLICAOF", "NO", "ONE"}), "OK");
  EXPECT_TRUE(patient->WaitUntil(absl::Now() + absl::Seconds(5)));
  EXPECT_EQ(patient->result().status(), absl::OkStatus());
}

TEST(RedisRefusalTest, AKeyOfAnotherTypeSaysSoAtOnce) {
  const auto server = Start();
  ASSERT_EQ(Other(*server).Ask({"SET", "t", "text"}), "OK");
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  EXPECT_EQ(Send(**broker, "m").code(), absl::StatusCode::kFailedPrecondition);
  const Joined joined(**broker);
  EXPECT_EQ(joined.started.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(joined.started.message()), HasSubstr("(t)"));
}

TEST(RedisRefusalTest, APausedServerIsWaitedFor) {
  const auto server = Start();
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  EXPECT_EQ(Send(**broker, "m"), absl::OkStatus());
  ASSERT_EQ(Other(*server).Ask({"CLIENT", "PAUSE", "700"}), "OK");
  EXPECT_EQ(Send(**broker, "m"), absl::OkStatus());
}

TEST(RedisRefusalTest, ABusyServerIsWaitedFor) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  EXPECT_EQ(Send(**broker, "m"), absl::OkStatus());
  ASSERT_EQ(other.Ask({"CONFIG", "SET", "busy-reply-threshold", "1"}), "OK");
  Other busy(*server);
  busy.Begin({"EVAL", "while true do end", "0"});
  AwaitAnswer(*server, "BUSY");
  const absl::Status refused = Send(**broker, "m", "t", absl::Seconds(1));
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  const OutgoingPtr patient = NewMessage("m", "t", kLimit);
  (*broker)->Publish(patient);
  ASSERT_EQ(other.Ask({"SCRIPT", "KILL"}), "OK");
  EXPECT_THAT(busy.End(), HasSubstr("killed by user"));
  EXPECT_TRUE(patient->WaitUntil(absl::Now() + kLimit));
  EXPECT_EQ(patient->result().status(), absl::OkStatus());
  EXPECT_EQ(other.Ask({"XLEN", "t"}), "2");
}

// A server that starts again and takes two seconds to read its file.
TEST(RedisRefusalTest, ALoadingServerIsWaitedFor) {
  const auto server = Start({.arguments = {"--appendonly", "no", "--rdbcompression", "no", "--key-load-delay", "10000",
                                           "--loading-process-events-interval-bytes", "1024"}});
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  ASSERT_EQ(Send(**broker, "first"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  {
    Other other(*server);
    for (int i = 0; i < 200; ++i) other.Ask({"SET", absl::StrCat("other", i), std::string(2'000, 'x')});
    ASSERT_EQ(other.Ask({"SAVE"}), "OK");
  }
  server->server().Kill();
  std::thread starting([&] { EXPECT_EQ(server->server().StartAgain(), absl::OkStatus()); });
  AwaitAnswer(*server, "LOADING");
  const OutgoingPtr patient = NewMessage("last", "t", kLimit);
  (*broker)->Publish(patient);
  starting.join();
  EXPECT_TRUE(patient->WaitUntil(absl::Now() + kLimit));
  EXPECT_EQ(patient->result().status(), absl::OkStatus());
  EXPECT_TRUE(joined.sink.WaitForDeliveries(2));
  EXPECT_EQ(Other(*server).Ask({"XLEN", "t"}), "2");
}

TEST(RedisWaitTest, AReplicaHasWhatIsAccepted) {
  const auto server = Start();
  auto broker = Connect(server->url(), {{"wait_replicas", "1"}, {"wait_timeout", "200ms"}});
  ASSERT_TRUE(broker.ok());
  EXPECT_EQ(Send(**broker, "alone", "t", absl::Seconds(1)).code(), absl::StatusCode::kDeadlineExceeded)
      << "there is no replica";
  const auto replica = Start({.arguments = {"--replicaof", absl::StrCat("127.0.0.1 ", server->port())}});
  ASSERT_EQ(Send(**broker, "together"), absl::OkStatus());
  EXPECT_THAT(Other(*replica).Ask({"XREVRANGE", "t", "+", "-", "COUNT", "1"}), "1");
  EXPECT_EQ(Other(*replica).Ask({"XLEN", "t"}), Other(*server).Ask({"XLEN", "t"}));
}

TEST(RedisConsumerTest, SurvivesTheLossOfScriptsGroupsAndEntries) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  ASSERT_EQ(Send(**broker, "one"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  EXPECT_EQ(other.Ask({"SCRIPT", "FLUSH"}), "OK");
  joined.Settle(Settlement::Verdict::kRelease);  // By a script.
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  EXPECT_EQ(other.Ask({"FLUSHALL"}), "OK");
  joined.Settle(Settlement::Verdict::kAck);
  ASSERT_EQ(Send(**broker, "two"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  EXPECT_THAT(joined.sink.payloads(), ElementsAre("two"));
  joined.Settle(Settlement::Verdict::kAck);
  ASSERT_EQ(other.Ask({"XGROUP", "DESTROY", "t", "g"}), "1");
  ASSERT_EQ(Send(**broker, "three"), absl::OkStatus());
  // The group begins anew: what is in the stream comes again, nothing is missing.
  ASSERT_TRUE(joined.sink.WaitForDeliveries(2));
  EXPECT_THAT(joined.sink.payloads(), ElementsAre("two", "three"));
}

TEST(RedisConsumerTest, NoLongerInTheServersListsAfterItLeft) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  {
    Joined joined(**broker, "t", "g", "me");
    ASSERT_EQ(Send(**broker, "m"), absl::OkStatus());
    ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
    EXPECT_EQ(other.Ask({"XPENDING", "t", "g", "-", "+", "9", "me"}), "1");
  }
  EXPECT_EQ(other.Ask({"XPENDING", "t", "g", "-", "+", "9", "me"}), "0");
  EXPECT_EQ(other.Ask({"XPENDING", "t", "g", "-", "+", "9"}), "1") << "given back, for the next";
  EXPECT_EQ(other.Ask({"XGROUP", "DELCONSUMER", "t", "g", "me"}), "0") << "it is not there";
  Joined next(**broker, "t", "g", "next");
  ASSERT_TRUE(next.sink.WaitForDeliveries(1));
  next.Settle(Settlement::Verdict::kAck);
}

TEST(RedisConsumerTest, ForeignEntriesAreJsonAndClaimNothing) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  other.Ask({"XADD", "t", "*", "order_id", "7", "key", "k", "r:handler", "h", "bad", "\xff"});
  other.Ask({"XADD", "t", "*", "payload", std::string("\xff\x00z", 3), "h:a", "1", "h:a", "2", "key", "\xfe"});
  ASSERT_TRUE(joined.sink.WaitForDeliveries(2));
  std::vector<Delivery> both = joined.sink.TakeAll();
  const Record& json = *both[0].record();
  EXPECT_EQ(json.payload, "{\"bad\":\"\xef\xbf\xbd\",\"key\":\"k\",\"order_id\":\"7\",\"r:handler\":\"h\"}");
  EXPECT_EQ(json.content_type, "application/json");
  EXPECT_FALSE(json.has_key);
  EXPECT_EQ(json.handler, "");
  const Record& bytes = *both[1].record();
  EXPECT_EQ(bytes.payload, std::string_view("\xff\x00z", 3));
  EXPECT_EQ(bytes.key, "\xfe");
  ASSERT_THAT(bytes.headers, SizeIs(2));
  EXPECT_EQ(bytes.headers[1].value, "2");
}

TEST(RedisConsumerTest, AnEntryOfTooManyHeadersCanDie) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url());
  ASSERT_TRUE(broker.ok());
  Joined joined(**broker);
  std::vector<std::string> entry = {"XADD", "t", "*", "payload", "p"};
  for (int i = 0; i < 6'000; ++i) entry.insert(entry.end(), {absl::StrCat("h:", i), "v"});
  other.Ask(entry);
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1));
  std::vector<Settlement> batch;
  batch.push_back(joined.sink.TakeFirst().DeadLetter({.handler = "h", .status = absl::InternalError("no")}));
  joined.subscription->Settle(std::move(batch));
  ASSERT_TRUE(joined.sink.WaitForAnswers(1));
  EXPECT_EQ(joined.sink.TakeAnswers()[0].status, absl::OkStatus());
}

// An entry of the group's retry stream may have the id of one of the topic's.
TEST(RedisConsumerTest, NotesOfTwoEntriesWithOneIdAreTwo) {
  const auto server = Start();
  Other other(*server);
  auto broker = Connect(server->url(), {{"claim_idle", "300ms"}});
  ASSERT_TRUE(broker.ok());
  const std::string retry = absl::StrCat("{t}:", RetryPlace("t", "g", absl::ZeroDuration()));
  {
    Other dead(*server);
    for (const std::string& stream : {std::string("t"), retry}) {
      ASSERT_EQ(other.Ask({"XGROUP", "CREATE", stream, "g", "0", "MKSTREAM"}), "OK");
      ASSERT_EQ(other.Ask({"XADD", stream, "5-0", "payload", stream}), "5-0");
      ASSERT_EQ(dead.Ask({"XREADGROUP", "GROUP", "g", "dead", "STREAMS", stream, ">"}), "1");
    }
  }
  {
    Joined joined(**broker, "t", "g", "first");
    ASSERT_TRUE(joined.sink.WaitForDeliveries(2));
    std::vector<Settlement> batch;
    for (Delivery& delivery : joined.sink.TakeAll()) {
      const bool of_topic = delivery.record()->payload == "t";
      batch.push_back(std::move(delivery).Begin("h", of_topic ? 1 : 2));
    }
    joined.subscription->Settle(std::move(batch));
    ASSERT_TRUE(joined.sink.WaitForAnswers(2));
    for (Settlement& answer : joined.sink.TakeAnswers()) EXPECT_EQ(answer.status, absl::OkStatus());
  }  // They are given back.
  Joined second(**broker, "t", "g", "second");
  ASSERT_TRUE(second.sink.WaitForDeliveries(2));
  for (const Delivery& delivery : second.sink.TakeAll()) {
    EXPECT_EQ(delivery.record()->attempts, delivery.record()->payload == "t" ? 1 : 2) << delivery.record()->payload;
  }
}

TEST(RedisCheckTest, SaysWhatIsWrongAndItsCure) {
  const auto server = Start({.appendfsync = "everysec"});
  Other other(*server);
  ASSERT_EQ(other.Ask({"CONFIG", "SET", "maxmemory-policy", "allkeys-lru"}), "OK");
  ASSERT_EQ(other.Ask({"SET", "text", "text"}), "OK");
  ASSERT_EQ(other.Ask({"ACL", "SETUSER", "limited", "on", "nopass", "~t", "~text", "+@all"}), "OK");
  auto broker = Connect(absl::StrCat("redis://limited:any@127.0.0.1:", server->port()));
  ASSERT_TRUE(broker.ok());
  const auto findings = (*broker)->admin().Check("g", {{.topic = "t"}, {.topic = "text"}, {.topic = "denied"}});
  ASSERT_TRUE(findings.ok()) << findings.status();
  std::vector<std::string> lines;
  for (const Finding& finding : *findings) {
    const char* level = finding.level == Finding::Level::kOk        ? "ok"
                        : finding.level == Finding::Level::kWarning ? "warning"
                                                                    : "error";
    lines.push_back(absl::StrCat(level, " ", finding.subject, ": ", finding.message, " / ", finding.cure));
  }
  EXPECT_THAT(lines, Contains(AllOf(HasSubstr("warning durability: appendfsync is everysec"),
                                    HasSubstr("CONFIG SET appendfsync always"))));
  EXPECT_THAT(lines, Contains(HasSubstr("warning durability: maxmemory-policy is allkeys-lru")));
  EXPECT_THAT(lines, Contains(HasSubstr("error topic text: the key holds something else than a stream")));
  EXPECT_THAT(lines, Contains(HasSubstr("error topic denied: no right to send")));
  EXPECT_THAT(lines, Contains(HasSubstr("error topic t: no right to keep retries and dead letters")));
  EXPECT_THAT((*broker)->Warnings(), SizeIs(2));
}

TEST(RedisAdminTest, PartitionsThatDifferAreToldAsADifference) {
  const auto server = Start();
  auto broker = Connect(server->url(), {{"partitions", "2"}});
  ASSERT_TRUE(broker.ok());
  ASSERT_EQ((*broker)->admin().Declare({.topic = "t", .groups = {"g"}}), absl::OkStatus());
  const absl::Status other = (*broker)->admin().Declare({.topic = "t", .options = {.partitions = 3}});
  EXPECT_EQ(other.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(other.message()), HasSubstr("has 2 partitions, not 3"));
  auto plain = Connect(server->url());
  ASSERT_TRUE(plain.ok());
  const auto findings = (*plain)->admin().Check("g", {{.topic = "t"}});
  ASSERT_TRUE(findings.ok());
  EXPECT_EQ(findings->back().level, Finding::Level::kError);
  EXPECT_EQ(findings->back().expected, "0 partitions");
  EXPECT_EQ(findings->back().found, "2 partitions");
  EXPECT_EQ((*plain)->admin().Declare({.topic = "u", .options = {.settings = {{"retention.ms", "1"}}}}).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace messaging
