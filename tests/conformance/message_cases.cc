// What a message may hold: any bytes, nothing, what others wrote, what does not decode.
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/conformance/cases.h"
#include "tests/conformance/note.h"

namespace messaging::conformance {
namespace {

const std::string& BadUtf8() {
  static const std::string* bytes = new std::string("\xff\xfe \xc3\x28 \xed\xa0\x80 \xf8", 12);
  return *bytes;
}

// Sends each and compares what comes, by id.
void ExpectIntact(Bench& bench, std::vector<Message> messages) {
  Journal journal;
  auto client = bench.Consume({Recording("h", journal, {.topics = {bench.Topic()}})});
  std::map<std::string, Message> sent;
  for (Message& message : messages) {
    message.topic = bench.Topic();
    message.id = absl::StrCat("id", sent.size());
    const absl::StatusOr<Receipt> receipt = client->producer().Send(message).Wait();
    ASSERT_TRUE(receipt.ok()) << message.id << ": " << receipt.status();
    sent[message.id] = message;
  }
  ASSERT_TRUE(journal.Await(sent.size()));
  EXPECT_EQ(journal.count(), sent.size());
  for (const Seen& seen : journal.all()) {
    ASSERT_TRUE(sent.contains(seen.id)) << seen.id;
    const Message& message = sent[seen.id];
    EXPECT_TRUE(seen.payload == message.payload) << seen.id << ": " << seen.payload.size() << " bytes";
    EXPECT_EQ(seen.null_payload, message.null_payload) << seen.id;
    EXPECT_EQ(seen.key, message.key) << seen.id;
    EXPECT_EQ(seen.headers, message.headers) << seen.id;
  }
}

void AnyPayloadIntact(Bench& bench) {
  std::string all_bytes;
  for (int i = 0; i < 256; ++i) all_bytes += static_cast<char>(i);
  std::string mebibyte;
  for (int i = 0; mebibyte.size() < (1 << 20); ++i) mebibyte += absl::StrCat(i, ",");
  mebibyte.resize(1 << 20);
  ExpectIntact(bench, {{.payload = ""},
                       {.payload = std::string(1, '\0')},
                       {.payload = std::string("a\0b\0", 4)},
                       {.payload = BadUtf8()},
                       {.payload = all_bytes},
                       {.payload = mebibyte},
                       {.payload = "{\"not\": \"changed\" }\r\n"}});
}

// 16 MiB, or what the broker takes at most.
void AGiantMessageIntact(Bench& bench) {
  const size_t size = std::min(bench.capabilities().max_message_bytes, size_t{16} << 20);
  ExpectIntact(bench, {{.payload = std::string(size, 'g')}, {.payload = "small"}});
}

void AnyKeyIntact(Bench& bench) {
  ExpectIntact(bench, {{.payload = "1", .key = std::string("nul\0nul", 7)},
                       {.payload = "2", .key = BadUtf8()},
                       {.payload = "3", .key = std::string(200, 'k')},
                       {.payload = "4", .key = "with space, 'quotes' and \"more\"; --"}});
}

void AnyHeadersIntact(Bench& bench) {
  std::vector<Header> hundred;
  for (int i = 0; i < 100; ++i) hundred.emplace_back(absl::StrCat("name", i), absl::StrCat("value", i));
  ExpectIntact(bench, {{.payload = "1", .headers = hundred},
                       {.payload = "2", .headers = {{"same", "b"}, {"same", "a"}, {"other", ""}, {"same", "b"}}},
                       {.payload = "3", .headers = {{"bytes", BadUtf8()}, {"nul", std::string("\0x", 2)}}},
                       {.payload = "4", .headers = {{"gr\xc3\xbc\xc3\x9f", "\xe2\x82\xac"}}},
                       {.payload = "5", .headers = {{"long", std::string(10'000, 'v')}}}});
}

void NullPayloadIsNotEmpty(Bench& bench) {
  ExpectIntact(bench, {{.null_payload = true}, {.payload = ""}, {.null_payload = true, .key = "k"}});
}

void NoKeyIsNotAnEmptyKey(Bench& bench) {
  ExpectIntact(bench, {{.payload = "1"}, {.payload = "2", .key = ""}, {.payload = "3"}, {.payload = "4", .key = ""}});
}

// Also on their second attempt and as dead letters, bytes are as they were sent.
void BytesSurviveRetryAndDeadLetter(Bench& bench) {
  Journal journal;
  auto client = bench.Consume(
      {Recording("h", journal, {.topics = {bench.Topic()}, .max_retries = 1, .retry_delay = absl::Milliseconds(10)},
                 FailTimes(2))});
  Message message = {.topic = bench.Topic(),
                     .payload = std::string("\0\xff x", 4),
                     .key = std::string("k\0\xfe", 3),
                     .headers = {{"twice", "1"}, {"twice", "2"}, {"bytes", BadUtf8()}},
                     .content_type = "text/x-test",
                     .id = "own-id",
                     .timestamp = absl::FromUnixMillis(1'700'000'000'123)};
  ASSERT_TRUE(client->producer().Send(message).Wait().ok());
  const std::vector<DeadLetter> letters = bench.AwaitDeadLetters(*client, 1);
  ASSERT_EQ(letters.size(), 1u);
  const Message& dead = letters[0].message;
  EXPECT_EQ(dead.topic, message.topic);
  EXPECT_EQ(dead.payload, message.payload);
  EXPECT_EQ(dead.key, message.key);
  EXPECT_EQ(dead.headers, message.headers);
  EXPECT_EQ(dead.content_type, message.content_type);
  EXPECT_EQ(dead.id, message.id);
  EXPECT_EQ(dead.timestamp, message.timestamp);
  ASSERT_EQ(journal.count(), 2u);
  EXPECT_EQ(journal.all()[1].headers, message.headers);
  EXPECT_EQ(journal.all()[1].payload, message.payload);
  EXPECT_EQ(journal.all()[1].key, message.key);
  EXPECT_EQ(journal.all()[1].topic, message.topic);
}

// The handler is not called; no retry; the reason and the bytes are kept; neighbours are handled.
void ExpectRejected(Bench& bench, HandlerOptions options, const std::string& payload, const std::string& content_type,
                    const std::string& reason) {
  std::atomic<int> calls{0};
  options.topics = {bench.Topic()};
  auto client = bench.Consume({MakeHandler(
      "h",
      [&calls](const Note& note) {
        ++calls;
        return absl::OkStatus();
      },
      std::move(options))});
  bench.Send(*client, bench.Topic(), "note:good 1", {.content_type = std::string(kNoteType)});
  bench.Send(*client, bench.Topic(), payload, {.content_type = content_type});
  bench.Send(*client, bench.Topic(), "note:good 2", {.content_type = std::string(kNoteType)});
  const std::vector<DeadLetter> letters = bench.AwaitDeadLetters(*client, 1);
  EXPECT_TRUE(WaitUntil([&] { return calls == 2; }));
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].message.payload, payload);
  EXPECT_EQ(letters[0].message.content_type, content_type);
  EXPECT_EQ(letters[0].failure.handler, "h");
  EXPECT_EQ(letters[0].failure.attempts, 1);
  EXPECT_NE(letters[0].failure.status.message().find(reason), std::string::npos) << letters[0].failure.status;
  ASSERT_TRUE(client->Stop().ok());
  EXPECT_EQ(calls, 2);
}

void UndecodableIsDeadLettered(Bench& bench) {
  ExpectRejected(bench, {}, std::string("no note \0\xff", 10), std::string(kNoteType), "not a note");
}

void InvalidIsDeadLettered(Bench& bench) {
  ExpectRejected(bench, {.validate = &CheckNote}, "note:", std::string(kNoteType), "an empty note");
}

void UnknownContentTypeIsDeadLettered(Bench& bench) {
  ExpectRejected(bench, {}, "note:good", "application/x-unheard-of", "application/x-unheard-of");
}

// Whatever code decoding gives, it is not retried.
void UndecodableIsNotRetriedWhateverItsCode(Bench& bench) {
  ExpectRejected(bench, {.permanent = {absl::StatusCode::kNotFound}}, "bad", std::string(kNoteType), "not a note");
}

// A message without a content type is what its handler takes it for.
void MissingContentTypeIsTheHandlersOwn(Bench& bench) {
  Journal journal;
  auto client = bench.Consume({MakeHandler("h",
                                           [&journal](const Note& note, const Received& received) {
                                             journal.Add(received);
                                             return absl::OkStatus();
                                           },
                                           {.topics = {bench.Topic()}})});
  ASSERT_TRUE(client->producer().Send(Message{.topic = bench.Topic(), .payload = "note:untyped"}).Wait().ok());
  EXPECT_TRUE(journal.Await(1));
  EXPECT_TRUE(bench.DeadLettersOf(*client).empty());
}

// Written by another program, without our metadata: handled, retried, dead-lettered as any other.
void ForeignMessages(Bench& bench) {
  Journal journal;
  auto client = bench.Consume(
      {Recording("h", journal, {.topics = {bench.Topic()}, .max_retries = 1, .retry_delay = absl::Milliseconds(10)},
                 [](const Received& received) {
                   return received.payload() == "bad" ? absl::UnavailableError("never") : absl::OkStatus();
                 })});
  const std::vector<Message> messages = {{.payload = "plain"},
                                         {.payload = "keyed", .key = "k"},
                                         {.payload = std::string("\0\xff", 2)},
                                         {.payload = "bad", .key = "k"}};
  for (Message message : messages) {
    message.topic = bench.Topic();
    const absl::Status sent = bench.environment().send_foreign(bench.url(), message);
    ASSERT_TRUE(sent.ok()) << sent;
  }
  const std::vector<DeadLetter> letters = bench.AwaitDeadLetters(*client, 1);
  ASSERT_TRUE(journal.Await(5));
  ASSERT_EQ(letters.size(), 1u);
  EXPECT_EQ(letters[0].message.payload, "bad");
  EXPECT_EQ(letters[0].message.key, "k");
  EXPECT_EQ(letters[0].failure.attempts, 2);
  for (const Message& message : messages) {
    const std::vector<Seen> seen = journal.Of(message.payload);
    ASSERT_EQ(seen.size(), message.payload == "bad" ? 2u : 1u);
    EXPECT_EQ(seen[0].key, message.key);
    EXPECT_EQ(seen[0].topic, bench.Topic());
  }
}

}  // namespace

std::vector<Case> MessageCases() {
  return {
      {"AnyPayloadIntact", AnyPayloadIntact, {}},
      {"AGiantMessageIntact", AGiantMessageIntact, {}},
      {"AnyKeyIntact", AnyKeyIntact, {}},
      {"AnyHeadersIntact", AnyHeadersIntact, {}},
      {"NullPayloadIsNotEmpty", NullPayloadIsNotEmpty, {Need::kNullPayload}},
      {"NoKeyIsNotAnEmptyKey", NoKeyIsNotAnEmptyKey, {Need::kNullKey}},
      {"BytesSurviveRetryAndDeadLetter", BytesSurviveRetryAndDeadLetter, {}},
      {"UndecodableIsDeadLettered", UndecodableIsDeadLettered, {}},
      {"InvalidIsDeadLettered", InvalidIsDeadLettered, {}},
      {"UnknownContentTypeIsDeadLettered", UnknownContentTypeIsDeadLettered, {}},
      {"UndecodableIsNotRetriedWhateverItsCode", UndecodableIsNotRetriedWhateverItsCode, {}},
      {"MissingContentTypeIsTheHandlersOwn", MissingContentTypeIsTheHandlersOwn, {}},
      {"ForeignMessages", ForeignMessages, {Need::kSendForeign}},
  };
}

}  // namespace messaging::conformance
