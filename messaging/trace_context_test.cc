#include "messaging/trace_context.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

constexpr char kParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

TEST(TraceContext, WhatIsValidIsReadAndWrittenAgain) {
  const auto context = TraceContext::Parse(kParent);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id_hex(), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_EQ(context->span_id_hex(), "00f067aa0ba902b7");
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(context->traceparent(), kParent);
}

// The cases of the specification's own test suite, as far as they are about a header's text.
TEST(TraceContext, WhatIsNotValidIsNoContext) {
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736", span = "00f067aa0ba902b7";
  const std::string invalid[] = {
      "",
      "00",
      "00-" + trace + "-" + span,                             // no flags
      "00-" + trace + "-" + span + "-1",                      // flags too short
      "00-" + trace + "-" + span + "-01-",                    // version 00 has nothing behind them
      "00-" + trace + "-" + span + "-01.what",                //
      "00-" + trace + "-" + span + "-01-what",                //
      "ff-" + trace + "-" + span + "-01",                     // no version
      "0-" + trace + "-" + span + "-01",                      //
      "zz-" + trace + "-" + span + "-01",                     //
      "00-00000000000000000000000000000000-" + span + "-01",  //
      "00-" + trace + "-0000000000000000-01",                 //
      "00-4BF92F3577B34DA6A3CE929D0E0E4736-" + span + "-01",  // capitals
      "00-" + trace + "-00F067AA0BA902B7-01",                 //
      "00-" + trace + "-" + span + "-0G",                     //
      "00_" + trace + "_" + span + "_01",                     //
      "cc-" + trace + "-" + span + "-01.what-the-future-is",  //
      " 00-" + trace + "-" + span + "-01",                    //
      std::string("00-") + std::string(32, '.') + "-" + span + "-01",
  };
  for (const std::string& text : invalid) EXPECT_FALSE(TraceContext::Parse(text)) << text;
}

TEST(TraceContext, LaterVersionsAreReadAsFarAsThisOneGoes) {
  const auto context = TraceContext::Parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-will-be");
  ASSERT_TRUE(context);
  EXPECT_EQ(context->traceparent(), kParent);
  EXPECT_TRUE(TraceContext::Parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
}

TEST(TraceContext, FlagsThatNobodyKnowsAreNotPassedOn) {
  EXPECT_EQ(TraceContext::Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff")->traceparent(), kParent);
  EXPECT_FALSE(TraceContext::Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe")->sampled);
}

TEST(TraceContext, StatesAreJoinedAndWhatIsNotValidIsLeftOut) {
  const auto state = [](std::vector<std::string_view> lists) { return TraceContext::Parse(kParent, lists)->state; };
  EXPECT_EQ(state({"foo=1"}), "foo=1");
  EXPECT_EQ(state({"foo=1,bar=2", "rojo=1"}), "foo=1,bar=2,rojo=1");
  EXPECT_EQ(state({"foo=1 \t , \t bar=2, ", ",,baz=3"}), "foo=1,bar=2,baz=3");
  EXPECT_EQ(state({"a-b/c_d*e=~! x", "1a@b=x"}), "a-b/c_d*e=~! x,1a@b=x");
  EXPECT_EQ(state({"foo=1,foo=2"}), "") << "a key twice";
  EXPECT_EQ(state({"foo"}), "");
  EXPECT_EQ(state({"foo="}), "");
  EXPECT_EQ(state({"FOO=1"}), "");
  EXPECT_EQ(state({"foo =1"}), "");
  EXPECT_EQ(state({"foo@=1"}), "");
  EXPECT_EQ(state({"@foo=1"}), "");
  EXPECT_EQ(state({"foo=bar=baz"}), "");
  EXPECT_EQ(state({"foo=\x01"}), "");
  std::string many;
  for (int i = 0; i < 32; ++i) many += "k" + std::to_string(i) + "=1,";
  EXPECT_NE(state({many}), "");
  EXPECT_EQ(state({many, "more=1"}), "") << "33 entries";
  EXPECT_NE(state({std::string(256, 'k') + "=" + std::string(256, 'v')}), "");
  EXPECT_EQ(state({std::string(257, 'k') + "=v"}), "");
  EXPECT_EQ(state({"k=" + std::string(257, 'v')}), "");
}

TEST(TraceContext, OfHeadersByAnyCaseButNotOfTwo) {
  EXPECT_FALSE(TraceContextOf(std::vector<Header>{{"tracestate", "foo=1"}}));
  const auto context = TraceContextOf({{"TraceParent", kParent}, {"TRACESTATE", "foo=1"}, {"x", "y"}});
  ASSERT_TRUE(context);
  EXPECT_EQ(context->state, "foo=1");
  EXPECT_FALSE(TraceContextOf({{"traceparent", kParent}, {"traceparent", kParent}}));
}

TEST(TraceContext, IsSetInPlaceOfWhatWasThere) {
  std::vector<Header> headers = {{"Traceparent", "old"}, {"x", "y"}, {"tracestate", "old=1"}};
  TraceContext context = *TraceContext::Parse(kParent);
  SetTraceContext(context, headers);
  EXPECT_THAT(headers, ElementsAre(Pair("x", "y"), Pair("traceparent", kParent)));
  context.state = "foo=1";
  SetTraceContext(context, headers);
  EXPECT_THAT(headers, ElementsAre(Pair("x", "y"), Pair("traceparent", kParent), Pair("tracestate", "foo=1")));
}

TEST(TraceContext, ChildrenAreOfTheSameTraceAndNewOnesOfNone) {
  const TraceContext root = TraceContext::NewTrace();
  const TraceContext child = root.Child();
  EXPECT_EQ(child.trace_id, root.trace_id);
  EXPECT_NE(child.span_id, root.span_id);
  EXPECT_NE(TraceContext::NewTrace().trace_id, root.trace_id);
  EXPECT_TRUE(TraceContext::Parse(child.traceparent()));
  EXPECT_FALSE(TraceContext::NewTrace(false).sampled);
}

}  // namespace
}  // namespace messaging
