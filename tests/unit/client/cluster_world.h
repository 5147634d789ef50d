// A simulated cluster of real nodes, and a job that is a client of it.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "tests/sim/seeds.h"
#include "tests/unit/client/client_world.h"

namespace cairn {

class Cluster : public ClientWorld {
 public:
  // Of `nodes`, the first of which founds it. A rank of the job is a client of it.
  Cluster(uint32_t nodes, uint64_t seed) : ClientWorld(seed, Shape(0)) {
    for (uint32_t i = 1; i < nodes; ++i) {
      SimNode::Options options = ShortLeases(Shape(i));
      options.join = node.options().endpoint;
      others.push_back(std::make_unique<SimNode>(executor, fabric, std::move(options)));
      const absl::Status started = executor.Run(others.back()->Start());
      EXPECT_TRUE(started.ok()) << started;
    }
    executor.RunFor(absl::Seconds(3));  // heartbeats: all are up
  }
  ~Cluster() {
    for (const auto& other : others) executor.Run(other->Bury());
  }
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  static SimNode::Options Shape(uint32_t i) {
    SimNode::Options options;
    options.process = "node-" + std::to_string(i);
    options.endpoint = options.process + ":7440";
    options.target_bytes = 16 * kMiB;
    options.stripe_bytes = 256 * kKiB;
    return options;
  }
  absl::Status MakeBucket(const std::string& name, const std::string& redundancy) {
    return executor.Run(AskForBucket(name, redundancy));
  }
  wire::NodeState StateOf(uint32_t id) const {
    for (const wire::NodeInfo& info : node.map().nodes())
      if (info.id() == id) return info.state();
    ADD_FAILURE() << "no node " << id;
    return wire::NODE_OUT;
  }
  Target::Usage UsageOf(SimNode& of) { return of.target(0).usage(); }
  Task<absl::Status> Remove(std::string path) {
    wire::RemoveRequest request;
    request.set_path(std::move(path));
    request.set_recursive(true);
    const auto removed =
        co_await session->Meta<wire::RemoveReply>(wire::REMOVE, std::move(request), Soon());
    co_return removed.status();
  }

  std::vector<std::unique_ptr<SimNode>> others;

 private:
  Task<absl::Status> AskForBucket(std::string name, std::string redundancy) {
    wire::MakeBucketRequest request;
    request.set_name(std::move(name));
    request.set_redundancy(std::move(redundancy));
    const auto made =
        co_await session->Meta<wire::MakeBucketReply>(wire::MAKE_BUCKET, request, Soon());
    co_return made.status();
  }
};

inline std::vector<Content> SomeShards(Random& random) {
  std::vector<Content> shards;
  for (size_t i = 0; i < 2; ++i)
    shards.push_back(RandomContent(random, 1 + random.Below(3 * kMiB / 2)));
  return shards;
}

// CAIRN_SEED; or CAIRN_SEEDS, so many, from CAIRN_FIRST_SEED on; or a few.
inline std::vector<uint64_t> Seeds() {
  const auto number = [](const char* name, uint64_t otherwise) {
    const char* text = std::getenv(name);
    uint64_t value = 0;
    return text != nullptr && absl::SimpleAtoi(text, &value) ? value : otherwise;
  };
  if (const uint64_t one = number("CAIRN_SEED", 0); one != 0) return {one};
  const uint64_t first = number("CAIRN_FIRST_SEED", 1);
  const uint64_t count = number("CAIRN_SEEDS", SeedsHere(20));
  std::vector<uint64_t> seeds;
  for (uint64_t seed = first; seed < first + count; ++seed) seeds.push_back(seed);
  return seeds;
}

// What has happened to the clusters of this process, for tools/sim to add up.
class FaultTally {
 public:
  static void Note(const std::string& fault) {
    if (std::getenv("CAIRN_SEED") != nullptr) std::printf("sim-note %s\n", fault.c_str());
    ++Counts()[fault];
  }
  static void Print() {
    for (const auto& [fault, count] : Counts())
      std::printf("sim-fault %llu %s\n", static_cast<unsigned long long>(count), fault.c_str());
    std::fflush(stdout);
    Counts().clear();
  }

 private:
  static std::map<std::string, uint64_t>& Counts() {
    static std::map<std::string, uint64_t> counts;
    return counts;
  }
};

}  // namespace cairn
