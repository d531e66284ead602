// Each name below is a mistake that the compiler tells in one line (see BUILD); without any of them the file compiles.
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "messaging/handler.h"
#include "messaging/producer.h"
#include "messaging/provide.h"

namespace {

using messaging::Completion;
using messaging::Received;
using Outcomes = std::vector<absl::Status>;
using Bytes = std::string_view;

struct Database {};
struct WithoutCodec {};
struct Overloaded {
  absl::Status operator()(Bytes) const { return absl::OkStatus(); }
  absl::Status operator()(const WithoutCodec&) const { return absl::OkStatus(); }
};
struct OddCommit {
  bool Commit() { return true; }
};

absl::Status Right(Bytes, const Received&, Database&) { return absl::OkStatus(); }
MESSAGE_HANDLER(Right, {.topics = {"topic"}});

#if defined(NO_CODEC)
absl::Status F(const WithoutCodec&) { return absl::OkStatus(); }
#elif defined(NO_CODEC_IN_BATCH)
Outcomes F(absl::Span<const WithoutCodec>) { return {}; }
#elif defined(RECEIVED_FIRST)
absl::Status F(const Received&, Bytes) { return absl::OkStatus(); }
#elif defined(MUTABLE_MESSAGE)
absl::Status F(std::string&) { return absl::OkStatus(); }
#elif defined(NO_MESSAGE)
absl::Status F() { return absl::OkStatus(); }
#elif defined(INJECTED_BY_VALUE)
absl::Status F(Bytes, Database) { return absl::OkStatus(); }
#elif defined(INJECTED_BY_POINTER)
absl::Status F(Bytes, Database*) { return absl::OkStatus(); }
#elif defined(MUTABLE_RECEIVED)
absl::Status F(Bytes, Received&) { return absl::OkStatus(); }
#elif defined(RETURNS_BOOL)
bool F(Bytes) { return true; }
#elif defined(RETURNS_VOID)
void F(Bytes, Database&) {}
#elif defined(COMPLETION_AND_STATUS)
absl::Status F(Bytes, Completion) { return absl::OkStatus(); }
#elif defined(TWO_COMPLETIONS)
void F(Bytes, Completion, Completion) {}
#elif defined(BATCH_RETURNS_ONE)
absl::Status F(absl::Span<const Bytes>) { return absl::OkStatus(); }
#elif defined(BATCH_WITH_RECEIVED)
Outcomes F(absl::Span<const Bytes>, const Received&) { return {}; }
#elif defined(BATCH_WITH_COMPLETION)
void F(absl::Span<const Bytes>, Completion) {}
#elif defined(SINGLE_WITH_SPAN)
absl::Status F(Bytes, absl::Span<const Received>) { return absl::OkStatus(); }
#elif defined(OVERLOADED_FUNCTION)
absl::Status F(Bytes) { return absl::OkStatus(); }
absl::Status F(Bytes, Database&) { return absl::OkStatus(); }
#else
absl::Status F(Bytes) { return absl::OkStatus(); }
#endif
MESSAGE_HANDLER(F, {.topics = {"topic"}});

}  // namespace

void Run(messaging::Producer& producer, messaging::Providers& providers) {
#if defined(GENERIC_LAMBDA)
  messaging::RegisterHandler("G", [](auto message) { return absl::OkStatus(); }, {.topics = {"topic"}});
#elif defined(OVERLOADED_FUNCTOR)
  messaging::RegisterHandler("G", Overloaded(), {.topics = {"topic"}});
#elif defined(SEND_WITHOUT_CODEC)
  producer.Send("topic", WithoutCodec());
#elif defined(FACTORY_OF_ANOTHER_TYPE)
  providers.ProvidePerLane<Database>([] { return WithoutCodec(); });
#elif defined(FACTORY_TAKES_A_VALUE)
  providers.ProvidePerLane<WithoutCodec>([](Database) { return WithoutCodec(); });
#elif defined(GENERIC_FACTORY)
  providers.ProvidePerLane<WithoutCodec>([](auto& db) { return WithoutCodec(); });
#elif defined(COMMIT_RETURNS_BOOL)
  providers.ProvidePerMessage<OddCommit>([] { return OddCommit(); });
#else
  producer.Send("topic", "bytes");
  providers.ProvidePerLane<Database>([] { return absl::StatusOr<Database>(Database()); });
  providers.ProvidePerMessage<WithoutCodec>([](Database&) { return std::make_unique<WithoutCodec>(); });
#endif
}
