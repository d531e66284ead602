// What a call of a handler costs: counted, as the engine's speed rests on it.
#include <cstdlib>
#include <new>
#include <string_view>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "messaging/handler.h"
#include "messaging/internal/fake_call.h"

namespace {
int allocations = 0;
}  // namespace

void* operator new(size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace messaging {
namespace {

struct Database {
  size_t bytes = 0;
};
struct Gateway {
  int calls = 0;
};

TEST(SingleBytesHandler, AllocatesNothing) {
  size_t bytes = 0;
  Handler handler = MakeHandler("F",
                                [&bytes](std::string_view payload, const Received& received) {
                                  bytes += payload.size() + received.topic().size();
                                  return absl::OkStatus();
                                },
                                {.topics = {"topic"}});
  internal::FakeCall call;
  call.Add("1234567890");
  const int before = allocations;
  for (int i = 0; i < 100; ++i) handler.invoke(call);
  EXPECT_EQ(allocations - before, 0);
  EXPECT_EQ(bytes, 1500u);
  EXPECT_GT(before, 0) << "the counter counts";
}

TEST(SingleBytesHandler, AllocatesNothingForObjectsOfLaneAndProcessOnceTheyAreMade) {
  Gateway gateway;
  Providers providers;
  providers.Provide<Gateway>(&gateway);
  providers.ProvidePerLane<Database>([] { return Database(); });
  Handler handler = MakeHandler("F",
                                [](std::string_view payload, Database& db, Gateway& gateway) {
                                  db.bytes += payload.size();
                                  ++gateway.calls;
                                  return absl::OkStatus();
                                },
                                {.topics = {"topic"}});
  internal::FakeCall call(providers);
  handler.invoke(call.Add("1234567890"));
  const int before = allocations;
  for (int i = 0; i < 100; ++i) {
    handler.invoke(call);
    ASSERT_TRUE(call.scope().Finish(/*commit=*/true).ok());
  }
  EXPECT_EQ(allocations - before, 0);
  EXPECT_EQ(gateway.calls, 101);
}

}  // namespace
}  // namespace messaging
