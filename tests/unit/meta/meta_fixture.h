// What the tests of the metadata share: an engine over a simulated store on a simulated executor,
// short ways to make requests, and matchers for their errors.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/strings.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/meta_engine.h"
#include "server/meta/records.h"
#include "tests/sim/sim_executor.h"
#include "tests/sim/sim_kv.h"

namespace cairn {

inline void PrintTo(const StripeSpan& span, std::ostream* out) {
  *out << "[" << span.first << " +" << span.count << ")";
}

inline absl::Status StatusOf(const absl::Status& status) { return status; }
template <class T>
absl::Status StatusOf(const absl::StatusOr<T>& result) {
  return result.status();
}

MATCHER(IsOk, "is OK") {
  *result_listener << StatusOf(arg).ToString();
  return arg.ok();
}
MATCHER_P2(Fails, code, text, "fails so, saying \"" + std::string(text) + "\"") {
  const absl::Status status = StatusOf(arg);
  *result_listener << status.ToString();
  return status.code() == code && ToStd(status.message()).find(text) != std::string_view::npos;
}

inline constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
inline constexpr auto kNotFound = absl::StatusCode::kNotFound;
inline constexpr auto kExists = absl::StatusCode::kAlreadyExists;
inline constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
inline constexpr auto kAborted = absl::StatusCode::kAborted;
inline constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

inline constexpr uint32_t kTestStripeBytes = 4 << 20;

// A run of whole stripes but for the last, over placement group 0.
inline wire::ExtentRun RunOf(uint64_t offset, uint64_t length, uint64_t first_stripe) {
  wire::ExtentRun run;
  run.set_offset_bytes(offset);
  run.set_length_bytes(length);
  run.set_first_stripe(first_stripe);
  run.set_stripe_count(static_cast<uint32_t>((length + kTestStripeBytes - 1) / kTestStripeBytes));
  run.set_stripe_bytes(kTestStripeBytes);
  run.add_groups(0);
  return run;
}

inline wire::ShardRecord Shard(const std::string& name, uint64_t length, uint64_t first_stripe) {
  wire::ShardRecord shard;
  shard.set_name(name);
  shard.set_size_bytes(length);
  shard.set_crc32c(0xc0ffee);
  if (length > 0) *shard.add_extents() = RunOf(0, length, first_stripe);
  return shard;
}

struct BeginArgs {
  uint32_t world = 1;
  uint32_t rank = 0;
  uint64_t attempt = 0;
  std::string job = {};
  uint64_t nonce = 0;
};
inline wire::BeginCheckpointRequest BeginRequest(const std::string& path, BeginArgs args = {}) {
  wire::BeginCheckpointRequest request;
  request.set_path(path);
  request.set_world_size(args.world);
  request.set_rank(args.rank);
  request.set_attempt(args.attempt);
  request.set_job(args.job);
  request.set_nonce(args.nonce);
  return request;
}
inline wire::RankDoneRequest DoneRequest(const std::string& path, uint64_t attempt, uint32_t rank,
                                         std::vector<wire::ShardRecord> shards = {}) {
  wire::RankDoneRequest request;
  request.set_path(path);
  request.set_attempt(attempt);
  request.set_rank(rank);
  for (wire::ShardRecord& shard : shards) *request.add_shards() = std::move(shard);
  return request;
}
inline wire::CommitCheckpointRequest CommitRequest(const std::string& path, uint64_t attempt) {
  wire::CommitCheckpointRequest request;
  request.set_path(path);
  request.set_attempt(attempt);
  return request;
}

// An engine on a store that outlives it. Nothing runs between the calls of a test but what they
// wait for.
class MetaTest : public ::testing::Test {
 protected:
  MetaTest() { Restart(); }
  ~MetaTest() override { StopEngine(); }

  void StopEngine() {
    if (engine_ != nullptr) executor_.Run(engine_->Stop());
    engine_.reset();
  }
  // A new process on the same store.
  void Restart() {
    StopEngine();
    engine_ =
        std::make_unique<MetaEngine>(kv_, runner_, runner_, runner_, executor_.clock(), options_);
    const absl::Status started = executor_.Run(engine_->Start("test-cluster"));
    ASSERT_TRUE(started.ok()) << started;
  }

  template <class Request>
  absl::StatusOr<MutationReply<Request>> Do(Request request, MutationId id = {}) {
    return executor_.Run(engine_->Mutate(std::move(request), id));
  }
  template <class Request>
  absl::StatusOr<QueryReply<Request>> Ask(Request request) {
    return executor_.Run(engine_->Query(std::move(request)));
  }
  // Lets put-off work come to its end.
  void Settle() { executor_.RunUntilIdle(); }

