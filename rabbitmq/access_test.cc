// Who is let in, to what, and where the server is.
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "rabbitmq/testing/with_server.h"
#include "tests/faultproxy/fault_proxy.h"
#include "tests/servers/server.h"

namespace messaging {
namespace {

using rabbitmq_testing::Connect;
using rabbitmq_testing::Joined;
using rabbitmq_testing::kLimit;
using rabbitmq_testing::Send;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class RabbitmqAccessTest : public rabbitmq_testing::WithServer {
 protected:
  std::string TlsUrl(const std::string& user = "guest:guest@") const {
    return absl::StrCat("amqps://", user, "localhost:", server().tls_port(), "/", virtual_host_);
  }
  static std::map<std::string, std::string> Certificates() {
    return {{"tls_ca", server().ca_file()},
            {"tls_certificate", server().client_certificate_file()},
            {"tls_key", server().client_key_file()}};
  }
  void AddUser(const std::string& name, const std::string& body, const std::string& pattern) {
    ASSERT_EQ(management().Put("users/" + name, body), absl::OkStatus());
    ASSERT_EQ(management().Permit(virtual_host_, name, pattern, pattern, pattern), absl::OkStatus());
  }
};

TEST_F(RabbitmqAccessTest, TlsWithACertificateOfItsOwn) {
  auto broker = Connect(TlsUrl(), Certificates());
  ASSERT_TRUE(broker.ok()) << broker.status();
  EXPECT_EQ((*broker)->Ping(kLimit), absl::OkStatus());
  Joined joined(**broker);
  ASSERT_EQ(joined.started, absl::OkStatus());
  EXPECT_EQ(Send(**broker, std::string(3 << 20, 'x')), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  EXPECT_EQ(joined.sink.payloads()[0].size(), 3u << 20);
  joined.Settle(Settlement::Verdict::kAck);
}

TEST_F(RabbitmqAccessTest, WithoutTheCertificateThatTheServerAsksForNothingIsSent) {
  auto broker = Connect(TlsUrl(), {{"tls_ca", server().ca_file()}});
  ASSERT_TRUE(broker.ok()) << broker.status();
  const absl::Time before = absl::Now();
  EXPECT_FALSE((*broker)->Ping(absl::Seconds(5)).ok());
  EXPECT_FALSE(Send(**broker, "m", "t", absl::Seconds(2)).ok());
  EXPECT_LE(absl::Now() - before, absl::Seconds(20));
}

TEST_F(RabbitmqAccessTest, TheCertificateIsTheUser) {
  AddUser("client", R"({"password_hash":"","tags":""})", ".*");
  std::map<std::string, std::string> native = Certificates();
  native["auth"] = "external";
  auto broker = Connect(TlsUrl(""), native);
  ASSERT_TRUE(broker.ok()) << broker.status();
  const Joined joined(**broker);
  EXPECT_EQ(joined.started, absl::OkStatus());
  EXPECT_EQ(Send(**broker, "m"), absl::OkStatus());
  native.erase("tls_certificate");
  EXPECT_EQ(Connect(TlsUrl(""), native).status().code(), absl::StatusCode::kInvalidArgument) << "a key alone";
}

TEST_F(RabbitmqAccessTest, PasswordsUsersAndRights) {
  AddUser("limited", R"({"password":"s3cr:t/","tags":""})", "^messaging$|allowed");
  const std::string at = absl::StrCat("@127.0.0.1:", server().port(), "/", virtual_host_);
  auto wrong = Connect(absl::StrCat("amqp://limited:wrong", at));
  ASSERT_TRUE(wrong.ok());
  const absl::Time before = absl::Now();
  const absl::Status refused = (*wrong)->Ping(kLimit);
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnauthenticated) << refused;
  EXPECT_THAT(std::string(refused.message()), Not(HasSubstr("wrong@")));
  EXPECT_EQ(Send(**wrong, "m", "allowed").code(), absl::StatusCode::kUnauthenticated);
  EXPECT_EQ(Joined(**wrong, {"allowed"}).started.code(), absl::StatusCode::kUnauthenticated);
  EXPECT_LE(absl::Now() - before, kLimit / 2) << "told at once, not at the deadline";

  auto limited = Connect(absl::StrCat("amqp://limited:s3cr%3At%2F", at));
  ASSERT_TRUE(limited.ok());
  const absl::Status denied = Joined(**limited, {"denied"}).started;
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied) << denied;
  EXPECT_THAT(std::string(denied.message()), HasSubstr("g/denied"));
  Joined mine(**limited, {"allowed"});
  ASSERT_EQ(mine.started, absl::OkStatus());
  EXPECT_EQ(Send(**limited, "m", "allowed"), absl::OkStatus());
  ASSERT_TRUE(mine.sink.WaitForDeliveries(1, kLimit));
  mine.Settle(Settlement::Verdict::kAck);
}

TEST_F(RabbitmqAccessTest, ATopicThatMayNotBeSentTo) {
  AddUser("sender", R"({"password":"p","tags":""})", ".*");
  ASSERT_EQ(management().Put(absl::StrCat("topic-permissions/", virtual_host_, "/sender"),
                             R"({"exchange":"messaging","write":"^allowed$","read":".*"})"),
            absl::OkStatus());
  auto broker = Connect(absl::StrCat("amqp://sender:p@127.0.0.1:", server().port(), "/", virtual_host_));
  ASSERT_TRUE(broker.ok());
  const Joined joined(**broker, {"allowed", "denied"});
  ASSERT_EQ(joined.started, absl::OkStatus());
  const absl::Status denied = Send(**broker, "m", "denied");
  EXPECT_EQ(denied.code(), absl::StatusCode::kPermissionDenied) << denied;
  EXPECT_THAT(std::string(denied.message()), HasSubstr("denied"));
  EXPECT_EQ(Send(**broker, "m", "allowed"), absl::OkStatus()) << "the other topic goes on";
}

TEST_F(RabbitmqAccessTest, AVirtualHostThatIsNotThere) {
  auto broker = Connect(server().url("nowhere"));
  ASSERT_TRUE(broker.ok());
  const absl::Status ping = (*broker)->Ping(kLimit);
  EXPECT_EQ(ping.code(), absl::StatusCode::kNotFound) << ping;
  EXPECT_THAT(std::string(ping.message()), HasSubstr("nowhere"));
}

TEST_F(RabbitmqAccessTest, WhatCannotBeReachedIsNamed) {
  auto broker = Connect(absl::StrCat("amqp://127.0.0.1:", servers::FreePort()),
                        {{"start_timeout", "300ms"}, {"connect_timeout", "200ms"}});
  ASSERT_TRUE(broker.ok());
  const absl::Status ping = (*broker)->Ping(kLimit);
  EXPECT_EQ(ping.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(ping.message()), AllOf(HasSubstr("rabbitmq 127.0.0.1:"), HasSubstr("refused")));
  EXPECT_EQ(Joined(**broker).started.code(), absl::StatusCode::kUnavailable) << "after start_timeout";
  EXPECT_EQ(Send(**broker, "m", "t", absl::Milliseconds(300)).code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(RabbitmqAccessTest, HostsAreTriedInTurn) {
  auto first = std::make_unique<faultproxy::FaultProxy>(server().port());
  const faultproxy::FaultProxy second(server().port());
  auto broker = Connect(absl::StrCat("amqp://guest:guest@127.0.0.1:", servers::FreePort(), ",127.0.0.1:", first->port(),
                                     ",127.0.0.1:", second.port(), "/", virtual_host_));
  ASSERT_TRUE(broker.ok()) << broker.status();
  Joined joined(**broker);
  ASSERT_EQ(joined.started, absl::OkStatus()) << "the first host is not there";
  EXPECT_EQ(Send(**broker, "by the second"), absl::OkStatus());
  ASSERT_TRUE(joined.sink.WaitForDeliveries(1, kLimit));
  joined.Settle(Settlement::Verdict::kAck);
  first.reset();
  EXPECT_EQ(Send(**broker, "by the third"), absl::OkStatus());
  EXPECT_TRUE(joined.AcknowledgeAll(1).contains("by the third") || joined.AcknowledgeAll(1).contains("by the third"))
      << "after the first message once more: the connection may end before the server has its acknowledgement";
}

}  // namespace
}  // namespace messaging
