// See fake_sdk.h.
#include "tests/unit/cli/fake_sdk.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace testing {

FakeCluster& FakeCluster::Get() {
  static FakeCluster cluster;
  return cluster;
}

void FakeCluster::Reset() {
  std::lock_guard lock(mutex);
  files.clear();
  directories = {{"b", EntryType::kDirectory}};
  checkpoints.clear();
  shards.clear();
  retention.clear();
  buckets.clear();
  status_json = "{}";
  admin = {};
  connect_status = absl::OkStatus();
  errors.clear();
  at_second_show = nullptr;
  shows = 0;
  flushes = 0;
  aborts = 0;
}

void FakeCluster::AddFile(const std::string& path, std::string_view content) {
  std::lock_guard lock(mutex);
  const auto bytes = std::as_bytes(std::span(content));
  files[path] = {{bytes.begin(), bytes.end()}, Crc32c(bytes)};
}

void FakeCluster::AddCheckpoint(const std::string& path, uint32_t ranks, std::string_view content) {
  CheckpointInfo info;
  info.path = path;
  info.committed = true;
  info.attempt = 1;
  info.world_size = info.ranks_done = ranks;
  info.shard_count = ranks;
  info.size_bytes = ranks * content.size();
  info.begun = absl::FromUnixSeconds(1000);
  info.committed_at = absl::FromUnixSeconds(1010);
  for (uint32_t rank = 0; rank < ranks; ++rank) {
    const std::string name = "rank" + std::to_string(rank) + ".bin";
    AddFile(path + "/" + name, content);
    shards[path].push_back({name, content.size(), Crc32c(std::as_bytes(std::span(content))), rank});
  }
  directories[path] = EntryType::kCheckpoint;
  checkpoints[path] = info;
}

}  // namespace testing

namespace client_internal {

using testing::FakeCluster;

absl::Status ErrorFor(const std::string& key) {
  auto& cluster = FakeCluster::Get();
  auto at = cluster.errors.find(key);
  return at == cluster.errors.end() ? absl::OkStatus() : at->second;
}

class FileImpl {
 public:
  std::string path;
  testing::FakeFile file;
};

class ShardImpl {
 public:
  std::string path;
  std::string checkpoint;  // empty: a plain file
  uint32_t rank = 0;
  std::vector<std::byte> content;
  bool closed = false;
};

class CheckpointImpl {
 public:
  std::string path;
  uint64_t attempt = 1;
  BeginOptions options;
};

class ClientImpl {
 public:
  std::string endpoint;
};

}  // namespace client_internal

using client_internal::ErrorFor;
using testing::FakeCluster;

namespace {
bool IsDirectlyIn(const std::string& directory, const std::string& path) {
  const std::string prefix = directory.empty() ? "" : directory + "/";
  return path.starts_with(prefix) && path.size() > prefix.size() &&
         path.find('/', prefix.size()) == std::string::npos;
}
std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }
std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}
}  // namespace

// ---- File ----

File::File(std::shared_ptr<client_internal::FileImpl> impl) : impl_(std::move(impl)) {}
File::~File() = default;
File::File(File&&) noexcept = default;
uint64_t File::size_bytes() const { return impl_->file.content.size(); }
uint32_t File::crc32c() const { return impl_->file.crc32c; }
bool File::crc32c_known() const { return true; }
absl::Status File::Read(std::span<const ReadRange> ranges) {
  {
    std::lock_guard lock(FakeCluster::Get().mutex);
    RETURN_IF_ERROR(ErrorFor("read:" + impl_->path));
  }
  for (const ReadRange& range : ranges) {
    if (range.offset_bytes + range.destination.size() > size_bytes()) {
      return absl::OutOfRangeError("past the end");
    }
    std::memcpy(range.destination.data(), impl_->file.content.data() + range.offset_bytes,
                range.destination.size());
  }
  return absl::OkStatus();
}
absl::Status File::Read(uint64_t offset_bytes, MutableBuffer destination) {
  const ReadRange range = {offset_bytes, destination};
  return Read(std::span(&range, 1));
}

// ---- ShardWriter ----

ShardWriter::ShardWriter(std::shared_ptr<client_internal::ShardImpl> impl)
    : impl_(std::move(impl)) {}
