// Pure: what is to be copied, cut and joined into cold objects of a size that object stores like.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "common/base/ids.h"
#include "common/base/units.h"
#include "proto/disk/meta_log.pb.h"
#include "proto/wire/tier.pb.h"
#include "server/meta/tier_files.h"

namespace cairn {

// Large enough that a store's cost of a request does not matter, small enough to be in memory.
inline constexpr uint64_t kColdPayloadBytes = 128 * kMiB;
// Sources of one object: they have to fit a message.
inline constexpr uint64_t kColdSourcesBytesMax = 48 * kKiB;

// One object: its sources, as PutColdRequest has them.
struct PackedObject {
  std::vector<wire::ColdSource> sources;
  std::vector<uint64_t> instead_of;  // for each source: the object that it lay in; 0: none
  std::vector<uint64_t> subjects;    // for each: whose it is; 0: as is known
  uint64_t payload_bytes = 0;
};

class ObjectPacker {
 public:
  // All of a run of `subject` that lies in no cold tier yet. Objects that became full: Take().
  void Add(const TierRun& run, InodeId subject);
  // A part of a run, from the object it lies in.
  void AddPart(uint64_t first_stripe, const disk::ColdRunRecord::Part& part,
               const wire::ColdPlace& place);
  // The next that is full.
  std::optional<PackedObject> Take();
  // The last, which may be small.
  std::optional<PackedObject> Finish();

 private:
  void AddRange(const TierRun& run, InodeId subject, uint64_t begin, uint64_t end);
  void AddSource(wire::ColdSource source, uint64_t instead_of, InodeId subject);
  void CloseIfFull(uint64_t next_source_bytes);
  uint64_t room() const { return kColdPayloadBytes - open_.payload_bytes; }

  PackedObject open_;
  uint64_t open_message_bytes_ = 0;
  std::deque<PackedObject> full_;
};

// What is noted of the object once it is in its store.
disk::NoteColdObject NoteOf(const PackedObject& packed, uint64_t object, uint64_t size_bytes);

// The stripes of a run that hold [begin, end) of it; offset_bytes counts from its start.
wire::ExtentRun CutRun(const TierRun& run, uint64_t begin, uint64_t end);

}  // namespace cairn
