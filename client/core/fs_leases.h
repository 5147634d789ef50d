// The leases under which a FileSystem writes stripes: one a bucket, shared by its files. Old leases
// hold up what the cluster moves, so none is used for long, and one that nobody uses is ended.
// Next: fs_commit.cc.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "client/core/fs_context.h"
#include "client/io/write_path.h"
#include "common/base/ids.h"
#include "common/task/semaphore.h"

namespace cairn::client_internal {

// Lives on the session's executor.
class WriteLeases {
  struct Lease;

 public:
  static constexpr absl::Duration kAgeMax = absl::Seconds(60);
  static constexpr absl::Duration kIdleMax = absl::Seconds(10);
  static constexpr uint64_t kStripesMax = 4096;

  explicit WriteLeases(FsContext& context) : context_(context) {}
  // REQUIRES: nothing is in use, and EndAll() has returned.
  ~WriteLeases();

  // The right to write under a lease; it is not ended meanwhile.
  class Use {
   public:
    Use(WriteLeases* of, std::shared_ptr<Lease> lease);
    Use(Use&& other) noexcept = default;
    Use& operator=(Use&&) = delete;
    ~Use();
    LeaseId id() const;
    const std::shared_ptr<StripeIds>& ids() const;
    // The service does not know it any more: nobody else shall begin to use it.
    void Refuse();

   private:
    WriteLeases* of_;
    std::shared_ptr<Lease> lease_;
  };

  // For files of the bucket `key`, of which `inode` is one. Errors are those of BEGIN_WRITES.
  Task<absl::StatusOr<Use>> Take(uint64_t key, uint64_t inode);
  // Ends what has been idle for long, or in use for long. To be called about every second.
  void Sweep();
  // Waits until all are ended. REQUIRES: nothing is in use.
  Task<void> EndAll();
  size_t held() const { return held_; }

 private:
  struct Lease {
    LeaseId id;
    std::shared_ptr<StripeIds> ids;
    uint64_t granted = 0;
    MonoTime begun_at;
    MonoTime used_at;
    int uses = 0;
    bool is_retired = false;
  };
  struct Bucket {
    std::shared_ptr<Lease> current;  // or null
    Semaphore beginning{1};
    int waiting = 0;
  };

  bool IsWornOut(const Lease& lease) const;
  Task<absl::StatusOr<std::shared_ptr<Lease>>> Begin(uint64_t inode);
  Task<absl::StatusOr<std::shared_ptr<Lease>>> CurrentOf(Bucket& bucket, uint64_t inode);
  // Nobody begins to use it; it ends with its last use.
  void Retire(std::shared_ptr<Lease> lease);
  void Release(Lease& lease);
  Task<void> End(LeaseId id);

  FsContext& context_;
  std::map<uint64_t, Bucket> buckets_;
  size_t held_ = 0;
  Scope ending_;
};

}  // namespace cairn::client_internal