ShardWriter::~ShardWriter() = default;
ShardWriter::ShardWriter(ShardWriter&&) noexcept = default;
absl::Status ShardWriter::Write(std::span<const ConstBuffer> pieces) {
  if (impl_->closed) return absl::FailedPreconditionError("it is closed");
  for (ConstBuffer piece : pieces) {
    impl_->content.insert(impl_->content.end(), piece.begin(), piece.end());
  }
  return absl::OkStatus();
}
absl::Status ShardWriter::Write(ConstBuffer piece) { return Write(std::span(&piece, 1)); }
absl::Status ShardWriter::Flush() {
  std::lock_guard lock(FakeCluster::Get().mutex);
  ++FakeCluster::Get().flushes;
  return absl::OkStatus();
}
absl::Status ShardWriter::Close() {
  if (impl_->closed) return absl::FailedPreconditionError("it is closed");
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(impl_->path));
  impl_->closed = true;
  const uint32_t crc = Crc32c(impl_->content);
  const uint64_t size = impl_->content.size();
  cluster.files[impl_->path] = {std::move(impl_->content), crc};
  if (!impl_->checkpoint.empty()) {
    const std::string name = impl_->path.substr(impl_->checkpoint.size() + 1);
    cluster.shards[impl_->checkpoint].push_back({name, size, crc, impl_->rank});
  }
  return absl::OkStatus();
}
void ShardWriter::Abandon() { impl_->closed = true; }
uint64_t ShardWriter::size_bytes() const { return impl_->content.size(); }

// ---- CheckpointWriter ----

CheckpointWriter::CheckpointWriter(std::shared_ptr<client_internal::CheckpointImpl> impl)
    : impl_(std::move(impl)) {}
CheckpointWriter::~CheckpointWriter() = default;
CheckpointWriter::CheckpointWriter(CheckpointWriter&&) noexcept = default;
uint64_t CheckpointWriter::attempt() const { return impl_->attempt; }
const std::string& CheckpointWriter::path() const { return impl_->path; }
absl::StatusOr<ShardWriter> CheckpointWriter::NewShard(std::string_view name) {
  auto shard = std::make_shared<client_internal::ShardImpl>();
  shard->path = impl_->path + "/" + std::string(name);
  shard->checkpoint = impl_->path;
  shard->rank = impl_->options.rank;
  return ShardWriter(std::move(shard));
}
absl::Status CheckpointWriter::RankDone() {
  std::lock_guard lock(FakeCluster::Get().mutex);
  ++FakeCluster::Get().checkpoints[impl_->path].ranks_done;
  return absl::OkStatus();
}
absl::StatusOr<CheckpointInfo> CheckpointWriter::Commit(absl::Duration timeout) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  CheckpointInfo& info = cluster.checkpoints[impl_->path];
  cluster.last_commit_timeout = timeout;
  if (info.ranks_done != info.world_size) {
    return absl::DeadlineExceededError("ranks are missing");
  }
  info.committed = true;
  info.committed_at = absl::FromUnixSeconds(2000);
  info.shard_count = cluster.shards[impl_->path].size();
  info.size_bytes = 0;
  for (const ShardInfo& shard : cluster.shards[impl_->path]) info.size_bytes += shard.size_bytes;
  cluster.directories[impl_->path] = EntryType::kCheckpoint;
  return info;
}
absl::Status CheckpointWriter::Abort(std::string_view reason) {
  std::lock_guard lock(FakeCluster::Get().mutex);
  ++FakeCluster::Get().aborts;
  FakeCluster::Get().checkpoints.erase(impl_->path);
  return absl::OkStatus();
}

// ---- Client ----

Client::Client(std::shared_ptr<client_internal::ClientImpl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;
absl::StatusOr<std::unique_ptr<Client>> Client::Connect(ClientOptions options) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  cluster.last_options = options;
  RETURN_IF_ERROR(cluster.connect_status);
  auto impl = std::make_shared<client_internal::ClientImpl>();
  impl->endpoint = options.endpoint.empty() ? "fake:7440" : options.endpoint;
  return std::unique_ptr<Client>(new Client(std::move(impl)));
}

absl::StatusOr<CheckpointWriter> Client::BeginCheckpoint(std::string_view path,
                                                         BeginOptions options) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(path)));
  CheckpointInfo& info = cluster.checkpoints[std::string(path)];
  info.path = path;
  info.world_size = options.world_size;
  info.job = options.job;
  info.step = options.step;
  info.attributes = options.attributes;
  auto impl = std::make_shared<client_internal::CheckpointImpl>();
  impl->path = path;
  impl->options = std::move(options);
  return CheckpointWriter(std::move(impl));
}

