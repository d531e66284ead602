#include "messaging/dispatch/retry.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

namespace messaging {

absl::Duration RetryDelay(const HandlerOptions& options, int retry, double random) {
  const Backoff& backoff = options.backoff;
  const double growth = std::pow(std::max(backoff.factor, 1.0), std::max(retry - 1, 0));
  const absl::Duration ceiling = std::max(backoff.max, options.retry_delay);
  // A growth beyond what a Duration holds becomes infinite, and the ceiling cuts it.
  const absl::Duration plain = std::min(options.retry_delay * growth, ceiling);
  return plain + plain * (backoff.jitter * random);
}

Decision Decide(const HandlerOptions& options, const absl::Status& outcome, int attempts, bool draining,
                double random) {
  using Verdict = Decision::Verdict;
  if (outcome.ok()) return {Verdict::kAck};
  if (draining && absl::IsCancelled(outcome)) return {Verdict::kRelease};
  const auto& permanent = options.permanent;
  if (std::find(permanent.begin(), permanent.end(), outcome.code()) != permanent.end()) return {Verdict::kDeadLetter};
  if (attempts > options.max_retries) return {Verdict::kDeadLetter};
  return {Verdict::kRetry, RetryDelay(options, attempts, random)};
}

std::vector<absl::Duration> RetryRungs(const std::vector<const HandlerOptions*>& handlers, size_t limit) {
  std::set<absl::Duration> rungs;
  for (const HandlerOptions* options : handlers) {
    absl::Duration last = -absl::InfiniteDuration();
    // Backoff reaches its ceiling soon or stays fixed; a thousand retries of one delay are one rung.
    for (int retry = 1; retry <= std::min(options->max_retries, 64); ++retry) {
      const absl::Duration longest = RetryDelay(*options, retry, 1.0);
      if (longest == last) break;
      rungs.insert(longest);
      last = longest;
    }
  }
  while (rungs.size() > limit) {
    // Drop the rung whose delays get longer by the smallest share when they move up to the next one.
    auto best = rungs.begin();
    double best_share = HUGE_VAL;
    for (auto rung = rungs.begin(); std::next(rung) != rungs.end(); ++rung) {
      const absl::Duration step = *std::next(rung) - *rung;
      const double share = *rung > absl::ZeroDuration() ? absl::FDivDuration(step, *rung) : HUGE_VAL;
      if (share < best_share) best = rung, best_share = share;
    }
    rungs.erase(best);
  }
  return {rungs.begin(), rungs.end()};
}

}  // namespace messaging
