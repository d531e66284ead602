#include "cli/log_format.h"

#include <string>

#include "absl/time/time.h"
#include "glog/logging.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/log.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(LogLineAsJson, OneObjectALineWhateverIsInIt) {
  const LogFields fields{.topic = "orders", .message_id = "a\n\xff", .handler = "Charge", .attempt = 2};
  const std::string line =
      LogLineAsJson(absl::FromUnixMicros(1'700'000'000'000'001), "warning", "it \"failed\"\n", &fields);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const json object = json::parse(line);
  EXPECT_EQ(object["time"], "2023-11-14T22:13:20.000001Z");
  EXPECT_EQ(object["severity"], "warning");
  EXPECT_EQ(object["message"], "it \"failed\"\n");
  EXPECT_EQ(object["topic"], "orders");
  EXPECT_EQ(object["message_id"], "a\n\uFFFD");
  EXPECT_EQ(object["handler"], "Charge");
  EXPECT_EQ(object["attempt"], 2);
  EXPECT_FALSE(object.contains("trace_id"));
}

TEST(LogFormat, TheLibrarysAndTheProgramsLinesInBothFormats) {
  StartLogging("log_format_test");
  const auto write = [] {
    Log(Severity::kWarning, "of the library", {.topic = "orders", .message_id = "7"});
    LOG(INFO) << "of the program";
  };
  testing::internal::CaptureStderr();
  write();
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr("] of the library [topic=orders message=7]\n"));
  EXPECT_THAT(text, HasSubstr("] of the program\n"));
  SetLogFormat(LogFormat::kJson);
  testing::internal::CaptureStderr();
  write();
  const std::string lines = testing::internal::GetCapturedStderr();
  EXPECT_THAT(lines, Not(HasSubstr("] of the")));
  const json first = json::parse(lines.substr(0, lines.find('\n')));
  EXPECT_EQ(first["message"], "of the library");
  EXPECT_EQ(first["message_id"], "7");
  const json second = json::parse(lines.substr(lines.find('\n') + 1));
  EXPECT_EQ(second["message"], "of the program");
  EXPECT_EQ(second["severity"], "info");
  SetLogFormat(LogFormat::kText);
  testing::internal::CaptureStderr();
  write();
  EXPECT_THAT(testing::internal::GetCapturedStderr(), HasSubstr("] of the program\n"));
}

}  // namespace
}  // namespace messaging::cli
