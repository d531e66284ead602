// NAME_fuzz_test FILE...: the files of a corpus, then mutations of them, from a seed, for some seconds. What crashes is
// the last input, which is in the file that it names. Exits with 0 when nothing did.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr auto kFor = std::chrono::seconds(4);
constexpr size_t kLongest = 1 << 16;

// Bytes that mean something to one parser or another.
constexpr char kTelling[] = "\0\xff\x7f\x80{}[]\"\\,:%@/?&=\r\n$*-0";

class Mutator {
 public:
  Mutator(std::vector<std::string> corpus, uint64_t seed) : corpus_(std::move(corpus)), random_(seed) {}

  std::string Next() {
    std::string text = Any();
    for (size_t i = 1 + Below(6); i > 0; --i) Change(text);
    if (text.size() > kLongest) text.resize(kLongest);
    return text;
  }

 private:
  size_t Below(size_t n) { return n == 0 ? 0 : random_() % n; }
  const std::string& Any() { return corpus_[Below(corpus_.size())]; }

  void Change(std::string& text) {
    const size_t at = Below(text.size() + 1);
    const std::string& other = Any();
    switch (Below(7)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ 1 << Below(8));
        break;
      case 1:
        text.insert(at, 1, static_cast<char>(Below(256)));
        break;
      case 2:
        text.erase(at, 1 + Below(8));
        break;
      case 3:
        text.resize(at);
        break;
      case 4: {  // A part again, many times: depth, length.
        const std::string part = text.substr(at, 1 + Below(4));
        for (size_t i = Below(2'000); i > 0; --i) text.insert(at, part);
        break;
      }
      case 5:
        text.insert(at, other.substr(Below(other.size() + 1), Below(64)));
        break;
      case 6:
        if (at < text.size()) text[at] = kTelling[Below(sizeof(kTelling) - 1)];
        break;
    }
  }

  const std::vector<std::string> corpus_;
  std::mt19937_64 random_;
};

void Feed(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> corpus;
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    Feed(corpus.back());
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "no corpus\n");
    return 1;
  }
  const uint64_t seed = std::random_device()();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  const char* folder = std::getenv("TEST_UNDECLARED_OUTPUTS_DIR");
  const std::string last = std::string(folder != nullptr ? folder : "/tmp") + "/last_input";
  Mutator mutator(std::move(corpus), seed);
  const auto until = std::chrono::steady_clock::now() + kFor;
  int64_t runs = 0;
  while (std::chrono::steady_clock::now() < until) {
    // A hundred at a time are written down: those of the last hundred are what a crash leaves.
    std::vector<std::string> inputs;
    std::ofstream file(last, std::ios::binary | std::ios::trunc);
    for (int i = 0; i < 100; ++i) {
      inputs.push_back(mutator.Next());
      file << inputs.back() << "\n--\n";
    }
    file.flush();
    for (const std::string& input : inputs) Feed(input);
    runs += 100;
  }
  std::remove(last.c_str());
  std::printf("%lld inputs, nothing found\n", static_cast<long long>(runs));
  return 0;
}
