#include "messaging/log.h"

#include <sstream>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/internal/repeated_line.h"
#include "messaging/log_fields.h"
#include "messaging/record.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { SetLogSink(nullptr); }
};

TEST_F(LogTest, FieldsComeToTheSinkAndToTextAlone) {
  std::vector<std::string> seen;
  SetLogSink([&](const LogLine& line) {
    seen.push_back(std::string(line.text) + "|" + (line.fields != nullptr ? line.fields->message_id : "none"));
  });
  Log(Severity::kInfo, "plain");
  Log(Severity::kWarning, "about one", {.topic = "orders", .message_id = "7", .attempt = 2});
  EXPECT_THAT(seen, ElementsAre("plain|none", "about one|7"));
  seen.clear();
  SetLogSink([&](Severity, std::string_view text) { seen.emplace_back(text); });
  Log(Severity::kInfo, "plain");
  Log(Severity::kWarning, "about one", {.topic = "orders", .message_id = "7", .attempt = 2});
  EXPECT_THAT(seen, ElementsAre("plain", "about one [topic=orders message=7 attempt=2]"));
}

TEST_F(LogTest, AnyBytesAreOneLine) {
  EXPECT_EQ(ToText({.topic = "t", .message_id = "a\nb \xff", .handler = "H"}),
            "topic=t message=\"a\\nb \\xff\" handler=H");
  EXPECT_EQ(ToText({}), "");
}

TEST_F(LogTest, AHandlerGetsThemOfWhatItReceived) {
  const HeaderView headers[] = {{"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}};
  Record record;
  record.topic = "orders";
  record.id = "id7";
  record.headers = headers;
  std::ostringstream out;
  out << FieldsOf(Received(&record, "group", "Charge", 2, 4, absl::InfiniteFuture()));
  EXPECT_EQ(out.str(), "topic=orders message=id7 handler=Charge attempt=2 trace=4bf92f3577b34da6a3ce929d0e0e4736");
}

TEST(RepeatedLine, TheFirstAtOnceThenOneAPauseWithTheirNumber) {
  internal::RepeatedLine line(absl::Minutes(1));
  absl::Time now = absl::UnixEpoch();
  EXPECT_EQ(line.Happened(now), 1u);
  for (int i = 0; i < 59; ++i) EXPECT_EQ(line.Happened(now += absl::Seconds(1)), 0u);
  EXPECT_EQ(line.Happened(now += absl::Seconds(1)), 60u);
  EXPECT_EQ(line.Happened(now), 0u);
  line.Reset();
  EXPECT_EQ(line.Happened(now), 1u);
}

}  // namespace
}  // namespace messaging
