#include "messaging/dispatch/token_bucket.h"

#include "gtest/gtest.h"

namespace messaging {
namespace {

TEST(TokenBucket, ABurstAndThenTheRate) {
  TokenBucket bucket({.per_second = 10, .burst = 3});
  absl::Time now = absl::UnixEpoch();
  EXPECT_EQ(bucket.Available(now), 3u);
  bucket.Take(2, now);
  EXPECT_EQ(bucket.Available(now), 1u);
  bucket.Take(1, now);
  EXPECT_EQ(bucket.Available(now), 0u);
  EXPECT_EQ(bucket.When(1), now + absl::Milliseconds(100));
  EXPECT_EQ(bucket.When(3), now + absl::Milliseconds(300));
  now += absl::Milliseconds(99);
  EXPECT_EQ(bucket.Available(now), 0u);
  now += absl::Milliseconds(1);
  EXPECT_EQ(bucket.Available(now), 1u);
  now += absl::Hours(1);
  EXPECT_EQ(bucket.Available(now), 3u) << "never more than the burst";
}

TEST(TokenBucket, WhatWhenPromisesIsThere) {
  for (const double rate : {0.1, 1.0, 3.0, 7.0, 333.3, 1e6}) {
    TokenBucket bucket({.per_second = rate, .burst = 7});
    absl::Time now = absl::FromUnixSeconds(1'700'000'000);
    bucket.Take(7, now);
    for (int i = 0; i < 10'000; ++i) {
      const size_t wanted = 1 + static_cast<size_t>(i) % 7;
      now = std::max(now, bucket.When(wanted));
      ASSERT_GE(bucket.Available(now), wanted) << rate;
      bucket.Take(wanted, now);
    }
  }
}

TEST(TokenBucket, OverALongTimeTheRateIsKept) {
  TokenBucket bucket({.per_second = 3, .burst = 1});
  absl::Time now = absl::UnixEpoch();
  int taken = 0;
  for (; now < absl::UnixEpoch() + absl::Seconds(1000); now += absl::Milliseconds(10)) {
    if (bucket.Available(now) == 0) continue;
    bucket.Take(1, now);
    ++taken;
  }
  EXPECT_LE(taken, 3001);
  EXPECT_GE(taken, 2850) << "asked every 10 ms, each is up to so late";
}

TEST(TokenBucket, NoneIsNoLimit) { EXPECT_FALSE(TokenBucket(RateLimit{}).limited()); }

}  // namespace
}  // namespace messaging
