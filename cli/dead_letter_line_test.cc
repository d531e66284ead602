#include "cli/dead_letter_line.h"

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

using ::testing::HasSubstr;

DeadLetter Letter(const std::string& payload) {
  DeadLetter letter;
  letter.id = "17";
  letter.group = "billing";
  letter.failure = {.handler = "Charge",
                    .status = absl::UnavailableError("gateway\nis \xff"
                                                     "down"),
                    .attempts = 4,
                    .first = absl::FromUnixMicros(1'700'000'000'123'456),
                    .last = absl::FromUnixMicros(1'700'000'009'000'000)};
  letter.dead_since = absl::FromUnixMicros(1'700'000'009'000'001);
  letter.message = {.topic = "payments",
                    .payload = payload,
                    .key =
                        "k\0\xfe"
                        "e",
                    .headers = {{"a", "1"}, {"a", "\x80"}, {"", ""}},
                    .content_type = "text/plain",
                    .id = "own",
                    .timestamp = absl::FromUnixNanos(1'700'000'000'000'000'001)};
  letter.message.key = std::string(
      "k\0\xfe"
      "e",
      4);
  return letter;
}

TEST(ExportLine, ComesBackToTheByte) {
  std::string every;
  for (int c = 0; c < 256; ++c) every.push_back(static_cast<char>(c));
  for (const std::string& payload :
       {std::string("{\"a\":  1}\r\n"), std::string(), every, std::string("\0", 1), std::string("\"quoted\\"),
        std::string("\xE2\x80\xA8 \xC3\xA4"), std::string(1 << 20, '\x7f')}) {
    const DeadLetter letter = Letter(payload);
    const std::string line = ExportLine(letter);
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
    const absl::StatusOr<DeadLetter> back = ReadExportLine(line);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->message.payload, payload);
    EXPECT_EQ(back->message.key, letter.message.key);
    EXPECT_EQ(back->message.headers, letter.message.headers);
    EXPECT_EQ(back->message.id, "own");
    EXPECT_EQ(back->message.content_type, "text/plain");
    EXPECT_EQ(back->message.timestamp, letter.message.timestamp);
    EXPECT_EQ(back->failure.status, letter.failure.status);
    EXPECT_EQ(back->failure.attempts, 4);
    EXPECT_EQ(back->failure.first, letter.failure.first);
    EXPECT_EQ(back->dead_since, letter.dead_since);
    DeadLetter same = *back;
    same.id = letter.id;
    EXPECT_EQ(ExportLine(same), line);
  }
}

TEST(ExportLine, KeepsWhatIsAbsent) {
  DeadLetter letter = Letter("");
  letter.message.null_payload = true;
  letter.message.key.reset();
  letter.message.headers.clear();
  letter.message.timestamp = absl::InfinitePast();
  const absl::StatusOr<DeadLetter> back = ReadExportLine(ExportLine(letter));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_TRUE(back->message.null_payload);
  EXPECT_EQ(back->message.key, std::nullopt);
  EXPECT_EQ(back->message.timestamp, absl::InfinitePast());
}

TEST(ReadExportLine, SaysWhatIsWrong) {
  const std::string good = ExportLine(Letter("x"));
  const auto without = [&good](const std::string& part, const std::string& instead) {
    std::string line = good;
    const size_t at = line.find(part);
    EXPECT_NE(at, std::string::npos) << part;
    return line.replace(at, part.size(), instead);
  };
  const std::pair<std::string, const char*> wrong[] = {
      {"", "not a JSON object"},
      {"[]", "not a JSON object"},
      {without("\"group\":\"billing\",", ""), "\"group\" is missing"},
      {without("\"billing\"", "\"a b\""), "\"group\" is not [A-Za-z0-9._-]"},
      {without("\"billing\"", "7"), "\"group\" is not text"},
      {without("\"attempts\":4", "\"attempts\":\"4\""), "\"attempts\" is not a number"},
      {without("\"code\":14", "\"code\":0"), "\"code\" is 0"},
      {without("2023-11-14T22:13:20.123456Z", "yesterday"), "\"first_failure\" is no time"},
      {without("\"headers\":[", "\"headers\":[7,"), "\"headers\" holds something else"},
      {without("\"key_base64\":\"", "\"key_base64\":\"*"), "\"key_base64\" is not base64"},
      {without(",\"payload_text\":\"x\"", ""), "\"payload_text\" is missing"},
      {DeadLetterLine(Letter("x")), "\"code\" is not a number"},
      {without("\"payload_text\":", "\"payload\":"), "import what export wrote"},
  };
  for (const auto& [line, said] : wrong) {
    const absl::StatusOr<DeadLetter> read = ReadExportLine(line);
    ASSERT_FALSE(read.ok()) << line;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(said)) << line;
  }
}

}  // namespace
}  // namespace messaging::cli
