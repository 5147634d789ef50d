#include "client/core/fs_content.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "client/core/fs_extents.h"
#include "common/base/posix_error.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/telemetry/log.h"
#include "proto/wire/tier.pb.h"

namespace cairn::client_internal {
namespace {

// A file that changes more often than this while one range of it is read is not read.
constexpr int kChangesMax = 100;
constexpr absl::Duration kChangedPause = absl::Milliseconds(2);
constexpr absl::Duration kFetchPause = absl::Milliseconds(500);
constexpr uint32_t kFetchFailuresMax = 3;
// Longer lists are fetched anew instead of being changed in place: that takes time for each extent.
constexpr size_t kExtentsKeptMax = 4096;

}  // namespace

std::string FsContent::Describe() const {
  return context_.names.PathOf(inode_).value_or(StrCat("inode ", inode_));
}

void FsContent::DropCaches() {
  extents_.reset();
  readahead_.Drop();
}

void FsContent::TakeAttributes(const wire::Attributes& attributes) {
  const bool has_size = attributes_.size_bytes() == attributes.size_bytes();
  if (attributes_.version() != attributes.version() || !has_size) {
    DropCaches();
    context_.NoteChangeOf(inode_);
  }
  attributes_ = attributes;
}

void FsContent::Learn(const wire::Attributes& attributes, uint64_t asked_at) {
  // Versions grow: this one is of before the last change.
  if (attributes.version() < attributes_.version() && asked_at != learned_) return;
  ++learned_;
  TakeAttributes(attributes);
}

void FsContent::LearnOwnChange(const wire::Attributes& attributes, uint64_t before,
                               const Extents* fresh) {
  if (attributes.version() < attributes_.version()) return;
  ++learned_;
  if (before != 0 && before == seen_version_) seen_version_ = attributes.version();
  std::shared_ptr<Extents> changed;
  const bool follows = before != 0 && before == attributes_.version() && fresh != nullptr;
  if (follows && extents_ != nullptr && extents_->size() <= kExtentsKeptMax) {
    changed = std::make_shared<Extents>(*extents_);
    Overwrite(*changed, *fresh);
  }
  DropCaches();
  context_.NoteChangeOf(inode_);
  attributes_ = attributes;
  extents_ = std::move(changed);
}

bool FsContent::SeeAtOpen(uint64_t seen) {
  if (seen_version_ == 0) seen_version_ = seen;
  const bool is_same = seen_version_ != 0 && seen_version_ == attributes_.version();
  seen_version_ = attributes_.version();
  return is_same;
}

Task<absl::Status> FsContent::Refresh() {
  const uint64_t asked_at = learned_;
  wire::GetAttributesRequest request;
  request.set_inode(inode_);
  const absl::StatusOr<wire::GetAttributesReply> reply =
      co_await context_.Ask<wire::GetAttributesReply>(wire::GET_ATTRIBUTES, std::move(request));
  if (!reply.ok()) co_return reply.status();
  Learn(reply->attributes(), asked_at);
  co_return absl::OkStatus();
}

Task<absl::Status> FsContent::LoadExtents() {
  for (int tries = 0; extents_ == nullptr; ++tries) {
    const uint64_t version = attributes_.version();
    absl::StatusOr<Extents> extents = co_await FetchExtents(
        context_.session, inode_, version, attributes_.size_bytes(), context_.Soon());
    // Another has loaded them, or the content has changed meanwhile.
    if (extents_ != nullptr || version != attributes_.version()) continue;
    if (extents.ok()) {
      extents_ = std::make_shared<const Extents>(*std::move(extents));
      break;
    }
    const bool changed = co_await HasChanged(extents.status(), tries);
    if (!changed) co_return extents.status();
  }
  co_return absl::OkStatus();
}

Task<bool> FsContent::HasChanged(const absl::Status& status, int tries) {
  const bool may_be =
      absl::IsFailedPrecondition(status) || absl::IsNotFound(status) || absl::IsOutOfRange(status);
  if (!may_be || CarriedPosixError(status) == EIO || tries >= kChangesMax) co_return false;
  const uint64_t version = attributes_.version();
  absl::Status refreshed = co_await Refresh();
  if (!refreshed.ok()) co_return false;
  DropCaches();
  if (attributes_.version() != version) co_return true;
  // Others' changes may be half seen; the same error again and again is no change.
  if (tries >= 3) co_return false;
  co_return (co_await context_.session.Pause(kChangedPause)).ok();
}

bool FsContent::IsCold(uint64_t offset, uint64_t length) const {
  return std::any_of(extents_->begin(), extents_->end(), [&](const wire::ExtentRun& extent) {
    return extent.has_cold() && extent.offset_bytes() < offset + length &&
           offset < extent.offset_bytes() + extent.length_bytes();
  });
}

Task<absl::Status> FsContent::Prepare(uint64_t offset, uint64_t length) {
  CO_RETURN_IF_ERROR(co_await LoadExtents());
  if (recall_ == wire::RECALL_BLOCK || !IsCold(offset, length)) co_return absl::OkStatus();
  if (recall_ == wire::RECALL_FAIL) {
    CAIRN_LOG_WARN(
        "{} lies in a cold tier alone, and its policy does not have it read from there: fetch it "
        "first, with `cairn tier fetch`",
        Describe());
    co_return PosixError(EIO, StrCat(Describe(), " lies in a cold tier alone; fetch it first"));
  }
  co_return co_await FetchFromTier();
}

Task<absl::Status> FsContent::FetchFromTier() {
  const std::optional<std::string> path = context_.names.PathOf(inode_);
  if (!path.has_value()) {
    CAIRN_LOG_WARN(
        "inode {} lies in a cold tier alone, and its path is not known: fetch it with "
        "`cairn tier fetch`",
        inode_);
    co_return PosixError(EIO, "the file lies in a cold tier alone, and its path is not known");
  }
  wire::AskTierRequest ask;
  ask.set_path(*path);
  ask.set_action(wire::TIER_FETCH);
  const absl::StatusOr<wire::AskTierReply> asked =
      co_await context_.Ask<wire::AskTierReply>(wire::ASK_TIER, std::move(ask));
  if (!asked.ok()) co_return asked.status();
  while (true) {
    CO_RETURN_IF_ERROR(co_await context_.session.Pause(kFetchPause));
    CO_RETURN_IF_ERROR(co_await CheckFetch(*path));
    extents_.reset();
    CO_RETURN_IF_ERROR(co_await LoadExtents());
    if (!IsCold(0, size_bytes())) co_return absl::OkStatus();
  }
}

// It goes on: neither given up nor cancelled.
Task<absl::Status> FsContent::CheckFetch(const std::string& path) {
  wire::ExplainTierRequest request;
  request.set_path(path);
  const absl::StatusOr<wire::ExplainTierReply> reply =
      co_await context_.Ask<wire::ExplainTierReply>(wire::EXPLAIN_TIER, std::move(request));
  if (!reply.ok()) co_return reply.status();
  if (reply->failures() < kFetchFailuresMax && !reply->held()) co_return absl::OkStatus();
  const std::string why =
      reply->held() ? std::string("an operator has cancelled it") : reply->error();
  CAIRN_LOG_WARN("{} cannot be fetched from its cold tier: {}", path, why);
  co_return PosixError(EIO, StrCat(path, " cannot be fetched from its cold tier: ", why));
}

Task<absl::Status> FsContent::Read(std::vector<WantedRange> ranges) {
  const std::shared_ptr<const Extents> extents = extents_;
  const OpenedFile file{inode_, attributes_.version(), attributes_.size_bytes(), *extents};
  Extents newer;
  absl::Status read =
      co_await ReadRanges(context_.session, file, std::move(ranges), context_.timeout, &newer);
  if (!newer.empty() && extents_ == extents)
    extents_ = std::make_shared<const Extents>(std::move(newer));
  co_return read;
}

Task<absl::Status> FsContent::ReadStable(uint64_t offset, MutableBytes destination) {
  for (int tries = 0;; ++tries) {
    CO_RETURN_IF_ERROR(co_await Prepare(offset, destination.size()));
    if (!has_extents()) continue;
    const uint64_t size = size_bytes();
    const uint64_t there =
        offset < size ? std::min<uint64_t>(size - offset, destination.size()) : 0;
    std::memset(destination.data() + there, 0, destination.size() - there);
    if (there == 0) co_return absl::OkStatus();
    std::vector<WantedRange> ranges = {{offset, destination.first(there)}};
    absl::Status read = co_await Read(std::move(ranges));
    if (read.ok()) co_return read;
    const bool changed = co_await HasChanged(read, tries);
    if (!changed) co_return read;
  }
}

}  // namespace cairn::client_internal
