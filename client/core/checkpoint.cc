// One rank's part in writing a checkpoint: begin, shards, rank done, commit.

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/strings/str_join.h"
#include "cairn/client.h"
#include "client/core/client_impl.h"
#include "client/core/convert.h"
#include "client/core/paging.h"
#include "client/core/shard.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace client_internal {
namespace {

// How often a coordinator asks whether the others are done: often at first, for small checkpoints.
constexpr absl::Duration kCommitPollMin = absl::Milliseconds(5);
constexpr absl::Duration kCommitPollMax = absl::Milliseconds(250);

}  // namespace

class CheckpointImpl final : public ShardSink, public std::enable_shared_from_this<CheckpointImpl> {
 public:
  CheckpointImpl(std::shared_ptr<ClientImpl> client, std::string path, uint32_t rank,
                 const wire::BeginCheckpointReply& begun)
      : client_(std::move(client)),
        path_(std::move(path)),
        rank_(rank),
        attempt_(begun.attempt()),
        ids_(std::make_shared<StripeIds>(LeaseId(begun.lease()), begun.stripes().first(),
                                         begun.stripes().count(), begun.redundancy())) {}
  ~CheckpointImpl() override {
    if (!client_->CheckUsable().ok()) return;
    (void)client_->Run<absl::Status>([this] { return Forget(); });
  }

  uint64_t attempt() const { return attempt_; }
  const std::string& path() const { return path_; }

  absl::StatusOr<std::shared_ptr<ShardImpl>> NewShard(std::string_view name) {
    RETURN_IF_ERROR(client_->CheckUsable());
    const std::lock_guard<std::mutex> lock(mutex_);
    if (done_)
      return absl::FailedPreconditionError(StrCat("rank ", rank_, " of ", path_, " is done"));
    if (name.empty()) return absl::InvalidArgumentError("a shard needs a name");
    ++open_shards_;
    return std::make_shared<ShardImpl>(client_, shared_from_this(), std::string(name), ids_);
  }

  absl::Status RankDone() {
    RETURN_IF_ERROR(client_->CheckUsable());
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (open_shards_ > 0) {
        return absl::FailedPreconditionError(
            StrCat(open_shards_, " shards of rank ", rank_, " of ", path_, " are not closed"));
      }
      done_ = true;
    }
    // One at a time: a second caller would find no shards left to report, and might be heard first.
    const std::lock_guard<std::mutex> lock(rank_done_mutex_);
    if (reported_) return absl::OkStatus();
    absl::Status reported = client_->Run<absl::Status>([this] { return RankDoneTask(); });
    reported_ = reported.ok();
    return reported;
  }

  absl::StatusOr<CheckpointInfo> Commit(absl::Duration timeout) {
    RETURN_IF_ERROR(client_->CheckUsable());
    return client_->Run<absl::StatusOr<CheckpointInfo>>(
        [this, timeout] { return CommitTask(timeout); });
  }

  absl::Status Abort(std::string_view reason) {
    wire::AbortCheckpointRequest request;
    request.set_path(path_);
    request.set_attempt(attempt_);
    request.set_reason(std::string(reason));
    return client_->Meta<wire::AbortCheckpointReply>(wire::ABORT_CHECKPOINT, request).status();
  }

  // A shard that could not be staged stays open: it ends by being abandoned.
  Task<absl::Status> OnDurable(wire::ShardRecord shard) override {
    std::vector<wire::ShardRecord> pages = SplitShard(std::move(shard));
    if (pages.size() == 1) {
      closed_.push_back(std::move(pages.front()));
    } else {
      for (size_t i = 0; i < pages.size(); ++i) {
        absl::Status staged = co_await Stage(std::move(pages[i]), i + 1 < pages.size());
        if (!staged.ok()) co_return staged;
      }
    }
    EndShard();
    co_return absl::OkStatus();
  }

  Task<absl::Status> OnAbandoned() override {
    EndShard();
    co_return absl::OkStatus();
  }

 private:
  void EndShard() {
    const std::lock_guard<std::mutex> lock(mutex_);
    --open_shards_;
  }

  Task<absl::Status> Stage(wire::ShardRecord shard, bool more_extents_follow) {
    wire::StageShardRequest request;
    request.set_path(path_);
    request.set_attempt(attempt_);
    request.set_rank(rank_);
    *request.mutable_shard() = std::move(shard);
    request.set_more_extents_follow(more_extents_follow);
    const Deadline deadline =
        Deadline::After(Executor::Current().clock(), client_->options().timeout);
    absl::StatusOr<wire::StageShardReply> reply =
        co_await client_->session().Meta<wire::StageShardReply>(wire::STAGE_SHARD,
                                                                std::move(request), deadline);
    co_return reply.status();
  }

  Task<absl::Status> RankDoneTask() {
    wire::RankDoneRequest request;
    request.set_path(path_);
    request.set_attempt(attempt_);
    request.set_rank(rank_);
    size_t bytes = 0;
    // Kept until the service has them, so that a failed RankDone can be tried again.
    while (!closed_.empty()) {
      bytes += closed_.back().ByteSizeLong() + 4;
      if (bytes > kPageBytes) break;
      *request.add_shards() = std::move(closed_.back());
      closed_.pop_back();
    }
    while (!closed_.empty()) {
      absl::Status staged = co_await Stage(closed_.back(), false);
      if (!staged.ok()) {
        TakeBack(request);
        co_return staged;
      }
      closed_.pop_back();
    }
    const Deadline deadline =
        Deadline::After(Executor::Current().clock(), client_->options().timeout);
    absl::StatusOr<wire::RankDoneReply> reply =
        co_await client_->session().Meta<wire::RankDoneReply>(wire::RANK_DONE, request, deadline);
    if (!reply.ok()) TakeBack(request);
    co_return reply.status();
  }

  // In an order that makes the next request the same, byte by byte: should the service have acted
  // on this one, it recognizes its repetition by that.
  void TakeBack(wire::RankDoneRequest& request) {
    for (int i = request.shards_size(); i > 0; --i) {
      closed_.push_back(std::move(*request.mutable_shards(i - 1)));
    }
  }

  Task<absl::StatusOr<CheckpointInfo>> CommitTask(absl::Duration timeout) {
    const Deadline deadline = Deadline::After(Executor::Current().clock(), timeout);
    wire::CommitCheckpointRequest request;
    request.set_path(path_);
    request.set_attempt(attempt_);
    absl::Duration pause = kCommitPollMin;
    while (true) {
      const Deadline call_deadline = Earlier(
          Deadline::After(Executor::Current().clock(), client_->options().timeout), deadline);
      absl::StatusOr<wire::CommitCheckpointReply> reply =
          co_await client_->session().Meta<wire::CommitCheckpointReply>(wire::COMMIT_CHECKPOINT,
                                                                        request, call_deadline);
      if (!reply.ok()) co_return reply.status();
      if (reply->info().state() == wire::COMMITTED) {
        ForgetLease();
        co_return ToCheckpointInfo(reply->info());
      }
      if (deadline.Remaining(Executor::Current().clock()) <= pause) {
        co_return absl::DeadlineExceededError(Missing(reply->info()));
      }
      absl::Status paused = co_await client_->session().Pause(pause);
      if (!paused.ok()) co_return paused;
      pause = std::min(pause * 2, kCommitPollMax);
    }
  }

  std::string Missing(const wire::CheckpointInfo& info) const {
    const uint32_t missing = info.world_size() - info.ranks_done();
    return StrCat(path_, ", attempt ", attempt_, ": ", missing, " of ", info.world_size(),
                  " ranks are not done: ", absl::StrJoin(info.missing_ranks(), ", "),
                  missing > static_cast<uint32_t>(info.missing_ranks_size()) ? ", ..." : "");
  }

  void ForgetLease() {
    if (std::exchange(holds_lease_, false)) client_->session().ForgetLease(ids_->lease());
  }
  Task<absl::Status> Forget() {
    ForgetLease();
    co_return absl::OkStatus();
  }

  std::shared_ptr<ClientImpl> client_;
  const std::string path_;
  const uint32_t rank_;
  const uint64_t attempt_;
  std::shared_ptr<StripeIds> ids_;
  std::vector<wire::ShardRecord> closed_;  // on the reactor thread
  bool holds_lease_ = true;                // on the reactor thread
  std::mutex mutex_;
  size_t open_shards_ = 0;
  bool done_ = false;
  std::mutex rank_done_mutex_;
  bool reported_ = false;  // under rank_done_mutex_
};

}  // namespace client_internal

