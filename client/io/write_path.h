// The save, client side: gather list → stripes → CRCs and parity → one WRITE_FRAGMENT a fragment,
// pulled by the servers from the caller's memory → SEAL on every target touched. Nothing is copied
// here; parity is the only memory made. A stripe that a target does not take moves as a whole, to
// other targets and under a new id. Next: server/service/chunk_service.h.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "client/io/parity_pool.h"
#include "client/io/rotation.h"
#include "client/io/session.h"
#include "client/io/stripe_cutter.h"
#include "client/io/stripe_encoder.h"
#include "common/base/erasure_code.h"
#include "common/task/scope.h"

namespace cairn {

// The stripe ids that one lease grants to one rank, handed to its shards in blocks so that each
// shard's ids stay consecutive and its extents short; and the redundancy that the bucket asks for.
class StripeIds {
 public:
  StripeIds(LeaseId lease, uint64_t first, uint64_t count, std::string redundancy)
      : lease_(lease),
        turn_(first / std::max(count, uint64_t{1})),
        next_(first),
        left_(count),
        redundancy_(std::move(redundancy)) {}
  LeaseId lease() const { return lease_; }
  // Ranks that begin one after the other have ranges side by side: a number that counts them.
  uint64_t turn() const { return turn_; }
  // Counts the shards of the rank.
  uint64_t TakeShard() { return shards_++; }
  // As the service names it; "": the default.
  const std::string& redundancy() const { return redundancy_; }
  // Ids that no shard has been given yet.
  uint64_t left() const { return left_; }
  // A block of 1 to kBlock ids; RESOURCE_EXHAUSTED when all are used.
  struct Block {
    uint64_t next = 0;
    uint64_t left = 0;
  };
  absl::StatusOr<Block> TakeBlock();
  // What a shard left unused, so that a rank's shards may be many and small.
  void GiveBack(Block block);

 private:
  static constexpr uint64_t kBlock = 64;
  LeaseId lease_;
  const uint64_t turn_;
  uint64_t shards_ = 0;
  uint64_t next_;
  uint64_t left_;
  const std::string redundancy_;
  std::vector<Block> spare_;  // at most one a shard
};

// Writes one file's content. Lives on the session's executor; one caller at a time.
class WritePath {
 public:
  // `ids` is shared with the other shards of the lease. `timeout` bounds each fragment from its
  // turn in the windows on, and each seal, retries included; and the wait for a turn while no
  // transfer of the session ends well.
  WritePath(Session& session, std::shared_ptr<StripeIds> ids, absl::Duration timeout);
  ~WritePath();

  // As ShardWriter::Write: returns while fragments are on their way, waits only for room in the
  // window.
  Task<absl::Status> Write(std::vector<ConstBytes> pieces);
  // Sends the stripe that is being filled as it is: the next piece begins another. For pieces of a
  // file that are no neighbours.
  Task<absl::Status> EndStripe();
  // Sends the last, short stripe and makes everything durable. On return, whatever the status, no
  // server reads the caller's memory any more.
  Task<absl::Status> Flush();
  // Waits for what is under way, so that the memory is free, and forgets the rest.
  Task<void> Abandon();

  uint64_t size_bytes() const { return size_bytes_; }
  // Of the durable content.
  uint32_t crc32c() const { return crc32c_; }
  std::vector<wire::ExtentRun> Extents() const;
  // What is durable, in the order in which it was written.
  const std::vector<PlacedStripe>& sealed() const { return sealed_; }
  // How long a full stripe is. REQUIRES: Write() has succeeded once.
  uint64_t stripe_bytes() const { return stripe_bytes_; }

 private:
  struct Fragment {
    enum class State {
      kUnsent,   // or lost, or meant for another target now
      kWritten,  // not durable
      kSealed,   // or without content, which needs none
    };
    State state = State::kUnsent;
    std::optional<TargetId> target;  // of the last try
    int losses = 0;                  // how often a target had lost it
  };
  struct Stripe {
    PlacedStripe placed;
    std::vector<Segment> segments;
    StripeCrcs crcs;
    std::vector<Fragment> fragments;
    bool Any(Fragment::State state) const;
  };
  // One of a stripe's, on its way to a seal.
  struct FragmentOf {
    Stripe* stripe = nullptr;
    uint32_t index = 0;
  };
  // How one try at a stripe or fragment ended.
  struct Sent {
    absl::Status status;
    bool move = false;  // the error is a target's that the stripe had better avoid
  };
  using Missing = absl::StatusOr<std::vector<uint64_t>>;

  Task<absl::Status> Start();
  Task<absl::Status> Launch();
  absl::StatusOr<PlacedStripe> Place(uint64_t length_bytes);
  // All targets are full, and space is coming: they may be asked again.
  Task<bool> RoomHasCome();
  // Gives the stripe to other targets, under a new id. The error when none are left.
  absl::Status Move(Stripe* stripe);
  Task<void> SendInWindow(Stripe* stripe);
  Task<absl::Status> Send(Stripe* stripe);
  // Checksums, once, and parity, whenever there is some to send.
  Task<absl::Status> Encode(Stripe* stripe, ParityPool::Buffer* parity, Deadline deadline);
  Task<Sent> SendFragments(Stripe* stripe, const ParityPool::Buffer* parity);
  Task<Sent> SendFragment(Stripe* stripe, uint32_t index, const ParityPool::Buffer* parity);
  // Moves `deadline` on by the time spent waiting for the node's window.
  Task<absl::Status> SendOnce(Stripe* stripe, uint32_t index, const ParityPool::Buffer* parity,
                              Deadline& deadline);
  std::vector<BulkDescriptor> BulksOf(const Stripe& stripe, uint32_t index,
                                      const ParityPool::Buffer* parity) const;
  std::span<const uint32_t> CrcsOf(const Stripe& stripe, uint32_t index) const;
  // Whether the error is a target's that the stripe had better avoid, which it then does.
  bool RefuseFor(const Fragment& fragment, const absl::Status& error, MonoTime since);
  Task<void> WantOtherGroups(const Fragment& fragment);
  Session::Reach ReachFor(PgId group, uint32_t index) const;
  Task<absl::Status> SendUnsent();
  // Makes what was launched so far durable.
  Task<absl::Status> SealLaunched();
  Task<absl::Status> SealAll();
  Task<absl::Status> SealOnce(Deadline deadline, MonoTime since);
  Task<Missing> SealTarget(TargetRoute route, std::vector<FragmentOf> fragments, Deadline deadline);
  absl::Status OnSealed(const std::vector<FragmentOf>& fragments, const Missing& missing,
                        MonoTime since);
  bool Any(Fragment::State state) const;
  void Settle();

  Session& session_;
  std::shared_ptr<StripeIds> ids_;
  absl::Duration timeout_;
  StripeIds::Block block_;
  Redundancy redundancy_;
  std::optional<ErasureCode> code_;
  std::unique_ptr<Rotation> rotation_;
  MonoTime next_wish_;  // for other groups
  std::optional<MonoTime> full_since_;
  uint64_t stripe_bytes_ = 0;
  std::unique_ptr<StripeCutter> cutter_;
  std::vector<std::unique_ptr<MemoryRegion>> regions_;
  std::deque<Stripe> unsealed_;  // addresses are stable: sends point into it
  // A target takes nothing more before something is sealed.
  bool seal_wanted_ = false;
  std::vector<PlacedStripe> sealed_;
  Scope scope_;
  absl::Status failure_;
  uint64_t size_bytes_ = 0;
  uint32_t crc32c_ = 0;
};

}  // namespace cairn
