#include "metrics/prometheus.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "metrics/series.h"
#include "prometheus/text_serializer.h"

namespace messaging::metrics {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr std::string_view kOther = "other";

// Topics may be foreign names of any bytes; a label's value is UTF-8.
std::string AsLabel(std::string_view name) {
  std::string label(name);
  for (char& c : label) {
    if (!absl::ascii_isprint(static_cast<unsigned char>(c))) c = '_';
  }
  return label;
}

std::string CodeName(size_t code) { return absl::StatusCodeToString(static_cast<absl::StatusCode>(code)); }

size_t Index(const absl::Status& status) { return std::min(static_cast<size_t>(status.code()), kCodes - 1); }

// Families by name, from the cells of many threads.
class Sheet {
 public:
  using Labels = std::vector<std::pair<std::string, std::string>>;

  void Declare(const std::string& name, MetricType type, const std::string& help) {
    families_[name] = {.help = help, .type = type};
  }
  void Add(const std::string& name, Labels labels, double value) {
    if (value != 0) families_.at(name).values[std::move(labels)] += value;
  }
  void Set(const std::string& name, Labels labels, double value) { families_.at(name).values[labels] = value; }
  void Add(const std::string& name, Labels labels, const Durations& durations) {
    Sum sum;
    for (size_t i = 0; i < durations.buckets.size(); ++i) sum.buckets[i] = durations.buckets[i].get();
    if (std::all_of(sum.buckets.begin(), sum.buckets.end(), [](uint64_t n) { return n == 0; })) return;
    Sum& all = families_.at(name).histograms[std::move(labels)];
    for (size_t i = 0; i < sum.buckets.size(); ++i) all.buckets[i] += sum.buckets[i];
    all.seconds += 1e-9 * static_cast<double>(durations.nanoseconds.get());
  }

  std::vector<MetricFamily> Families() const {
    std::vector<MetricFamily> result;
    for (const auto& [name, family] : families_) {
      MetricFamily out{.name = name, .help = family.help, .type = family.type, .metric = {}};
      for (const auto& [labels, value] : family.values) {
        ClientMetric metric = Labelled(labels);
        (family.type == MetricType::Gauge ? metric.gauge.value : metric.counter.value) = value;
        out.metric.push_back(std::move(metric));
      }
      for (const auto& [labels, sum] : family.histograms) out.metric.push_back(Histogram(Labelled(labels), sum));
      result.push_back(std::move(out));
    }
    return result;
  }

 private:
  struct Sum {
    std::array<uint64_t, kBounds.size() + 1> buckets = {};
    double seconds = 0;
  };
  struct Family {
    std::string help;
    MetricType type = MetricType::Counter;
    std::map<Labels, double> values;
    std::map<Labels, Sum> histograms;
  };

  static ClientMetric Labelled(const Labels& labels) {
    ClientMetric metric;
    for (const auto& [name, value] : labels) metric.label.push_back({name, value});
    return metric;
  }
  static ClientMetric Histogram(ClientMetric metric, const Sum& sum) {
    uint64_t below = 0;
    for (size_t i = 0; i < sum.buckets.size(); ++i) {
      below += sum.buckets[i];
      const double bound =
          i < kBounds.size() ? 1e-9 * static_cast<double>(kBounds[i]) : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({.cumulative_count = below, .upper_bound = bound});
    }
    metric.histogram.sample_count = below;
    metric.histogram.sample_sum = sum.seconds;
    return metric;
  }