absl::StatusOr<CheckpointInfo> Client::LatestCheckpoint(std::string_view directory) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(directory)));
  for (auto at = cluster.checkpoints.rbegin(); at != cluster.checkpoints.rend(); ++at) {
    if (IsDirectlyIn(std::string(directory), at->first) && at->second.committed) return at->second;
  }
  return absl::NotFoundError("no committed checkpoint");
}

absl::StatusOr<CheckpointInfo> Client::ShowCheckpoint(std::string_view path,
                                                      std::vector<ShardInfo>* shards) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(path)));
  if (cluster.at_second_show && ++cluster.shows == 2) {
    std::exchange(cluster.at_second_show, nullptr)();
    cluster.shows = 0;
  }
  auto at = cluster.checkpoints.find(std::string(path));
  if (at == cluster.checkpoints.end()) return absl::NotFoundError("no such checkpoint");
  if (shards != nullptr) *shards = cluster.shards[std::string(path)];
  return at->second;
}

absl::StatusOr<std::vector<CheckpointInfo>> Client::ListCheckpoints(
    std::string_view directory, ListCheckpointsOptions options) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(directory)));
  std::vector<CheckpointInfo> found;
  for (const auto& [path, info] : cluster.checkpoints) {
    const bool below = directory.empty() || path.starts_with(std::string(directory) + "/");
    if (!(options.recursive ? below : IsDirectlyIn(std::string(directory), path))) continue;
    if (info.committed || options.include_writing) found.push_back(info);
  }
  return found;
}

absl::Status SetPinned(std::string_view path, bool pinned) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(path)));
  auto at = cluster.checkpoints.find(std::string(path));
  if (at == cluster.checkpoints.end()) return absl::NotFoundError("no such checkpoint");
  at->second.pinned = pinned;
  return absl::OkStatus();
}
absl::Status Client::PinCheckpoint(std::string_view path) { return SetPinned(path, true); }
absl::Status Client::UnpinCheckpoint(std::string_view path) { return SetPinned(path, false); }

absl::Status Client::SetRetention(std::string_view directory, const RetentionPolicy& policy) {
  std::lock_guard lock(FakeCluster::Get().mutex);
  FakeCluster::Get().retention[std::string(directory)] = policy;
  return absl::OkStatus();
}
absl::StatusOr<RetentionPolicy> Client::GetRetention(std::string_view directory) {
  std::lock_guard lock(FakeCluster::Get().mutex);
  return FakeCluster::Get().retention[std::string(directory)];
}
absl::StatusOr<std::vector<CheckpointInfo>> Client::PruneCheckpoints(
    std::string_view directory, std::optional<RetentionPolicy> policy, PruneMode mode) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  if (!policy.has_value()) policy = cluster.retention[std::string(directory)];
  std::vector<CheckpointInfo> all;
  for (const auto& [path, info] : cluster.checkpoints) {
    if (IsDirectlyIn(std::string(directory), path)) all.push_back(info);
  }
  if (policy->keep_last == 0 || all.size() <= policy->keep_last) {
    return std::vector<CheckpointInfo>();
  }
  all.resize(all.size() - policy->keep_last);
  if (mode == PruneMode::kRemove) {
    for (const CheckpointInfo& info : all) cluster.checkpoints.erase(info.path);
  }
  return all;
}

absl::StatusOr<File> Client::OpenFile(std::string_view path) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(path)));
  auto at = cluster.files.find(std::string(path));
  if (at == cluster.files.end()) return absl::NotFoundError("no such file");
  auto impl = std::make_shared<client_internal::FileImpl>();
  impl->path = path;
  impl->file = at->second;
  return File(std::move(impl));
}

absl::StatusOr<ShardWriter> Client::CreateFile(std::string_view path) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(path)));
  if (!cluster.directories.contains(ParentOf(std::string(path)))) {
    return absl::NotFoundError("no such directory");
  }
  auto impl = std::make_shared<client_internal::ShardImpl>();
  impl->path = path;
  return ShardWriter(std::move(impl));
}

absl::Status Client::PutFile(std::string_view path, std::span<const ConstBuffer> pieces) {
  ASSIGN_OR_RETURN(ShardWriter writer, CreateFile(path));
  RETURN_IF_ERROR(writer.Write(pieces));
  return writer.Close();
}

