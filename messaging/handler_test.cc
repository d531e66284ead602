#include "messaging/handler.h"

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/types/span.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "messaging/internal/fake_call.h"
#include "messaging/producer.h"

namespace shop {

// Its codec: a decimal number, "text/plain" or nothing declared; "x-twice" holds half of it.
struct Number {
  int value = 0;
};
// As Number, and with a check of its own.
struct Small : Number {};
inline absl::Status Validate(const Small& small) {
  return small.value < 10 ? absl::OkStatus() : absl::OutOfRangeError("10 or more");
}
absl::Status IsEven(const Small& small) {
  return small.value % 2 == 0 ? absl::OkStatus() : absl::InvalidArgumentError("odd");
}

struct Database {
  std::vector<int> rows;
};
struct Mailer {
  int sent = 0;
};

absl::Status Insert(const Number& number, Database& db) {
  db.rows.push_back(number.value);
  return absl::OkStatus();
}

}  // namespace shop

namespace messaging {

template <typename T>
requires std::derived_from<T, shop::Number>
struct Codec<T> {
  static absl::Status Decode(const Received& received, T& out) {
    const std::string_view type = received.content_type();
    if (!type.empty() && type != "text/plain" && type != "x-twice") {
      return absl::UnimplementedError("content type " + std::string(type));
    }
    char* end;
    const std::string text(received.payload());
    out.value = static_cast<int>(std::strtol(text.c_str(), &end, 10)) * (type == "x-twice" ? 2 : 1);
    return *end == '\0' && !text.empty() ? absl::OkStatus() : absl::InvalidArgumentError("no number");
  }
};

namespace {

using internal::FakeCall;
using shop::Database;
using shop::Mailer;
using shop::Number;
using shop::Small;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

template <typename Function>
Handler Made(Function function, HandlerOptions options = {.topics = {"topic"}}) {
  return MakeHandler("F", std::move(function), std::move(options));
}

absl::Status OutcomeOf(const FakeCall& call, size_t i = 0) {
  if (!call.verdict(i)) return absl::InternalError("no verdict");
  EXPECT_FALSE(call.verdict(i)->rejected);
  return call.verdict(i)->status;
}
absl::Status RejectionOf(const FakeCall& call, size_t i = 0) {
  if (!call.verdict(i)) return absl::InternalError("no verdict");
  EXPECT_TRUE(call.verdict(i)->rejected);
  return call.verdict(i)->status;
}

// ---- One message.

TEST(Single, CallsAPlainFunctionWithMessageAndInjectedObject) {
  Database db;
  Providers providers;
  providers.Provide<Database>(&db);
  FakeCall call(providers);
  Made(&shop::Insert).invoke(call.Add("7"));
  EXPECT_TRUE(OutcomeOf(call).ok());
  EXPECT_THAT(db.rows, ElementsAre(7));
}

TEST(Single, TakesWhatFollowsTheMessageInAnyOrder) {
  Database db;
  Mailer mailer;
  Providers providers;
  providers.Provide<Database>(&db);
  providers.Provide<Mailer>(&mailer);
  auto first = [](const Number& n, Mailer& mailer, const Received& received, Database& db) {
    mailer.sent += n.value;
    db.rows.push_back(static_cast<int>(received.topic().size()));
    return absl::OkStatus();
  };
  auto second = [first](const Number& n, const Received& received, const Database& db, Mailer& mailer) {
    return db.rows.empty() ? absl::NotFoundError("rows") : first(n, mailer, received, const_cast<Database&>(db));
  };
  FakeCall one(providers), two(providers);
  Made(first).invoke(one.Add("2"));
  Made(second).invoke(two.Add("3"));
  EXPECT_TRUE(OutcomeOf(one).ok());
  EXPECT_TRUE(OutcomeOf(two).ok());
  EXPECT_EQ(mailer.sent, 5);
  EXPECT_THAT(db.rows, ElementsAre(5, 5));
}

struct Functor {
  absl::Status operator()(const Number& n) const { return n.value == 1 ? absl::OkStatus() : absl::AbortedError("x"); }
};
absl::Status NoThrow(const Number&) noexcept { return absl::OkStatus(); }

TEST(Single, TakesFunctorsLambdasNoexceptAndStdFunctions) {
  const std::vector<Handler> handlers = {
      Made(Functor()),
      Made(&NoThrow),
      Made([calls = 0](const Number&) mutable { return ++calls == 1 ? absl::OkStatus() : absl::AbortedError("2"); }),
      Made(std::function<absl::Status(const Number&)>(Functor())),
      Made([](Number by_value) { return Functor()(by_value); }),
  };
  for (const Handler& handler : handlers) {
    FakeCall call;
    handler.invoke(call.Add("1"));
    EXPECT_TRUE(OutcomeOf(call).ok());
  }
}

TEST(Single, HandsOverTheHandlersStatusAsItIs) {
  FakeCall call;
  Made([](const Number&) { return absl::UnavailableError("later"); }).invoke(call.Add("1"));
  EXPECT_EQ(OutcomeOf(call), absl::UnavailableError("later"));
}

TEST(Single, LetsExceptionsThrough) {
  FakeCall call;
  EXPECT_THROW(Made([](const Number&) -> absl::Status { throw std::runtime_error("x"); }).invoke(call.Add("1")),
               std::runtime_error);
}

TEST(Single, BytesAreAViewOfTheBuffer) {
  const char* seen = nullptr;
  FakeCall call;
  Made([&seen](std::string_view bytes) {
    seen = bytes.data();
    return absl::OkStatus();
  }).invoke(call.Add("bytes"));
  EXPECT_EQ(seen, call.record(0).payload.data());
}

TEST(Single, WhatDoesNotDecodeIsRejectedWithoutACall) {
  int calls = 0;
  Handler handler = Made([&calls](const Number&) {
    ++calls;
    return absl::OkStatus();
  });
  FakeCall garbage, foreign;
  handler.invoke(garbage.Add("seven"));
  handler.invoke(foreign.Add("7", "image/png"));
  EXPECT_EQ(RejectionOf(garbage), absl::InvalidArgumentError("no number"));
  EXPECT_EQ(RejectionOf(foreign), absl::UnimplementedError("content type image/png"));
  EXPECT_EQ(calls, 0);
}

TEST(Single, ContentTypeOptionCountsWhereTheMessageDeclaresNone) {
  int seen = 0;
  std::string_view received_type = "unset";
  Handler handler = Made(
      [&](const Number& n, const Received& received) {
        seen = n.value;
        received_type = received.content_type();
        return absl::OkStatus();
      },
      {.topics = {"topic"}, .content_type = "x-twice"});
  FakeCall silent, speaking;
  handler.invoke(silent.Add("4"));
  EXPECT_EQ(seen, 8);
  EXPECT_EQ(received_type, "") << "the handler sees what the sender said";
  handler.invoke(speaking.Add("4", "text/plain"));
  EXPECT_EQ(seen, 4);
}

// ---- Validation.

TEST(Validation, FunctionBesideTheTypeRejects) {
  FakeCall good, bad;
  Handler handler = Made([](const Small&) { return absl::OkStatus(); });
  handler.invoke(good.Add("9"));
  handler.invoke(bad.Add("10"));
  EXPECT_TRUE(OutcomeOf(good).ok());
  EXPECT_EQ(RejectionOf(bad), absl::OutOfRangeError("10 or more"));
  EXPECT_TRUE(handler.validates);
}

TEST(Validation, OptionTakesThePlaceOfTheFunctionBesideTheType) {
  FakeCall odd, large;
  Handler handler =
      Made([](const Small&) { return absl::OkStatus(); }, {.topics = {"topic"}, .validate = &shop::IsEven});
  handler.invoke(odd.Add("3"));
  handler.invoke(large.Add("12"));
  EXPECT_EQ(RejectionOf(odd), absl::InvalidArgumentError("odd"));
  EXPECT_TRUE(OutcomeOf(large).ok());
}

TEST(Validation, IsNotShownWhereThereIsNone) { EXPECT_FALSE(Made(&shop::Insert).validates); }

// ---- Injection.

TEST(Injection, IsResolvedBeforeTheCallAndItsFailureIsAnAttempt) {
  int calls = 0;
  Providers providers;
  providers.ProvidePerLane<Database>(
      []() -> absl::StatusOr<Database> { return absl::InvalidArgumentError("bad path"); });
  FakeCall call(providers);
  Made([&calls](const Number&, Database&) {
    ++calls;
    return absl::OkStatus();
  }).invoke(call.Add("1"));
  EXPECT_EQ(OutcomeOf(call), absl::InvalidArgumentError("making shop::Database: bad path"));
  EXPECT_EQ(calls, 0);
}

TEST(Injection, AMessageThatIsRejectedMakesNothing) {
  int made = 0;
  Providers providers;
  providers.ProvidePerMessage<Database>([&made] { return ++made, Database(); });
  FakeCall call(providers);
  Made(&shop::Insert).invoke(call.Add("garbage"));
  EXPECT_FALSE(RejectionOf(call).ok());
  EXPECT_EQ(made, 0);
}

class RecordingSender : public Sender {
 public:
  std::vector<std::string> sent;