  std::map<std::string, Family> families_;
};

void DeclareAll(Sheet& sheet) {
  const auto counter = MetricType::Counter, gauge = MetricType::Gauge, histogram = MetricType::Histogram;
  sheet.Declare("messaging_sent_messages_total", counter, "Messages given to Send.");
  sheet.Declare("messaging_sent_bytes_total", counter, "Bytes given to Send: payload, key and headers.");
  sheet.Declare("messaging_send_results_total", counter, "Sends resolved, by result: accepted, refused or unknown.");
  sheet.Declare("messaging_send_duration_seconds", histogram, "From Send to its answer.");
  sheet.Declare("messaging_send_failures_unseen_total", counter, "Failed sends whose Confirmation nobody looked at.");
  sheet.Declare("messaging_received_messages_total", counter, "Messages taken from the broker, redeliveries included.");
  sheet.Declare("messaging_received_bytes_total", counter, "Bytes taken from the broker.");
  sheet.Declare("messaging_handled_messages_total", counter, "Attempts that ended, by the handler's status code.");
  sheet.Declare("messaging_handler_duration_seconds", histogram,
                "Time in the handler; a batch's counts for each message.");
  sheet.Declare("messaging_message_age_seconds", histogram,
                "From a message's timestamp to its handler's call; a message without one is not counted.");
  sheet.Declare("messaging_retries_total", counter, "Attempts that were put back for a retry.");
  sheet.Declare("messaging_dead_letters_total", counter, "Messages moved to the dead letters, by status code.");
  sheet.Declare("messaging_released_messages_total", counter, "Messages given back to the broker unhandled.");
  sheet.Declare("messaging_late_settlements_total", counter, "Messages settled after another member got them.");
  sheet.Declare("messaging_in_flight_messages", gauge, "Messages received and not yet settled.");
  sheet.Declare("messaging_in_flight_bytes", gauge, "Their bytes.");
  sheet.Declare("messaging_handler_paused", gauge, "1 while the handler takes nothing, by why: request or breaker.");
  sheet.Declare("messaging_breaker_opened_total", counter, "Times that the handler's breaker opened.");
  sheet.Declare("messaging_connected", gauge, "1 while the connection to the broker is up.");
  sheet.Declare("messaging_connections_lost_total", counter, "Connections to the broker that were lost.");
}

// What one thread counts. It alone adds series, under the mutex; the cells need none.
struct Shard {
  absl::Mutex mutex;
  std::deque<TopicSeries> topics ABSL_GUARDED_BY(mutex);
  std::deque<HandlerSeries> handlers ABSL_GUARDED_BY(mutex);
  // The owner's own way to them.
  absl::flat_hash_map<std::string, TopicSeries*> by_topic;
  absl::flat_hash_map<std::pair<std::string, std::string>, HandlerSeries*> by_handler;
  TopicSeries* last_topic = nullptr;
  HandlerSeries* last_handler = nullptr;
};

}  // namespace

class PrometheusObserver::Impl {
 public:
  explicit Impl(PrometheusOptions options) : options_(options) {}

  TopicSeries& Topic(std::string_view topic) {
    Shard& shard = Mine();
    if (shard.last_topic != nullptr && shard.last_topic->topic == topic) return *shard.last_topic;
    const auto found = shard.by_topic.find(topic);
    if (found != shard.by_topic.end()) return *(shard.last_topic = found->second);
    const std::string_view name = Admit(topics_, topic);
    TopicSeries*& series = shard.by_topic[name];
    if (series == nullptr) {
      absl::MutexLock lock(&shard.mutex);
      series = &shard.topics.emplace_back();
      series->topic = name;
    }
    return *series;
  }

  HandlerSeries& Handler(std::string_view handler, std::string_view topic) {
    Shard& shard = Mine();
    if (HandlerSeries* last = shard.last_handler; last != nullptr && last->topic == topic && last->handler == handler) {
      return *last;
    }
    std::pair<std::string, std::string> key(handler, topic);
    const auto found = shard.by_handler.find(key);
    if (found != shard.by_handler.end()) return *(shard.last_handler = found->second);
    key = {std::string(Admit(handlers_, handler)), std::string(Admit(topics_, topic))};
    HandlerSeries*& series = shard.by_handler[key];
    if (series == nullptr) {
      absl::MutexLock lock(&shard.mutex);
      series = &shard.handlers.emplace_back();
      std::tie(series->handler, series->topic) = key;
    }
    return *series;
  }

  void SetInFlight(size_t messages, size_t bytes) {
    in_flight_messages_.store(messages, std::memory_order_relaxed);
    in_flight_bytes_.store(bytes, std::memory_order_relaxed);
  }
  void SetConnection(std::string_view broker, Connection state) {
    absl::MutexLock lock(&mutex_);
    Link& link = links_[std::string(broker)];
    if (state == Connection::kLost) ++link.lost;
    link.up = state == Connection::kConnected;
  }

