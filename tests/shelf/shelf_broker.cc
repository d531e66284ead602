#include "shelf_broker.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace {

using namespace messaging;  // NOLINT: a broker speaks of little else.

struct Shelf;

// A message on a shelf, or in a member's hand: as a Record, with views into itself.
struct Item : Record {
  Message message;
  std::vector<HeaderView> views;
  std::string for_handler, begun_by, error;
  std::pair<absl::Time, int64_t> due;  // When it may be handed out, and which of them first.
  Shelf* shelf = nullptr;

  Item* Place(RecordOwner* by) {
    topic = message.topic;
    payload = message.payload;
    null_payload = message.null_payload;
    has_key = message.key.has_value();
    key = has_key ? std::string_view(*message.key) : std::string_view();
    timestamp = message.timestamp;
    id = message.id;
    content_type = message.content_type;
    views.clear();
    for (const Header& header : message.headers) views.push_back({header.first, header.second});
    headers = views;
    handler = for_handler;
    attempts_of = begun_by;
    last_error = error;
    owner = by;
    return this;
  }
};
using ItemPtr = std::unique_ptr<Item>;

// A group's messages of one topic. A key of which something is in hand is its holder's; once something of it came back,
// nothing more of it is handed out until all that is in hand is settled, so that nothing is overtaken.
struct Shelf {
  struct Key {
    const void* holder = nullptr;
    int in_hand = 0;
    bool came_back = false;
  };
  std::map<std::pair<absl::Time, int64_t>, ItemPtr> waiting;
  std::map<std::string, Key> keys;

  bool MayHave(const Item& item, const void* member) {
    if (!item.has_key) return true;
    const auto found = keys.find(std::string(item.key));
    return found == keys.end() || (found->second.holder == member && !found->second.came_back);
  }
  void Hold(const Item& item, const void* member) {
    if (!item.has_key) return;
    Key& key = keys[std::string(item.key)];
    key.holder = member;
    ++key.in_hand;
  }
  void LetGo(const Item& item, bool comes_back) {
    if (!item.has_key) return;
    const auto found = keys.find(std::string(item.key));
    found->second.came_back = found->second.came_back || comes_back;
    if (--found->second.in_hand == 0) keys.erase(found);
  }
};

// What brokers of one name share. Kept for ever: deliveries may be dropped at any time.
class Store final : public RecordOwner, public DeadLetters {
 public:
  absl::Mutex mutex;
  absl::CondVar changed;
  std::map<std::string, std::vector<Message>> topics;
  std::map<std::pair<std::string, std::string>, Shelf> shelves;  // By group and topic.
  std::map<int64_t, DeadLetter> dead;
  int64_t number = 0;

  void Put(Shelf& shelf, ItemPtr item, absl::Time due) {
    item->due = {due, ++number};
    item->position = number;
    item->shelf = &shelf;
    item->Place(this);
    shelf.waiting.emplace(item->due, std::move(item));
    changed.SignalAll();
  }
  void PutNew(Shelf& shelf, const Message& message) {
    auto item = std::make_unique<Item>();
    item->message = message;
    Put(shelf, std::move(item), absl::InfinitePast());
  }
  Shelf& GroupShelf(const std::string& group, const std::string& topic, StartAt start_at) {
    const auto [found, is_new] = shelves.try_emplace({group, topic});
    if (is_new && start_at == StartAt::kBeginning) {
      for (const Message& message : topics[topic]) PutNew(found->second, message);
    }
    return found->second;
  }
  void GiveBack(Item* item) {
    item->redelivered = true;
    item->Place(this);
    item->shelf->LetGo(*item, /*comes_back=*/true);
    item->shelf->waiting.emplace(item->due, ItemPtr(item));
    changed.SignalAll();
  }
  void Drop(Record* record) override {
    absl::MutexLock lock(&mutex);
    GiveBack(static_cast<Item*>(record));
  }
  void Finish(Item* item, const std::string& group, const std::vector<Copy>& copies) {
    for (const Copy& copy : copies) {
      if (copy.kind == Copy::Kind::kDeadLetter) {
        dead[++number] = {absl::StrCat(number), group, item->message, copy.failure, absl::Now()};
        continue;
      }
      auto retry = std::make_unique<Item>();
      retry->message = item->message;
      retry->for_handler = copy.failure.handler;
      retry->attempts = copy.failure.attempts;
      retry->first_failure = copy.failure.first;
      retry->error = copy.failure.status.ToString();
      retry->suspect = copy.suspect;
      Put(*item->shelf, std::move(retry), absl::Now() + copy.delay);
    }
    item->shelf->LetGo(*item, /*comes_back=*/false);
    delete item;
    changed.SignalAll();
  }

