#include "redis/reply.h"

#include <hiredis/hiredis.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace messaging::redis {
namespace {

using std::string_view_literals::operator""sv;

class ReplyTest : public testing::Test {
 protected:
  // Null: not whole yet, or wrong.
  ReplyPtr Next() {
    void* reply = nullptr;
    status_ = redisReaderGetReply(reader_.get(), &reply);
    return ReplyPtr(static_cast<redisReply*>(reply));
  }
  void Feed(std::string_view bytes) { redisReaderFeed(reader_.get(), bytes.data(), bytes.size()); }

  int status_ = REDIS_OK;
  const std::unique_ptr<redisReader, void (*)(redisReader*)> reader_{redisReaderCreateWithFunctions(ReplyFunctions()),
                                                                     redisReaderFree};
};

TEST_F(ReplyTest, EveryKindIsReadAsHiredisDoes) {
  Feed("+OK\r\n-ERR no\r\n:-7\r\n$-1\r\n*-1\r\n$0\r\n\r\n*0\r\n");
  Feed("*2\r\n$3\r\na\0b\r\n*2\r\n:1\r\n$-1\r\n"sv);
  ReplyPtr reply = Next();
  EXPECT_EQ(reply->type, REDIS_REPLY_STATUS);
  EXPECT_STREQ(reply->str, "OK");
  reply = Next();
  EXPECT_EQ(reply->type, REDIS_REPLY_ERROR);
  EXPECT_STREQ(reply->str, "ERR no");
  reply = Next();
  EXPECT_EQ(reply->type, REDIS_REPLY_INTEGER);
  EXPECT_EQ(reply->integer, -7);
  EXPECT_EQ(Next()->type, REDIS_REPLY_NIL);
  EXPECT_EQ(Next()->type, REDIS_REPLY_NIL);
  reply = Next();
  EXPECT_EQ(reply->type, REDIS_REPLY_STRING);
  EXPECT_EQ(reply->len, 0u);
  reply = Next();
  EXPECT_EQ(reply->type, REDIS_REPLY_ARRAY);
  EXPECT_EQ(reply->elements, 0u);
  reply = Next();
  ASSERT_EQ(reply->elements, 2u);
  EXPECT_EQ(std::string_view(reply->element[0]->str, reply->element[0]->len), std::string_view("a\0b", 3));
  ASSERT_EQ(reply->element[1]->elements, 2u);
  EXPECT_EQ(reply->element[1]->element[0]->integer, 1);
  EXPECT_EQ(reply->element[1]->element[1]->type, REDIS_REPLY_NIL);
  EXPECT_EQ(Next(), nullptr);
}

// A message with many large fields, in pieces of every size.
TEST_F(ReplyTest, PiecesAndSizes) {
  std::string text = "*3\r\n";
  const std::string large(100'000, 'x');
  for (const size_t size : {size_t{0}, size_t{1}, large.size()}) {
    absl::StrAppend(&text, "*2\r\n$", size, "\r\n", large.substr(0, size), "\r\n*500\r\n");
    for (int i = 0; i < 500; ++i) absl::StrAppend(&text, "$", 3 + i, "\r\n", large.substr(0, 3 + i), "\r\n");
  }
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{4'096}, text.size()}) {
    ReplyPtr reply;
    for (size_t at = 0; at < text.size(); at += piece) {
      ASSERT_EQ(reply, nullptr);
      Feed(std::string_view(text).substr(at, piece));
      if (piece > 1 || at + 1 == text.size() || at % 1'000 == 0) reply = Next();
      ASSERT_EQ(status_, REDIS_OK);
    }
    ASSERT_NE(reply, nullptr);
    ASSERT_EQ(reply->elements, 3u);
    const redisReply& last = *reply->element[2];
    EXPECT_EQ(std::string_view(last.element[0]->str, last.element[0]->len), large);
    ASSERT_EQ(last.element[1]->elements, 500u);
    for (size_t i = 0; i < 500; ++i) {
      EXPECT_EQ(std::string_view(last.element[1]->element[i]->str), std::string_view(large).substr(0, 3 + i));
    }
  }
}

TEST_F(ReplyTest, WhatIsNotWholeIsFreed) {
  Feed("*2\r\n$3\r\nabc\r\n$3\r\nde");
  EXPECT_EQ(Next(), nullptr);
  EXPECT_EQ(status_, REDIS_OK);
}

TEST_F(ReplyTest, NonsenseIsAnErrorAndFreed) {
  Feed("*2\r\n$3\r\nabc\r\n?nonsense\r\n");
  EXPECT_EQ(Next(), nullptr);
  EXPECT_EQ(status_, REDIS_ERR);
}

}  // namespace
}  // namespace messaging::redis
