#include "cli/style.h"

#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <unistd.h>

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

TEST(Style, OffLeavesTextAsItIs) {
  const Style style(false);
  EXPECT_EQ(style.Red("x"), "x");
  EXPECT_EQ(Style(true).Red("x"), "\x1b[31mx\x1b[0m");
  EXPECT_EQ(Style(true).Red(""), "");
}

TEST(Style, OnlyOnATerminalThatWantsIt) {
  int controller = 0, terminal = 0;
  ASSERT_EQ(openpty(&controller, &terminal, nullptr, nullptr, nullptr), 0);
  Output out(terminal, "terminal");
  unsetenv("NO_COLOR");
  setenv("TERM", "xterm", 1);
  EXPECT_TRUE(Style::For(out).on());
  setenv("NO_COLOR", "1", 1);
  EXPECT_FALSE(Style::For(out).on());
  setenv("NO_COLOR", "", 1);  // As no-color.org has it: when present and not empty.
  EXPECT_TRUE(Style::For(out).on());
  setenv("TERM", "dumb", 1);
  EXPECT_FALSE(Style::For(out).on());
  setenv("TERM", "xterm", 1);
  Output null(open("/dev/null", O_WRONLY), "null");
  EXPECT_FALSE(Style::For(null).on());
  for (int fd : {controller, terminal, null.fd()}) close(fd);
}

}  // namespace
}  // namespace messaging::cli
