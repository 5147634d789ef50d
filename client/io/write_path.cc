#include "client/io/write_path.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "client/io/silence.h"
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
// For so long, at least, a write that finds all targets full goes on asking while space is coming.
constexpr absl::Duration kRoomPatience = absl::Minutes(5);
// Stripes that one seal names: well below what a server takes in one call.
constexpr size_t kSealStripesMax = 16'384;
// A node that has been gone for so long when a try ends is avoided, where there are others. One
// that takes calls and answers none ends a try by kTryTimeout, or when the map calls it down
// (Session::RunCallWatch).
constexpr absl::Duration kMoveAfter = absl::Seconds(2);
// Between two wishes for other placement groups.
constexpr absl::Duration kWishInterval = absl::Seconds(5);
// A damaged transfer is sent again; one that stays damaged means broken memory or a broken network.
constexpr int kDamagedSendsMax = 3;

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
  absl::StatusOr<std::shared_ptr<const MapIndex>> map = co_await session_.NewestMap(deadline);
  if (!map.ok()) co_return map.status();
  if (!ids_->redundancy().empty()) {
    CO_ASSIGN_OR_RETURN(redundancy_, ParseRedundancy(ids_->redundancy()));
  }
  if (redundancy_.scheme == Redundancy::Scheme::kErasureCode) {
    CO_ASSIGN_OR_RETURN(ErasureCode code, ErasureCode::Create(redundancy_.data_fragments,
                                                              redundancy_.parity_fragments));
    code_.emplace(std::move(code));
  }
  rotation_ =
      std::make_unique<Rotation>((*map)->map(), redundancy_, ids_->turn(), ids_->TakeShard());
  // Nodes may just be restarting.
  while (absl::IsUnavailable(rotation_->Usable())) {
    if (deadline.Remaining(Executor::Current().clock()) <= kRoomPause) break;
    CO_RETURN_IF_ERROR(co_await session_.Pause(kRoomPause));
    CO_RETURN_IF_ERROR(co_await session_.RefreshMap(deadline));
    rotation_->Learn(*session_.known_map());
  }
  CO_RETURN_IF_ERROR(rotation_->Usable());
  stripe_bytes_ = (*map)->map().stripe_bytes();
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
  // Not only at the start: another stripe may just have found the last target full.
  RETURN_IF_ERROR(rotation_->Usable());
  if (block_.left == 0) {
    ASSIGN_OR_RETURN(block_, ids_->TakeBlock());
  }
  --block_.left;
  const StripeId id(block_.next++);
  return PlacedStripe{id, rotation_->GroupOf(id), length_bytes};
}

Task<bool> WritePath::RoomHasCome() {
  // Nobody waits for the rest of a shard that has failed or was abandoned.
  if (!failure_.ok() || !absl::IsResourceExhausted(rotation_->Usable())) co_return false;
  const MonoTime now = Executor::Current().clock().Now();
  if (!full_since_.has_value()) full_since_ = now;
  if (now - *full_since_ > std::max(timeout_, kRoomPatience)) co_return false;
  const bool coming = co_await session_.WaitForSpace();
  if (!coming || !failure_.ok()) co_return false;
  rotation_->ForgiveFull();
  co_return true;
}

absl::Status WritePath::Move(Stripe* stripe) {
  ASSIGN_OR_RETURN(stripe->placed, Place(stripe->placed.length_bytes));
  for (uint32_t i = 0; i < stripe->fragments.size(); ++i) {
    if (redundancy_.FragmentLength(stripe->placed.length_bytes, i) > 0)
      stripe->fragments[i].state = Fragment::State::kUnsent;
  }
  return absl::OkStatus();
}

bool WritePath::RefuseFor(const Fragment& fragment, const absl::Status& error, MonoTime since) {
  // Refused before a target was found, by the map say: nowhere else is better.
  if (!fragment.target.has_value()) return false;
  // The cluster may have found the node down, and other groups to go on with.
  if (const wire::ClusterMap* map = session_.known_map(); map != nullptr) rotation_->Learn(*map);
  // A lost endpoint has cost the connections to all nodes, of which most are back by now.
  rotation_->Forgive([this, &fragment](TargetId target) {
    return target != *fragment.target && session_.IsConnected(target);
  });
  if (IsSilence(error) && rotation_->IsAvoided(*fragment.target)) return true;
  // Of one that has just been out of reach nothing is to be waited for.
  const bool waited = Executor::Current().clock().Now() - since >= kMoveAfter ||
                      session_.IsOutOfReach(*fragment.target);
  const bool gone = IsSilence(error) && waited && rotation_->CanAvoid(*fragment.target);
  if (!gone && !TargetRefuses(error)) return false;
  rotation_->Refuse(*fragment.target, error);
  return true;
}

