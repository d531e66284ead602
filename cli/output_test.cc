#include "cli/output.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

class OutputTest : public testing::Test {
 protected:
  OutputTest() {
    signal(SIGPIPE, SIG_IGN);
    EXPECT_EQ(pipe(ends_), 0);
  }
  ~OutputTest() override {
    close(ends_[0]);
    close(ends_[1]);
  }
  int ends_[2];
};

TEST_F(OutputTest, WritesAllThoughThePipeTakesLess) {
  fcntl(ends_[1], F_SETFL, O_NONBLOCK);
  const std::string text(1 << 20, 'x');
  std::string read_back;
  std::thread reader([&] {
    char buffer[4096];
    while (read_back.size() < text.size()) {
      const ssize_t got = read(ends_[0], buffer, sizeof buffer);
      if (got <= 0) return;
      read_back.append(buffer, static_cast<size_t>(got));
    }
  });
  Output output(ends_[1], "standard output");
  EXPECT_TRUE(output.Write(text).ok());
  reader.join();
  EXPECT_EQ(read_back, text);
}

TEST_F(OutputTest, ClosedPipeIsAnErrorThatStays) {
  close(ends_[0]);
  Output output(ends_[1], "standard output");
  EXPECT_EQ(output.Write("x").message(), "standard output: was closed");
  EXPECT_EQ(output.Write("").message(), "standard output: was closed");
  EXPECT_EQ(output.status().message(), "standard output: was closed");
  ends_[0] = open("/dev/null", O_RDONLY);
}

TEST_F(OutputTest, FullDeviceIsAnError) {
  const int full = open("/dev/full", O_WRONLY);
  Output output(full, "standard output");
  EXPECT_EQ(output.Write("x").message(), "standard output: No space left on device");
  close(full);
}

TEST_F(OutputTest, PlaceholderThatIsNotForWritingIsAnError) {
  const int placeholder = open("/dev/null", O_RDONLY);
  Output output(placeholder, "standard output");
  EXPECT_EQ(output.Write("x").message(), "standard output: was closed");
  EXPECT_FALSE(output.is_terminal());
  close(placeholder);
}

}  // namespace
}  // namespace messaging::cli
