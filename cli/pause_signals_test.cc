#include "cli/pause_signals.h"

#include <poll.h>
#include <signal.h>

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

bool Readable(int fd) {
  pollfd one{.fd = fd, .events = POLLIN};
  return poll(&one, 1, 0) > 0;
}

TEST(PauseSignals, TheLastOneCountsAndIsTakenOnce) {
  PauseSignals signals;
  EXPECT_FALSE(Readable(signals.fd()));
  EXPECT_EQ(signals.Take(), std::nullopt);
  raise(SIGUSR1);
  EXPECT_TRUE(Readable(signals.fd()));
  EXPECT_EQ(signals.Take(), true);
  EXPECT_FALSE(Readable(signals.fd()));
  raise(SIGUSR1);
  raise(SIGUSR2);
  EXPECT_EQ(signals.Take(), false);
  EXPECT_EQ(signals.Take(), std::nullopt);
}

TEST(PauseSignals, GivesTheSignalsBack) {
  struct sigaction ignore = {}, now = {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGUSR1, &ignore, nullptr);
  { PauseSignals signals; }
  sigaction(SIGUSR1, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_IGN);
}

}  // namespace
}  // namespace messaging::cli
