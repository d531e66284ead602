// The command line in a program without handlers of its own, over the memory broker.
#include "cli/program.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/messaging.h"
#include "nlohmann/json.hpp"

namespace messaging::cli {
namespace {

using nlohmann::json;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// A store of its own for each test.
class ProgramTest : public testing::Test {
 protected:
  ProgramTest()
      : url_(absl::StrCat("memory://", testing::UnitTest::GetInstance()->current_test_info()->name())),
        keeper_(Keep(url_)) {
    signal(SIGPIPE, SIG_IGN);
  }

  // Lines that a consumer of group `group` prints, until `last` was among them and SIGTERM came.
  std::vector<json> Consume(const std::string& topic, const std::string& last, const std::string& group = "core") {
    const Result result = RunCore({"consumer", "--topic", topic, "--url", url_, "--group", group}, "",
                                  [&last](const auto& out, const auto&) {
                                    EXPECT_TRUE(AwaitText(out, last));
                                    SignalCore(SIGTERM);
                                  });
    EXPECT_EQ(result.code, 0) << result.err;
    std::vector<json> lines;
    for (std::string_view line : absl::StrSplit(result.out, '\n', absl::SkipEmpty()))
      lines.push_back(json::parse(line));
    return lines;
  }

  const std::string url_;
  const std::unique_ptr<Client> keeper_;
};

TEST_F(ProgramTest, VersionNamesTheLinkedBrokers) {
  const Result result = RunCore({"--version"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "core (core messaging 0.1.0)\nbrokers: memory\n");
}

TEST_F(ProgramTest, HelpShowsCommandsExamplesAndExitCodes) {
  const Result result = RunCore({"--help"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, IsEmpty());
  for (const char* part : {"consumer", "send", "handlers", "deadletters", "Examples:", "Exit codes:"}) {
    EXPECT_THAT(result.out, HasSubstr(part));
  }
  EXPECT_THAT(RunCore({"consumer", "--help"}).out, HasSubstr("--drain-timeout"));
  EXPECT_THAT(RunCore({"deadletters", "purge", "--help"}).out, HasSubstr("--yes"));
}

struct WrongLine {
  std::vector<std::string> arguments;
  std::string said;  // All of standard error.
};

TEST_F(ProgramTest, WrongCommandLinesAreOneLineAndUsage) {
  const std::vector<WrongLine> wrong = {
      {{}, "core: A subcommand is required (see core --help)\n"},
      {{"consume"}, "core: unknown command consume; did you mean consumer? (see core --help)\n"},
      {{"publish"}, "core: unknown command publish (see core --help)\n"},
      {{"--broker", "x", "send", "t", "{}"},
       "core: --broker goes behind the command: core send ... --broker (see core send --help)\n"},
      {{"--verison"}, "core: unknown flag --verison; did you mean --version? (see core --help)\n"},
      {{"consumer", "--tpoic", "x"}, "core: unknown flag --tpoic; did you mean --topic? (see core consumer --help)\n"},
      {{"consumer", "--tpoic=x"}, "core: unknown flag --tpoic; did you mean --topic? (see core consumer --help)\n"},
      {{"handlers", "x"}, "core: unexpected argument x (see core handlers --help)\n"},
      {{"deadletters", "lst"}, "core: unknown command lst; did you mean list? (see core deadletters --help)\n"},
      {{"consumer", "--drain-timeout", "fast"},
       "core: --drain-timeout: 'fast' is no duration, as 30s or 1m30s (see core consumer --help)\n"},
      {{"consumer", "--drain-timeout", "-3s"},
       "core: --drain-timeout: '-3s' is no duration, as 30s or 1m30s (see core consumer --help)\n"},
      {{"send", "t"},
       "core: JSON, --file FILE, or - for standard input: what to send is required (see core send --help)\n"},
  };
  for (const WrongLine& line : wrong) {
    const Result result = RunCore(line.arguments);
    EXPECT_EQ(result.code, 2) << line.said;
    EXPECT_EQ(result.err, line.said);
    EXPECT_THAT(result.out, IsEmpty());
  }
  for (const char* number : {"0", "-1", "many", "5000"}) {
    EXPECT_EQ(RunCore({"consumer", "--concurrency", number}).code, 2) << number;
  }
  EXPECT_EQ(RunCore({"consumer", "--from", "yesterday"}).code, 2);
}

TEST_F(ProgramTest, WrongBrokersAreConfiguration) {
  const Result unknown = RunCore({"send", "t", "{}", "--broker", "carrierpigeon"});
  EXPECT_EQ(unknown.code, 3);
  EXPECT_THAT(unknown.err, HasSubstr("broker carrierpigeon is not linked into this binary, which has memory"));
  const Result not_linked = RunCore({"consumer", "--topic", "t", "--url", "redis://secret:word@localhost"});
  EXPECT_EQ(not_linked.code, 3);
  EXPECT_THAT(not_linked.err, HasSubstr("@core_messaging//redis"));
  EXPECT_THAT(not_linked.err, testing::Not(HasSubstr("word@")));
  for (const char* url : {"nonsense", "://x", "memory://a b\n"}) {
    const Result malformed = RunCore({"deadletters", "list", "--url", url});
    EXPECT_EQ(malformed.code, 3) << malformed.err;
    EXPECT_EQ(std::count(malformed.err.begin(), malformed.err.end(), '\n'), 1) << malformed.err;
  }
}

TEST_F(ProgramTest, ConsumerWithoutHandlersNeedsTopics) {
  const Result result = RunCore({"consumer", "--url", url_});
  EXPECT_EQ(result.code, 3);
  EXPECT_THAT(result.err, HasSubstr("no handlers are linked into this program; name topics with --topic"));
}

TEST_F(ProgramTest, HandlersWithoutAnySaysSo) {
  const Result result = RunCore({"handlers"});
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, IsEmpty());
  EXPECT_EQ(result.err, "core: no handlers are linked into this program\n");
}

TEST_F(ProgramTest, SentMessageIsPrintedByTheConsumer) {
  const Result sent = RunCore({"send", "orders.created", "{\"order_id\": 7}", "--key", "7", "--header", "a=b=c",
                               "--header", "empty=", "--url", url_});
  EXPECT_EQ(sent.code, 0) << sent.err;
  EXPECT_THAT(sent.out, StartsWith("sent 1 message to orders.created, id "));
  const std::vector<json> lines = Consume("orders.created", "order_id");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].at("topic"), "orders.created");
  EXPECT_EQ(lines[0].at("key"), "7");
  EXPECT_EQ(lines[0].at("payload"), json({{"order_id", 7}}));
  EXPECT_EQ(lines[0].at("content_type"), "application/json");
  EXPECT_EQ(lines[0].at("headers"), json::parse(R"([{"name":"a","value":"b=c"},{"name":"empty","value":""}])"));
  EXPECT_THAT(sent.out, HasSubstr(lines[0].at("id").get<std::string>()));
}

TEST_F(ProgramTest, AnyJsonValueCanBeSent) {
  for (const char* value : {"[1,2]", "-5", "\"text\"", "null", "[]"}) {
    EXPECT_EQ(RunCore({"send", "t", value, "--url", url_}).code, 0) << value;
  }
  std::vector<json> payloads;
  for (const json& line : Consume("t", "\"payload\":[]")) payloads.push_back(line.at("payload"));
  EXPECT_THAT(payloads, testing::ElementsAre(json({1, 2}), json(-5), json("text"), json(nullptr), json::array()));
}

TEST_F(ProgramTest, MalformedMessageIsNotSent) {
  const Result result = RunCore({"send", "t", "{\"order_id\": }", "--url", url_});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.err, StartsWith("core: not JSON at byte 14: "));
  EXPECT_EQ(RunCore({"send", "no/topic", "{}", "--url", url_}).code, 2);
  EXPECT_EQ(RunCore({"send", "t", "{}", "--header", "novalue", "--url", url_}).code, 2);
  EXPECT_EQ(RunCore({"send", "t", "{}", "--file", "x", "--url", url_}).code, 2);
}