  static bool Fits(const DeadLetter& letter, const DeadLetterFilter& filter) {
    const auto wanted = [&](const std::string& id) { return std::count(filter.ids.begin(), filter.ids.end(), id) > 0; };
    return (filter.group.empty() || filter.group == letter.group) &&
           (filter.topic.empty() || filter.topic == letter.message.topic) &&
           (filter.handler.empty() || filter.handler == letter.failure.handler) && letter.dead_since >= filter.since &&
           (filter.ids.empty() || wanted(letter.id) || wanted(letter.message.id));
  }
  absl::Status List(const DeadLetterFilter& filter, std::function<bool(const DeadLetter&)> visit) override {
    std::vector<DeadLetter> found;
    {
      absl::MutexLock lock(&mutex);
      for (const auto& [n, letter] : dead) {
        if (Fits(letter, filter)) found.push_back(letter);
      }
    }
    for (size_t i = 0; i < found.size() && visit(found[i]); ++i) continue;
    return absl::OkStatus();
  }
  int64_t Remove(const DeadLetterFilter& filter, bool replay) {
    absl::MutexLock lock(&mutex);
    return std::erase_if(dead, [&](const auto& entry) {
      const DeadLetter& letter = entry.second;
      if (!Fits(letter, filter)) return false;
      if (replay) {
        auto item = std::make_unique<Item>();
        item->message = letter.message;
        item->for_handler = letter.failure.handler;
        Put(shelves[{letter.group, letter.message.topic}], std::move(item), absl::InfinitePast());
      }
      return true;
    });
  }
  absl::StatusOr<int64_t> Replay(const DeadLetterFilter& filter) override { return Remove(filter, true); }
  absl::StatusOr<int64_t> Purge(const DeadLetterFilter& filter) override { return Remove(filter, false); }
};

class Member final : public Subscription {
 public:
  Member(Store& store, SubscribeOptions options, DeliverySink* sink)
      : store_(store), options_(std::move(options)), sink_(sink) {}
  ~Member() override { (void)Close(absl::InfiniteFuture()); }

  absl::Status Start() override {
    absl::MutexLock lock(&store_.mutex);
    for (const TopicPlan& topic : options_.topics) {
      shelves_.push_back(&store_.GroupShelf(options_.group, topic.topic, options_.start_at));
    }
    fetching_ = true;
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }
  void Settle(std::vector<Settlement> batch) override {
    absl::MutexLock lock(&store_.mutex);
    for (Settlement& settlement : batch) Apply(settlement);
    std::move(batch.begin(), batch.end(), std::back_inserter(answers_));
    store_.changed.SignalAll();
  }
  void Wake() override {
    absl::MutexLock lock(&store_.mutex);
    store_.changed.SignalAll();
  }
  void StopFetching() override {
    absl::MutexLock lock(&store_.mutex);
    fetching_ = false;
    while (delivering_) store_.changed.Wait(&store_.mutex);
  }
  absl::Status Close(absl::Time) override {
    {
      absl::MutexLock lock(&store_.mutex);
      fetching_ = false;
      ended_ = true;
      store_.changed.SignalAll();
    }
    if (thread_.joinable()) thread_.join();
    return absl::OkStatus();
  }
  absl::StatusOr<int64_t> Backlog() override {
    absl::MutexLock lock(&store_.mutex);
    int64_t waiting = 0;
    for (const Shelf* shelf : shelves_) waiting += static_cast<int64_t>(shelf->waiting.size());
    return waiting;
  }
  void Drop(Record* record) override { store_.Drop(record); }

 private:
  void Apply(Settlement& settlement) {
    auto* item = static_cast<Item*>(settlement.delivery.record());
    if (settlement.verdict == Settlement::Verdict::kBegin) {
      const Copy& begun = settlement.copies->front();
      item->begun_by = begun.failure.handler;
      item->attempts = begun.failure.attempts;
      item->attempts_of = item->begun_by;
      item->not_before = absl::Now() + begun.delay;
      return;
    }
    settlement.delivery.Take();
    static const auto& none = *new std::vector<Copy>;
    if (settlement.verdict == Settlement::Verdict::kRelease) return store_.GiveBack(item);
    store_.Finish(item, options_.group, settlement.copies ? *settlement.copies : none);
  }

