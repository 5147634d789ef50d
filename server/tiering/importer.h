// Makes the namespace again of the manifests that lie in a cold tier.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/task/scope.h"
#include "common/task/task.h"
#include "proto/disk/cold.pb.h"
#include "server/tiering/tier_shared.h"

namespace cairn {

// Lives on core 0's executor.
class Importer {
 public:
  explicit Importer(TierShared& shared) : shared_(shared) {}

  // Lists the manifests, which says whether there is something to import, and begins with it.
  // NOT_FOUND: no such tier, or no manifest of the cluster, or of any. FAILED_PRECONDITION: several
  // clusters have some, and none was named; an import is under way.
  Task<absl::StatusOr<wire::ImportTierReply>> Begin(wire::ImportTierRequest request);
  wire::ImportStatusReply Status() const { return status_; }
  Task<void> Stop();

 private:
  struct Found {
    uint64_t object = 0;
    uint64_t size_bytes = 0;
  };
  struct Part {
    Found manifest;
    int index = 0;  // among its subjects
  };
  // A version of a checkpoint or file, as it was described at some time: the later, the truer.
  struct Description {
    uint64_t version = 0;
    int64_t described_at_ns = 0;
    auto operator<=>(const Description&) const = default;
  };
  // The parts of one, by their number, and what they tell of.
  struct Whole {
    bool checkpoint = false;
    std::map<uint32_t, Part> parts;
    bool has_last = false;
    uint64_t files = 0;
    uint64_t size_bytes = 0;  // of all pieces
    uint64_t files_told = 0;  // as many as there are to be
    uint64_t size_told_bytes = 0;
    bool IsWhole() const;
  };
  using Versions = std::map<Description, Whole>;
  Task<absl::StatusOr<std::vector<std::string>>> FindClusters(wire::TierSpec tier);
  Task<absl::StatusOr<std::vector<Found>>> FindManifests(wire::TierSpec tier, std::string cluster);
  Task<void> Run(wire::TierSpec tier, std::vector<Found> manifests);
  Task<absl::Status> Import(const wire::TierSpec& tier, const std::vector<Found>& manifests);
  // First which versions there are: what is imported is the newest whole one of each path.
  Task<absl::Status> Survey(const wire::TierSpec& tier, const std::vector<Found>& manifests);
  void NoteFound(const disk::ColdManifest::Subject& subject, Part part);
  // The newest description that is whole; null: none is, or what it tells of has another path now.
  const Whole* Choose(const std::string& path, const Versions& versions);
  // Into read_.
  Task<absl::Status> Read(const wire::TierSpec& tier, Found manifest);
  // `inode`: of what is under construction, once there is something.
  Task<absl::Status> ImportWhole(const wire::TierSpec& tier, const Whole& whole, uint64_t* inode);
  Task<void> GiveUp(uint64_t inode);
  // A bucket that comes with it needs placement groups for what is fetched and written.
  Task<void> MakeGroupsFor(const disk::ColdManifest::Subject& subject);
  void Problem(std::string text);

  TierShared& shared_;
  Scope scope_;
  wire::ImportStatusReply status_;
  std::map<std::string, Versions> found_;  // by path
  // When a version was described last: versions are of one cluster, of which no two have the same.
  std::map<std::pair<bool, uint64_t>, int64_t> described_;
  std::set<std::string> redundancies_;  // for which there are placement groups, or cannot be
  // The last that was read: small files of one manifest follow each other.
  uint64_t read_object_ = 0;
  disk::ColdManifest read_;
};

}  // namespace cairn