Task<absl::Status> WritePath::Launch() {
  if (seal_wanted_) CO_RETURN_IF_ERROR(co_await SealLaunched());
  std::vector<Segment> segments = cutter_->Take();
  uint64_t length = 0;
  for (const Segment& segment : segments) length += segment.bytes.size();
  absl::StatusOr<PlacedStripe> placed = Place(length);
  while (!placed.ok()) {
    const bool room = co_await RoomHasCome();
    if (!room) co_return placed.status();
    placed = Place(length);
  }
  absl::Status admitted = co_await session_.TakeTurn(session_.window(), timeout_);
  if (!admitted.ok()) co_return admitted;
  Stripe& stripe = unsealed_.emplace_back();
  stripe.placed = *placed;
  stripe.segments = std::move(segments);
  stripe.fragments.resize(redundancy_.width());
  for (uint32_t i = 0; i < stripe.fragments.size(); ++i) {
    if (redundancy_.FragmentLength(length, i) == 0)
      stripe.fragments[i].state = Fragment::State::kSealed;
  }
  scope_.Spawn(SendInWindow(&stripe));
  co_return failure_;
}

Task<void> WritePath::SendInWindow(Stripe* stripe) {
  absl::Status sent = co_await Send(stripe);
  if (!sent.ok() && failure_.ok()) failure_ = sent;
  session_.window().Release(1);
}

Task<absl::Status> WritePath::Send(Stripe* stripe) {
  while (true) {
    ParityPool::Buffer parity;
    const Deadline deadline = Deadline::After(Executor::Current().clock(), timeout_);
    absl::Status encoded = co_await Encode(stripe, &parity, deadline);
    if (!encoded.ok()) co_return encoded;
    const Sent sent = co_await SendFragments(stripe, &parity);
    if (sent.status.ok()) co_return sent.status;
    // The shard has failed elsewhere or was abandoned: nobody waits for this stripe any more.
    if (!failure_.ok()) co_return failure_;
    if (!sent.move) co_return sent.status;
    absl::Status moved = Move(stripe);
    while (!moved.ok()) {
      const bool room = co_await RoomHasCome();
      if (!room) co_return moved;
      moved = Move(stripe);
    }
    if (rotation_->IsCrowdedForSilence())
      session_.StillWantGroupsWithout(FormatRedundancy(redundancy_), rotation_->Avoided());
  }
}

Task<absl::Status> WritePath::Encode(Stripe* stripe, ParityPool::Buffer* parity,
                                     Deadline deadline) {
  const uint32_t k = redundancy_.data_fragments;
  if (!code_.has_value()) {
    if (stripe->crcs.content.empty()) stripe->crcs.content = ContentCrcs(stripe->segments);
    co_return absl::OkStatus();
  }
  const auto first_parity = stripe->fragments.begin() + k;
  const bool wanted = std::any_of(
      first_parity, stripe->fragments.end(),
      [](const Fragment& fragment) { return fragment.state == Fragment::State::kUnsent; });
  if (!wanted) co_return absl::OkStatus();
  const uint64_t length = redundancy_.FragmentLength(stripe->placed.length_bytes, k);
  absl::StatusOr<ParityPool::Buffer> taken =
      co_await session_.parity().Take(length * redundancy_.parity_fragments, deadline);
  if (!taken.ok()) co_return taken.status();
  *parity = *std::move(taken);
  std::vector<MutableBytes> buffers;
  for (uint32_t i = 0; i < redundancy_.parity_fragments; ++i)
    buffers.push_back(parity->bytes().subspan(i * length, length));
  stripe->crcs = EncodeStripe(*code_, redundancy_, stripe->segments, buffers);
  co_return absl::OkStatus();
}

// All side by side; the first error, and one that asks to move before others.
Task<WritePath::Sent> WritePath::SendFragments(Stripe* stripe, const ParityPool::Buffer* parity) {
  std::vector<Task<Sent>> sends;
  for (uint32_t i = 0; i < stripe->fragments.size(); ++i) {
    if (stripe->fragments[i].state == Fragment::State::kUnsent)
      sends.push_back(SendFragment(stripe, i, parity));
  }
  const std::vector<Sent> results = co_await WhenAll(std::move(sends));
  Sent all;
  for (const Sent& each : results) {
    if (each.status.ok() || all.move) continue;
    if (all.status.ok() || each.move) all = each;
  }
  co_return all;
}

