#include "server/repair/fragment_maker.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/crc32c.h"
#include "common/base/erasure_code.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/placement/redundancy.h"
#include "common/task/scope.h"
#include "common/task/when_all.h"
#include "proto/wire/chunk.pb.h"
#include "server/chunk/aligned_block.h"

namespace cairn {
namespace {

constexpr int kStripesMax = 1024;
constexpr int kFailuresTold = 16;
constexpr absl::Duration kReadTimeout = absl::Seconds(20);
// While clients are served, so many times as long as a fragment took nothing is done.
constexpr int kYield = 3;
constexpr absl::Duration kYieldMax = absl::Seconds(1);

using Source = wire::RestoreFragmentsRequest::Source;

// Whoever could not give the fragment now may have it: it is neither missing there nor damaged.
bool MayCome(const absl::Status& status) {
  return !absl::IsNotFound(status) && !absl::IsDataLoss(status) && !absl::IsOutOfRange(status);
}

absl::Status Verify(uint64_t stripe, uint32_t index, ConstBytes bytes,
                    const wire::ReadFragmentReply& reply) {
  BlockCrcs crcs;
  crcs.Add(bytes);
  const std::vector<uint32_t> computed = crcs.Finish();
  if (std::equal(computed.begin(), computed.end(), reply.piece_crcs().begin(),
                 reply.piece_crcs().end())) {
    return absl::OkStatus();
  }
  return absl::DataLossError(
      StrCat("stripe ", stripe, ", fragment ", index, " is not what was written"));
}

}  // namespace

// One request. Lives in Restore()'s frame.
struct FragmentMaker::Job {
  enum class State { kWanted, kPresent, kMade, kFailed };
  struct Item {
    uint64_t stripe = 0;
    uint64_t stripe_bytes = 0;
    State state = State::kWanted;
    bool lost = false;  // no fragments are left to make it of
  };
  const wire::RestoreFragmentsRequest& request;
  const Deadline deadline;
  Redundancy redundancy;
  std::vector<Item> items;
  wire::RestoreFragmentsReply reply;
  Scope scope;