  // -- short ways; each returns the status or the reply.
  absl::Status MakeDirectory(const std::string& path, bool parents = false) {
    wire::MakeDirectoryRequest request;
    request.set_path(path);
    request.set_parents(parents);
    return Do(request).status();
  }
  absl::Status Remove(const std::string& path, bool recursive = false) {
    wire::RemoveRequest request;
    request.set_path(path);
    request.set_recursive(recursive);
    return Do(request).status();
  }
  absl::Status Rename(const std::string& from, const std::string& to, bool no_replace = false) {
    wire::RenameRequest request;
    request.set_from(from);
    request.set_to(to);
    request.set_no_replace(no_replace);
    return Do(request).status();
  }
  absl::StatusOr<wire::BeginFileReply> BeginFile(const std::string& path) {
    wire::BeginFileRequest request;
    request.set_path(path);
    return Do(request);
  }
  absl::Status CommitFile(const std::string& path, uint64_t lease,
                          std::vector<wire::ExtentRun> runs, std::optional<uint64_t> size = {},
                          bool create_only = false) {
    wire::CommitFileRequest request;
    request.set_path(path);
    request.set_lease(lease);
    request.set_create_only(create_only);
    uint64_t sum = 0;
    for (wire::ExtentRun& run : runs) {
      sum += run.length_bytes();
      *request.add_extents() = std::move(run);
    }
    request.set_size_bytes(size.value_or(sum));
    return Do(request).status();
  }
  absl::Status PutFile(const std::string& path, uint64_t length = 100) {
    const auto begun = BeginFile(path);
    if (!begun.ok()) return begun.status();
    std::vector<wire::ExtentRun> runs;
    if (length > 0) runs.push_back(RunOf(0, length, begun->stripes().first()));
    return CommitFile(path, begun->lease(), std::move(runs));
  }
  absl::StatusOr<wire::BeginCheckpointReply> Begin(const std::string& path, BeginArgs args = {}) {
    return Do(BeginRequest(path, std::move(args)));
  }
  absl::StatusOr<wire::RankDoneReply> Done(const std::string& path, uint64_t attempt, uint32_t rank,
                                           std::vector<wire::ShardRecord> shards = {}) {
    return Do(DoneRequest(path, attempt, rank, std::move(shards)));
  }
  // FAILED_PRECONDITION, with the ranks named, for the reply that says they are missing.
  absl::StatusOr<wire::CommitCheckpointReply> Commit(const std::string& path, uint64_t attempt) {
    auto reply = Do(CommitRequest(path, attempt));
    if (!reply.ok() || reply->info().state() == wire::COMMITTED) return reply;
    std::string missing;
    for (const uint32_t rank : reply->info().missing_ranks()) missing += StrCat(" ", rank);
    return absl::FailedPreconditionError(
        StrCat(reply->info().ranks_done(), " ranks are done, missing:", missing, "."));
  }
  // A committed checkpoint of one rank with one shard, "shard".
  absl::Status Save(const std::string& path, uint64_t length = 100) {
    const auto begun = Begin(path);
    if (!begun.ok()) return begun.status();
    const auto done =
        Done(path, begun->attempt(), 0, {Shard("shard", length, begun->stripes().first())});
    if (!done.ok()) return done.status();
    return Commit(path, begun->attempt()).status();
  }
  absl::StatusOr<wire::StatReply> Stat(const std::string& path) {
    wire::StatRequest request;
    request.set_path(path);
    return Ask(request);
  }
  absl::StatusOr<std::vector<std::string>> List(const std::string& path, uint32_t limit = 0) {
    std::vector<std::string> names;
    wire::ListRequest request;
    request.set_path(path);
    request.set_limit(limit);
    for (;;) {
      const auto reply = Ask(request);
      if (!reply.ok()) return reply.status();
      for (const wire::Entry& entry : reply->entries()) names.push_back(entry.name());
      if (!reply->more()) return names;
      request.set_start_after(names.back());
    }
  }
  absl::StatusOr<wire::CheckpointInfo> Latest(const std::string& path) {
    wire::LatestCheckpointRequest request;
    request.set_path(path);
    const auto reply = Ask(request);
    if (!reply.ok()) return reply.status();
    return reply->info();
  }
  absl::StatusOr<wire::ShowCheckpointReply> Show(const std::string& path) {
    wire::ShowCheckpointRequest request;
    request.set_path(path);
    return Ask(request);
  }
  // "path" of committed ones, "path (writing)" of others.
  absl::StatusOr<std::vector<std::string>> Checkpoints(const std::string& path,
                                                       bool writing = false, bool recursive = false,
                                                       uint32_t limit = 0) {
    std::vector<std::string> names;
    wire::ListCheckpointsRequest request;
    request.set_path(path);
    request.set_include_writing(writing);
    request.set_recursive(recursive);
    request.set_limit(limit);
    for (;;) {
      const auto reply = Ask(request);
      if (!reply.ok()) return reply.status();
      for (const wire::CheckpointInfo& info : reply->checkpoints()) {
        names.push_back(info.path() + (info.state() == wire::WRITING ? " (writing)" : ""));
        request.set_start_after(info.path());
      }
      if (!reply->more()) return names;
    }
  }
  MetaCounters Counters() {
    auto counters = executor_.Run(engine_->Counters());
    EXPECT_TRUE(counters.ok()) << counters.status();
    return counters.value_or(MetaCounters{});
  }
  std::vector<ReclaimItem> NextReclaim(size_t limit = 1000) {
    auto items = executor_.Run(engine_->NextReclaim(limit));
    EXPECT_TRUE(items.ok()) << items.status();
    return items.ok() ? *items : std::vector<ReclaimItem>{};
  }
  // Frees all that may be freed, grace included; returns the stripes, merged.
  std::vector<StripeSpan> ReclaimAll(size_t limit = 1000) {
    Settle();
    // Entries that came right after the last mark wait for the next.
    executor_.RunFor(options_.reclaim_grace / 8);
    NextReclaim(limit);
    executor_.RunFor(options_.reclaim_grace);
    std::vector<StripeSpan> freed;
    for (;;) {
      std::vector<ReclaimItem> items = NextReclaim(limit);
      if (items.empty()) return MergeAdjacent(std::move(freed));
      for (const ReclaimItem& item : items) {
        freed.insert(freed.end(), item.stripes.begin(), item.stripes.end());
      }
      const absl::Status done = executor_.Run(engine_->ReclaimDone(std::move(items)));
      EXPECT_TRUE(done.ok()) << done;
    }
  }

  MetaOptions options_;
  SimExecutor executor_{static_cast<uint64_t>(::testing::UnitTest::GetInstance()->random_seed()) +
                        1};
  SimBlockingRunner runner_;
  SimKv kv_{kMetaFamilyCount};
  std::unique_ptr<MetaEngine> engine_;
};

}  // namespace cairn