absl::StatusOr<CheckpointWriter> Client::BeginCheckpoint(std::string_view path,
                                                         BeginOptions options) {
  wire::BeginCheckpointRequest request;
  request.set_path(std::string(path));
  request.set_world_size(options.world_size);
  request.set_rank(options.rank);
  request.set_attempt(options.attempt);
  request.set_job(options.job);
  if (options.step.has_value()) request.set_step(*options.step);
  request.mutable_attributes()->insert(options.attributes.begin(), options.attributes.end());
  request.set_nonce(impl_->begin_nonces().Take(path, options.rank));
  const absl::StatusOr<wire::BeginCheckpointReply> begun =
      impl_->Meta<wire::BeginCheckpointReply>(wire::BEGIN_CHECKPOINT, request);
  impl_->begin_nonces().Ended(path, options.rank, request.nonce(), begun.status());
  RETURN_IF_ERROR(begun.status());
  impl_->KeepLease(LeaseId(begun->lease()),
                   absl::Milliseconds(static_cast<int64_t>(begun->lease_ttl_ms())));
  return CheckpointWriter(std::make_shared<client_internal::CheckpointImpl>(
      impl_, std::string(path), options.rank, *begun));
}

CheckpointWriter::CheckpointWriter(std::shared_ptr<client_internal::CheckpointImpl> impl)
    : impl_(std::move(impl)) {}
CheckpointWriter::CheckpointWriter(CheckpointWriter&&) noexcept = default;
CheckpointWriter::~CheckpointWriter() = default;
uint64_t CheckpointWriter::attempt() const { return impl_->attempt(); }
const std::string& CheckpointWriter::path() const { return impl_->path(); }
absl::StatusOr<ShardWriter> CheckpointWriter::NewShard(std::string_view name) {
  ASSIGN_OR_RETURN(std::shared_ptr<client_internal::ShardImpl> shard, impl_->NewShard(name));
  return ShardWriter(std::move(shard));
}
absl::Status CheckpointWriter::RankDone() { return impl_->RankDone(); }
absl::StatusOr<CheckpointInfo> CheckpointWriter::Commit(absl::Duration timeout) {
  return impl_->Commit(timeout);
}
absl::Status CheckpointWriter::Abort(std::string_view reason) { return impl_->Abort(reason); }

}  // namespace cairn