TEST_F(ProgramTest, MalformedLinesAreNamedAndTheOthersSent) {
  const Result result = RunCore({"send", "t", "-", "--url", url_}, "{\"n\": 1}\n{\"n\": \n\n{\"n\": 4}\nx\n{\"n\": 6}");
  EXPECT_EQ(result.code, 4);
  EXPECT_THAT(result.err, HasSubstr("core: standard input: line 2: not JSON at byte "));
  EXPECT_THAT(result.err, HasSubstr("core: standard input: line 5: not JSON at byte "));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 2) << result.err;
  EXPECT_THAT(result.out, StartsWith("sent 3 messages to t in "));
  EXPECT_THAT(result.out, HasSubstr("; 2 malformed\n"));
  std::vector<int> numbers;
  for (const json& line : Consume("t", "{\"n\": 6}")) numbers.push_back(line.at("payload").at("n"));
  EXPECT_THAT(numbers, testing::ElementsAre(1, 4, 6));
}

TEST_F(ProgramTest, SendsAFileOfManyLines) {
  const std::string path = testing::TempDir() + "/many.ndjson";
  constexpr int kMany = 20'000;
  {
    std::ofstream file(path);
    for (int i = 0; i < kMany; ++i) file << "{\"n\":" << i << "}\n";
  }
  const Result result = RunCore({"send", "t", "--file", path, "--key", "k", "--url", url_});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("sent 20,000 messages to t in "));
  EXPECT_THAT(result.err, IsEmpty());
  const std::vector<json> lines = Consume("t", absl::StrCat("{\"n\":", kMany - 1, "}"));
  ASSERT_EQ(lines.size(), static_cast<size_t>(kMany));
  for (int i = 0; i < kMany; ++i) ASSERT_EQ(lines[i].at("payload").at("n"), i);
}

