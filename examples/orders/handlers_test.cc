#include "examples/orders/handlers.h"

#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/json/json.h"
#include "messaging/protobuf/protobuf.h"
#include "messaging/testing/harness.h"

namespace orders {
namespace {

using ::messaging::HarnessEvent;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// The program as main.cc puts it together, over the memory broker and files of its own.
class HandlersTest : public ::testing::Test {
 protected:
  HandlersTest() {
    messaging::Providers& providers = harness_.providers();
    providers.Provide<Mailer>(&mailer_);
    providers.Provide<Gateway>(&gateway_);
    providers.ProvidePerLane<Database>([path = shop_] { return Database::Open(path); });
    providers.ProvidePerMessage<Transaction>([](Database& db) { return db.Begin(); });
  }

  static std::string FreshPath(const std::string& name) {
    const std::string path = absl::StrCat(::testing::TempDir(), "/", name, ".", getpid());
    for (const char* end : {"", "-wal", "-shm", ".mended"}) unlink((path + end).c_str());
    return path;
  }

  static nlohmann::json Created(int64_t order_id) {
    return {{"order_id", order_id}, {"user_id", 3},  {"user_email", "ann@example.com"},
            {"item", "pen"},        {"quantity", 2}, {"total", 9.5}};
  }

  static PaymentRequested Payment(int64_t order_id) {
    PaymentRequested payment;
    payment.set_order_id(order_id);
    payment.set_amount_cents(950);
    payment.set_card_token("card");
    return payment;
  }

  // Lets batches that are not full come, too.
  void Handle() {
    harness_.RunUntilIdle();
    harness_.Advance(absl::Milliseconds(20));
  }

  int64_t InShop(const char* sql) { return (*Database::Open(shop_))->Number(sql)->value_or(-1); }
  int64_t Outside(const char* sql) { return (*Database::Open(outside_, ""))->Number(sql)->value_or(-1); }

  static std::vector<std::string> Handlers(const std::vector<HarnessEvent>& events) {
    std::vector<std::string> names;
    for (const HarnessEvent& event : events) names.push_back(event.handler);
    return names;
  }

