#include "tests/ledger/ledger.h"

#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace ledger {
namespace {

std::string NewPath() {
  const auto* info = testing::UnitTest::GetInstance()->current_test_info();
  const std::string path = testing::TempDir() + "/" + info->name() + ".ledger";
  unlink(path.c_str());
  return path;
}

TEST(Ledger, AnyBytesComeBackAsTheyWereWritten) {
  const std::string path = NewPath();
  const std::string bytes = std::string("a b\n\t%00\0\xff\x80", 12);
  Ledger::Open(path)->Append({.event = Event::kHandled,
                              .at = absl::FromUnixMicros(1234567),
                              .pid = 42,
                              .id = bytes,
                              .key = bytes,
                              .handler = "",
                              .attempt = 3,
                              .sequence = -7,
                              .note = bytes});
  absl::StatusOr<Contents> contents = Read(path);
  ASSERT_TRUE(contents.ok()) << contents.status();
  ASSERT_EQ(contents->entries.size(), 1u);
  const Entry& entry = contents->entries[0];
  EXPECT_EQ(entry.event, Event::kHandled);
  EXPECT_EQ(entry.at, absl::FromUnixMicros(1234567));
  EXPECT_EQ(entry.pid, 42);
  EXPECT_EQ(entry.id, bytes);
  EXPECT_EQ(entry.key, bytes);
  EXPECT_EQ(entry.handler, "");
  EXPECT_EQ(entry.attempt, 3);
  EXPECT_EQ(entry.sequence, -7);
  EXPECT_EQ(entry.note, bytes);
  EXPECT_EQ(contents->torn, 0);
}

TEST(Ledger, EachEventKeepsItsName) {
  const std::string path = NewPath();
  const absl::StatusOr<Ledger> ledger = Ledger::Open(path);
  for (int i = 0; i <= static_cast<int>(Event::kPoint); ++i) ledger->Append({.event = static_cast<Event>(i)});
  absl::StatusOr<Contents> contents = Read(path);
  ASSERT_TRUE(contents.ok());
  ASSERT_EQ(contents->entries.size(), 10u);
  for (int i = 0; i <= static_cast<int>(Event::kPoint); ++i) {
    EXPECT_EQ(contents->entries[i].event, static_cast<Event>(i));
    EXPECT_EQ(contents->entries[i].pid, getpid());
    EXPECT_GT(contents->entries[i].at, absl::UnixEpoch());
  }
}

// Whatever prefix of the last line a killed writer left, earlier lines and those appended later are read.
TEST(Ledger, ALineCutAnywhereSpoilsNoOther) {
  const std::string path = NewPath();
  Ledger::Open(path)->Append({.event = Event::kSent, .id = "whole", .note = "text"});
  std::ifstream file(path, std::ios::binary);
  const std::string line((std::istreambuf_iterator<char>(file)), {});
  for (size_t cut = 2; cut + 1 < line.size(); ++cut) {
    const std::string torn_path = path + ".torn";
    std::ofstream(torn_path, std::ios::binary) << line << line.substr(0, cut);
    Ledger::Open(torn_path)->Append({.event = Event::kDead, .id = "later"});
    absl::StatusOr<Contents> contents = Read(torn_path);
    ASSERT_TRUE(contents.ok());
    ASSERT_EQ(contents->entries.size(), 2u) << "cut at " << cut;
    EXPECT_EQ(contents->entries[0].id, "whole");
    EXPECT_EQ(contents->entries[1].id, "later");
    EXPECT_EQ(contents->torn, 1) << "cut at " << cut;
  }
}

// Each entry once, in whatever pieces the file grows.
TEST(Ledger, ReadOnAddsWhatCameSince) {
  const std::string path = NewPath();
  const absl::StatusOr<Ledger> ledger = Ledger::Open(path);
  Contents contents;
  ASSERT_TRUE(ReadOn(path, contents).ok());
  EXPECT_EQ(contents.entries.size(), 0u);
  ledger->Append({.event = Event::kSent, .id = "one"});
  ledger->Append({.event = Event::kSent, .id = "two"});
  ASSERT_TRUE(ReadOn(path, contents).ok());
  ASSERT_EQ(contents.entries.size(), 2u);
  std::ifstream file(path, std::ios::binary);
  const std::string written((std::istreambuf_iterator<char>(file)), {});
  for (const char c : written) {
    std::ofstream(path, std::ios::binary | std::ios::app) << c;
    ASSERT_TRUE(ReadOn(path, contents).ok());
  }
  ASSERT_EQ(contents.entries.size(), 4u);
  EXPECT_EQ(contents.entries[2].id, "one");
  EXPECT_EQ(contents.entries[3].id, "two");
  EXPECT_EQ(contents.torn, 0);
  EXPECT_EQ(ReadOn("/nowhere/ledger", contents).code(), absl::StatusCode::kNotFound);
}

TEST(Ledger, ProcessesAndThreadsAppendWholeLines) {
  const std::string path = NewPath();
  constexpr int kEach = 500;
  auto append = [&path](const std::string& who) {
    const absl::StatusOr<Ledger> ledger = Ledger::Open(path);
    for (int i = 0; i < kEach; ++i) ledger->Append({.event = Event::kSent, .id = who, .note = std::string(200, 'x')});
  };
  const pid_t child = fork();
  if (child == 0) {
    append("child");
    _exit(0);
  }
  std::thread thread(append, "thread");
  append("main");
  thread.join();
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  absl::StatusOr<Contents> contents = Read(path);
  ASSERT_TRUE(contents.ok());
  EXPECT_EQ(contents->entries.size(), 3u * kEach);
  EXPECT_EQ(contents->torn, 0);
}

TEST(Ledger, AMissingFileIsAnError) {
  EXPECT_EQ(Read("/nowhere/ledger").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(Ledger::Open("/nowhere/ledger").ok());
}

}  // namespace
}  // namespace ledger
