// What finding a key costs in a store that is far larger than the memory it has been given: records
// of 40 bytes, found in the order of their keys, as a listing asks for them, and in any order.
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>

#include "benchmark/benchmark.h"
#include "common/base/check.h"
#include "server/kv/rocks_kv.h"

namespace cairn {
namespace {

constexpr uint64_t kKeys = 4'000'000;
constexpr uint64_t kKeysABatch = 1000;
constexpr uint64_t kStep = 1'000'003;  // shares no divisor with kKeys

std::string KeyOf(uint64_t number) {
  std::string key(8, '\0');
  for (int i = 0; i < 8; ++i) key[i] = static_cast<char>(number >> (56 - 8 * i));
  return key;
}

// On the filesystem of the working directory, since /tmp may be memory.
class Store {
 public:
  Store() {
    CAIRN_CHECK(mkdtemp(directory_.data()) != nullptr);
    auto opened = RocksKv::Open({.directory = directory_, .families = {"records"}});
    CAIRN_CHECK(opened.ok());
    kv_ = *std::move(opened);
    std::minstd_rand random(1);
    std::string value(40, '\0');
    for (uint64_t key = 0; key < kKeys;) {
      KvBatch batch;
      for (uint64_t i = 0; i < kKeysABatch; ++i, ++key) {
        for (char& each : value) each = static_cast<char>(random());
        // In no order, so that files are merged into large ones, as they are when much changes.
        batch.Put(0, KeyOf(key * kStep % kKeys), value);
      }
      CAIRN_CHECK(kv_->Write(batch, KvDurability::kUnsynced).ok());
    }
  }
  ~Store() {
    kv_.reset();
    std::filesystem::remove_all(directory_);
  }
  Kv& kv() { return *kv_; }

 private:
  std::string directory_ = "cairn_kv_bench_XXXXXX";
  std::unique_ptr<RocksKv> kv_;
};

Store& TheStore() {
  static Store store;
  return store;
}

void GetInOrder(benchmark::State& state) {
  Kv& kv = TheStore().kv();
  uint64_t key = 0;
  for (auto _ : state) CAIRN_CHECK((*kv.Get(0, KeyOf(key++ % kKeys))).has_value());
}
BENCHMARK(GetInOrder);

void GetAtRandom(benchmark::State& state) {
  Kv& kv = TheStore().kv();
  std::mt19937_64 random(2);
  for (auto _ : state) CAIRN_CHECK((*kv.Get(0, KeyOf(random() % kKeys))).has_value());
}
BENCHMARK(GetAtRandom);

void GetWhatIsNotThere(benchmark::State& state) {
  Kv& kv = TheStore().kv();
  std::mt19937_64 random(3);
  for (auto _ : state) CAIRN_CHECK(!(*kv.Get(0, KeyOf(random() % kKeys) + "x")).has_value());
}
BENCHMARK(GetWhatIsNotThere);

}  // namespace
}  // namespace cairn
