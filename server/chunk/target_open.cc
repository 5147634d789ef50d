// Opening a target: whose device is it, does the index belong to it, which space is free. Making
// one writes the index's identity first and the superblock last, so that an interruption leaves
// what the next start finishes.
#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/chunk/aligned_block.h"
#include "server/chunk/target.h"
#include "server/chunk/target_state.h"

namespace cairn {
namespace {

using Copy = absl::StatusOr<std::optional<Superblock>>;

Task<Copy> ReadCopy(Disk& disk, uint64_t offset_bytes) {
  const auto block = std::make_unique<AlignedBlock>();
  const absl::Status read = co_await disk.Read(offset_bytes, block->bytes());
  if (!read.ok()) co_return read;
  co_return DecodeSuperblock(block->bytes());
}

TargetUuid DrawUuid(Random& random) {
  const uint64_t words[2] = {random.Next(), random.Next()};
  TargetUuid uuid;
  static_assert(sizeof(words) == sizeof(uuid));
  std::memcpy(uuid.data(), words, sizeof(words));
  return uuid;
}

bool IsValid(const Copy& copy) { return copy.ok() && copy->has_value(); }
bool IsBlank(const Copy& copy) { return copy.ok() && !copy->has_value(); }

}  // namespace

Task<absl::StatusOr<std::unique_ptr<Target>>> Target::Open(Options options, Disk& disk,
                                                           Kv& index_store, BlockingRunner& runner,
                                                           Random& random) {
  std::unique_ptr<Target> target(new Target(std::move(options), disk, index_store, runner));
  const absl::Status started = co_await target->Start(random);
  if (!started.ok()) {
    co_return absl::Status(started.code(),
                           StrCat("target ", target->id().value(), ": ", ToStd(started.message())));
  }
  co_return std::move(target);
}

Task<absl::Status> Target::Start(Random& random) {
  const CallGuard guard(this);
  if (disk_.size_bytes() < kTargetBytesMin) {
    co_return absl::FailedPreconditionError(StrCat("the device has ", disk_.size_bytes(),
                                                   " bytes; at least ", kTargetBytesMin,
                                                   " are needed"));
  }
  CAIRN_CHECK(disk_.block_bytes() <= kUnitBytes);
  const absl::Status found = co_await ReadSuperblocks();
  if (!found.ok()) co_return found;
  absl::Status identified;
  if (blank_) {
    identified = co_await Make(random);
  } else {
    identified = co_await CheckIdentity();
  }
  if (!identified.ok()) co_return identified;
  const absl::Status rebuilt = co_await Rebuild();
  co_return rebuilt;
}

Task<absl::Status> Target::ReadSuperblocks() {
  const auto offsets = SuperblockOffsets(disk_.size_bytes());
  const Copy first = co_await ReadCopy(disk_, offsets[0]);
  const Copy second = co_await ReadCopy(disk_, offsets[1]);
  // Something else at the front, a filesystem say, has probably overwritten more than that.
  if (first.status().code() == absl::StatusCode::kFailedPrecondition) {
    co_return absl::FailedPreconditionError(StrCat("the device ", ToStd(first.status().message())));
  }
  if (!IsValid(first) && !IsValid(second)) {
    blank_ = IsBlank(first) && IsBlank(second);
    if (blank_) co_return absl::OkStatus();
    const absl::Status& worse = first.ok() ? second.status() : first.status();
    co_return absl::Status(worse.code(),
                           StrCat("no copy of the superblock is usable: ", ToStd(worse.message())));
  }
  superblock_ = IsValid(first) ? **first : **second;
  CO_RETURN_IF_ERROR(
      CheckSuperblock(superblock_, options_.cluster_id, options_.id, disk_.size_bytes()));
  const bool agree = IsValid(first) && IsValid(second) && **first == **second;
  if (agree) co_return absl::OkStatus();
  if (IsValid(first) && IsValid(second))
    co_return absl::DataLossError("the two copies of the superblock differ");
  // After the device has grown, too, the second copy is not at its place.
  warnings_.push_back(StrCat("target ", options_.id.value(), ": rewrote the ",
                             IsValid(first) ? "second" : "first",
                             " copy of the superblock, which was missing or damaged"));
  const absl::Status repaired = co_await WriteSuperblocks();
  co_return repaired;
}

Task<absl::Status> Target::Make(Random& random) {
  absl::StatusOr<std::optional<IndexIdentity>> identity;
  absl::StatusOr<std::vector<FragmentKey>> first;
  co_await runner_.Run([&] {
    identity = index_.LoadIdentity();
    first = index_.List({}, StripeId(UINT64_MAX), 1);
  });
  if (!identity.ok()) co_return identity.status();
  if (!first.ok()) co_return first.status();
  const bool other = identity->has_value() && (*identity)->target != options_.id;
  if (other || !first->empty()) {
    co_return absl::FailedPreconditionError(
        "the device is blank, but its index is that of a target in use: this is the wrong device, "
        "or it was wiped");
  }
  TargetUuid uuid;
  if (identity->has_value()) {
    uuid = (*identity)->uuid;  // the making was interrupted after this was durable
  } else {
    uuid = DrawUuid(random);
    absl::Status stored;
    co_await runner_.Run([&] { stored = index_.StoreIdentity(options_.id, uuid); });
    if (!stored.ok()) co_return stored;
  }
  superblock_ = MakeSuperblock(options_.cluster_id, options_.id, uuid, disk_.size_bytes());
  const absl::Status written = co_await WriteSuperblocks();
  co_return written;
}

Task<absl::Status> Target::CheckIdentity() {
  absl::StatusOr<std::optional<IndexIdentity>> identity;
  co_await runner_.Run([&] { identity = index_.LoadIdentity(); });
  if (!identity.ok()) co_return identity.status();
  if (!identity->has_value()) {
    co_return absl::FailedPreconditionError(
        "the device is in use, but its index is empty: the index directory was lost, or another "
        "one is configured");
  }
  if ((*identity)->target != options_.id || (*identity)->uuid != superblock_.uuid) {
    co_return absl::FailedPreconditionError(
        "the index belongs to another device (its uuid differs)");
  }
  co_return absl::OkStatus();
}

Task<absl::Status> Target::WriteSuperblocks() {
  const auto block = std::make_unique<AlignedBlock>();
  const std::string encoded = EncodeSuperblock(superblock_);
  CAIRN_CHECK(encoded.size() == kUnitBytes);
  std::memcpy(block->data, encoded.data(), encoded.size());
  for (const uint64_t offset : SuperblockOffsets(disk_.size_bytes())) {
    const absl::Status written = co_await disk_.Write(offset, block->bytes());
    if (!written.ok()) co_return written;
  }
  const absl::Status flushed = co_await disk_.Flush();
  co_return flushed;
}

Task<absl::Status> Target::Rebuild() {
  allocator_ = std::make_unique<ExtentAllocator>(superblock_.data_area);
  absl::Status loaded;
  co_await runner_.Run([&] { loaded = LoadExtents(); });
  co_return loaded;
}

// On the runner's thread; nobody else has the allocator yet.
absl::Status Target::LoadExtents() {
  return index_.ForEach([this](const FragmentKey& key, const IndexRecord& record) {
    if (!allocator_->Reserve(record.extent())) {
      return absl::DataLossError(StrCat("the index is damaged: stripe ", key.stripe.value(),
                                        ", fragment ", key.index,
                                        ", overlaps another or lies outside the device"));
    }
    usage_.used += record.extent().length_bytes;
    ++usage_.fragments;
    return absl::OkStatus();
  });
}

}  // namespace cairn
