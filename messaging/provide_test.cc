#include "messaging/provide.h"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"

namespace shop {

struct Gateway {
  int value = 0;
};
struct Database {
  explicit Database(int id) : id(id) {}
  int id;
};
struct Cache {
  Database* db = nullptr;
};
struct Fixed {  // Neither copied nor moved.
  Fixed() = default;
  Fixed(const Fixed&) = delete;
};
struct A {};
struct B {};
struct Base {
  virtual ~Base() = default;
  virtual int Number() const { return 1; }
};
struct Derived : Base {
  int Number() const override { return 2; }
};

// Writes what happens to it into a log.
struct Work {
  explicit Work(std::vector<std::string>* log, std::string name = "work") : log(log), name(std::move(name)) {}
  absl::Status Commit() {
    log->push_back("commit " + name);
    return outcome;
  }
  void Rollback() { log->push_back("rollback " + name); }
  std::vector<std::string>* log;
  std::string name;
  absl::Status outcome;
};
struct OtherWork : Work {
  explicit OtherWork(std::vector<std::string>* log) : Work(log, "other") {}
};
struct VoidWork {
  void Commit() { ++*commits; }
  int* commits;
};
struct ThrowingWork {
  void Commit() { throw std::runtime_error("disk full"); }
};

}  // namespace shop