  std::vector<Delivery> Fetch(Room room) {
    std::vector<Delivery> batch;
    const absl::Time now = absl::Now();
    for (size_t i = 0; i < shelves_.size(); ++i) {
      Shelf* const shelf = shelves_[i];
      if (!room.Reads(options_.topics[i].topic)) continue;
      std::set<std::string> passed_over;  // Keys of which something earlier stays on the shelf.
      for (auto at = shelf->waiting.begin(); at != shelf->waiting.end() && batch.size() < room.messages;) {
        Item& item = *at->second;
        if (item.due.first > now || item.ByteSize() > room.bytes) break;
        if (!shelf->MayHave(item, this) || (item.has_key && passed_over.contains(std::string(item.key)))) {
          passed_over.insert(std::string(item.key));
          ++at;
          continue;
        }
        room.bytes -= item.ByteSize();
        shelf->Hold(item, this);
        batch.emplace_back(at->second.release());
        at = shelf->waiting.erase(at);
      }
    }
    return batch;
  }

  absl::Time NextDue() const {
    absl::Time next = absl::Now() + absl::Seconds(1);
    for (const Shelf* shelf : shelves_) {
      const auto later = shelf->waiting.upper_bound({absl::Now(), INT64_MAX});
      if (later != shelf->waiting.end()) next = std::min(next, later->first.first);
    }
    return next;
  }

  void Run() {
    absl::MutexLock lock(&store_.mutex);
    while (!ended_ || !answers_.empty()) {
      std::vector<Settlement> answers = std::exchange(answers_, {});
      store_.mutex.Unlock();  // The sink may call back.
      if (!answers.empty()) sink_->Settled(std::move(answers));
      const Room room = sink_->room();
      store_.mutex.Lock();
      std::vector<Delivery> batch;
      if (fetching_ && room.messages > 0) batch = Fetch(room);
      if (!batch.empty()) {
        delivering_ = true;
        store_.mutex.Unlock();
        sink_->Deliver(std::move(batch));
        store_.mutex.Lock();
        delivering_ = false;
        store_.changed.SignalAll();
      } else if (answers_.empty() && !ended_) {
        store_.changed.WaitWithDeadline(&store_.mutex, NextDue());
      }
    }
  }

  Store& store_;
  const SubscribeOptions options_;
  DeliverySink* const sink_;
  std::vector<Shelf*> shelves_;
  std::vector<Settlement> answers_;
  bool fetching_ = false, delivering_ = false, ended_ = false;
  std::thread thread_;
};

class ShelfBroker final : public Broker {
 public:
  explicit ShelfBroker(Store& store) : store_(store) {}
  std::string_view name() const override { return "shelf"; }
  const Capabilities& capabilities() const override { return capabilities_; }
  void Publish(OutgoingPtr outgoing) override {
    if (outgoing->message().payload.size() > capabilities_.max_message_bytes) {
      return outgoing->Complete(absl::InvalidArgumentError("a shelf takes messages of 64 MiB"));
    }
    Receipt receipt{.id = outgoing->message().id};
    {
      absl::MutexLock lock(&store_.mutex);
      const Message& message = outgoing->message();
      std::vector<Message>& log = store_.topics[message.topic];
      receipt.position = static_cast<int64_t>(log.size());
      log.push_back(message);
      for (auto& [place, shelf] : store_.shelves) {
        if (place.second == message.topic) store_.PutNew(shelf, message);
      }
    }
    outgoing->Complete(receipt);
  }
  absl::StatusOr<std::shared_ptr<Subscription>> Subscribe(SubscribeOptions options, DeliverySink* sink) override {
    return std::make_shared<Member>(store_, std::move(options), sink);
  }
  DeadLetters& dead_letters() override { return store_; }
  absl::Status Ping(absl::Duration) override { return absl::OkStatus(); }
  std::vector<std::string> Warnings() override { return {"messages are gone with the process"}; }

 private:
  Store& store_;
  const Capabilities capabilities_{.several_processes = false,
                                   .durable = false,
                                   .admin = false,
                                   .keeps_messages = false,
                                   .max_message_bytes = 64 << 20};
};

}  // namespace

absl::StatusOr<std::unique_ptr<Broker>> MakeShelfBroker(const BrokerOptions& options) {
  static absl::Mutex mutex(absl::kConstInit);
  static auto& stores = *new std::map<std::string, Store*>;
  absl::MutexLock lock(&mutex);
  Store*& store = stores[options.url];
  if (store == nullptr) store = new Store;
  return std::make_unique<ShelfBroker>(*store);
}
