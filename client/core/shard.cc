#include "client/core/shard.h"

#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace client_internal {

ShardImpl::ShardImpl(std::shared_ptr<ClientImpl> client, std::shared_ptr<ShardSink> sink,
                     std::string name, std::shared_ptr<StripeIds> ids)
    : client_(std::move(client)),
      sink_(std::move(sink)),
      name_(std::move(name)),
      ids_(std::move(ids)) {}

ShardImpl::~ShardImpl() {
  if (client_->CheckUsable().ok()) {
    Abandon();
  } else {
    (void)path_.release();  // belongs to the parent process
  }
}

absl::Status ShardImpl::CheckOpen() const {
  RETURN_IF_ERROR(client_->CheckUsable());
  switch (state_) {
    case State::kOpen:
      return absl::OkStatus();
    case State::kClosed:
      return absl::FailedPreconditionError(StrCat(name_, " is closed already"));
    case State::kAbandoned:
      return absl::FailedPreconditionError(StrCat(name_, " was abandoned"));
    case State::kFailed:
      return failure_;
  }
  return absl::InternalError("unknown shard state");
}

absl::Status ShardImpl::Write(std::span<const ConstBuffer> pieces) {
  RETURN_IF_ERROR(CheckOpen());
  std::vector<ConstBytes> list(pieces.begin(), pieces.end());
  uint64_t added = 0;
  for (ConstBytes piece : list) added += piece.size();
  absl::Status written = client_->Run<absl::Status>([&] { return WriteTask(std::move(list)); });
  if (written.ok()) size_bytes_.fetch_add(added, std::memory_order_relaxed);
  return written;
}

Task<absl::Status> ShardImpl::WriteTask(std::vector<ConstBytes> pieces) {
  if (path_ == nullptr) {
    path_ = std::make_unique<WritePath>(client_->session(), ids_, client_->options().timeout);
  }
  co_return co_await path_->Write(std::move(pieces));
}

absl::Status ShardImpl::Flush() {
  RETURN_IF_ERROR(CheckOpen());
  absl::Status flushed = client_->Run<absl::Status>([this] { return FlushTask(); });
  if (!flushed.ok()) {
    state_ = State::kFailed;
    failure_ = flushed;
  }
  return flushed;
}

Task<absl::Status> ShardImpl::FlushTask() {
  if (path_ == nullptr) co_return absl::OkStatus();
  co_return co_await path_->Flush();
}

absl::Status ShardImpl::Close() {
  RETURN_IF_ERROR(CheckOpen());
  absl::Status closed = client_->Run<absl::Status>([this] { return CloseTask(); });
  state_ = closed.ok() ? State::kClosed : State::kFailed;
  failure_ = closed;
  return closed;
}

Task<absl::Status> ShardImpl::CloseTask() {
  absl::Status flushed = co_await FlushTask();
  if (!flushed.ok()) co_return flushed;
  wire::ShardRecord record;
  record.set_name(name_);
  if (path_ != nullptr) {
    record.set_size_bytes(path_->size_bytes());
    record.set_crc32c(path_->crc32c());
    for (wire::ExtentRun& run : path_->Extents()) *record.add_extents() = std::move(run);
  }
  absl::Status taken = co_await sink_->OnDurable(std::move(record));
  path_.reset();
  co_return taken;
}

void ShardImpl::Abandon() {
  if (state_ == State::kClosed || state_ == State::kAbandoned) return;
  state_ = State::kAbandoned;
  (void)client_->Run<absl::Status>([this] { return AbandonTask(); });
}

Task<absl::Status> ShardImpl::AbandonTask() {
  if (path_ != nullptr) co_await path_->Abandon();
  path_.reset();
  co_return co_await sink_->OnAbandoned();
}

}  // namespace client_internal

ShardWriter::ShardWriter(std::shared_ptr<client_internal::ShardImpl> impl)
    : impl_(std::move(impl)) {}
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;
ShardWriter::~ShardWriter() = default;
absl::Status ShardWriter::Write(std::span<const ConstBuffer> pieces) {
  return impl_->Write(pieces);
}
absl::Status ShardWriter::Write(ConstBuffer piece) { return impl_->Write(std::span(&piece, 1)); }
absl::Status ShardWriter::Flush() { return impl_->Flush(); }
absl::Status ShardWriter::Close() { return impl_->Close(); }
void ShardWriter::Abandon() { impl_->Abandon(); }
uint64_t ShardWriter::size_bytes() const { return impl_->size_bytes(); }

}  // namespace cairn
