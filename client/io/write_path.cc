#include "client/io/write_path.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "common/base/crc32c.h"
#include "common/base/crc32c_combine.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/task/when_all.h"
#include "proto/wire/chunk.pb.h"

namespace cairn {
namespace {

// Waiting on a node that does not answer longer than this helps nobody: the call is made again.
constexpr absl::Duration kTryTimeout = absl::Seconds(20);
constexpr absl::Duration kRetryPause = absl::Milliseconds(50);
// A restarted server misses everything not sealed; more than a few restarts in a row are not our
// luck any more.
constexpr int kLossesMax = 8;
// Room on a target comes back when others seal, or when deleted space is reclaimed.
constexpr absl::Duration kRoomPause = absl::Milliseconds(500);
// Stripes that one seal names: well below what a server takes in one call.
constexpr size_t kSealStripesMax = 16'384;
// A damaged transfer is sent again; one that stays damaged means broken memory or a broken network.
constexpr int kDamagedSendsMax = 3;

bool NodeIsGone(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

// The target is full, or has failed.
bool TargetRefuses(const absl::Status& status) {
  return absl::IsResourceExhausted(status) || absl::IsFailedPrecondition(status);
}

}  // namespace

absl::StatusOr<StripeIds::Block> StripeIds::TakeBlock() {
  if (left_ == 0 && !spare_.empty()) {
    const Block block = spare_.back();
    spare_.pop_back();
    return block;
  }
  if (left_ == 0) {
    return absl::ResourceExhaustedError(
        "this rank has used all stripe ids of its lease: its shards are larger than the service "
        "expects of one rank");
  }
  const uint64_t taken = std::min(left_, kBlock);
  Block block{next_, taken};
  next_ += taken;
  left_ -= taken;
  return block;
}

void StripeIds::GiveBack(Block block) {
  if (block.left == 0) return;
  if (block.next + block.left == next_) {
    next_ = block.next;
    left_ += block.left;
  } else {
    spare_.push_back(block);
  }
}

WritePath::WritePath(Session& session, std::shared_ptr<StripeIds> ids, absl::Duration timeout)
    : session_(session), ids_(std::move(ids)), timeout_(timeout) {}

WritePath::~WritePath() { ids_->GiveBack(block_); }

// Learns from the map how to cut and where to put; the first write pays for it once.
Task<absl::Status> WritePath::Start() {
  if (cutter_ != nullptr) co_return absl::OkStatus();
  const Deadline deadline = Deadline::After(Executor::Current().clock(), timeout_);
  absl::StatusOr<std::shared_ptr<const wire::ClusterMap>> map = co_await session_.Map(deadline);
  if (!map.ok()) co_return map.status();
  rotation_ = std::make_unique<Rotation>(**map, session_.random());
  CO_RETURN_IF_ERROR(rotation_->Usable());
  stripe_bytes_ = (*map)->stripe_bytes();
  cutter_ = std::make_unique<StripeCutter>(stripe_bytes_);
  co_return absl::OkStatus();
}

Task<absl::Status> WritePath::Write(std::vector<ConstBytes> pieces) {
  CO_RETURN_IF_ERROR(failure_);
  absl::Status started = co_await Start();
  // For good: these pieces are lost, and no later call may make a file without them durable.
  if (!started.ok()) co_return failure_ = started;
  for (ConstBytes piece : pieces) {
    if (piece.empty()) continue;
    // The fabric takes no const memory; access kRemoteRead is what keeps it unchanged.
    const MutableBytes memory(const_cast<std::byte*>(piece.data()), piece.size());
    absl::StatusOr<std::unique_ptr<MemoryRegion>> region =
        session_.net().Register(memory, MemoryAccess::kRemoteRead);
    if (!region.ok()) co_return failure_ = region.status();
    regions_.push_back(std::move(*region));
    uint64_t done = 0;
    while (done < piece.size()) {
      done += cutter_->Add(regions_.size() - 1, done, piece.subspan(done));
      if (!cutter_->full()) continue;
      absl::Status launched = co_await Launch();
      if (!launched.ok()) co_return failure_ = launched;
    }
    size_bytes_ += piece.size();
  }
  co_return failure_;
}

absl::StatusOr<PlacedStripe> WritePath::Place(uint64_t length_bytes) {
  if (block_.left == 0) {
    ASSIGN_OR_RETURN(block_, ids_->TakeBlock());
  }
  --block_.left;
  const StripeId id(block_.next++);
  return PlacedStripe{id, rotation_->GroupOf(id), length_bytes};
}

absl::Status WritePath::Move(Stripe* stripe, const absl::Status& refusal) {
  // Refused before a target was found, by the map say: nowhere else is better.
  if (!stripe->target.has_value()) return refusal;
  rotation_->Refuse(*stripe->target, refusal);
  RETURN_IF_ERROR(rotation_->Usable());
  ASSIGN_OR_RETURN(stripe->placed, Place(stripe->placed.length_bytes));
  stripe->state = Stripe::State::kUnsent;
  return absl::OkStatus();
}

Task<absl::Status> WritePath::Launch() {
  if (seal_wanted_) CO_RETURN_IF_ERROR(co_await SealLaunched());
  std::vector<Segment> segments = cutter_->Take();
  uint64_t length = 0;
  for (const Segment& segment : segments) length += segment.bytes.size();
  absl::StatusOr<PlacedStripe> placed = Place(length);
  if (!placed.ok()) co_return placed.status();
  absl::Status admitted = co_await session_.TakeTurn(session_.window(), timeout_);
  if (!admitted.ok()) co_return admitted;
  Stripe& stripe = unsealed_.emplace_back();
  stripe.placed = *placed;
  stripe.segments = std::move(segments);
  scope_.Spawn(SendInWindow(&stripe));
  co_return failure_;
}

Task<void> WritePath::SendInWindow(Stripe* stripe) {
  absl::Status sent = co_await Send(stripe);
  if (!sent.ok() && failure_.ok()) failure_ = sent;
  session_.window().Release(1);
}

Task<absl::Status> WritePath::Send(Stripe* stripe) {
  if (stripe->block_crcs.empty()) {
    BlockCrcs crcs;
    for (const Segment& segment : stripe->segments) crcs.Add(segment.bytes);
    stripe->block_crcs = crcs.Finish();
  }
  Deadline deadline = Deadline::After(Executor::Current().clock(), timeout_);
  int damaged = 0;
  while (true) {
    absl::Status sent = co_await SendOnce(stripe, deadline);
    if (sent.ok()) co_return sent;
    // The shard has failed elsewhere or was abandoned: nobody waits for this stripe any more.
    if (!failure_.ok()) co_return failure_;
    if (TargetRefuses(sent)) {
      CO_RETURN_IF_ERROR(Move(stripe, sent));
      continue;
    }
    const bool retry = NodeIsGone(sent) || (absl::IsDataLoss(sent) && ++damaged < kDamagedSendsMax);
    if (!retry || deadline.Remaining(Executor::Current().clock()) <= kRetryPause) co_return sent;
    absl::Status paused = co_await session_.Pause(kRetryPause);
    if (!paused.ok()) co_return paused;
  }
}

// OK also when the target wants a seal first; the stripe is unsent then.
Task<absl::Status> WritePath::SendOnce(Stripe* stripe, Deadline& deadline) {
  const Clock& clock = Executor::Current().clock();
  stripe->target.reset();
  absl::StatusOr<TargetRoute> route = co_await session_.Route(
      stripe->placed.group, 0, Earlier(deadline, Deadline::After(clock, kTryTimeout)));
  if (!route.ok()) co_return route.status();
  stripe->target = route->target;
  const MonoTime queued = clock.Now();
  absl::Status admitted = co_await session_.TakeTurn(route->node->window(), timeout_);
  if (!admitted.ok()) co_return admitted;
  // The stripe's own time stands still while it waits behind this client's others.
  deadline = Deadline(deadline.at() + (clock.Now() - queued));
  wire::WriteFragmentRequest request;
  request.set_target(route->target.value());
  request.mutable_key()->set_stripe(stripe->placed.id.value());
  request.set_lease(ids_->lease().value());
  request.set_length_bytes(stripe->placed.length_bytes);
  for (uint32_t crc : stripe->block_crcs) request.add_block_crcs(crc);
  CallOptions options{Earlier(deadline, Deadline::After(clock, kTryTimeout)), {}, {}};
  for (const Segment& segment : stripe->segments) {
    // Asked anew at each try: a reset of the endpoint changes the keys.
    BulkDescriptor bulk = regions_[segment.registration]->descriptor();
    bulk.address += segment.offset_bytes;
    bulk.length_bytes = segment.bytes.size();
    options.bulks.push_back(bulk);
  }
  absl::StatusOr<wire::WriteFragmentReply> reply =
      co_await route->node->Call<wire::WriteFragmentReply>(route->core, wire::WRITE_FRAGMENT,
                                                           request, std::move(options));
  route->node->window().Release(1);
  if (!reply.ok()) co_return reply.status();
  session_.NoteProgress();
  if (reply->seal_first()) {
    seal_wanted_ = true;
  } else {
    stripe->state = Stripe::State::kWritten;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> WritePath::Flush() {
  if (cutter_ != nullptr && !cutter_->empty() && failure_.ok()) {
    absl::Status launched = co_await Launch();
    if (!launched.ok()) failure_ = launched;
  }
  absl::Status sealed = co_await SealLaunched();
  if (failure_.ok()) failure_ = sealed;
  regions_.clear();
  co_return failure_;
}

Task<absl::Status> WritePath::SealLaunched() {
  co_await scope_.Join();
  CO_RETURN_IF_ERROR(failure_);
  CO_RETURN_IF_ERROR(co_await SealAll());
  Settle();
  co_return absl::OkStatus();
}

// What is sealed needs the caller's memory no more.
void WritePath::Settle() {
  for (const Stripe& stripe : unsealed_) {
    const uint64_t length = stripe.placed.length_bytes;
    crc32c_ = CombineCrc32c(crc32c_, CombineBlockCrcs(stripe.block_crcs, length), length);
    sealed_.push_back(stripe.placed);
  }
  unsealed_.clear();
}

bool WritePath::Any(Stripe::State state) const {
  return std::any_of(unsealed_.begin(), unsealed_.end(),
                     [state](const Stripe& stripe) { return stripe.state == state; });
}

// Ends, because each round without an error has sealed or sent something, no stripe is lost or
// moved for ever, and errors are borne with until the deadline only.
Task<absl::Status> WritePath::SealAll() {
  Deadline deadline = Deadline::After(Executor::Current().clock(), timeout_);
  while (true) {
    absl::Status sealed = co_await SealOnce(deadline);
    CO_RETURN_IF_ERROR(failure_);
    if (sealed.ok()) {
      if (!Any(Stripe::State::kUnsent) && !Any(Stripe::State::kWritten)) co_return sealed;
      seal_wanted_ = false;
      absl::Status sent = co_await SendUnsent();
      if (!sent.ok()) co_return sent;
      if (Any(Stripe::State::kWritten)) {
        deadline = Deadline::After(Executor::Current().clock(), timeout_);
        continue;
      }
      sealed = absl::ResourceExhaustedError(
          "the targets hold as many unsealed fragments as they can; other writers must close their "
          "shards first");
    }
    const bool full = absl::IsResourceExhausted(sealed);
    const absl::Duration pause = full ? kRoomPause : kRetryPause;
    const bool retry =
        (full || NodeIsGone(sealed)) && deadline.Remaining(Executor::Current().clock()) > pause;
    if (!retry) co_return sealed;
    absl::Status paused = co_await session_.Pause(pause);
    if (!paused.ok()) co_return paused;
  }
}

Task<absl::Status> WritePath::SendUnsent() {
  absl::Status refused;
  for (Stripe& stripe : unsealed_) {
    if (stripe.state != Stripe::State::kUnsent) continue;
    if (stripe.losses > kLossesMax) {
      refused = absl::UnavailableError(
          "targets keep losing unsealed fragments: is a node restarting in a loop?");
      break;
    }
    refused = co_await session_.TakeTurn(session_.window(), timeout_);
    if (!refused.ok()) break;
    scope_.Spawn(SendInWindow(&stripe));
    if (seal_wanted_) break;  // the rest would be turned away, too
  }
  co_await scope_.Join();
  if (!refused.ok()) co_return refused;
  co_return failure_;
}

Task<absl::Status> WritePath::SealOnce(Deadline deadline) {
  deadline = Earlier(deadline, Deadline::After(Executor::Current().clock(), kTryTimeout));
  std::map<TargetId, std::pair<TargetRoute, std::vector<Stripe*>>> by_target;
  for (Stripe& stripe : unsealed_) {
    if (stripe.state != Stripe::State::kWritten) continue;
    absl::StatusOr<TargetRoute> route = co_await session_.Route(stripe.placed.group, 0, deadline);
    if (!route.ok()) co_return route.status();
    auto& entry = by_target[route->target];
    entry.first = *std::move(route);
    entry.second.push_back(&stripe);
  }
  // Bounded by the rotation: a few more than it has groups, when some were replaced.
  std::vector<Task<Missing>> seals;
  for (auto& [target, entry] : by_target) {
    std::vector<StripeId> ids;
    for (const Stripe* stripe : entry.second) ids.push_back(stripe->placed.id);
    seals.push_back(SealTarget(std::move(entry.first), std::move(ids), deadline));
  }
  const std::vector<Missing> results = co_await WhenAll(std::move(seals));
  absl::Status all;
  auto result = results.begin();
  for (const auto& [target, entry] : by_target) all.Update(OnSealed(entry.second, *result++));
  co_return all;
}

// What the answer of one target means for the stripes that it was asked to seal.
absl::Status WritePath::OnSealed(const std::vector<Stripe*>& stripes, const Missing& missing) {
  if (absl::IsFailedPrecondition(missing.status())) {
    // It has failed, and with it all that it had not sealed.
    for (Stripe* stripe : stripes) {
      // Nothing that waiting would help against.
      if (failure_.ok()) failure_ = Move(stripe, missing.status());
    }
    return failure_;
  }
  RETURN_IF_ERROR(missing.status());
  // A reply names only so many, and seals nothing when it names any: the others are asked about
  // again.
  const absl::flat_hash_set<uint64_t> lost(missing->begin(), missing->end());
  size_t found = 0;
  for (Stripe* stripe : stripes) {
    if (lost.empty()) stripe->state = Stripe::State::kSealed;
    if (!lost.contains(stripe->placed.id.value())) continue;
    stripe->state = Stripe::State::kUnsent;
    ++stripe->losses;
    ++found;
  }
  if (found == 0 && !lost.empty()) {
    return absl::InternalError("a target misses stripes that it was not asked for");
  }
  return absl::OkStatus();
}

Task<WritePath::Missing> WritePath::SealTarget(TargetRoute route, std::vector<StripeId> stripes,
                                               Deadline deadline) {
  // Runs of one stride, so that a rotation over many targets stays short. Each is about 16 bytes on
  // the wire; this many fit a message with room to spare.
  constexpr int kRunsMax = 1500;
  std::sort(stripes.begin(), stripes.end());
  std::vector<uint64_t> missing;
  size_t next = 0;
  while (next < stripes.size()) {
    wire::SealRequest request;
    request.set_target(route.target.value());
    request.set_lease(ids_->lease().value());
    const size_t end = std::min(stripes.size(), next + kSealStripesMax);
    while (next < end && request.runs_size() < kRunsMax) {
      wire::FragmentRun* run = request.add_runs();
      const uint64_t first = stripes[next].value();
      uint64_t stride = next + 1 < end ? stripes[next + 1].value() - first : 1;
      if (stride > UINT32_MAX) stride = 1;
      uint32_t count = 1;
      while (next + count < end && stripes[next + count].value() == first + count * stride) ++count;
      run->set_first_stripe(first);
      run->set_stride(static_cast<uint32_t>(stride));
      run->set_count(count);
      next += count;
    }
    absl::StatusOr<wire::SealReply> reply = co_await route.node->Call<wire::SealReply>(
        route.core, wire::SEAL, request, CallOptions{deadline, {}, {}});
    if (!reply.ok()) co_return reply.status();
    missing.insert(missing.end(), reply->missing_stripes().begin(), reply->missing_stripes().end());
  }
  co_return missing;
}

Task<void> WritePath::Abandon() {
  if (failure_.ok()) failure_ = absl::FailedPreconditionError("the shard was abandoned");
  co_await scope_.Join();
  regions_.clear();
  unsealed_.clear();
}

std::vector<wire::ExtentRun> WritePath::Extents() const {
  return ToExtentRuns(sealed_, stripe_bytes_, 0);
}

}  // namespace cairn
