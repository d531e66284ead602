// A message's trace from Send through handlers, retries and dead letters.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/codec.h"
#include "messaging/log_fields.h"
#include "messaging/testing/harness.h"
#include "messaging/testing/recording_tracer.h"
#include "messaging/trace_context.h"

namespace messaging {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kParent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const std::vector<Header> kTraced = {{"traceparent", kParent}, {"tracestate", "foo=1"}};

std::string ValueOf(const Message& message, std::string_view name) {
  for (const auto& [header, value] : message.headers) {
    if (header == name) return value;
  }
  return "";
}

// Sends on what it gets, then fails `failures` times.
Handler Forwarder(Producer*& producer, int& failures) {
  return MakeHandler("Forward",
                     [&](const std::string& body, Sender& sender) {
                       sender.Send("by-sender", body);
                       producer->Send("by-thread", body);
                       producer->Send("detached", body, {.detached = true});
                       producer->Send("own", body, {.headers = {{"traceparent", absl::StrCat(kParent)}}});
                       return failures-- > 0 ? absl::UnavailableError("down") : absl::OkStatus();
                     },
                     {.topics = {"t"}, .max_retries = 1, .retry_delay = absl::Seconds(1)});
}

TEST(Trace, WithoutATracerItIsPassedOnAsItCame) {
  Producer* producer = nullptr;
  int failures = 100;
  TestHarness harness({.handlers = {Forwarder(producer, failures)}});
  producer = &harness.producer();
  harness.Publish("t", std::string("x"), {.headers = kTraced});
  harness.Publish("t", std::string("untraced"));
  harness.Advance(absl::Seconds(5));
  for (const char* topic : {"by-sender", "by-thread", "detached"}) {
    ASSERT_THAT(harness.sent(topic), SizeIs(4)) << topic;
    for (const Message& message : harness.sent(topic)) {
      const bool traced = message.payload == "x";
      EXPECT_EQ(ValueOf(message, "traceparent"), traced ? kParent : "");
      EXPECT_EQ(ValueOf(message, "tracestate"), traced ? "foo=1" : "");
    }
  }
  ASSERT_THAT(harness.dead_letters(), SizeIs(2));
  EXPECT_EQ(ValueOf(harness.dead_letters()[0].message, "traceparent"), kParent);
  EXPECT_EQ(ValueOf(harness.dead_letters()[0].message, "tracestate"), "foo=1");
}

TEST(Trace, WithATracerEachSendAndEachAttemptIsASpan) {
  RecordingTracer tracer;
  {
    Producer* producer = nullptr;
    int failures = 1;
    TestHarness harness({.handlers = {Forwarder(producer, failures)}, .tracer = &tracer});
    producer = &harness.producer();
    harness.Publish("t", std::string("body"), {.headers = kTraced, .id = "id7"});
    harness.Advance(absl::Seconds(5));
    EXPECT_THAT(harness.handled(), SizeIs(1));
  }
  EXPECT_EQ(tracer.open(), 0);
  const TraceContext user = *TraceContext::Parse(kParent, {"foo=1"});
  std::vector<RecordedSpan> attempts;
  const RecordedSpan first = tracer.spans().at(0);
  EXPECT_EQ(first.kind, SpanKind::kProducer);
  EXPECT_EQ(first.name, "send t");
  EXPECT_EQ(first.parent, user);
  EXPECT_TRUE(first.status.ok());
  EXPECT_EQ(first.attributes.at("messaging.system"), "memory");
  EXPECT_EQ(first.attributes.at("messaging.destination.name"), "t");
  EXPECT_EQ(first.attributes.at("messaging.operation.type"), "send");
  EXPECT_EQ(first.attributes.at("messaging.message.id"), "id7");
  EXPECT_EQ(first.attributes.at("messaging.message.body.size"), "4");
  for (const RecordedSpan& span : tracer.spans()) {
    EXPECT_EQ(span.context.trace_id, user.trace_id);
    EXPECT_EQ(span.context.state, span.name == "send own" ? "" : "foo=1");
    if (span.kind == SpanKind::kConsumer) attempts.push_back(span);
  }
  ASSERT_THAT(attempts, SizeIs(2));
  for (const RecordedSpan& attempt : attempts) {
    EXPECT_EQ(attempt.name, "process t");
    EXPECT_EQ(attempt.parent, first.context);
    EXPECT_EQ(attempt.attributes.at("messaging.operation.type"), "process");
    EXPECT_EQ(attempt.attributes.at("messaging.consumer.group.name"), "test");
    EXPECT_EQ(attempt.attributes.at("code.function.name"), "Forward");
    EXPECT_EQ(attempt.attributes.at("messaging.message.id"), "id7");
  }
  EXPECT_EQ(attempts[0].attributes.at("messaging.message.attempt"), "1");
  EXPECT_TRUE(absl::IsUnavailable(attempts[0].status));
  EXPECT_EQ(attempts[1].attributes.at("messaging.message.attempt"), "2");
  EXPECT_TRUE(attempts[1].status.ok());
  int below = 0;
  for (const RecordedSpan& span : tracer.spans()) {
    if (span.kind == SpanKind::kConsumer || span.name == "send t" || span.name == "send own") continue;
    EXPECT_TRUE(span.parent == attempts[0].context || span.parent == attempts[1].context) << span.name;
    ++below;
  }
  EXPECT_EQ(below, 6);
}

TEST(Trace, ABatchIsLinkedToItsMessagesAndIsATraceOfItsOwn) {
  RecordingTracer tracer;
  TestHarness harness(
      {.handlers = {MakeHandler("Index",
                                [](absl::Span<const std::string> all) { return std::vector<absl::Status>(all.size()); },
                                {.topics = {"t"}, .batch = {.max = 3}})},
       .tracer = &tracer});
  for (int i = 0; i < 3; ++i) harness.Publish("t", absl::StrCat(i));
  harness.RunUntilIdle();
  const std::vector<RecordedSpan> spans = tracer.spans();
  ASSERT_THAT(spans, SizeIs(4));
  EXPECT_EQ(spans[3].attributes.at("messaging.batch.message_count"), "3");
  EXPECT_FALSE(spans[3].parent);
  EXPECT_THAT(spans[3].links, testing::ElementsAre(spans[0].context, spans[1].context, spans[2].context));
}

TEST(Trace, WhatIsNotAContextStartsATraceAnew) {
  RecordingTracer tracer;
  TestHarness harness(
      {.handlers = {MakeHandler("H", [](const std::string&) { return absl::OkStatus(); }, {.topics = {"t"}})},
       .tracer = &tracer});
  harness.Publish("t", std::string("x"), {.headers = {{"traceparent", "garbage"}, {"tracestate", "foo=1"}}});
  harness.RunUntilIdle();
  ASSERT_THAT(tracer.spans(), SizeIs(2));
  EXPECT_FALSE(tracer.spans()[0].parent);
  EXPECT_EQ(tracer.spans()[0].context.state, "");
  EXPECT_EQ(tracer.spans()[1].parent, tracer.spans()[0].context);
}

TEST(Trace, AnAsynchronousHandlersSpanEndsWithItsCompletion) {
  RecordingTracer tracer;
  std::vector<Completion> completions;
  TestHarness harness(
      {.handlers = {MakeHandler(
           "H", [&](const std::string&, Completion completion) { completions.push_back(std::move(completion)); },
           {.topics = {"t"}})},
       .tracer = &tracer});
  harness.Publish("t", std::string("x"));
  harness.RunUntilIdle();
  EXPECT_THAT(tracer.spans(), SizeIs(1));
  completions[0](absl::InternalError("broken"));
  harness.RunUntilIdle();
  ASSERT_THAT(tracer.spans(), SizeIs(2));
  EXPECT_EQ(tracer.spans()[1].status.message(), "broken");
}

TEST(Trace, AHandlersOwnLinesNameIt) {
  std::string fields;
  TestHarness harness({.handlers = {MakeHandler("H",
                                                [&](const std::string&, const Received& received) {
                                                  fields = ToText(FieldsOf(received));
                                                  return absl::OkStatus();
                                                },
                                                {.topics = {"t"}})}});
  harness.Publish("t", std::string("x"), {.headers = kTraced});
  harness.RunUntilIdle();
  EXPECT_EQ(fields, "topic=t message=1 handler=H attempt=1 trace=4bf92f3577b34da6a3ce929d0e0e4736");
}

}  // namespace
}  // namespace messaging