Task<WritePath::Sent> WritePath::SendFragment(Stripe* stripe, uint32_t index,
                                              const ParityPool::Buffer* parity) {
  Fragment& fragment = stripe->fragments[index];
  const Clock& clock = Executor::Current().clock();
  Deadline deadline = Deadline::After(clock, timeout_);
  MonoTime since = clock.Now();
  int damaged = 0;
  while (true) {
    const Deadline before = deadline;
    absl::Status sent = co_await SendOnce(stripe, index, parity, deadline);
    // Neither counts the time in line.
    since = since + (deadline.at() - before.at());
    if (sent.ok() || !failure_.ok()) co_return Sent{sent};
    if (RefuseFor(fragment, sent, since)) co_return Sent{sent, true};
    if (IsSilence(sent) && clock.Now() - since >= kMoveAfter) co_await WantOtherGroups(fragment);
    const bool retry = IsSilence(sent) || (absl::IsDataLoss(sent) && ++damaged < kDamagedSendsMax);
    if (!retry || deadline.Remaining(clock) <= kRetryPause) co_return Sent{sent};
    absl::Status paused = co_await session_.Pause(kRetryPause);
    if (!paused.ok()) co_return Sent{paused};
  }
}

// Each group that is known has a target that does not answer: of one that is up for the cluster
// nobody else knows that.
Task<void> WritePath::WantOtherGroups(const Fragment& fragment) {
  const Clock& clock = Executor::Current().clock();
  if (!fragment.target.has_value() || rotation_->CanAvoid(*fragment.target)) co_return;
  if (redundancy_.width() == 1 || clock.Now() < next_wish_) co_return;
  next_wish_ = clock.Now() + kWishInterval;
  std::vector<TargetId> avoid = rotation_->Avoided();
  avoid.push_back(*fragment.target);
  (void)co_await session_.MakeGroupsWithout(FormatRedundancy(redundancy_), std::move(avoid),
                                            Deadline::After(clock, kWishInterval));
}

std::span<const uint32_t> WritePath::CrcsOf(const Stripe& stripe, uint32_t index) const {
  if (!code_.has_value()) return stripe.crcs.content;
  const uint32_t k = redundancy_.data_fragments;
  if (index >= k) return stripe.crcs.parity[index - k];
  const uint64_t length = stripe.placed.length_bytes;
  const uint64_t first = index * redundancy_.FragmentSpan(length) / kBlockBytes;
  const uint64_t count = DivideUp(redundancy_.FragmentLength(length, index), kBlockBytes);
  return std::span(stripe.crcs.content).subspan(first, count);
}

std::vector<BulkDescriptor> WritePath::BulksOf(const Stripe& stripe, uint32_t index,
                                               const ParityPool::Buffer* parity) const {
  const uint32_t k = redundancy_.data_fragments;
  const uint64_t length = redundancy_.FragmentLength(stripe.placed.length_bytes, index);
  if (code_.has_value() && index >= k) return {parity->Describe((index - k) * length, length)};
  const uint64_t span = redundancy_.FragmentSpan(stripe.placed.length_bytes);
  const uint64_t begin = code_.has_value() ? index * span : 0;
  std::vector<BulkDescriptor> bulks;
  uint64_t at = 0;
  for (const Segment& segment : stripe.segments) {
    const uint64_t from = std::max(at, begin);
    const uint64_t to = std::min(at + segment.bytes.size(), begin + length);
    if (from < to) {
      // Asked anew at each try: a reset of the endpoint changes the keys.
      BulkDescriptor bulk = regions_[segment.registration]->descriptor();
      bulk.address += segment.offset_bytes + (from - at);
      bulk.length_bytes = to - from;
      bulks.push_back(bulk);
    }
    at += segment.bytes.size();
  }
  return bulks;
}

Session::Reach WritePath::ReachFor(PgId group, uint32_t index) const {
  const std::optional<TargetId> target = session_.MemberNow(group, index);
  const bool elsewhere = target.has_value() && rotation_->CanAvoid(*target);
  return elsewhere ? Session::Reach::kInHaste : Session::Reach::kPatiently;
}