absl::StatusOr<Entry> Client::Stat(std::string_view view) {
  const std::string path(view);
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(path));
  Entry entry;
  entry.name = path;
  entry.mode = 0644;
  entry.modified = absl::FromUnixSeconds(1000);
  if (auto file = cluster.files.find(path); file != cluster.files.end()) {
    entry.size_bytes = file->second.content.size();
    entry.crc32c = file->second.crc32c;
    return entry;
  }
  if (auto at = cluster.directories.find(path); at != cluster.directories.end()) {
    entry.type = at->second;
    return entry;
  }
  return absl::NotFoundError("no such file or directory");
}

absl::StatusOr<std::vector<Entry>> Client::List(std::string_view view) {
  const std::string path(view);
  std::vector<std::string> names;
  {
    auto& cluster = FakeCluster::Get();
    std::lock_guard lock(cluster.mutex);
    RETURN_IF_ERROR(ErrorFor("list:" + path));
    for (const auto& [file, content] : cluster.files) {
      if (IsDirectlyIn(path, file)) names.push_back(file);
    }
    for (const auto& [directory, type] : cluster.directories) {
      if (IsDirectlyIn(path, directory)) names.push_back(directory);
    }
  }
  std::sort(names.begin(), names.end());
  std::vector<Entry> entries;
  for (const std::string& name : names) {
    auto entry = Stat(name);
    if (!entry.ok()) {
      entry = Entry();
      entry->size_bytes = 1;
    }
    entry->name = NameOf(name);
    entries.push_back(*std::move(entry));
  }
  return entries;
}

absl::Status Client::Remove(std::string_view view, RemoveMode mode) {
  const std::string path(view);
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(path));
  const size_t removed =
      cluster.files.erase(path) + cluster.directories.erase(path) + cluster.checkpoints.erase(path);
  std::erase_if(cluster.files,
                [&](const auto& file) { return file.first.starts_with(path + "/"); });
  return removed > 0 ? absl::OkStatus() : absl::NotFoundError("no such file or directory");
}

absl::Status Client::Rename(std::string_view from, std::string_view to) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  auto at = cluster.files.find(std::string(from));
  if (at == cluster.files.end()) return absl::NotFoundError("no such file or directory");
  cluster.files[std::string(to)] = at->second;
  cluster.files.erase(std::string(from));
  return absl::OkStatus();
}

absl::Status Client::MakeBucket(std::string_view name, const BucketOptions& options) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(name)));
  cluster.directories.emplace(name, EntryType::kDirectory);
  if (!cluster.buckets
           .emplace(name, BucketInfo{std::string(name), options.redundancy,
                                     options.quota_bytes.value_or(0)})
           .second)
    return absl::AlreadyExistsError("there is a bucket of that name already");
  return absl::OkStatus();
}

absl::Status Client::SetBucket(std::string_view name, const BucketOptions& options) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(name)));
  const auto found = cluster.buckets.find(std::string(name));
  if (found == cluster.buckets.end()) return absl::NotFoundError("there is no such bucket");
  if (!options.redundancy.empty()) found->second.redundancy = options.redundancy;
  found->second.quota_bytes = options.quota_bytes.value_or(found->second.quota_bytes);
  return absl::OkStatus();
}

absl::StatusOr<BucketInfo> Client::ShowBucket(std::string_view name) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(name)));
  const auto found = cluster.buckets.find(std::string(name));
  if (found == cluster.buckets.end()) return absl::NotFoundError("there is no such bucket");
  return found->second;
}

absl::Status Client::MakeDirectory(std::string_view view) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(view)));
  for (std::string path(view); !path.empty(); path = ParentOf(path)) {
    cluster.directories.emplace(path, EntryType::kDirectory);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Client::StatusJson() {
  std::lock_guard lock(FakeCluster::Get().mutex);
  return FakeCluster::Get().status_json;
}
const std::string& Client::endpoint() const { return impl_->endpoint; }

// ---- Admin ----

Admin::Admin(Client& client) : impl_(client.impl_) {}
Admin::~Admin() = default;

absl::StatusOr<Losses> Admin::SetNode(uint32_t node, NodeAction action,
                                      const SetNodeOptions& options) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("node:" + std::to_string(node)));
  if (!options.dry_run) cluster.admin.node_changes.push_back({node, action, options.force});
  return cluster.admin.losses;
}

