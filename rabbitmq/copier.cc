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
constexpr int kMostTries = 20;
constexpr absl::Duration kPause = absl::Milliseconds(25);

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
  const bool asks = !asked_.empty() || !making_.empty();
  if (!asks || connection()->blocked()) asked_since_ = now;
  if (now > asked_since_ + options_.response_timeout) return OnLost(connection()->Overdue());
  next_step_ = next_read_;
  if (asks) next_step_ = std::min(next_step_, now + options_.response_timeout);
  for (size_t left = waiting_.size();
       left > 0 && asked_.size() < kWindow && !connection()->blocked() && connection()->unsent() < kMaxUnsentBytes;
       --left) {
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    if (job.not_before > now) {
      next_step_ = std::min(next_step_, job.not_before);
      waiting_.push_back(std::move(job));
    } else if (const auto making = making_.find(job.place.name); making != making_.end()) {
      making->second.push_back(std::move(job));
    } else {
      Send(std::move(job));
    }
  }
}

void Copier::Send(Job job) {
  if (job.due != absl::InfinitePast()) job.message->set_expiration(job.due - Now());
  const uint64_t number = publisher_.Publish("", job.place.name, *job.message);
  if (number == 0) return job.done(absl::InvalidArgumentError("the message's headers do not fit into one frame"));
  asked_.emplace(number, std::move(job));
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
  if (status.ok()) return job.done(status);
  if (status.code() == absl::StatusCode::kNotFound && job.may_make && !job.made) return Make(std::move(job));
  // A queue that was made just now refuses what comes too early.
  if (job.tries++ < kMostTries) {
    job.not_before = asked_since_ + kPause;
    waiting_.push_back(std::move(job));
    return;
  }
  job.done(status.code() == absl::StatusCode::kNotFound
               ? absl::UnavailableError(absl::StrCat("the queue ", job.place.name, " is gone"))
               : status);
}

// One declaration for all that want the place. None is sent before that is answered: a queue that is being made breaks
// the connections that send to it.
void Copier::Make(Job job) {
  const QueueSpec place = job.place;
  std::deque<Job>& jobs = making_[place.name];
  jobs.push_back(std::move(job));
  if (jobs.size() > 1) return;
  publisher_.Declare(place, [this, name = place.name](const absl::Status& status) {
    std::deque<Job> jobs = std::move(making_.extract(name).mapped());
    for (Job& job : jobs) {
      if (status.ok()) {
        job.made = true;
        waiting_.push_back(std::move(job));
      } else {
        job.done(absl::Status(status.code(), absl::StrCat("the queue ", name, " cannot be made: ", status.message())));
      }
    }
  });
}

void Copier::FailAsked(const absl::Status& why) {
  for (auto& [number, job] : std::exchange(asked_, {})) job.done(why);
}

void Copier::OnRefused(const absl::Status& why) { FailAsked(why); }

void Copier::OnLost(const absl::Status& why) {
  publisher_.Detach();
  retry_at_ = next_step_ = Now() + backoff_.Next();
  if (on_lost) on_lost();
  FailAsked(why);
  for (auto& [name, jobs] : std::exchange(making_, {})) {
    for (Job& job : jobs) job.done(why);
  }
}

void Copier::End(const absl::Status& why) {
  if (connection() != nullptr) {
    connection()->Close();
    (void)connection()->Flush();
  }
  publisher_.Detach();
  FailAsked(why);
  for (auto& [name, jobs] : std::exchange(making_, {})) {
    for (Job& job : jobs) job.done(why);
  }
  for (Job& job : std::exchange(waiting_, {})) job.done(why);
}

}  // namespace messaging::rabbitmq