  FragmentKey KeyOf(size_t item) const { return {StripeId(items[item].stripe), request.index()}; }
  uint64_t LengthOf(size_t item) const {
    return redundancy.FragmentLength(items[item].stripe_bytes, request.index());
  }
  void Fail(size_t item, const absl::Status& why) {
    items[item].state = State::kFailed;
    reply.set_failed(reply.failed() + 1);
    if (items[item].lost) reply.set_lost(reply.lost() + 1);
    if (reply.failures_size() == kFailuresTold) return;
    auto* failure = reply.add_failures();
    failure->set_stripe(items[item].stripe);
    failure->set_code(static_cast<uint32_t>(why.code()));
    failure->set_reason(std::string(why.message()));
  }
};

// The fragments that one is computed from, and the memory they are in.
struct FragmentMaker::Sources {
  std::unique_ptr<AlignedBuffer> memory;
  std::vector<CodedFragment> present;
};

FragmentMaker::FragmentMaker(Net& net, Peers& peers, OnTarget on_target, std::function<bool()> busy,
                             Options options)
    : net_(net),
      peers_(peers),
      on_target_(std::move(on_target)),
      busy_(std::move(busy)),
      options_(options),
      turns_(options.at_once),
      replacing_(1) {}

// Of two who replace the same fragment, as a check and what a reader has stumbled over may want at
// once, one would free what the other is writing.
Task<absl::StatusOr<wire::RestoreFragmentsReply>> FragmentMaker::Restore(
    const wire::RestoreFragmentsRequest& request, Deadline deadline) {
  if (!request.replace()) co_return co_await RestoreNow(request, deadline);
  absl::Status admitted = co_await replacing_.Acquire(1, deadline);
  if (!admitted.ok()) co_return admitted;
  absl::StatusOr<wire::RestoreFragmentsReply> reply = co_await RestoreNow(request, deadline);
  replacing_.Release(1);
  co_return reply;
}

Task<absl::StatusOr<wire::RestoreFragmentsReply>> FragmentMaker::RestoreNow(
    const wire::RestoreFragmentsRequest& request, Deadline deadline) {
  Job job{request, deadline, {}, {}, {}, {}};
  CO_ASSIGN_OR_RETURN(job.redundancy, ParseRedundancy(request.redundancy()));
  if (request.index() >= job.redundancy.width() || request.stripes_size() > kStripesMax)
    co_return absl::InvalidArgumentError("a fragment that no stripe of this redundancy has");
  for (const auto& stripe : request.stripes()) {
    const uint64_t length = job.redundancy.FragmentLength(stripe.length_bytes(), request.index());
    if (stripe.length_bytes() == 0 || stripe.length_bytes() > kFragmentBytesMax) {
      co_return absl::InvalidArgumentError(
          StrCat("stripe ", stripe.id(), " of ", stripe.length_bytes(), " bytes"));
    }
    // Short stripes leave data fragments empty, and those are not stored.
    const auto state = length == 0 ? Job::State::kPresent : Job::State::kWanted;
    job.items.push_back({stripe.id(), stripe.length_bytes(), state, false});
  }
  if (!request.replace()) {
    absl::Status found = co_await FindPresent(job);
    if (!found.ok()) co_return found;
  }
  for (size_t i = 0; i < job.items.size(); ++i) {
    if (job.items[i].state == Job::State::kWanted) job.scope.Spawn(MakeInTurn(&job, i));
  }
  co_await job.scope.Join();
  absl::Status sealed = co_await SealMade(job);
  if (!sealed.ok()) co_return sealed;
  for (const Job::Item& item : job.items) {
    if (item.state == Job::State::kPresent) job.reply.set_present(job.reply.present() + 1);
  }
  co_return std::move(job.reply);
}

Task<absl::Status> FragmentMaker::FindPresent(Job& job) {
  absl::flat_hash_map<FragmentKey, uint32_t> held;
  const TargetWork look = [&job, &held](Target& target) -> Task<absl::Status> {
    return [](Job& job, auto& held, Target& target) -> Task<absl::Status> {
      std::vector<FragmentKey> keys;
      for (size_t i = 0; i < job.items.size(); ++i) keys.push_back(job.KeyOf(i));
      const absl::StatusOr<std::vector<HeldFragment>> found =
          co_await target.FindHeld(std::move(keys));
      if (!found.ok()) co_return found.status();
      for (const HeldFragment& each : *found) {
        if (!each.damaged) held.emplace(each.key, each.length_bytes);
      }
      co_return absl::OkStatus();
    }(job, held, target);
  };
  absl::Status looked = co_await on_target_(job.request.target(), look);
  if (!looked.ok()) co_return looked;
  for (size_t i = 0; i < job.items.size(); ++i) {
    const auto found = held.find(job.KeyOf(i));
    // One of another length is no fragment of this stripe: it is found and told when it is written.
    if (found != held.end() && found->second == job.LengthOf(i))
      job.items[i].state = Job::State::kPresent;
  }
  co_return absl::OkStatus();
}

Task<void> FragmentMaker::MakeInTurn(Job* job, size_t item) {
  absl::Status done = co_await turns_.Acquire(1, job->deadline);
  if (!done.ok()) {
    job->Fail(item, done);
    co_return;
  }
  const MonoTime began = Executor::Current().clock().Now();
  done = co_await Make(*job, item);
  if (done.ok()) {
    job->items[item].state = Job::State::kMade;
    co_await Pace(job->LengthOf(item), began);
  } else {
    job->Fail(item, done);
  }
  turns_.Release(1);
}

// Waits as long as the one who was just served would otherwise take more than its share.
Task<void> FragmentMaker::Pace(uint64_t bytes, MonoTime began) {
  const MonoTime now = Executor::Current().clock().Now();
  MonoTime until = now;
  if (busy_()) until = now + std::min(kYieldMax, (now - began) * kYield);
  if (options_.bytes_per_second > 0) {
    const double seconds =
        static_cast<double>(bytes) / static_cast<double>(options_.bytes_per_second);
    paced_until_ = std::max(paced_until_, now) + absl::Seconds(seconds);
    until = std::max(until, paced_until_);
  }
  if (until == now) co_return;
  (void)co_await SleepUntil(Deadline(until), stop_);
}

Task<absl::Status> FragmentMaker::Make(Job& job, size_t item) {
  const uint64_t length = job.LengthOf(item);
  const AlignedBuffer buffer(length);
  absl::Status fetched = co_await Fetch(job, item, buffer.bytes().first(length));
  job.items[item].lost = absl::IsDataLoss(fetched);
  if (!fetched.ok()) co_return fetched;
  std::fill(buffer.bytes().begin() + static_cast<ptrdiff_t>(length), buffer.bytes().end(),
            std::byte{0});
  BlockCrcs crcs;
  crcs.Add(buffer.bytes().first(length));
  const std::vector<uint32_t> block_crcs = crcs.Finish();
  const FragmentKey key = job.KeyOf(item);
  const bool replace = job.request.replace();
  const TargetWork write = [&](Target& target) -> Task<absl::Status> {
    return [](Target& target, FragmentKey key, bool replace, ConstBytes bytes, uint64_t length,
              std::vector<uint32_t> crcs) -> Task<absl::Status> {
      if (replace) {
        // In this order: what was made again is at hand before what was bad goes.
        std::vector<FragmentRun> bad = {{key.stripe, 1, 1, key.index}};
        absl::Status freed = co_await target.Free(std::move(bad));
        if (!freed.ok()) co_return freed;
      }
      co_return co_await target.Write(key, kRestoreLease, bytes, length, std::move(crcs));
    }(target, key, replace, buffer.bytes(), length, block_crcs);
  };
  co_return co_await on_target_(job.request.target(), write);
}

Task<absl::Status> FragmentMaker::Fetch(Job& job, size_t item, MutableBytes into) {
  absl::Status copied = co_await Copy(job, item, into);
  if (copied.ok() || job.redundancy.scheme == Redundancy::Scheme::kReplica) co_return copied;
  co_return co_await Reconstruct(job, item, into);
}

// From those that have the very bytes: the fragment's own place before a move, or any replica.
Task<absl::Status> FragmentMaker::Copy(Job& job, size_t item, MutableBytes into) {
  const bool replicas = job.redundancy.scheme == Redundancy::Scheme::kReplica;
  absl::Status last = absl::DataLossError("no copy is left that could be read");
  bool silent = false;
  for (const Source& source : job.request.sources()) {
    if (!replicas && source.index() != job.request.index()) continue;
    last = co_await Read(&job, item, &source, into);
    if (last.ok()) co_return last;
    silent = silent || MayCome(last);
  }
  // One who may be back has it perhaps.
  if (silent) co_return absl::UnavailableError(last.message());
  if (absl::IsNotFound(last)) co_return absl::DataLossError(last.message());
  co_return last;
}

Task<absl::Status> FragmentMaker::Reconstruct(Job& job, size_t item, MutableBytes into) {
  const uint32_t k = job.redundancy.data_fragments;
  CO_ASSIGN_OR_RETURN(const ErasureCode code,
                      ErasureCode::Create(k, job.redundancy.parity_fragments));
  const uint64_t length = job.redundancy.FragmentLength(job.items[item].stripe_bytes, k);
  const absl::StatusOr<Sources> sources = co_await ReadSources(job, item, length);
  if (!sources.ok()) co_return sources.status();
  if (into.size() == length) {
    const WantedFragment wanted[] = {{job.request.index(), into}};
    co_return code.Reconstruct(sources->present, wanted);
  }
  // A shorter data fragment counts as filled with zeros.
  std::vector<std::byte> whole(length);
  const WantedFragment wanted[] = {{job.request.index(), whole}};
  CO_RETURN_IF_ERROR(code.Reconstruct(sources->present, wanted));
  std::copy_n(whole.begin(), into.size(), into.begin());
  co_return absl::OkStatus();
}

// Any k of the others, a further one for each that fails. All side by side.
Task<absl::StatusOr<FragmentMaker::Sources>> FragmentMaker::ReadSources(Job& job, size_t item,
                                                                        uint64_t length_bytes) {
  const uint32_t k = job.redundancy.data_fragments;
  const uint64_t slot_bytes = AlignUp(length_bytes, kUnitBytes);
  Sources sources;
  sources.memory = std::make_unique<AlignedBuffer>(slot_bytes * k);
  std::vector<MutableBytes> slots;
  for (uint32_t i = 0; i < k; ++i)
    slots.push_back(sources.memory->bytes().subspan(i * slot_bytes, length_bytes));
  absl::Status last = absl::DataLossError("too few fragments are left");
  bool silent = false;
  // Short stripes leave data fragments empty: these are known, whoever is to have them.
  for (uint32_t i = 0; i < k && !slots.empty(); ++i) {
    const bool empty = job.redundancy.FragmentLength(job.items[item].stripe_bytes, i) == 0;
    if (!empty || i == job.request.index()) continue;
    std::fill(slots.back().begin(), slots.back().end(), std::byte{0});
    sources.present.push_back({i, slots.back()});
    slots.pop_back();
  }
  int next = 0;
  while (!slots.empty()) {
    std::vector<Task<absl::Status>> reads;
    std::vector<uint32_t> asked;
    for (; next < job.request.sources_size() && asked.size() < slots.size(); ++next) {
      const Source& source = job.request.sources(next);
      const bool empty =
          job.redundancy.FragmentLength(job.items[item].stripe_bytes, source.index()) == 0;
      if (source.index() == job.request.index() || empty) continue;
      reads.push_back(Read(&job, item, &source, slots[asked.size()]));
      asked.push_back(source.index());
    }
    if (asked.size() < slots.size()) {
      const std::string why = StrCat("of ", k, " fragments that it takes ", sources.present.size(),
                                     " can be read: ", ToStd(last.message()));
      co_return silent ? absl::UnavailableError(why) : absl::DataLossError(why);
    }
    const std::vector<absl::Status> results = co_await WhenAll(std::move(reads));
    std::vector<MutableBytes> free;
    for (size_t i = 0; i < results.size(); ++i) {
      if (results[i].ok()) {
        sources.present.push_back({asked[i], slots[i]});
        continue;
      }
      last = results[i];
      silent = silent || MayCome(last);
      free.push_back(slots[i]);
    }
    slots = std::move(free);
  }
  co_return sources;
}

// The whole of one fragment; what it lacks at the end of `into` counts as zeros.
Task<absl::Status> FragmentMaker::Read(Job* job, size_t item, const Source* source,
                                       MutableBytes into) {
  const uint64_t stripe = job->items[item].stripe;
  const uint32_t index = source->index();
  const uint64_t length = job->redundancy.FragmentLength(job->items[item].stripe_bytes, index);
  std::fill(into.begin() + static_cast<ptrdiff_t>(length), into.end(), std::byte{0});
  if (length == 0) co_return absl::OkStatus();
  const MutableBytes bytes = into.first(length);
  const Deadline deadline =
      Earlier(job->deadline, Deadline::After(Executor::Current().clock(), kReadTimeout));
  const absl::StatusOr<std::shared_ptr<NodeConnection>> node =
      co_await peers_.ConnectNode(source->node(), source->endpoint(), deadline);
  if (!node.ok()) co_return node.status();
  if (source->core() >= static_cast<uint32_t>((*node)->hello().core_addresses_size())) {
    co_return absl::UnavailableError(
        StrCat("node ", source->node(), " has no core ", source->core(), " any more"));
  }
  const absl::StatusOr<std::unique_ptr<MemoryRegion>> region =
      net_.Register(bytes, MemoryAccess::kRemoteWrite);
  if (!region.ok()) co_return region.status();
  BulkDescriptor bulk = (*region)->descriptor();
  bulk.length_bytes = length;
  wire::ReadFragmentRequest request;
  request.set_target(source->target());
  request.mutable_key()->set_stripe(stripe);
  request.mutable_key()->set_index(index);
  request.set_length_bytes(length);
  request.set_background(true);
  CallOptions options{deadline, {}, {}};
  options.bulks.push_back(bulk);
  const absl::StatusOr<wire::ReadFragmentReply> reply =
      co_await (*node)->Call<wire::ReadFragmentReply>(source->core(), wire::READ_FRAGMENT, request,
                                                      std::move(options));
  if (!reply.ok()) co_return reply.status();
  job->reply.set_read_bytes(job->reply.read_bytes() + length);
  co_return Verify(stripe, index, bytes, *reply);
}

Task<absl::Status> FragmentMaker::SealMade(Job& job) {
  std::vector<FragmentRun> runs;
  uint64_t bytes = 0;
  for (size_t i = 0; i < job.items.size(); ++i) {
    if (job.items[i].state != Job::State::kMade) continue;
    runs.push_back({StripeId(job.items[i].stripe), 1, 1, job.request.index()});
    bytes += job.LengthOf(i);
  }
  if (runs.empty()) co_return absl::OkStatus();
  const size_t made = runs.size();
  const TargetWork seal = [&runs](Target& target) -> Task<absl::Status> {
    return [](Target& target, std::vector<FragmentRun> runs) -> Task<absl::Status> {
      const absl::StatusOr<std::vector<StripeId>> missing =
          co_await target.Seal(kRestoreLease, runs);
      if (missing.ok() && missing->empty()) co_return absl::OkStatus();
      // Nobody else knows of them.
      target.Discard(runs);
      if (!missing.ok()) co_return missing.status();
      co_return absl::UnavailableError("what was made has got lost before it was sealed");
    }(target, runs);
  };
  absl::Status sealed = co_await on_target_(job.request.target(), seal);
  if (!sealed.ok()) co_return sealed;
  job.reply.set_restored(static_cast<uint32_t>(made));
  job.reply.set_restored_bytes(bytes);
  co_return absl::OkStatus();
}

void FragmentMaker::Stop() {
  stop_.RequestStop();
  turns_.Break();
  replacing_.Break();
}

}  // namespace cairn
