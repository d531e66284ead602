#include "cli/child.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

using ::testing::HasSubstr;

// /bin/sh -c `script`; what it writes to standard error also comes to `errors`.
absl::StatusOr<ChildResult> Shell(const std::string& script, std::string_view input = "",
                                  absl::Duration timeout = absl::InfiniteDuration(), std::string* errors = nullptr) {
  return RunChild({.path = "/bin/sh",
                   .arguments = {"sh", "-c", script},
                   .environment = {"PATH=/usr/bin:/bin", "ONE=1"},
                   .input = input,
                   .timeout = timeout},
                  [errors](std::string_view text) {
                    if (errors != nullptr) errors->append(text);
                  });
}

TEST(RunChild, TellsExitCodesAndSignals) {
  EXPECT_EQ(Shell("exit 0")->exit_code, 0);
  EXPECT_EQ(Shell("exit 65")->exit_code, 65);
  const absl::StatusOr<ChildResult> killed = Shell("kill -9 $$");
  ASSERT_TRUE(killed.ok());
  EXPECT_EQ(killed->signal, SIGKILL);
  EXPECT_EQ(killed->exit_code, -1);
}

TEST(RunChild, GivesAllOfTheInput) {
  std::string input(3 << 20, 'x');  // More than a pipe holds.
  input[1000] = '\0';
  EXPECT_EQ(Shell("test $(wc -c) = 3145728", input)->exit_code, 0);
  EXPECT_EQ(Shell("test $(wc -c) = 0", "")->exit_code, 0);
}

TEST(RunChild, NeedNotReadItsInput) { EXPECT_EQ(Shell("exit 3", std::string(3 << 20, 'x'))->exit_code, 3); }

TEST(RunChild, KeepsTheEndOfItsErrors) {
  std::string all;
  const absl::StatusOr<ChildResult> result = Shell(
      "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done >&2; exit 1", "", absl::InfiniteDuration(), &all);
  ASSERT_TRUE(result.ok());
  EXPECT_THAT(result->errors, testing::EndsWith("line 498\nline 499"));
  EXPECT_LE(result->errors.size(), 1024u);
  EXPECT_THAT(all, testing::StartsWith("line 0\nline 1\n"));
}

TEST(RunChild, EndsOneThatTakesTooLong) {
  const absl::StatusOr<ChildResult> polite = Shell("echo begun >&2; sleep 100 & wait", "", absl::Milliseconds(200));
  ASSERT_TRUE(polite.ok());
  EXPECT_TRUE(polite->timed_out);
  EXPECT_EQ(polite->signal, SIGTERM);
  EXPECT_EQ(polite->errors, "begun");
  const absl::StatusOr<ChildResult> stubborn =
      Shell("trap '' TERM; while :; do sleep 0.1; done", "", absl::Milliseconds(200));
  ASSERT_TRUE(stubborn.ok());
  EXPECT_TRUE(stubborn->timed_out);
  EXPECT_EQ(stubborn->signal, SIGKILL);
}

TEST(RunChild, DoesNotWaitForWhatItLeavesBehind) {
  const absl::Time before = absl::Now();
  EXPECT_EQ(Shell("sleep 30 & exit 0")->exit_code, 0);
  EXPECT_LT(absl::Now() - before, absl::Seconds(25));
}

TEST(RunChild, HasOnlyWhatItIsGiven) {
  setenv("SECRET", "canary", 1);
  EXPECT_EQ(Shell("test \"$ONE\" = 1 -a -z \"$SECRET\"")->exit_code, 0);
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);  // Inherited, if nobody sees to it.
  EXPECT_EQ(Shell("test $(ls /proc/self/fd | wc -l) -le 4")->exit_code, 0);
  for (int fd : ends) close(fd);
  signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(Shell("yes | head -1 >/dev/null; kill -PIPE $$; exit 0")->signal, SIGPIPE) << "not ignored";
  EXPECT_EQ(Shell("test $(ps -o pgid= -p $$) = $$")->exit_code, 0) << "a group of its own";
}

TEST(RunChild, WhatCannotBeStarted) {
  const std::string text = testing::TempDir() + "/text";
  std::ofstream(text) << "no program";
  chmod(text.c_str(), 0755);
  const auto run = [](const std::string& path, std::vector<std::string> environment) {
    return RunChild({.path = path, .arguments = {"it"}, .environment = std::move(environment)}, [](std::string_view) {})
        .status();
  };
  EXPECT_THAT(std::string(run(text, {}).message()), HasSubstr("it: cannot be started: Exec format error"));
  EXPECT_EQ(run("/nonexistent", {}).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(run("/bin/true", {"A=" + std::string(4 << 20, 'x')}).code(), absl::StatusCode::kInvalidArgument);
}

TEST(FindProgram, LooksInThePath) {
  setenv("PATH", "/nonexistent:/bin:/usr/bin", 1);
  EXPECT_THAT(*FindProgram("sh"), testing::EndsWith("/sh"));
  EXPECT_EQ(*FindProgram("/bin/sh"), "/bin/sh");
  EXPECT_EQ(FindProgram("no-such-program").status().message(), "there is no program no-such-program");
  EXPECT_FALSE(FindProgram("/tmp").ok());
  EXPECT_FALSE(FindProgram("").ok());
}

}  // namespace
}  // namespace messaging::cli