absl::StatusOr<Losses> Admin::SetTarget(uint32_t target, TargetAction action,
                                        const SetTargetOptions& options) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("target:" + std::to_string(target)));
  if (!options.dry_run) cluster.admin.target_changes.push_back({target, action, options.force});
  return cluster.admin.losses;
}

absl::StatusOr<AddedTarget> Admin::AddTarget(uint32_t node, const NewTarget& target) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("add:" + std::to_string(node)));
  cluster.admin.additions.push_back({node, target});
  return cluster.admin.added;
}

absl::StatusOr<AddedTier> Admin::AddTier(const TierSpec& spec, const AddTierOptions& options) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("tier:" + spec.name));
  cluster.admin.tier_options.push_back(options);
  const auto [tier, is_new] =
      cluster.admin.tiers.try_emplace(spec.name, TierInfo{spec, 1'000'000'000});
  return AddedTier{tier->second, !is_new, options.unchecked ? 0u : 2u};
}

absl::StatusOr<std::vector<TierInfo>> Admin::Tiers() {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("tiers"));
  std::vector<TierInfo> tiers;
  for (const auto& [name, tier] : cluster.admin.tiers) tiers.push_back(tier);
  return tiers;
}

absl::StatusOr<UsageInfo> Admin::Usage(std::string_view path) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor(std::string(path)));
  UsageInfo usage = cluster.admin.usage;
  usage.path = path;
  return usage;
}

absl::StatusOr<std::vector<NodeLoad>> Admin::Load() {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("load"));
  const size_t look = std::min(cluster.admin.load_looks++, cluster.admin.loads.size() - 1);
  return cluster.admin.loads[look];
}

absl::StatusOr<PlacesStep> Admin::Places(std::string_view path, std::string_view from) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("places:" + std::string(path)));
  std::string at;
  for (const PlacesStep& step : cluster.admin.places) {
    if (at == from) return step;
    at = step.next;
  }
  return absl::InvalidArgumentError("no step begins there");
}

absl::StatusOr<TierCheck> Admin::CheckTier(std::string_view name) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("tier:" + std::string(name)));
  return cluster.admin.tier_check;
}

absl::Status Admin::RemoveTier(std::string_view name, bool dry_run) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("tier:" + std::string(name)));
  const auto found = cluster.admin.tiers.find(std::string(name));
  if (found == cluster.admin.tiers.end())
    return absl::NotFoundError("there is no tier \"" + std::string(name) + "\"");
  if (!dry_run) cluster.admin.tiers.erase(found);
  return absl::OkStatus();
}

// ---- Tiering ----

namespace {

// The next of several answers; the last stays.
template <class T>
T NextOf(std::vector<T>& answers) {
  T next = answers.front();
  if (answers.size() > 1) answers.erase(answers.begin());
  return next;
}

absl::Status NoteTiering(const std::string& call, std::string_view about) {
  FakeCluster::Get().admin.tiering_calls.push_back(call);
  return ErrorFor("tiering:" + std::string(about));
}

}  // namespace

Tiering::Tiering(Client& client) : impl_(client.impl_) {}
Tiering::~Tiering() = default;

absl::StatusOr<TierInfo> Tiering::Control(std::string_view tier, const TierControlChange& change) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(NoteTiering("control " + std::string(tier), tier));
  const auto found = cluster.admin.tiers.find(std::string(tier));
  if (found == cluster.admin.tiers.end()) return absl::NotFoundError("there is no tier");
  TierControl& control = found->second.control;
  if (change.archive_paused.has_value()) control.archive_paused = *change.archive_paused;
  if (change.recall_paused.has_value()) control.recall_paused = *change.recall_paused;
  if (change.limits.has_value()) control.limits = *change.limits;
  return found->second;
}

absl::StatusOr<bool> Tiering::SetPolicy(std::string_view path, const TierPolicy& policy) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(NoteTiering("policy " + std::string(path), path));
  return !cluster.admin.policies.insert_or_assign(std::string(path), policy).second;
}

absl::StatusOr<bool> Tiering::RemovePolicy(std::string_view path) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(NoteTiering("no policy " + std::string(path), path));
  return cluster.admin.policies.erase(std::string(path)) > 0;
}