  void SetGate(std::string_view handler, Gate gate) {
    const std::string name(Admit(handlers_, handler));
    absl::MutexLock lock(&mutex_);
    GateState& state = gates_[name];
    if (gate == Gate::kTripped && state.gate != Gate::kProbing) ++state.opened;
    state.gate = gate;
  }

  std::vector<MetricFamily> Collect() const;

 private:
  struct GateState {
    Gate gate = Gate::kOpen;
    int64_t opened = 0;
  };
  struct Link {
    bool up = false;
    int64_t lost = 0;
  };

  // This thread's shard: found without a lock, unless the thread counts for several observers in turn.
  Shard& Mine() {
    struct Last {
      uint64_t owner = 0;
      Shard* shard = nullptr;
    };
    static thread_local Last last;
    if (last.owner == id_) return *last.shard;
    absl::MutexLock lock(&mutex_);
    std::unique_ptr<Shard>& shard = shards_[std::this_thread::get_id()];
    if (shard == nullptr) shard = std::make_unique<Shard>();
    last = {id_, shard.get()};
    return *shard;
  }

  std::string_view Admit(std::set<std::string, std::less<>>& names, std::string_view name) {
    absl::MutexLock lock(&mutex_);
    const auto found = names.find(name);
    if (found != names.end()) return *found;
    if (names.size() >= options_.max_names) return kOther;
    return *names.emplace(name).first;
  }

  static uint64_t NewId() {
    static std::atomic<uint64_t> next{1};
    return next.fetch_add(1);
  }

  const PrometheusOptions options_;
  const uint64_t id_ = NewId();  // Never given twice: a thread may remember an observer that is gone.
  // A cache line of their own: written for every batch, beside what every count reads.
  alignas(64) std::atomic<size_t> in_flight_messages_{0};
  std::atomic<size_t> in_flight_bytes_{0};
  alignas(64) mutable absl::Mutex mutex_;
  std::map<std::thread::id, std::unique_ptr<Shard>> shards_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, Link> links_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, GateState> gates_ ABSL_GUARDED_BY(mutex_);
  std::set<std::string, std::less<>> topics_;    // Under mutex_, by Admit.
  std::set<std::string, std::less<>> handlers_;  // Likewise.
};

namespace {

void AddTopic(const TopicSeries& series, Sheet& sheet) {
  const Sheet::Labels topic = {{"topic", AsLabel(series.topic)}};
  const auto result = [&](const char* name, const Cell& cell) {
    Sheet::Labels labels = topic;
    labels.emplace_back("result", name);
    sheet.Add("messaging_send_results_total", labels, static_cast<double>(cell.get()));
  };
  const auto add = [&](const char* name, const Cell& cell) { sheet.Add(name, topic, static_cast<double>(cell.get())); };
  add("messaging_sent_messages_total", series.sent);
  add("messaging_sent_bytes_total", series.sent_bytes);
  result("accepted", series.accepted);
  result("refused", series.refused);
  result("unknown", series.unknown);
  sheet.Add("messaging_send_duration_seconds", topic, series.send_latency);
  add("messaging_send_failures_unseen_total", series.unseen);
  add("messaging_received_messages_total", series.received);
  add("messaging_received_bytes_total", series.received_bytes);
  sheet.Add("messaging_message_age_seconds", topic, series.age);
  add("messaging_released_messages_total", series.released);
  add("messaging_late_settlements_total", series.late);
}

void AddHandler(const HandlerSeries& series, Sheet& sheet) {
  const Sheet::Labels both = {{"handler", AsLabel(series.handler)}, {"topic", AsLabel(series.topic)}};
  for (size_t code = 0; code < kCodes; ++code) {
    Sheet::Labels labels = both;
    labels.emplace_back("code", CodeName(code));
    sheet.Add("messaging_handled_messages_total", labels, static_cast<double>(series.handled[code].get()));
    sheet.Add("messaging_dead_letters_total", labels, static_cast<double>(series.dead[code].get()));
  }
  sheet.Add("messaging_retries_total", both, static_cast<double>(series.retries.get()));
  sheet.Add("messaging_handler_duration_seconds", both, series.duration);
}

}  // namespace