 private:
  Confirmation SendEncoded(Message message, absl::Status, SendOptions) override {
    sent.push_back(message.topic + ":" + message.payload);
    return Confirmation();
  }
};

TEST(Injection, SenderIsTheCalls) {
  RecordingSender sender;
  FakeCall call;
  call.set_sender(&sender);
  Made([](std::string_view bytes, Sender& sender) {
    sender.Send("out", bytes);
    sender.Send("out", "literal");
    return absl::OkStatus();
  }).invoke(call.Add("in"));
  EXPECT_THAT(sender.sent, ElementsAre("out:in", "out:literal"));
}

TEST(Needs, AreTheInjectedTypesAlone) {
  Handler handler = Made([](const Number&, const Received&, Database&, Sender&, const Mailer&, Completion) {});
  ASSERT_EQ(handler.needs.size(), 2u);
  EXPECT_EQ(handler.needs[0].name, "shop::Database");
  EXPECT_EQ(handler.needs[1].index, std::type_index(typeid(Mailer)));
}

// ---- Batches.

TEST(BatchHandler, GivesEachMessageItsOwnOutcome) {
  FakeCall call;
  Handler handler = Made([](absl::Span<const Number> numbers) {
    std::vector<absl::Status> outcomes;
    for (const Number& n : numbers) outcomes.push_back(n.value > 1 ? absl::AbortedError("big") : absl::OkStatus());
    return outcomes;
  });
  handler.invoke(call.Add("1").Add("2"));
  EXPECT_TRUE(OutcomeOf(call, 0).ok());
  EXPECT_EQ(OutcomeOf(call, 1), absl::AbortedError("big"));
  EXPECT_TRUE(handler.is_batch);
  EXPECT_EQ(handler.message_type, "span of shop::Number");
}

TEST(BatchHandler, RejectsWhatDoesNotDecodeAndHandlesTheRestWithItsMetadata) {
  std::vector<int> values;
  std::vector<std::string> payloads;
  Handler handler = Made([&](absl::Span<const Small> batch, absl::Span<const Received> received) {
    for (const Small& small : batch) values.push_back(small.value);
    for (const Received& one : received) payloads.push_back(std::string(one.payload()));
    return std::vector<absl::Status>{absl::OkStatus(), absl::AbortedError("second")};
  });
  FakeCall call;
  handler.invoke(call.Add("x").Add("1").Add("99").Add("2"));
  EXPECT_EQ(RejectionOf(call, 0).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(OutcomeOf(call, 1).ok());
  EXPECT_EQ(RejectionOf(call, 2).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(OutcomeOf(call, 3), absl::AbortedError("second"));
  EXPECT_THAT(values, ElementsAre(1, 2));
  EXPECT_THAT(payloads, ElementsAre("1", "2"));
}

absl::Status ThrowOnTwo(const Small& small) {
  if (small.value == 2) throw std::out_of_range("no shelf 2");
  return absl::OkStatus();
}

TEST(BatchHandler, RejectsAloneWhatTheCheckThrowsAt) {
  Handler handler =
      Made([](absl::Span<const Small> batch) { return std::vector<absl::Status>(batch.size(), absl::OkStatus()); },
           {.validate = &ThrowOnTwo});
  FakeCall call;
  for (const char* payload : {"1", "2", "3"}) call.Add(payload);
  handler.invoke(call);
  EXPECT_EQ(OutcomeOf(call, 0), absl::OkStatus());
  EXPECT_EQ(RejectionOf(call, 1), absl::InvalidArgumentError("decoding or validating threw: no shelf 2"));
  EXPECT_EQ(OutcomeOf(call, 2), absl::OkStatus());
}

TEST(BatchHandler, IsNotCalledWhenNothingDecodes) {
  int calls = 0;
  FakeCall call;
  Made([&calls](absl::Span<const Number>) {
    ++calls;
    return std::vector<absl::Status>();
  }).invoke(call.Add("x").Add("y"));
  EXPECT_FALSE(RejectionOf(call, 0).ok());
  EXPECT_FALSE(RejectionOf(call, 1).ok());
  EXPECT_EQ(calls, 0);
}

TEST(BatchHandler, AWrongNumberOfOutcomesFailsAllAndSaysBoth) {
  for (size_t returned : {0u, 1u, 3u}) {
    FakeCall call;
    Made([returned](absl::Span<const Number>) {
      return std::vector<absl::Status>(returned);
    }).invoke(call.Add("1").Add("2"));
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(OutcomeOf(call, i), absl::InternalError("the batch handler returned " + std::to_string(returned) +
                                                        " outcomes for 2 messages"));
    }
  }
}

TEST(BatchHandler, AFailingFactoryFailsEachMessageThatDecoded) {
  Providers providers;
  providers.ProvidePerMessage<Database>([]() -> absl::StatusOr<Database> { return absl::UnavailableError("down"); });
  FakeCall call(providers);
  Made([](absl::Span<const Number> n, Database&) {
    return std::vector<absl::Status>(n.size());
  }).invoke(call.Add("1").Add("x").Add("2"));
  EXPECT_EQ(OutcomeOf(call, 0).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(RejectionOf(call, 1).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OutcomeOf(call, 2).code(), absl::StatusCode::kUnavailable);
}

// ---- Asynchronous handlers.

TEST(Async, OutcomeComesByTheCompletionAndTheMessageLivesUntilThen) {
  std::optional<Completion> kept;
  const Number* message = nullptr;
  FakeCall call;
  Handler handler = Made([&](const Number& n, Completion done) {
    message = &n;
    kept.emplace(std::move(done));
  });
  handler.invoke(call.Add("7"));
  EXPECT_TRUE(handler.is_async);
  EXPECT_TRUE(call.deferred());
  EXPECT_FALSE(call.verdict(0));
  EXPECT_EQ(message->value, 7);  // A sanitizer sees it if it is gone.
  (*kept)(absl::AbortedError("no"));
  EXPECT_EQ(OutcomeOf(call), absl::AbortedError("no"));
}

TEST(Async, ADroppedCompletionIsAFailure) {
  FakeCall call;
  Made([](const Number&, Completion) {}).invoke(call.Add("7"));
  EXPECT_EQ(OutcomeOf(call).code(), absl::StatusCode::kInternal);
}

TEST(Async, WhatDoesNotDecodeIsNotDeferred) {
  FakeCall call;
  Made([](const Number&, Completion) {}).invoke(call.Add("x"));
  EXPECT_FALSE(call.deferred());
  EXPECT_FALSE(RejectionOf(call).ok());
}

// ---- Names and the list.

TEST(FunctionName, IsTheLastPart) {
  EXPECT_EQ(internal::FunctionName("F"), "F");
  EXPECT_EQ(internal::FunctionName("ns::inner::F"), "F");
  EXPECT_EQ(internal::FunctionName("::F"), "F");
  EXPECT_EQ(internal::FunctionName("ns::F<a::B>"), "F<a::B>");
}

TEST(MakeHandler, OptionsNameComesBeforeTheFunctions) {
  EXPECT_EQ(Made(&shop::Insert).name, "F");
  EXPECT_EQ(Made(&shop::Insert, {.topics = {"t"}, .name = "insert"}).name, "insert");
  EXPECT_EQ(Made(&shop::Insert).message_type, "shop::Number");
  EXPECT_EQ(Made(&shop::Insert).message, std::type_index(typeid(Number)));
}

}  // namespace
}  // namespace messaging

namespace shop {
MESSAGE_HANDLER(Insert, {.topics = {"numbers"}, .max_retries = 5});
}
MESSAGE_HANDLER(shop::Insert, {.topics = {"other", "numbers"}, .name = "second"});

namespace messaging {
namespace {

TEST(MessageHandler, RegistersAFunctionAsOftenAsItIsNamed) {
  RegisterHandler("third", [](std::string_view) { return absl::OkStatus(); }, {.topics = {"bytes"}});
  std::vector<Handler> handlers = RegisteredHandlers();
  ASSERT_EQ(handlers.size(), 3u);
  EXPECT_EQ(handlers[0].name, "Insert");
  EXPECT_EQ(handlers[0].options.max_retries, 5);
  EXPECT_EQ(handlers[1].name, "second");
  EXPECT_THAT(handlers[1].options.topics, ElementsAre("other", "numbers"));
  EXPECT_EQ(handlers[2].message_type, "std::string_view");
}

}  // namespace
}  // namespace messaging
