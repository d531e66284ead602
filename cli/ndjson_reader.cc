#include "cli/ndjson_reader.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/json_check.h"

namespace messaging::cli {
namespace {
constexpr size_t kChunk = 256 << 10;
}  // namespace

ByteSource FdSource(int fd, int stop_fd) {
  return [fd, stop_fd](char* to, size_t size) -> absl::StatusOr<size_t> {
    while (true) {
      pollfd wait[] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
      if (poll(wait, 2, -1) < 0 && errno != EINTR) return absl::ErrnoToStatus(errno, "poll");
      if (wait[1].revents != 0) return absl::CancelledError("stopped");
      if (wait[0].revents == 0) continue;
      const ssize_t got = read(fd, to, size);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno == EBADF) return absl::UnavailableError("it was closed");
      if (errno != EINTR && errno != EAGAIN) return absl::UnavailableError(strerror(errno));
    }
  };
}

NdjsonReader::NdjsonReader(ByteSource source, size_t longest, bool json)
    : source_(std::move(source)), longest_(longest), json_(json) {}

absl::StatusOr<std::optional<std::string_view>> NdjsonReader::NextRaw() {
  while (true) {
    const size_t end = buffer_.find('\n', scanned_);
    if (end != std::string::npos) {
      std::string_view line(buffer_.data() + start_, end - start_);
      start_ = scanned_ = end + 1;
      return line;
    }
    if (ended_) {
      if (start_ == buffer_.size() && !too_long_) return std::nullopt;
      std::string_view line(buffer_.data() + start_, buffer_.size() - start_);
      start_ = scanned_ = buffer_.size();
      return line;
    }
    buffer_.erase(0, start_);
    start_ = 0;
    if (buffer_.size() > longest_) {
      too_long_ = true;
      buffer_.clear();
    }
    const size_t had = scanned_ = buffer_.size();
    buffer_.resize(had + kChunk);
    absl::StatusOr<size_t> got = source_(buffer_.data() + had, kChunk);
    buffer_.resize(had + got.value_or(0));
    if (!got.ok()) return got.status();
    bytes_read_ += static_cast<int64_t>(*got);
    ended_ = *got == 0;
  }
}

absl::StatusOr<std::optional<NdjsonReader::Line>> NdjsonReader::Next() {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  while (true) {
    absl::StatusOr<std::optional<std::string_view>> raw = NextRaw();
    if (!raw.ok()) return raw.status();
    if (!raw->has_value()) return std::nullopt;
    std::string_view text = **raw;
    Line line{.number = ++number_};
    if (std::exchange(too_long_, false) || text.size() > longest_) {
      line.status = absl::InvalidArgumentError(absl::StrCat("longer than ", longest_, " bytes"));
      return line;
    }
    if (line.number == 1 && text.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
      text.remove_prefix(kByteOrderMark.size());
    }
    line.text = json_ ? absl::StripAsciiWhitespace(text) : text;
    if (line.text.empty()) continue;
    if (json_) line.status = CheckJson(line.text);
    return line;
  }
}

}  // namespace messaging::cli