std::vector<MetricFamily> PrometheusObserver::Impl::Collect() const {
  Sheet sheet;
  DeclareAll(sheet);
  sheet.Set("messaging_in_flight_messages", {}, static_cast<double>(in_flight_messages_.load()));
  sheet.Set("messaging_in_flight_bytes", {}, static_cast<double>(in_flight_bytes_.load()));
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, link] : links_) {
    sheet.Set("messaging_connected", {{"broker", AsLabel(name)}}, link.up ? 1 : 0);
    sheet.Set("messaging_connections_lost_total", {{"broker", AsLabel(name)}}, static_cast<double>(link.lost));
  }
  for (const auto& [name, state] : gates_) {
    const std::string handler = AsLabel(name);
    const bool breaker = state.gate == Gate::kTripped || state.gate == Gate::kProbing;
    sheet.Set("messaging_handler_paused", {{"handler", handler}, {"reason", "request"}}, state.gate == Gate::kPaused);
    sheet.Set("messaging_handler_paused", {{"handler", handler}, {"reason", "breaker"}}, breaker);
    sheet.Set("messaging_breaker_opened_total", {{"handler", handler}}, static_cast<double>(state.opened));
  }
  for (const auto& [thread, shard] : shards_) {
    absl::MutexLock shard_lock(&shard->mutex);
    for (const TopicSeries& series : shard->topics) AddTopic(series, sheet);
    for (const HandlerSeries& series : shard->handlers) AddHandler(series, sheet);
  }
  return sheet.Families();
}

PrometheusObserver::PrometheusObserver(PrometheusOptions options) : impl_(std::make_unique<Impl>(options)) {}
PrometheusObserver::~PrometheusObserver() = default;

std::vector<MetricFamily> PrometheusObserver::Collect() const { return impl_->Collect(); }
std::string PrometheusObserver::Text() const { return prometheus::TextSerializer().Serialize(Collect()); }

void PrometheusObserver::OnSent(std::string_view topic, size_t bytes) {
  TopicSeries& series = impl_->Topic(topic);
  series.sent.Add();
  series.sent_bytes.Add(bytes);
}

void PrometheusObserver::OnSendResolved(std::string_view topic, const absl::Status& status, absl::Duration latency) {
  TopicSeries& series = impl_->Topic(topic);
  (status.ok() ? series.accepted : absl::IsDeadlineExceeded(status) ? series.unknown : series.refused).Add();
  series.send_latency.Add(latency);
}

void PrometheusObserver::OnSendFailureUnseen(std::string_view topic, const absl::Status&) {
  impl_->Topic(topic).unseen.Add();
}

void PrometheusObserver::OnReceived(std::string_view topic, size_t messages, size_t bytes) {
  TopicSeries& series = impl_->Topic(topic);
  series.received.Add(messages);
  series.received_bytes.Add(bytes);
}

void PrometheusObserver::OnHandled(std::string_view handler, std::string_view topic,
                                   const Handled& attempts) {
  HandlerSeries& series = impl_->Handler(handler, topic);
  series.handled[Index(attempts.status)].Add(attempts.timestamps.size());
  series.duration.Add(attempts.handler_time, attempts.timestamps.size());
  impl_->Topic(topic).age.AddSince(attempts.timestamps, attempts.began);
}

void PrometheusObserver::OnRetry(std::string_view handler, std::string_view topic, int, absl::Duration) {
  impl_->Handler(handler, topic).retries.Add();
}

void PrometheusObserver::OnDeadLetter(std::string_view handler, std::string_view topic, const absl::Status& why) {
  impl_->Handler(handler, topic).dead[Index(why)].Add();
}

void PrometheusObserver::OnReleased(std::string_view topic, size_t messages) {
  impl_->Topic(topic).released.Add(messages);
}

void PrometheusObserver::OnLateSettlement(std::string_view topic) { impl_->Topic(topic).late.Add(); }
void PrometheusObserver::OnGate(std::string_view handler, Gate gate) { impl_->SetGate(handler, gate); }
void PrometheusObserver::OnInFlight(size_t messages, size_t bytes) { impl_->SetInFlight(messages, bytes); }
void PrometheusObserver::OnConnection(std::string_view broker, Connection state, std::string_view) {
  impl_->SetConnection(broker, state);
}

}  // namespace messaging::metrics
