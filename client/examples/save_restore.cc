// Saves a checkpoint of two ranks, finds it again and reads it back: the C++ SDK in one page. In a
// job each rank is a process that does its own part; here one does both, one after the other.
//
//   save_restore_cpp [HOST:PORT] [DIRECTORY]      defaults: CAIRN_ENDPOINT, examples/cpp
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "cairn/client.h"

namespace {

constexpr uint32_t kRanks = 2;

// Stands for a rank's tensors: anything contiguous in memory.
std::vector<float> MakeWeights(uint32_t rank) {
  std::vector<float> weights(3'000'000);
  for (size_t i = 0; i < weights.size(); ++i)
    weights[i] = static_cast<float>(rank * 1000 + i % 997);
  return weights;
}

absl::Status SaveRank(cairn::CheckpointWriter& writer, uint32_t rank,
                      const std::vector<float>& weights) {
  const std::string header = "rank " + std::to_string(rank) + "\n";
  const cairn::ConstBuffer pieces[] = {std::as_bytes(std::span(header)),
                                       std::as_bytes(std::span(weights))};
  auto shard = writer.NewShard("rank" + std::to_string(rank) + ".bin");
  if (!shard.ok()) return shard.status();
  // Nothing is copied: header and weights stay as they are until Close() returns.
  if (absl::Status status = shard->Write(pieces); !status.ok()) return status;
  if (absl::Status status = shard->Close(); !status.ok()) return status;
  return writer.RankDone();
}

absl::Status Save(cairn::Client& client, const std::string& path) {
  cairn::BeginOptions options;
  options.world_size = kRanks;
  options.attributes = {{"example", "save_restore.cc"}};
  auto first = client.BeginCheckpoint(path, options);
  if (!first.ok()) return first.status();
  // Rank 0 tells the others the number, so that they join this attempt and no other.
  options.rank = 1;
  options.attempt = first->attempt();
  auto second = client.BeginCheckpoint(path, options);
  if (!second.ok()) return second.status();

  const auto weights0 = MakeWeights(0), weights1 = MakeWeights(1);
  if (absl::Status status = SaveRank(*first, 0, weights0); !status.ok()) return status;
  if (absl::Status status = SaveRank(*second, 1, weights1); !status.ok()) return status;
  auto committed = first->Commit();
  if (!committed.ok()) return committed.status();
  std::cout << "committed " << committed->path << ": " << committed->shard_count << " shards, "
            << committed->size_bytes << " bytes\n";
  return absl::OkStatus();
}

// Reads the weights alone, past the header: any range of a shard can be read by itself.
absl::Status CheckRank(cairn::Client& client, const std::string& path, uint32_t rank) {
  auto file = client.OpenFile(path + "/rank" + std::to_string(rank) + ".bin");
  if (!file.ok()) return file.status();
  const auto expected = MakeWeights(rank);
  std::vector<float> restored(expected.size());
  const uint64_t offset = file->size_bytes() - restored.size() * sizeof(float);
  absl::Status status = file->Read(offset, std::as_writable_bytes(std::span(restored)));
  if (!status.ok()) return status;
  if (restored != expected) return absl::DataLossError("rank " + std::to_string(rank) + " differs");
  std::cout << "restored rank " << rank << ": " << restored.size() << " equal floats\n";
  return absl::OkStatus();
}

absl::Status Run(const cairn::ClientOptions& options, const std::string& directory) {
  auto client = cairn::Client::Connect(options);
  if (!client.ok()) return client.status();
  if (absl::Status status = (*client)->MakeDirectory(directory); !status.ok()) return status;
  if (absl::Status status = Save(**client, directory + "/step-100"); !status.ok()) return status;
  auto latest = (*client)->LatestCheckpoint(directory);
  if (!latest.ok()) return latest.status();
  std::cout << "latest is " << latest->path << ", step " << latest->step.value_or(0) << "\n";
  for (uint32_t rank = 0; rank < kRanks; ++rank) {
    if (absl::Status status = CheckRank(**client, latest->path, rank); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  cairn::ClientOptions options;
  if (argc > 1) options.endpoint = argv[1];
  const absl::Status status = Run(options, argc > 2 ? argv[2] : "examples/cpp");
  if (!status.ok()) {
    std::cerr << "save_restore_cpp: " << status << "\n";
    return 1;
  }
  std::cout << "ok\n";
  return 0;
}
