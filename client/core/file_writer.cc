// Plain files: a lease for stripe ids, content through the write path, one commit that makes the
// file visible.

#include <algorithm>
#include <memory>
#include <utility>

#include "cairn/client.h"
#include "client/core/client_impl.h"
#include "client/core/paging.h"
#include "client/core/shard.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace client_internal {
namespace {

// Giving up is what destructors do, also when the node is gone: nobody should wait long for that.
constexpr absl::Duration kAbortPatience = absl::Seconds(2);

}  // namespace

class FileSink final : public ShardSink {
 public:
  FileSink(std::shared_ptr<ClientImpl> client, LeaseId lease)
      : client_(std::move(client)), lease_(lease) {}

  Task<absl::Status> OnDurable(wire::ShardRecord shard) override {
    std::vector<wire::ShardRecord> pages = SplitShard(std::move(shard));
    for (size_t i = 0; i < pages.size(); ++i) {
      wire::CommitFileRequest request;
      request.set_path(pages[i].name());
      request.set_lease(lease_.value());
      request.set_size_bytes(pages[i].size_bytes());
      request.set_crc32c(pages[i].crc32c());
      request.mutable_extents()->Swap(pages[i].mutable_extents());
      request.set_more_extents_follow(i + 1 < pages.size());
      const Deadline deadline =
          Deadline::After(Executor::Current().clock(), client_->options().timeout);
      absl::StatusOr<wire::CommitFileReply> reply =
          co_await client_->session().Meta<wire::CommitFileReply>(wire::COMMIT_FILE,
                                                                  std::move(request), deadline);
      if (!reply.ok()) co_return reply.status();
    }
    client_->session().ForgetLease(lease_);
    co_return absl::OkStatus();
  }

  Task<absl::Status> OnAbandoned() override {
    client_->session().ForgetLease(lease_);
    wire::AbortFileRequest request;
    request.set_lease(lease_.value());
    const Deadline deadline = Deadline::After(Executor::Current().clock(),
                                              std::min(client_->options().timeout, kAbortPatience));
    // The space comes back with the lease's end in any case; this only makes it soon.
    absl::StatusOr<wire::AbortFileReply> reply =
        co_await client_->session().Meta<wire::AbortFileReply>(wire::ABORT_FILE, std::move(request),
                                                               deadline);
    co_return reply.status();
  }

 private:
  std::shared_ptr<ClientImpl> client_;
  LeaseId lease_;
};

}  // namespace client_internal

absl::StatusOr<ShardWriter> Client::CreateFile(std::string_view path) {
  wire::BeginFileRequest request;
  request.set_path(std::string(path));
  ASSIGN_OR_RETURN(wire::BeginFileReply begun,
                   impl_->Meta<wire::BeginFileReply>(wire::BEGIN_FILE, request));
  const LeaseId lease(begun.lease());
  impl_->KeepLease(lease, absl::Milliseconds(static_cast<int64_t>(begun.lease_ttl_ms())));
  auto ids = std::make_shared<StripeIds>(lease, begun.stripes().first(), begun.stripes().count(),
                                         begun.redundancy());
  auto sink = std::make_shared<client_internal::FileSink>(impl_, lease);
  return ShardWriter(std::make_shared<client_internal::ShardImpl>(
      impl_, std::move(sink), std::string(path), std::move(ids)));
}

absl::Status Client::PutFile(std::string_view path, std::span<const ConstBuffer> pieces) {
  ASSIGN_OR_RETURN(ShardWriter writer, CreateFile(path));
  RETURN_IF_ERROR(writer.Write(pieces));
  return writer.Close();
}

}  // namespace cairn