// OK also when the target wants a seal first; the fragment is unsent then.
Task<absl::Status> WritePath::SendOnce(Stripe* stripe, uint32_t index,
                                       const ParityPool::Buffer* parity, Deadline& deadline) {
  const Clock& clock = Executor::Current().clock();
  Fragment& fragment = stripe->fragments[index];
  fragment.target.reset();
  absl::StatusOr<TargetRoute> route = co_await session_.Route(
      stripe->placed.group, index, Earlier(deadline, Deadline::After(clock, kTryTimeout)),
      &fragment.target, ReachFor(stripe->placed.group, index));
  if (!route.ok()) co_return route.status();
  const MonoTime queued = clock.Now();
  absl::Status admitted = co_await session_.TakeTurn(route->node->window(), timeout_);
  if (!admitted.ok()) co_return admitted;
  // The stripe's own time stands still while it waits behind this client's others.
  deadline = Deadline(deadline.at() + (clock.Now() - queued));
  wire::WriteFragmentRequest request;
  request.set_target(route->target.value());
  request.mutable_key()->set_stripe(stripe->placed.id.value());
  request.mutable_key()->set_index(index);
  request.set_lease(ids_->lease().value());
  request.set_length_bytes(redundancy_.FragmentLength(stripe->placed.length_bytes, index));
  for (uint32_t crc : CrcsOf(*stripe, index)) request.add_block_crcs(crc);
  request.set_background(session_.background());
  CallOptions options{
      Earlier(deadline, Deadline::After(clock, kTryTimeout)), BulksOf(*stripe, index, parity), {}};
  absl::StatusOr<wire::WriteFragmentReply> reply =
      co_await route->node->Call<wire::WriteFragmentReply>(route->core, wire::WRITE_FRAGMENT,
                                                           request, std::move(options));
  route->node->window().Release(1);
  if (!reply.ok()) co_return reply.status();
  session_.NoteProgress();
  if (reply->seal_first()) {
    seal_wanted_ = true;
  } else {
    fragment.state = Fragment::State::kWritten;
    full_since_.reset();
  }
  co_return absl::OkStatus();
}

Task<absl::Status> WritePath::EndStripe() {
  CO_RETURN_IF_ERROR(failure_);
  if (cutter_ == nullptr || cutter_->empty()) co_return failure_;
  absl::Status launched = co_await Launch();
  if (!launched.ok() && failure_.ok()) failure_ = launched;
  co_return failure_;
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
    crc32c_ = CombineCrc32c(crc32c_, CombineBlockCrcs(stripe.crcs.content, length), length);
    sealed_.push_back(stripe.placed);
  }
  unsealed_.clear();
}

bool WritePath::Stripe::Any(Fragment::State state) const {
  return std::any_of(fragments.begin(), fragments.end(),
                     [state](const Fragment& fragment) { return fragment.state == state; });
}

bool WritePath::Any(Fragment::State state) const {
  return std::any_of(unsealed_.begin(), unsealed_.end(),
                     [state](const Stripe& stripe) { return stripe.Any(state); });
}

// Ends, because each round without an error has sealed or sent something, no stripe is lost or
// moved for ever, and errors are borne with until the deadline only.
Task<absl::Status> WritePath::SealAll() {
  const Clock& clock = Executor::Current().clock();
  Deadline deadline = Deadline::After(clock, timeout_);
  MonoTime since = clock.Now();
  while (true) {
    absl::Status sealed = co_await SealOnce(deadline, since);
    CO_RETURN_IF_ERROR(failure_);
    if (sealed.ok()) {
      if (!Any(Fragment::State::kUnsent) && !Any(Fragment::State::kWritten)) co_return sealed;
      seal_wanted_ = false;
      absl::Status sent = co_await SendUnsent();
      if (!sent.ok()) co_return sent;
      if (Any(Fragment::State::kWritten)) {
        deadline = Deadline::After(clock, timeout_);
        since = clock.Now();
        continue;
      }
      sealed = absl::ResourceExhaustedError(
          "the targets hold as many unsealed fragments as they can; other writers must close their "
          "shards first");
    }
    const bool full = absl::IsResourceExhausted(sealed);
    const absl::Duration pause = full ? kRoomPause : kRetryPause;
    const bool retry = (full || IsSilence(sealed)) && deadline.Remaining(clock) > pause;
    if (!retry) co_return sealed;
    absl::Status paused = co_await session_.Pause(pause);
    if (!paused.ok()) co_return paused;
  }
}

