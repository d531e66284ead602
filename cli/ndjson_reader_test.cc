#include "cli/ndjson_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "cli/event.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Gives `text` in pieces of at most `piece` bytes.
ByteSource Pieces(std::string text, size_t piece) {
  auto rest = std::make_shared<std::string>(std::move(text));
  return [rest, piece](char* to, size_t size) -> absl::StatusOr<size_t> {
    const size_t count = std::min({rest->size(), piece, size});
    memcpy(to, rest->data(), count);
    rest->erase(0, count);
    return count;
  };
}

// Each line as "number:text" or "number!reason"; ends with the source's error.
std::vector<std::string> ReadAll(NdjsonReader reader) {
  std::vector<std::string> lines;
  while (true) {
    auto line = reader.Next();
    if (!line.ok()) lines.push_back(line.status().ToString());
    if (!line.ok() || !line->has_value()) return lines;
    const bool good = (*line)->status.ok();
    lines.push_back(std::to_string((*line)->number) + (good ? ":" : "!") +
                    (good ? std::string((*line)->text) : std::string((*line)->status.message())));
  }
}

TEST(NdjsonReader, ReturnsEachLineWhateverThePieces) {
  for (size_t piece : {1, 2, 3, 7, 100}) {
    EXPECT_THAT(ReadAll(NdjsonReader(Pieces("{\"a\":1}\n[2]\n\"3\"\n", piece))),
                ElementsAre("1:{\"a\":1}", "2:[2]", "3:\"3\""));
  }
}

TEST(NdjsonReader, LastLineNeedsNoEnd) {
  EXPECT_THAT(ReadAll(NdjsonReader(Pieces("1\n2", 100))), ElementsAre("1:1", "2:2"));
  EXPECT_THAT(ReadAll(NdjsonReader(Pieces("", 100))), ElementsAre());
}

TEST(NdjsonReader, BlankLinesCountAndAreSkipped) {
  EXPECT_THAT(ReadAll(NdjsonReader(Pieces("\n  \r\n 1 \r\n\n2\n\n", 100))), ElementsAre("3:1", "5:2"));
}

TEST(NdjsonReader, MalformedLinesAreReportedWithTheirNumberAndTheRestIsRead) {
  EXPECT_THAT(ReadAll(NdjsonReader(Pieces("1\n{\"a\":\n3\n\xFF\n5\n", 100))),
              ElementsAre("1:1", StartsWith("2!not JSON at byte "), "3:3", StartsWith("4!not JSON"), "5:5"));
}

TEST(NdjsonReader, ByteOrderMarkIsNoPartOfTheFirstLine) {
  EXPECT_THAT(ReadAll(NdjsonReader(Pieces("\xEF\xBB\xBF{}\n{}\n", 100))), ElementsAre("1:{}", "2:{}"));
}

TEST(NdjsonReader, TooLongLineIsMalformedAndItsRestSkipped) {
  const std::string huge = "\"" + std::string(3 << 20, 'x') + "\"";
  EXPECT_THAT(ReadAll(NdjsonReader(Pieces("1\n" + huge + "\n3\n", 1 << 30), 100'000)),
              ElementsAre("1:1", "2!longer than 100000 bytes", "3:3"));
  EXPECT_THAT(ReadAll(NdjsonReader(Pieces("1\n" + huge, 1 << 30), 100'000)),
              ElementsAre("1:1", "2!longer than 100000 bytes"));
  EXPECT_THAT(ReadAll(NdjsonReader(Pieces("\"1234567\"\n\"12345678\"\n", 100), 9)),
              ElementsAre("1:\"1234567\"", "2!longer than 9 bytes"));
}

TEST(NdjsonReader, ErrorOfTheSourceComesAfterTheLinesBeforeIt) {
  auto step = std::make_shared<int>(0);
  const ByteSource source = [step](char* to, size_t) -> absl::StatusOr<size_t> {
    if ((*step)++ > 0) return absl::UnavailableError("disk on fire");
    memcpy(to, "1\n2", 3);
    return 3;
  };
  EXPECT_THAT(ReadAll(NdjsonReader(source)), ElementsAre("1:1", HasSubstr("disk on fire")));
}

TEST(FdSource, StopsWaitingWhenTold) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  Event stop;
  std::thread stopper([&stop] { stop.Post(); });
  EXPECT_THAT(ReadAll(NdjsonReader(FdSource(ends[0], stop.fd()))), ElementsAre(StartsWith("CANCELLED")));
  stopper.join();
  close(ends[0]);
  close(ends[1]);
}

TEST(FdSource, ReadsAPipeToItsEnd) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::thread writer([&] {
    for (const char* part : {"{\"a\"", ": 1}\n", "2"}) EXPECT_GT(write(ends[1], part, strlen(part)), 0);
    close(ends[1]);
  });
  EXPECT_THAT(ReadAll(NdjsonReader(FdSource(ends[0], -1))), ElementsAre("1:{\"a\": 1}", "2:2"));
  writer.join();
  close(ends[0]);
}

TEST(FdSource, ClosedDescriptorIsAnError) {
  const int fd = open("/dev/null", O_WRONLY);  // Open, but not for reading.
  EXPECT_THAT(ReadAll(NdjsonReader(FdSource(fd, -1))), ElementsAre("UNAVAILABLE: it was closed"));
  close(fd);
  EXPECT_THAT(ReadAll(NdjsonReader(FdSource(fd, -1))), ElementsAre("UNAVAILABLE: it was closed"));
}

}  // namespace
}  // namespace messaging::cli
