#include "tests/docs/snippets/service.h"

#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace {

TEST(QuickStart, WhatTheServiceSendsReachesTheManualConsumer) {
  const std::string path = absl::StrCat(::testing::TempDir(), "/quickstart.", getpid(), ".db");
  ASSERT_TRUE(ConfigureShop(path).ok());
  SendOrderCreated(7, 3);
  absl::StatusOr<messaging::Receipt> receipt = SendAndWait(8);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_NE(receipt->id, "");
  Orders orders;
  absl::StatusOr<int64_t> order = CreateOrder(orders, 3, 19.5);
  ASSERT_TRUE(order.ok()) << order.status();
  EXPECT_EQ(orders.rows.count(*order), 1u);

  absl::Notification seven, eight;
  auto consumer = StartCustomConsumer(absl::StrCat("sqlite://", path), [&](const std::string& payload) {
    if (absl::StrContains(payload, "\"order_id\":7,")) seven.Notify();
    if (absl::StrContains(payload, "\"order_id\":8}")) eight.Notify();
    return absl::OkStatus();
  });
  ASSERT_TRUE(consumer.ok()) << consumer.status();
  EXPECT_TRUE(seven.WaitForNotificationWithTimeout(absl::Seconds(30)));
  EXPECT_TRUE(eight.WaitForNotificationWithTimeout(absl::Seconds(30)));
  EXPECT_TRUE((*consumer)->Stop().ok());
  messaging::Shutdown();
}

}  // namespace