absl::StatusOr<std::vector<PathPolicy>> Tiering::Policies() {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  std::vector<PathPolicy> policies;
  for (const auto& [path, policy] : cluster.admin.policies)
    policies.push_back({path, policy, absl::FromUnixSeconds(1000)});
  return policies;
}

absl::StatusOr<TierVerdicts> Tiering::TestPolicy(std::string_view path,
                                                 const std::optional<TierPolicy>& policy,
                                                 std::string_view start_after) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(
      NoteTiering("test " + std::string(path) + (policy.has_value() ? " new" : ""), path));
  return cluster.admin.verdicts;
}

absl::StatusOr<TierAsked> Tiering::Push(std::string_view path, std::string_view tier) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(NoteTiering("push " + std::string(path) + " " + std::string(tier), path));
  return cluster.admin.tier_asked;
}

absl::StatusOr<TierAsked> Tiering::Release(std::string_view path) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(NoteTiering("release " + std::string(path), path));
  return cluster.admin.tier_asked;
}

absl::StatusOr<TierAsked> Tiering::Fetch(std::string_view path, absl::Duration hold) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(
      NoteTiering("fetch " + std::string(path) + " " + absl::FormatDuration(hold), path));
  return cluster.admin.tier_asked;
}

absl::StatusOr<TierAsked> Tiering::Cancel(std::string_view path) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(NoteTiering("cancel " + std::string(path), path));
  return cluster.admin.tier_asked;
}

absl::StatusOr<TierQueue> Tiering::Queue(std::string_view start_after) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(NoteTiering("queue", "queue"));
  return NextOf(cluster.admin.queues);
}

absl::StatusOr<TierExplanation> Tiering::Explain(std::string_view path) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(NoteTiering("explain " + std::string(path), path));
  return cluster.admin.explanation;
}

absl::StatusOr<TierProgress> Tiering::Progress(std::string_view path) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  return NextOf(cluster.admin.tier_progress);
}

absl::StatusOr<TierImport> Tiering::Import(std::string_view tier, std::string_view cluster_id,
                                           bool dry_run) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(NoteTiering("import " + std::string(tier) + " " + std::string(cluster_id), tier));
  return NextOf(cluster.admin.imports);
}

absl::StatusOr<TierImport> Tiering::ImportStatus() {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  return NextOf(cluster.admin.imports);
}

absl::StatusOr<BalanceInfo> Admin::Balance(uint32_t threshold_percent) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("balance"));
  cluster.admin.balance_calls.push_back("show " + std::to_string(threshold_percent));
  const size_t look = cluster.admin.balance_looks++;
  return cluster.admin.balance[std::min(look, cluster.admin.balance.size() - 1)];
}

absl::StatusOr<BalanceInfo> Admin::StartRebalance(uint32_t threshold_percent) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("balance"));
  cluster.admin.balance_calls.push_back("start " + std::to_string(threshold_percent));
  return cluster.admin.balance[0];
}

absl::StatusOr<BalanceInfo> Admin::StopRebalance() {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("balance"));
  cluster.admin.balance_calls.push_back("stop");
  return cluster.admin.balance[0];
}

absl::StatusOr<StopAdvice> Admin::OkToStop(const std::vector<uint32_t>& nodes) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("stop"));
  cluster.admin.to_stop = nodes;
  return cluster.admin.advice;
}

absl::StatusOr<RebuildInfo> Admin::RebuildStatus() {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("rebuild"));
  const size_t look = cluster.admin.rebuild_looks++;
  return cluster.admin.rebuild[std::min(look, cluster.admin.rebuild.size() - 1)];
}

absl::StatusOr<ExaminationStep> Admin::Examine(uint64_t examination) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("examine"));
  cluster.admin.examined.push_back(examination);
  const auto& steps = cluster.admin.examinations;
  return steps[std::min(cluster.admin.examined.size(), steps.size()) - 1];
}

absl::StatusOr<StorageCheckStep> Admin::CheckStorage(uint64_t from_stripe,
                                                     const CheckStorageOptions& options) {
  auto& cluster = FakeCluster::Get();
  std::lock_guard lock(cluster.mutex);
  RETURN_IF_ERROR(ErrorFor("check:" + std::to_string(from_stripe)));
  cluster.admin.step_options.push_back(options);
  const auto at = cluster.admin.steps.find(from_stripe);
  if (at == cluster.admin.steps.end()) return absl::NotFoundError("no step begins there");
  return at->second;
}

}  // namespace cairn
