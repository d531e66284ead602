// What is in the file, for people: `core topics`, `core lag`, `core check`, `core tail`.
#ifndef SQLITE_ADMIN_H_
#define SQLITE_ADMIN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "messaging/broker/admin.h"
#include "messaging/broker/broker.h"
#include "sqlite/loop.h"
#include "sqlite/sqlite_broker.h"

namespace messaging::sqlite {

// Looks through connections of its own, which hold up nobody: readers of a WAL do not block writers.
class SqliteAdmin : public Admin {
 public:
  SqliteAdmin(std::shared_ptr<Loop> loop, SqliteOptions options)
      : loop_(std::move(loop)), options_(std::move(options)) {}

  absl::StatusOr<std::vector<TopicInfo>> Topics(const std::string& topic) override;
  absl::Status Declare(const TopicDeclaration& declaration) override;
  absl::Status Remove(const std::string& topic) override;
  absl::StatusOr<std::vector<GroupLag>> Lag(const std::string& topic, const std::string& group) override;
  absl::StatusOr<std::vector<Finding>> Check(const std::string& group, const std::vector<TopicPlan>& topics) override;
  absl::Status Tail(const TailOptions& options, std::function<bool(const Record&)> visit,
                    std::function<bool()> stop) override;

 private:
  const std::shared_ptr<Loop> loop_;
  const SqliteOptions options_;
};

}  // namespace messaging::sqlite

#endif  // SQLITE_ADMIN_H_
