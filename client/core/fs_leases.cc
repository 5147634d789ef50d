#include "client/core/fs_leases.h"

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "proto/wire/fs.pb.h"

namespace cairn::client_internal {
namespace {

// More than are used of a lease, so that whoever has begun under it finds ids until the end.
constexpr uint64_t kStripesWanted = 2 * WriteLeases::kStripesMax;
// A lease that cannot be ended soon ends by itself.
constexpr absl::Duration kEndPatience = absl::Seconds(5);

}  // namespace

WriteLeases::~WriteLeases() { CAIRN_CHECK(held_ == 0); }

WriteLeases::Use::Use(WriteLeases* of, std::shared_ptr<Lease> lease)
    : of_(of), lease_(std::move(lease)) {
  ++lease_->uses;
}
WriteLeases::Use::~Use() {
  if (lease_ != nullptr) of_->Release(*lease_);
}
LeaseId WriteLeases::Use::id() const { return lease_->id; }
const std::shared_ptr<StripeIds>& WriteLeases::Use::ids() const { return lease_->ids; }
void WriteLeases::Use::Refuse() { of_->Retire(lease_); }

bool WriteLeases::IsWornOut(const Lease& lease) const {
  return lease.is_retired || context_.clock().Now() - lease.begun_at >= kAgeMax ||
         lease.granted - lease.ids->left() >= std::min(kStripesMax, lease.granted / 2 + 1);
}

Task<absl::StatusOr<WriteLeases::Use>> WriteLeases::Take(uint64_t key, uint64_t inode) {
  Bucket& bucket = buckets_[key];
  ++bucket.waiting;
  absl::StatusOr<std::shared_ptr<Lease>> lease = co_await CurrentOf(bucket, inode);
  --bucket.waiting;
  if (!lease.ok()) co_return lease.status();
  co_return Use(this, *std::move(lease));
}

Task<absl::StatusOr<std::shared_ptr<WriteLeases::Lease>>> WriteLeases::CurrentOf(Bucket& bucket,
                                                                                 uint64_t inode) {
  CO_RETURN_IF_ERROR(co_await bucket.beginning.Acquire(1, context_.Soon()));
  absl::StatusOr<std::shared_ptr<Lease>> lease = bucket.current;
  if (bucket.current != nullptr && IsWornOut(*bucket.current)) Retire(bucket.current);
  if (bucket.current == nullptr || bucket.current->is_retired) {
    bucket.current.reset();
    lease = co_await Begin(inode);
    if (lease.ok()) bucket.current = *lease;
  }
  bucket.beginning.Release(1);
  co_return lease;
}

Task<absl::StatusOr<std::shared_ptr<WriteLeases::Lease>>> WriteLeases::Begin(uint64_t inode) {
  wire::BeginWritesRequest request;
  request.set_inode(inode);
  request.set_stripes_wanted(kStripesWanted);
  const absl::StatusOr<wire::BeginWritesReply> reply =
      co_await context_.Ask<wire::BeginWritesReply>(wire::BEGIN_WRITES, std::move(request));
  if (!reply.ok()) co_return reply.status();
  auto lease = std::make_shared<Lease>();
  lease->id = LeaseId(reply->lease());
  lease->granted = reply->stripes().count();
  lease->ids = std::make_shared<StripeIds>(lease->id, reply->stripes().first(),
                                           reply->stripes().count(), reply->redundancy());
  lease->begun_at = lease->used_at = context_.clock().Now();
  context_.session.KeepLease(lease->id,
                             absl::Milliseconds(static_cast<int64_t>(reply->lease_ttl_ms())));
  ++held_;
  co_return lease;
}

void WriteLeases::Retire(std::shared_ptr<Lease> lease) {
  if (lease->is_retired) return;
  lease->is_retired = true;
  if (lease->uses == 0) ending_.Spawn(End(lease->id));
}

void WriteLeases::Release(Lease& lease) {
  lease.used_at = context_.clock().Now();
  if (--lease.uses == 0 && lease.is_retired) ending_.Spawn(End(lease.id));
}

Task<void> WriteLeases::End(LeaseId id) {
  context_.session.ForgetLease(id);
  --held_;
  wire::EndWritesRequest request;
  request.set_lease(id.value());
  (void)co_await context_.session.Meta<wire::EndWritesReply>(
      wire::END_WRITES, std::move(request), Deadline::After(context_.clock(), kEndPatience));
}

void WriteLeases::Sweep() {
  const MonoTime now = context_.clock().Now();
  for (auto at = buckets_.begin(); at != buckets_.end();) {
    Bucket& bucket = at->second;
    if (bucket.current != nullptr && bucket.waiting == 0) {
      const Lease& lease = *bucket.current;
      const bool is_idle = lease.uses == 0 && now - lease.used_at >= kIdleMax;
      if (is_idle || IsWornOut(lease)) {
        Retire(bucket.current);
        bucket.current.reset();
      }
    }
    at = bucket.current == nullptr && bucket.waiting == 0 ? buckets_.erase(at) : std::next(at);
  }
}

Task<void> WriteLeases::EndAll() {
  for (auto& [key, bucket] : buckets_) {
    if (bucket.current != nullptr) Retire(std::move(bucket.current));
  }
  buckets_.clear();
  co_await ending_.Join();
}

}  // namespace cairn::client_internal
