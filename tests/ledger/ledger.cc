#include "tests/ledger/ledger.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace ledger {
namespace {

constexpr std::array<std::string_view, 10> kNames = {"sent", "accepted", "refused", "unknown", "begin",
                                                     "end",  "handled",  "dead",    "killed",  "point"};
constexpr size_t kFields = 10;

std::string Escape(std::string_view text) {
  std::string escaped;
  for (unsigned char c : text) {
    if (c > ' ' && c < 0x7f && c != '%') {
      escaped += static_cast<char>(c);
    } else {
      char hex[4];
      std::snprintf(hex, sizeof(hex), "%%%02x", c);
      escaped += hex;
    }
  }
  return escaped;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::optional<std::string> Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = HexDigit(text[i + 1]);
    const int low = HexDigit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    plain += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return plain;
}

std::optional<Event> EventOf(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Event>(i);
  }
  return std::nullopt;
}

// Null: not a whole line.
std::optional<Entry> Parse(std::string_view line) {
  const std::vector<std::string_view> fields = absl::StrSplit(line, ' ');
  // The last field is a mark: a line cut anywhere, even within its last text, lacks it.
  if (fields.size() != kFields || fields.back() != ".") return std::nullopt;
  Entry entry;
  int64_t microseconds = 0;
  const std::optional<Event> event = EventOf(fields[2]);
  std::array<std::optional<std::string>, 4> texts = {Unescape(fields[3]), Unescape(fields[4]), Unescape(fields[5]),
                                                     Unescape(fields[8])};
  for (const auto& text : texts) {
    if (!text) return std::nullopt;
  }
  if (!event || !absl::SimpleAtoi(fields[0], &microseconds) || !absl::SimpleAtoi(fields[1], &entry.pid) ||
      !absl::SimpleAtoi(fields[6], &entry.attempt) || !absl::SimpleAtoi(fields[7], &entry.sequence)) {
    return std::nullopt;
  }
  entry.event = *event;
  entry.at = absl::FromUnixMicros(microseconds);
  entry.id = *std::move(texts[0]);
  entry.key = *std::move(texts[1]);
  entry.handler = *std::move(texts[2]);
  entry.note = *std::move(texts[3]);
  return entry;
}

absl::StatusOr<std::string> TextFrom(const std::string& path, int64_t position) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(absl::StrCat("ledger ", path, " cannot be read"));
  file.seekg(position);
  std::stringstream text;
  text << file.rdbuf();
  return std::move(text).str();
}

void AddLines(std::string_view text, Contents& contents) {
  for (std::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (std::optional<Entry> entry = Parse(line)) {
      contents.entries.push_back(*std::move(entry));
    } else {
      ++contents.torn;
    }
  }
  contents.end += static_cast<int64_t>(text.size());
}

[[noreturn]] void Die(const std::string& path, std::string_view what) {
  std::fprintf(stderr, "ledger %s: %s: %s\n", path.c_str(), std::string(what).c_str(), std::strerror(errno));
  std::abort();
}

}  // namespace

std::string_view Name(Event event) { return kNames[static_cast<size_t>(event)]; }

absl::StatusOr<Ledger> Ledger::Open(const std::string& path) {
  const int file = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return absl::ErrnoToStatus(errno, absl::StrCat("ledger ", path));
  return Ledger(file, path);
}

Ledger::Ledger(int file, std::string path) : file_(file), path_(std::move(path)) {}
Ledger::Ledger(Ledger&& other) noexcept : file_(std::exchange(other.file_, -1)), path_(other.path_) {}
Ledger::~Ledger() {
  if (file_ >= 0) close(file_);
}

void Ledger::Append(Entry entry) const {
  if (entry.at == absl::InfinitePast()) entry.at = absl::Now();
  if (entry.pid == 0) entry.pid = getpid();
  // A newline in front as well: what a killed writer left unfinished then spoils no later line.
  const std::string line = absl::StrCat("\n", absl::ToUnixMicros(entry.at), " ", entry.pid, " ", Name(entry.event), " ",
                                        Escape(entry.id), " ", Escape(entry.key), " ", Escape(entry.handler), " ",
                                        entry.attempt, " ", entry.sequence, " ", Escape(entry.note), " .\n");
  const ssize_t written = write(file_, line.data(), line.size());
  if (written < 0 || static_cast<size_t>(written) != line.size()) Die(path_, "write");
}

absl::StatusOr<Contents> Read(const std::string& path) {
  Contents contents;
  const absl::StatusOr<std::string> text = TextFrom(path, 0);
  if (!text.ok()) return text.status();
  AddLines(*text, contents);
  return contents;
}

absl::Status ReadOn(const std::string& path, Contents& contents) {
  const absl::StatusOr<std::string> text = TextFrom(path, contents.end);
  if (!text.ok()) return text.status();
  const size_t end = text->rfind('\n');
  if (end != std::string::npos) AddLines(std::string_view(*text).substr(0, end + 1), contents);
  return absl::OkStatus();
}

}  // namespace ledger