  const std::string shop_ = FreshPath("shop");
  const std::string outside_ = FreshPath("outside");
  Mailer mailer_{outside_};
  Gateway gateway_{outside_};
  messaging::TestHarness harness_;
};

TEST_F(HandlersTest, NewOrderIsConfirmedIndexedAndMovesStock) {
  harness_.Publish("orders.created", Created(1));
  Handle();
  EXPECT_THAT(Handlers(harness_.handled()), UnorderedElementsAre("SendConfirmation", "SyncInventory", "IndexOrders"));
  EXPECT_EQ(Outside("SELECT count(*) FROM mails WHERE address = 'ann@example.com'"), 1);
  EXPECT_EQ(InShop("SELECT user_id FROM orders WHERE order_id = 1"), 3);
  EXPECT_EQ(InShop("SELECT reserved FROM stock WHERE item = 'pen'"), 2);
}

TEST_F(HandlersTest, UpdatedOrderMovesStockByTheDifference) {
  harness_.Publish("orders.created", Created(1), {.key = "1"});
  harness_.Publish("orders.updated", {{"order_id", 1}, {"item", "pen"}, {"quantity", -1}}, {.key = "1"});
  Handle();
  EXPECT_EQ(InShop("SELECT reserved FROM stock WHERE item = 'pen'"), 1);
}

TEST_F(HandlersTest, OrderThatComesTwiceHasItsEffectsOnce) {
  harness_.broker().DuplicateNext(1);
  harness_.Publish("orders.created", Created(1));
  Handle();
  EXPECT_THAT(harness_.handled(), SizeIs(6));  // The handlers did see it twice.
  EXPECT_EQ(InShop("SELECT reserved FROM stock WHERE item = 'pen'"), 2);
  EXPECT_EQ(InShop("SELECT count(*) FROM orders"), 1);
  EXPECT_EQ(Outside("SELECT count(*) FROM mails"), 1);
}

TEST_F(HandlersTest, TwoOrdersOfTheSameContentAreTwoMovements) {
  harness_.Publish("orders.created", Created(1));
  harness_.Publish("orders.created", Created(2));
  Handle();
  EXPECT_EQ(InShop("SELECT reserved FROM stock WHERE item = 'pen'"), 4);
}

TEST_F(HandlersTest, WhatIsNoOrderGoesToTheDeadLettersOfEachHandlerAtOnce) {
  for (const nlohmann::json& bad : {nlohmann::json({{"order_id", "seven"}}), nlohmann::json::array({"no", "order"})}) {
    harness_.Publish("orders.created", bad);
  }
  Handle();
  EXPECT_THAT(harness_.dead_letters(), SizeIs(6));
  for (const HarnessEvent& event : harness_.dead_letters()) EXPECT_EQ(event.attempts, 1) << event.handler;
  EXPECT_THAT(harness_.retried(), SizeIs(0));
  EXPECT_EQ(InShop("SELECT count(*) FROM movements"), 0);
}

TEST_F(HandlersTest, BadOrderInABatchDoesNotKeepItsNeighboursOut) {
  nlohmann::json negative = Created(-2);
  harness_.Publish("orders.created", Created(1));
  harness_.Publish("orders.created", negative);
  harness_.Publish("orders.created", Created(3));
  Handle();
  EXPECT_EQ(InShop("SELECT count(*) FROM orders"), 2);
  ASSERT_THAT(harness_.dead_letters(), SizeIs(1));
  EXPECT_THAT(harness_.dead_letters()[0].handler, "IndexOrders");
  EXPECT_THAT(std::string(harness_.dead_letters()[0].status.message()), HasSubstr("not positive"));
}

TEST_F(HandlersTest, PaymentThatFailsOnceIsChargedAfterTheRetryDelay) {
  harness_.Publish("payments.process", Payment(7));
  harness_.RunUntilIdle();
  ASSERT_THAT(harness_.retried(), SizeIs(1));
  harness_.Advance(absl::Milliseconds(4999));
  EXPECT_THAT(harness_.handled(), SizeIs(0));
  harness_.Advance(absl::Milliseconds(1));
  ASSERT_THAT(harness_.handled(), SizeIs(1));
  EXPECT_EQ(harness_.handled()[0].attempts, 2);
  EXPECT_EQ(Outside("SELECT sum(amount_cents) FROM charges"), 950);
}

TEST_F(HandlersTest, PaymentThatAlwaysFailsIsADeadLetterAfterFourAttempts) {
  harness_.Publish("payments.process", Payment(13));
  harness_.RunUntilIdle();
  harness_.Advance(absl::Minutes(1));
  ASSERT_THAT(harness_.dead_letters(), SizeIs(1));
  EXPECT_EQ(harness_.dead_letters()[0].attempts, 4);
  EXPECT_THAT(std::string(harness_.dead_letters()[0].status.message()), HasSubstr("order 13"));
  EXPECT_EQ(Outside("SELECT count(*) FROM charges"), 0);
}

TEST_F(HandlersTest, PaymentThatComesTwiceMovesMoneyOnce) {
  harness_.broker().DuplicateNext(1);
  harness_.Publish("payments.process", Payment(1));
  harness_.RunUntilIdle();
  EXPECT_EQ(Outside("SELECT count FROM requests WHERE order_id = 1"), 2);
  EXPECT_EQ(Outside("SELECT sum(amount_cents) FROM charges"), 950);
}

TEST_F(HandlersTest, PaymentTravelsAsJsonToo) {
  harness_.Publish("payments.process", {{"order_id", 1}, {"amount_cents", 950}, {"card_token", "card"}});
  harness_.RunUntilIdle();
  EXPECT_EQ(Outside("SELECT sum(amount_cents) FROM charges"), 950);
}

TEST_F(HandlersTest, PaymentWithoutAnAmountNeverReachesTheGateway) {
  PaymentRequested payment = Payment(1);
  payment.clear_amount_cents();
  harness_.Publish("payments.process", payment);
  harness_.RunUntilIdle();
  ASSERT_THAT(harness_.dead_letters(), SizeIs(1));
  EXPECT_THAT(std::string(harness_.dead_letters()[0].status.message()), HasSubstr("amount_cents"));
}

}  // namespace
}  // namespace orders
