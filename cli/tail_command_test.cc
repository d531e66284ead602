#include "cli/tail_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "cli/testing.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/received.h"

namespace messaging::cli {
namespace {

using ::testing::HasSubstr;

// Has three messages and, when it is followed, waits until it is stopped.
class FakeAdmin : public Admin {
 public:
  absl::Status Tail(const TailOptions& options, std::function<bool(const Record&)> visit,
                    std::function<bool()> stop) override {
    asked = options;
    for (const char* payload : {R"({"n": 1})", "\x1b[31mred", R"({"n": 3})"}) {
      const std::array<HeaderView, 1> headers = {HeaderView{"source", payload[0] == '{' ? "web" : "shop"}};
      const Record record{.topic = "t", .payload = payload, .key = "k", .has_key = true, .headers = headers};
      if (stop() || !visit(record)) return absl::OkStatus();
    }
    return absl::OkStatus();
  }
  TailOptions asked;
};

// What `core tail` writes; its exit code goes to `code`.
std::string Tailed(TailFlags flags, FakeAdmin& admin, int* code = nullptr) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  Output out(ends[1], "standard output"), err(ends[1], "standard error");
  Context context{.program = "core", .in = 0, .out = out, .err = err};
  flags.options.topic = "t";
  const ExitCode result = RunTail(flags, admin, context);
  if (code != nullptr) *code = result;
  close(ends[1]);
  std::string text(1 << 16, '\0');
  text.resize(static_cast<size_t>(read(ends[0], text.data(), text.size())));
  close(ends[0]);
  return text;
}

TEST(Tail, ShowsMessagesSafely) {
  FakeAdmin admin;
  EXPECT_EQ(Tailed({}, admin),
            "key k  source=web  {\"n\": 1}\nkey k  source=shop  \\x1b[31mred\nkey k  source=web  {\"n\": 3}\n");
  EXPECT_THAT(Tailed({.json = true}, admin), HasSubstr("\"payload\":{\"n\": 1}}\n"));
}

TEST(Tail, Filters) {
  FakeAdmin admin;
  EXPECT_EQ(Tailed({.where = {"payload.n=3"}}, admin), "key k  source=web  {\"n\": 3}\n");
  EXPECT_EQ(Tailed({.where = {"header.source=web"}, .max_messages = 1}, admin), "key k  source=web  {\"n\": 1}\n");
  EXPECT_EQ(Tailed({.where = {"key!=k"}}, admin), "");
  int code = 0;
  EXPECT_THAT(Tailed({.where = {"colour=red"}}, admin, &code), HasSubstr("core: --where: \"colour=red\" is not"));
  EXPECT_EQ(code, kUsage);
}

TEST(Tail, AsksForWhatTheFlagsSay) {
  FakeAdmin admin;
  const absl::Time before = absl::Now();
  Tailed({.options = {.last = 5}, .since = absl::Hours(1)}, admin);
  EXPECT_EQ(admin.asked.last, 5);
  EXPECT_GE(*admin.asked.since, before - absl::Hours(1));
}

TEST(Tail, EndsWhenItsReaderIsGone) {
  FakeAdmin admin;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  Output out(ends[1], "standard output"), err(open("/dev/null", O_WRONLY), "standard error");
  Context context{.program = "core", .in = 0, .out = out, .err = err};
  EXPECT_EQ(RunTail({.options = {.topic = "t"}}, admin, context), kOutputGone);
  close(ends[1]);
  close(err.fd());
}

}  // namespace
}  // namespace messaging::cli