Task<absl::Status> WritePath::SendUnsent() {
  absl::Status refused;
  for (Stripe& stripe : unsealed_) {
    if (!stripe.Any(Fragment::State::kUnsent)) continue;
    const bool lost_often =
        std::any_of(stripe.fragments.begin(), stripe.fragments.end(),
                    [](const Fragment& fragment) { return fragment.losses > kLossesMax; });
    if (lost_often) {
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

Task<absl::Status> WritePath::SealOnce(Deadline deadline, MonoTime since) {
  deadline = Earlier(deadline, Deadline::After(Executor::Current().clock(), kTryTimeout));
  std::map<TargetId, std::pair<TargetRoute, std::vector<FragmentOf>>> by_target;
  absl::Status unrouted;
  for (Stripe& stripe : unsealed_) {
    for (uint32_t i = 0; i < stripe.fragments.size(); ++i) {
      Fragment& fragment = stripe.fragments[i];
      if (fragment.state != Fragment::State::kWritten) continue;
      absl::StatusOr<TargetRoute> route =
          co_await session_.Route(stripe.placed.group, i, deadline, &fragment.target);
      if (!route.ok()) {
        // Its node cannot be reached; the others' seals need not wait for it.
        unrouted.Update(OnSealed({{&stripe, i}}, route.status(), since));
        break;
      }
      auto& entry = by_target[route->target];
      entry.first = *std::move(route);
      entry.second.push_back({&stripe, i});
    }
  }
  // Bounded by the rotation: a few more than it has groups, when some were replaced.
  std::vector<Task<Missing>> seals;
  for (auto& [target, entry] : by_target)
    seals.push_back(SealTarget(entry.first, entry.second, deadline));
  const std::vector<Missing> results = co_await WhenAll(std::move(seals));
  absl::Status all = unrouted;
  auto result = results.begin();
  for (const auto& [target, entry] : by_target)
    all.Update(OnSealed(entry.second, *result++, since));
  co_return all;
}

// What the answer of one target means for the fragments that it was asked to seal. OK also for an
// error that the stripes' move to other targets has mended.
absl::Status WritePath::OnSealed(const std::vector<FragmentOf>& fragments, const Missing& missing,
                                 MonoTime since) {
  // What is written needs no more room but for its records, which comes back.
  if (absl::IsResourceExhausted(missing.status())) return missing.status();
  if (!missing.ok()) {
    // The target has failed, and with it all that it had not sealed; or nobody has heard from its
    // node for a while.
    bool moved = false;
    for (const FragmentOf& each : fragments) {
      Fragment& fragment = each.stripe->fragments[each.index];
      // Another of the stripe's fragments may have moved it already.
      if (fragment.state != Fragment::State::kWritten) continue;
      const bool refused =
          RefuseFor(fragment, missing.status(), since) || (moved && fragment.target.has_value());
      if (!refused) return missing.status();
      moved = true;
      // Nothing that waiting would help against.
      absl::Status found = Move(each.stripe);
      if (!found.ok() && failure_.ok()) failure_ = found;
      RETURN_IF_ERROR(failure_);
    }
    return absl::OkStatus();
  }
  // A reply names only so many, and seals nothing when it names any: the others are asked about
  // again.
  const absl::flat_hash_set<uint64_t> lost(missing->begin(), missing->end());
  size_t found = 0;
  for (const FragmentOf& each : fragments) {
    Fragment& fragment = each.stripe->fragments[each.index];
    if (fragment.state != Fragment::State::kWritten) {
      ++found;  // moved meanwhile
      continue;
    }
    if (lost.empty()) fragment.state = Fragment::State::kSealed;
    if (!lost.contains(each.stripe->placed.id.value())) continue;
    fragment.state = Fragment::State::kUnsent;
    ++fragment.losses;
    ++found;
  }
  if (found == 0 && !lost.empty()) {
    return absl::InternalError("a target misses stripes that it was not asked for");
  }
  return absl::OkStatus();
}

Task<WritePath::Missing> WritePath::SealTarget(TargetRoute route, std::vector<FragmentOf> fragments,
                                               Deadline deadline) {
  // Runs of one stride, so that a rotation over many targets stays short. Each is about 16 bytes on
  // the wire; this many fit a message with room to spare.
  constexpr int kRunsMax = 1500;
  using Key = std::pair<uint32_t, uint64_t>;
  std::vector<Key> keys;
  for (const FragmentOf& each : fragments)
    keys.emplace_back(each.index, each.stripe->placed.id.value());
  std::sort(keys.begin(), keys.end());
  std::vector<uint64_t> missing;
  size_t next = 0;
  while (next < keys.size()) {
    wire::SealRequest request;
    request.set_target(route.target.value());
    request.set_lease(ids_->lease().value());
    const size_t end = std::min(keys.size(), next + kSealStripesMax);
    while (next < end && request.runs_size() < kRunsMax) {
      wire::FragmentRun* run = request.add_runs();
      const auto [index, first] = keys[next];
      uint64_t stride = 1;
      if (next + 1 < end && keys[next + 1].first == index) stride = keys[next + 1].second - first;
      if (stride > UINT32_MAX) stride = 1;
      uint32_t count = 1;
      while (next + count < end && keys[next + count] == Key(index, first + count * stride))
        ++count;
      run->set_first_stripe(first);
      run->set_stride(static_cast<uint32_t>(stride));
      run->set_count(count);
      run->set_index(index);
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
