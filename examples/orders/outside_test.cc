#include "examples/orders/outside.h"

#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace orders {
namespace {

std::string FreshPath(const std::string& name) {
  const std::string path = ::testing::TempDir() + "/" + name + "." + std::to_string(getpid());
  for (const char* end : {"", "-wal", "-shm", ".mended"}) unlink((path + end).c_str());
  return path;
}

int64_t Number(const std::string& path, const char* sql) { return (*Database::Open(path, ""))->Number(sql)->value(); }

TEST(Gateway, ChargesAnOrderOnceHoweverOftenItIsAsked) {
  const std::string path = FreshPath("charge");
  Gateway gateway(path);
  EXPECT_TRUE(gateway.Charge(1, 250, "card").ok());
  EXPECT_TRUE(gateway.Charge(1, 250, "card").ok());
  EXPECT_EQ(Number(path, "SELECT sum(amount_cents) FROM charges"), 250);
  EXPECT_EQ(Number(path, "SELECT count FROM requests"), 2);
}

TEST(Gateway, RefusesSomeOrdersTheFirstTime) {
  const std::string path = FreshPath("once");
  ASSERT_TRUE(Gateway::FailsOnce(57));
  EXPECT_EQ(Gateway(path).Charge(57, 250, "card").code(), absl::StatusCode::kUnavailable);
  // Another process, after a crash of the first: it is the gateway that remembers.
  EXPECT_TRUE(Gateway(path).Charge(57, 250, "card").ok());
  EXPECT_EQ(Number(path, "SELECT count(*) FROM charges"), 1);
}

TEST(Gateway, RefusesSomeOrdersUntilItIsMended) {
  const std::string path = FreshPath("always");
  Gateway gateway(path);
  ASSERT_TRUE(Gateway::FailsAlways(513));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(gateway.Charge(513, 250, "card").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Number(path, "SELECT count(*) FROM charges"), 0);
  std::ofstream(path + ".mended").put('\n');
  EXPECT_TRUE(gateway.Charge(513, 250, "card").ok());
}

TEST(Mailer, SendsOneMailAnOrder) {
  const std::string path = FreshPath("mail");
  Mailer mailer(path);
  EXPECT_TRUE(mailer.SendConfirmation(1, "a@example.com").ok());
  EXPECT_TRUE(mailer.SendConfirmation(1, "a@example.com").ok());
  EXPECT_TRUE(mailer.SendConfirmation(2, "b@example.com").ok());
  EXPECT_EQ(Number(path, "SELECT count(*) FROM mails"), 2);
}

}  // namespace
}  // namespace orders