TEST_F(ProgramTest, MissingFileIsUsage) {
  const Result missing = RunCore({"send", "t", "--file", "/nonexistent/x", "--url", url_});
  EXPECT_EQ(missing.code, 2);
  EXPECT_EQ(missing.err, "core: /nonexistent/x: No such file or directory\n");
  EXPECT_EQ(RunCore({"send", "t", "--file", testing::TempDir(), "--url", url_}).code, 2);
}

TEST_F(ProgramTest, EmptyInputSendsNothing) {
  const Result result = RunCore({"send", "t", "-", "--url", url_}, "");
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, StartsWith("sent 0 messages to t"));
}

TEST_F(ProgramTest, SendStopsReadingAtASignalAndSaysSo) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "{}\n", 3), 3);  // And then nothing more, but no end either.
  Result result;
  int out[2];
  ASSERT_EQ(pipe(out), 0);
  std::thread stopper([] {
    while (true) {  // Until the program has taken the signal's handling over.
      struct sigaction now = {};
      sigaction(SIGINT, nullptr, &now);
      if (now.sa_handler != SIG_DFL) break;
      std::this_thread::yield();
    }
    SignalCore(SIGINT);
  });
  EXPECT_EQ(RunCoreOver({"send", "t", "-", "--url", url_}, ends[0], out[1], open("/dev/null", O_WRONLY)), 130);
  stopper.join();
  for (int fd : {ends[0], ends[1], out[0], out[1]}) close(fd);
}

TEST_F(ProgramTest, SendToAClosedOutputHasSentAndSaysSo) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  EXPECT_EQ(RunCoreOver({"send", "t", "{\"sent\": true}", "--url", url_}, 0, ends[1], open("/dev/null", O_WRONLY)), 6);
  close(ends[1]);
  EXPECT_EQ(Consume("t", "sent").size(), 1u);
}

TEST_F(ProgramTest, ConsumerAcknowledgesNothingThatItCouldNotPrint) {
  for (int n = 1; n <= 100; ++n) {
    ASSERT_TRUE(
        keeper_->producer().Send(Message{.topic = "t", .payload = absl::StrCat("{\"n\": ", n, "}")}).Wait().ok());
  }
  const int full = open("/dev/full", O_WRONLY);
  const int err = open("/dev/null", O_WRONLY);
  EXPECT_EQ(RunCoreOver({"consumer", "--topic", "t", "--url", url_}, 0, full, err), 6);
  close(full);
  close(err);
  std::vector<int> numbers;
  for (const json& line : Consume("t", "{\"n\": 100}")) numbers.push_back(line.at("payload").at("n"));
  ASSERT_EQ(numbers.size(), 100u);
  for (int n = 1; n <= 100; ++n) EXPECT_EQ(numbers[n - 1], n);
}

TEST_F(ProgramTest, IdleConsumerEndsWhenItsReaderIsGone) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  EXPECT_EQ(RunCoreOver({"consumer", "--topic", "t", "--url", url_}, 0, ends[1], open("/dev/null", O_WRONLY)), 6);
  close(ends[1]);
}

TEST_F(ProgramTest, ConsumerSaysWhereItIsAndWhatWaits) {
  for (int n = 0; n < 3; ++n) {
    ASSERT_TRUE(keeper_->producer().Send(Message{.topic = "t", .payload = "1"}).Wait().ok());
  }
  const Result result =
      RunCore({"consumer", "--topic", "t", "--url", url_, "--group", "readers"}, "", [](const auto&, const auto& err) {
        EXPECT_TRUE(AwaitText(err, "consuming"));
        SignalCore(SIGINT);
      });
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.err, HasSubstr(absl::StrCat("core: broker memory, ", url_, ", group readers\n")));
  EXPECT_THAT(result.err, HasSubstr("core: t: print\n"));
  EXPECT_THAT(result.err, ContainsRegex("core: consuming(; 1 message waits|; [23] messages wait)?\n"));
  EXPECT_THAT(result.err, HasSubstr("core: stopped\n"));
}

TEST_F(ProgramTest, NewGroupFromNowSeesOnlyWhatComesLater) {
  ASSERT_TRUE(keeper_->producer().Send(Message{.topic = "t", .payload = "\"old\""}).Wait().ok());
  const Result result = RunCore({"consumer", "--topic", "t", "--url", url_, "--from", "now"}, "",
                                [this](const auto& out, const auto& err) {
                                  EXPECT_TRUE(AwaitText(err, "consuming"));
                                  (void)keeper_->producer().Send(Message{.topic = "t", .payload = "\"new\""}).Wait();
                                  EXPECT_TRUE(AwaitText(out, "new"));
                                  SignalCore(SIGTERM);
                                });
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.out, testing::Not(HasSubstr("old")));
}

}  // namespace
}  // namespace messaging::cli
