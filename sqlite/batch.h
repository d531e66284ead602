// Messages that were fetched together: their records, and the bytes that the records' views point at.
#ifndef SQLITE_BATCH_H_
#define SQLITE_BATCH_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <deque>
#include <memory>
#include <string_view>
#include <vector>

#include "messaging/record.h"

namespace messaging::sqlite {

struct Batch;

// One message in this member's hand.
struct WorkRecord : Record {
  int64_t work = 0;  // Its row.
  Batch* batch = nullptr;
  std::vector<HeaderView> header_views;
};

// Freed when the last of its records is.
struct Batch {
  std::deque<WorkRecord> records;
  std::atomic<size_t> live{0};

  // A copy of the bytes that lives as long as the batch.
  std::string_view Keep(std::string_view bytes) {
    if (bytes.size() > left) {
      const size_t size = std::max<size_t>(bytes.size(), 64 << 10);
      chunks.push_back(std::make_unique<char[]>(size));
      at = chunks.back().get();
      left = size;
    }
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
    std::string_view kept(at, bytes.size());
    at += bytes.size();
    left -= bytes.size();
    return kept;
  }
  static void Free(WorkRecord* record) {
    Batch* batch = record->batch;
    if (batch->live.fetch_sub(1) == 1) delete batch;
  }

  std::vector<std::unique_ptr<char[]>> chunks;
  char* at = nullptr;
  size_t left = 0;
};

}  // namespace messaging::sqlite

#endif  // SQLITE_BATCH_H_
