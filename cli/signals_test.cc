#include "cli/signals.h"

#include <poll.h>
#include <signal.h>

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

bool Readable(int fd) {
  pollfd wait{.fd = fd, .events = POLLIN};
  return poll(&wait, 1, 0) == 1;
}

TEST(StopSignals, FirstSignalMakesTheDescriptorReadable) {
  StopSignals signals;
  EXPECT_EQ(signals.number(), 0);
  EXPECT_FALSE(Readable(signals.fd()));
  raise(SIGTERM);
  EXPECT_EQ(signals.number(), SIGTERM);
  EXPECT_TRUE(Readable(signals.fd()));
}

TEST(StopSignalsDeathTest, SecondSignalEndsTheProcessAtOnce) {
  const auto signalled = [](int first, int second) {
    StopSignals signals;
    raise(first);
    while (true) raise(second);  // Soon it is no longer the same request.
  };
  EXPECT_EXIT(signalled(SIGTERM, SIGTERM), testing::ExitedWithCode(143), "");
  EXPECT_EXIT(signalled(SIGTERM, SIGINT), testing::ExitedWithCode(130), "");
}

TEST(StopSignals, OneRequestMayComeTwice) {
  StopSignals signals;
  raise(SIGTERM);
  raise(SIGTERM);  // As from timeout(1). At once, so this is still running afterwards.
  EXPECT_EQ(signals.number(), SIGTERM);
}

TEST(StopSignals, GivesTheSignalsBack) {
  static volatile sig_atomic_t seen = 0;
  signal(SIGINT, [](int) { seen = 1; });
  { StopSignals signals; }
  raise(SIGINT);
  EXPECT_EQ(seen, 1);
  signal(SIGINT, SIG_DFL);
}

}  // namespace
}  // namespace messaging::cli
