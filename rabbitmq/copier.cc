#include "rabbitmq/copier.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "messaging/broker/clock.h"

namespace messaging::rabbitmq {
namespace {

constexpr size_t kMaxUnsentBytes = 4 << 20;
constexpr size_t kWindow = 1'000;

absl::Time Now() { return Clock::Steady().Now(); }

}  // namespace

void Copier::Publish(Job job) { waiting_.push_back(std::move(job)); }

void Copier::Step(absl::Time now) {
  next_step_ = absl::InfiniteFuture();
  if (connection() == nullptr && !waiting_.empty()) Connect(now);
  if (connection() == nullptr) return;
  if (now >= next_read_) {
    if (const absl::Status status = connection()->Read(); !status.ok()) return OnLost(status);
    next_read_ = now + connection()->tick();
  }
  if (asked_.empty() || connection()->blocked()) asked_since_ = now;
  if (now > asked_since_ + options_.response_timeout) {
    return OnLost(connection()->Lost(absl::StrCat("no confirm for ", absl::FormatDuration(options_.response_timeout))));
  }
  next_step_ = next_read_;
  if (!asked_.empty()) next_step_ = std::min(next_step_, now + options_.response_timeout);
  while (!waiting_.empty() && asked_.size() < kWindow && !connection()->blocked() &&
         connection()->unsent() < kMaxUnsentBytes) {
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    const uint64_t number = publisher_.Publish("", job.place.name, *job.message);
    if (number == 0) {
      job.done(absl::InvalidArgumentError("the message's headers do not fit into one frame"));
      continue;
    }
    asked_.emplace(number, std::move(job));
  }
}

void Copier::Connect(absl::Time now) {
  if (now < retry_at_) {
    next_step_ = retry_at_;
    return;
  }
  absl::StatusOr<std::unique_ptr<Connection>> connection = connect_("keep");
  if (!connection.ok()) {
    retry_at_ = next_step_ = Now() + backoff_.Next();
    return;
  }
  next_read_ = absl::InfinitePast();
  publisher_.Attach(*std::move(connection));
}

void Copier::OnConfirm(uint64_t number, const absl::Status& status) {
  asked_since_ = Now();
  backoff_.Reset();
  auto node = asked_.extract(number);
  if (node.empty()) return;
  Job job = std::move(node.mapped());
  if (status.code() == absl::StatusCode::kNotFound && job.may_make && !job.made) return Make(std::move(job));
  job.done(status.code() == absl::StatusCode::kNotFound
               ? absl::UnavailableError(absl::StrCat("the queue ", job.place.name, " is gone"))
               : status);
}

void Copier::Make(Job job) {
  const auto held = making_.insert(making_.end(), std::move(job));
  publisher_.Declare(held->place, [this, held](const absl::Status& status) {
    Job job = std::move(*held);
    making_.erase(held);
    if (!status.ok()) {
      return job.done(absl::Status(
          status.code(), absl::StrCat("the queue ", job.place.name, " cannot be made: ", status.message())));
    }
    job.made = true;
    waiting_.push_front(std::move(job));
  });
}

void Copier::FailAsked(const absl::Status& why) {
  for (auto& [number, job] : std::exchange(asked_, {})) job.done(why);
}

void Copier::OnRefused(const absl::Status& why) { FailAsked(why); }

void Copier::OnLost(const absl::Status& why) {
  publisher_.Detach();
  retry_at_ = next_step_ = Now() + backoff_.Next();
  FailAsked(why);
  for (Job& job : std::exchange(making_, {})) job.done(why);
}

void Copier::End(const absl::Status& why) {
  if (connection() != nullptr) {
    connection()->Close();
    (void)connection()->Flush();
  }
  publisher_.Detach();
  FailAsked(why);
  for (Job& job : std::exchange(making_, {})) job.done(why);
  for (Job& job : std::exchange(waiting_, {})) job.done(why);
}

}  // namespace messaging::rabbitmq