namespace messaging {
namespace {

using shop::A;
using shop::B;
using shop::Cache;
using shop::Database;
using shop::Gateway;
using shop::OtherWork;
using shop::Work;

// The three scopes of one call.
struct Scopes {
  explicit Scopes(const Providers& providers)
      : process(providers, Lifetime::kProcess, nullptr),
        lane(providers, Lifetime::kLane, &process),
        message(providers, Lifetime::kMessage, &lane) {}
  Scope process, lane, message;
};

TEST(Provide, GivesTheProcesssObjectItself) {
  Gateway gateway;
  Providers providers;
  providers.Provide<Gateway>(&gateway);
  Scopes scopes(providers);
  EXPECT_EQ(*scopes.message.Get<Gateway>(), &gateway);
  EXPECT_EQ(*scopes.message.Get<Gateway>(), &gateway) << "from the lane's memory";
  EXPECT_EQ(*scopes.process.Get<Gateway>(), &gateway);
}

TEST(Provide, ADerivedObjectServesItsBase) {
  shop::Derived derived;
  Providers providers;
  providers.Provide<shop::Base>(&derived);
  Scopes scopes(providers);
  EXPECT_EQ((*scopes.message.Get<shop::Base>())->Number(), 2);
}

TEST(Provide, AFactoryForTheProcessIsCalledOnceForAllLanes) {
  int made = 0;
  Providers providers;
  providers.Provide<Database>([&made] { return Database(++made); });
  Scope process(providers, Lifetime::kProcess, nullptr);
  Scope one(providers, Lifetime::kLane, &process), two(providers, Lifetime::kLane, &process);
  EXPECT_EQ(*one.Get<Database>(), *two.Get<Database>());
  EXPECT_EQ(made, 1);
}

TEST(Provide, LanesMayAskForTheProcesssObjectsAtOnce) {
  std::atomic<int> made = 0;
  Providers providers;
  providers.Provide<Database>([&made] { return Database(++made); });
  providers.Provide<Cache>([](Database& db) { return Cache{&db}; });
  Scope process(providers, Lifetime::kProcess, nullptr);
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      Scope lane(providers, Lifetime::kLane, &process);
      EXPECT_EQ((*lane.Get<Cache>())->db->id, 1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(made, 1);
}

TEST(Provide, TheFreeFunctionsServeTheDefaultClient) {
  Gateway gateway;
  Provide<Gateway>(&gateway);
  ProvidePerLane<Database>([] { return Database(1); });
  ProvidePerMessage<Cache>([](Database& db) { return Cache{&db}; });
  Scopes scopes(DefaultProviders());
  EXPECT_EQ(*scopes.message.Get<Gateway>(), &gateway);
  EXPECT_EQ((*scopes.message.Get<Cache>())->db, *scopes.lane.Get<Database>());
}

TEST(ProvidePerLane, EachLaneHasItsOwnOverManyMessages) {
  int made = 0;
  Providers providers;
  providers.ProvidePerLane<Database>([&made] { return Database(++made); });
  Scopes first(providers);
  EXPECT_EQ((*first.message.Get<Database>())->id, 1);
  ASSERT_TRUE(first.message.Finish(true).ok());
  EXPECT_EQ((*first.message.Get<Database>())->id, 1);
  Scopes second(providers);
  EXPECT_EQ((*second.message.Get<Database>())->id, 2);
}

TEST(ProvidePerMessage, EachMessageHasItsOwnAndAsksOnce) {
  int made = 0;
  Providers providers;
  providers.ProvidePerMessage<Database>([&made] { return Database(++made); });
  Scopes scopes(providers);
  EXPECT_EQ((*scopes.message.Get<Database>())->id, 1);
  EXPECT_EQ((*scopes.message.Get<Database>())->id, 1);
  ASSERT_TRUE(scopes.message.Finish(true).ok());
  EXPECT_EQ((*scopes.message.Get<Database>())->id, 2);
}

template <typename T, typename Factory>
absl::Status TryMake(Factory factory) {
  Providers providers;
  providers.ProvidePerMessage<T>(factory);
  Scopes scopes(providers);
  return scopes.message.Get<T>().status();
}

TEST(Factory, ReturnsAnyOfTheFourForms) {
  EXPECT_TRUE(TryMake<Gateway>([] { return Gateway(); }).ok());
  EXPECT_TRUE(TryMake<Gateway>([] { return std::make_unique<Gateway>(); }).ok());
  EXPECT_TRUE(TryMake<Gateway>([] { return absl::StatusOr<Gateway>(Gateway()); }).ok());
  EXPECT_TRUE(
      TryMake<Gateway>([] { return absl::StatusOr<std::unique_ptr<Gateway>>(std::make_unique<Gateway>()); }).ok());
  EXPECT_TRUE(TryMake<shop::Fixed>([] { return shop::Fixed(); }).ok());
  EXPECT_TRUE(TryMake<shop::Base>([] { return std::make_unique<shop::Derived>(); }).ok());
}

TEST(Factory, AFailureIsThatOfWhoeverAsksAndIsTriedAgain) {
  int calls = 0;
  Providers providers;
  providers.ProvidePerLane<Database>([&calls]() -> absl::StatusOr<Database> {
    if (++calls == 1) return absl::UnavailableError("no disk");
    return Database(7);
  });
  providers.ProvidePerMessage<Cache>([](Database& db) { return Cache{&db}; });
  Scopes scopes(providers);
  EXPECT_EQ(scopes.message.Get<Cache>().status(),
            absl::UnavailableError("making shop::Cache: making shop::Database: no disk"));
  EXPECT_EQ((*scopes.message.Get<Cache>())->db->id, 7);
}

TEST(Factory, ThrowingIsAFailureWithItsText) {
  EXPECT_EQ(TryMake<Gateway>([]() -> Gateway { throw std::runtime_error("no route"); }),
            absl::UnknownError("making shop::Gateway threw: no route"));
  EXPECT_FALSE(TryMake<Gateway>([]() -> Gateway { throw 7; }).ok());
}

TEST(Factory, ANullPointerIsAFailure) {
  EXPECT_EQ(TryMake<Gateway>([] { return std::unique_ptr<Gateway>(); }).code(), absl::StatusCode::kInternal);
}

TEST(Commit, HappensOnceAndInOrderOfMaking) {
  std::vector<std::string> log;
  Providers providers;
  providers.ProvidePerMessage<Work>([&log] { return Work(&log); });
  providers.ProvidePerMessage<OtherWork>([&log](Work&) { return OtherWork(&log); });
  {
    Scopes scopes(providers);
    EXPECT_FALSE(scopes.message.has_commits());
    ASSERT_TRUE(scopes.message.Get<OtherWork>().ok());
    EXPECT_TRUE(scopes.message.has_commits());
    EXPECT_TRUE(scopes.message.Finish(/*commit=*/true).ok());
    EXPECT_FALSE(scopes.message.has_commits());
  }
  EXPECT_EQ(log, (std::vector<std::string>{"commit work", "commit other"}));
}

TEST(Commit, AFailureRollsThatOneAndTheRestBack) {
  std::vector<std::string> log;
  Providers providers;
  providers.ProvidePerMessage<Work>([&log] { return Work(&log); });
  providers.ProvidePerMessage<OtherWork>([&log](Work&) { return OtherWork(&log); });
  Scopes scopes(providers);
  ASSERT_TRUE(scopes.message.Get<OtherWork>().ok());
  (*scopes.message.Get<Work>())->outcome = absl::AbortedError("conflict");
  EXPECT_EQ(scopes.message.Finish(/*commit=*/true), absl::AbortedError("committing shop::Work: conflict"));
  EXPECT_EQ(log, (std::vector<std::string>{"commit work", "rollback other", "rollback work"}));
}

TEST(Commit, ThrowingIsAFailure) {
  Providers providers;
  providers.ProvidePerMessage<shop::ThrowingWork>([] { return shop::ThrowingWork(); });
  Scopes scopes(providers);
  ASSERT_TRUE(scopes.message.Get<shop::ThrowingWork>().ok());
  EXPECT_EQ(scopes.message.Finish(true), absl::UnknownError("committing shop::ThrowingWork threw: disk full"));
}

TEST(Commit, MayReturnVoid) {
  int commits = 0;
  Providers providers;
  providers.ProvidePerMessage<shop::VoidWork>([&commits] { return shop::VoidWork{&commits}; });
  Scopes scopes(providers);
  ASSERT_TRUE(scopes.message.Get<shop::VoidWork>().ok());
  ASSERT_TRUE(scopes.message.Finish(true).ok());
  EXPECT_EQ(commits, 1);
}

TEST(Rollback, IsCalledInReverseWhenTheHandlerFailed) {
  std::vector<std::string> log;
  Providers providers;
  providers.ProvidePerMessage<Work>([&log] { return Work(&log); });
  providers.ProvidePerMessage<OtherWork>([&log](Work&) { return OtherWork(&log); });
  Scopes scopes(providers);
  ASSERT_TRUE(scopes.message.Get<OtherWork>().ok());
  EXPECT_TRUE(scopes.message.Finish(/*commit=*/false).ok());
  EXPECT_EQ(log, (std::vector<std::string>{"rollback other", "rollback work"}));
}

TEST(Rollback, IsCalledForAScopeThatWasNotFinished) {
  std::vector<std::string> log;
  Providers providers;
  providers.ProvidePerMessage<Work>([&log] { return Work(&log); });
  {
    Scopes scopes(providers);
    ASSERT_TRUE(scopes.message.Get<Work>().ok());
  }
  EXPECT_EQ(log, (std::vector<std::string>{"rollback work"}));
}

TEST(Commit, IsNotForWhatLivesLongerThanAMessage) {
  std::vector<std::string> log;
  Providers providers;
  providers.ProvidePerLane<Work>([&log] { return Work(&log); });
  {
    Scopes scopes(providers);
    ASSERT_TRUE(scopes.message.Get<Work>().ok());
    EXPECT_FALSE(scopes.message.has_commits());
    EXPECT_TRUE(scopes.message.Finish(true).ok());
  }
  EXPECT_TRUE(log.empty());
}

TEST(Keep, LastsUntilTheScopeIsFinished) {
  Providers providers;
  Scopes scopes(providers);
  auto kept = std::make_shared<int>(1);
  std::weak_ptr<int> seen = kept;
  scopes.message.Keep(std::move(kept));
  EXPECT_FALSE(seen.expired());
  ASSERT_TRUE(scopes.message.Finish(true).ok());
  EXPECT_TRUE(seen.expired());
}

template <typename... T>
std::string Checked(const Providers& providers) {
  return std::string(providers.Check("ChargePayment", {TypeId::Of<T>()...}).message());
}

TEST(Check, NamesHandlerTypeAndCure) {
  Providers providers;
  EXPECT_EQ(Checked<Gateway>(providers),
            "handler ChargePayment takes shop::Gateway&, which nobody provided: call "
            "messaging::Provide<shop::Gateway>(...) before Start");
  EXPECT_EQ(providers.Check("H", {TypeId::Of<Gateway>()}).code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Check, SaysThroughWhichFactoryATypeIsNeeded) {
  Providers providers;
  providers.ProvidePerMessage<Cache>([](Database& db) { return Cache{&db}; });
  EXPECT_EQ(
      Checked<Cache>(providers),
      "handler ChargePayment takes shop::Cache&, whose factory takes shop::Database&, which nobody provided: call "
      "messaging::Provide<shop::Database>(...) before Start");
}

TEST(Check, TellsAllThatIsMissingALineEach) {
  EXPECT_EQ(Checked<A>(Providers()) + "\n" + Checked<B>(Providers()), (Checked<A, B>(Providers())));
}

TEST(Check, TellsACircle) {
  Providers providers;
  providers.ProvidePerMessage<A>([](B&) { return A(); });
  providers.ProvidePerMessage<B>([](A&) { return B(); });
  EXPECT_EQ(
      Checked<A>(providers),
      "handler ChargePayment takes shop::A&, whose factory takes shop::B&, whose factory takes shop::A&, a circle: "
      "shop::A -> shop::B -> shop::A");
}

TEST(Check, TellsALongerLivedObjectThatNeedsAShorterLivedOne) {
  Providers providers;
  providers.ProvidePerMessage<Database>([] { return Database(1); });
  providers.ProvidePerLane<Cache>([](Database& db) { return Cache{&db}; });
  EXPECT_EQ(
      Checked<Cache>(providers),
      "handler ChargePayment takes shop::Cache&, whose factory takes shop::Database&: shop::Cache is one for each "
      "lane, shop::Database one for each message, and so gone before it");
}

TEST(Check, TellsATypeThatIsProvidedTwice) {
  Gateway one, two;
  Providers providers;
  providers.Provide<Gateway>(&one);
  providers.Provide<Gateway>(&two);
  EXPECT_EQ(Checked<Gateway>(providers),
            "handler ChargePayment takes shop::Gateway&, which was provided twice: keep one "
            "messaging::Provide<shop::Gateway>");
}

TEST(Check, IsContentWithDiamonds) {
  Providers providers;
  providers.ProvidePerLane<Database>([] { return Database(1); });
  providers.ProvidePerLane<A>([](Database&) { return A(); });
  providers.ProvidePerMessage<B>([](A&, Database&) { return B(); });
  EXPECT_EQ((Checked<B, A, Database>(providers)), "");
}

TEST(TypeName, IsWhatPeopleWrite) {
  EXPECT_EQ(TypeId::Of<Gateway>().name, "shop::Gateway");
  EXPECT_EQ(TypeId::Of<std::string>().name, "std::string");
  EXPECT_EQ(TypeId::Of<std::string_view>().name, "std::string_view");
  EXPECT_EQ(TypeId::Of<Scopes>().name, "messaging::Scopes") << "without the anonymous namespace";
}

}  // namespace
}  // namespace messaging
