#include "server/kv/rocks_kv.h"

#include <fcntl.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/table.h>
#include <rocksdb/write_buffer_manager.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "common/base/check.h"
#include "common/base/file_lock.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/kv/log_check.h"

namespace cairn {
namespace {

// Ours beside RocksDB's own LOCK, whose error names no process.
constexpr char kLockFile[] = "IN_USE";
// A new log and manifest, which RocksDB preallocates, and what it has to write of the old log.
constexpr uint64_t kOpenBytesMin = 16 * kMiB;

rocksdb::Slice ToSlice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view FromSlice(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

absl::Status FromRocks(const rocksdb::Status& status, std::string_view what,
                       const std::string& directory) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = StrCat(what, " in ", directory, ": ", status.ToString());
  if (status.IsCorruption()) return absl::DataLossError(message);
  return absl::UnavailableError(message);
}

// Few, so that each part of the cache has room for large blocks: files of earlier builds have some.
constexpr int kCacheShardBits = 2;

std::shared_ptr<rocksdb::TableFactory> MakeTables(std::shared_ptr<rocksdb::Cache> cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = std::move(cache);
  // Inside the cache, or memory grows with the number of fragments.
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  // Every fragment write asks for a key that is almost never there.
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10, false));
  table.whole_key_filtering = true;
  // In pieces of a few KiB. Whole ones of a large file have a megabyte and more, and one that a
  // part of the cache has no room for is read from the file again for every key.
  table.index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table.partition_filters = true;
  table.metadata_block_size = 4 * kKiB;
  table.pin_top_level_index_and_filter = true;
  // XXH3 where RocksDB's default before 6.27 was CRC32C: 128-bit hash of every block, cheap.
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;
  return std::shared_ptr<rocksdb::TableFactory>(rocksdb::NewBlockBasedTableFactory(table));
}

rocksdb::DBOptions MakeOptions(uint64_t memory_bytes,
                               const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::DBOptions options;
  options.create_if_missing = true;
  options.create_missing_column_families = true;
  options.paranoid_checks = true;
  options.verify_sst_unique_id_in_manifest = true;
  options.track_and_verify_wals_in_manifest = true;
  // A power cut can tear the last, unacknowledged record of the log in a way that looks damaged
  // rather than short; the stricter modes would then refuse to open a store that has lost nothing.
  // CheckLogs() has refused the rest.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.max_background_jobs = 2;
  options.max_open_files = 256;
  // A quarter of the memory, charged to the cache, so that one number bounds both.
  options.write_buffer_manager =
      std::make_shared<rocksdb::WriteBufferManager>(memory_bytes / 4, cache);
  // Replayed at start: bounds the time that takes.
  options.max_total_wal_size = memory_bytes;
  // RocksDB's default is 1,000 info logs without a size limit.
  options.keep_log_file_num = 4;
  options.max_log_file_size = 1 * kMiB;
  options.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  // The statistics it would dump into that log, and its copy inside the database.
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  // Fail-stop: no recovering in the background from an error that we have already reported.
  options.max_bgerror_resume_count = 0;
  return options;
}

rocksdb::ColumnFamilyOptions MakeFamilyOptions(
    uint64_t memory_bytes, const std::shared_ptr<rocksdb::TableFactory>& tables) {
  rocksdb::ColumnFamilyOptions options;
  options.table_factory = tables;
  options.write_buffer_size = std::max<uint64_t>(memory_bytes / 8, 64 * kKiB);
  // Index records are mostly checksums, which do not compress, and the metadata's are small.
  options.compression = rocksdb::kNoCompression;
  options.paranoid_file_checks = true;
  return options;
}

class RocksIterator final : public KvIterator {
 public:
  // `read`: with the settings of the walk, its upper bound excepted, which is made here.
  RocksIterator(rocksdb::DB& db, rocksdb::ColumnFamilyHandle* family, rocksdb::ReadOptions read,
                std::string_view end, std::string directory)
      : end_(end), end_slice_(end_), directory_(std::move(directory)) {
    if (!end_.empty()) read.iterate_upper_bound = &end_slice_;
    iterator_.reset(db.NewIterator(read, family));
  }
  void Seek(std::string_view key) override { iterator_->Seek(ToSlice(key)); }
  void SeekForPrev(std::string_view key) override { iterator_->SeekForPrev(ToSlice(key)); }
  bool Valid() const override { return iterator_->Valid(); }
  void Next() override { iterator_->Next(); }
  void Prev() override { iterator_->Prev(); }
  std::string_view key() const override { return FromSlice(iterator_->key()); }
  std::string_view value() const override { return FromSlice(iterator_->value()); }
  absl::Status status() const override {
    return FromRocks(iterator_->status(), "scan", directory_);
  }

 private:
  const std::string end_;
  const rocksdb::Slice end_slice_;  // RocksDB keeps a pointer to it
  const std::string directory_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
};

// What a failed store gives for a walk: nothing, and why.
class FailedIterator final : public KvIterator {
 public:
  explicit FailedIterator(absl::Status status) : status_(std::move(status)) {}
  void Seek(std::string_view) override {}
  void SeekForPrev(std::string_view) override {}
  bool Valid() const override { return false; }
  void Next() override {}
  void Prev() override {}
  std::string_view key() const override { return {}; }
  std::string_view value() const override { return {}; }
  absl::Status status() const override { return status_; }

 private:
  absl::Status status_;
};

// The families RocksDB wants at opening: ours, and its "default", which always exists. Refuses a
// store with others.
absl::StatusOr<std::vector<std::string>> FamiliesToOpen(const std::string& directory,
                                                        std::vector<std::string> families) {
  if (std::find(families.begin(), families.end(), rocksdb::kDefaultColumnFamilyName) ==
      families.end()) {
    families.push_back(rocksdb::kDefaultColumnFamilyName);
  }
  // Without a store there is nothing to list, and the error for that is not told apart from others.
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::path(directory) / "CURRENT", error))
    return families;
  std::vector<std::string> existing;
  const rocksdb::Status listed = rocksdb::DB::ListColumnFamilies({}, directory, &existing);
  RETURN_IF_ERROR(FromRocks(listed, "listing column families", directory));
  for (const std::string& name : existing) {
    if (std::find(families.begin(), families.end(), name) == families.end()) {
      return absl::FailedPreconditionError(
          StrCat(directory, " holds a column family '", name,
                 "' that this version does not know: it was written by a newer "
                 "cairnd; start that one"));
    }
  }
  return families;
}

// Deletions go on: they are how space comes back.
absl::Status CheckSpace(const KvBatch& batch, const RocksKv::Options& options) {
  if (!batch.adds()) return absl::OkStatus();
  struct statvfs filesystem {};
  if (statvfs(options.directory.c_str(), &filesystem) != 0) return absl::OkStatus();
  const uint64_t free_bytes = uint64_t{filesystem.f_bavail} * filesystem.f_frsize;
  const uint64_t kept = batch.frees_space() ? options.reserve_bytes / 2 : options.reserve_bytes;
  if (free_bytes >= kept) return absl::OkStatus();
  return absl::ResourceExhaustedError(StrCat("the filesystem of ", options.directory,
                                             " is full: ", free_bytes, " bytes are free, and ",
                                             kept, " are kept in reserve; make room there"));
}

// RocksDB gets through no failed write while it opens: Debian's asserts in the middle of it.
absl::Status CheckSpaceToOpen(const std::string& directory) {
  struct statvfs filesystem {};
  if (statvfs(directory.c_str(), &filesystem) != 0) return absl::OkStatus();
  const uint64_t free_bytes = uint64_t{filesystem.f_bavail} * filesystem.f_frsize;
  if (free_bytes >= kOpenBytesMin) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      StrCat("the filesystem of ", directory, " is full: ", free_bytes,
             " bytes are free, and opening takes ", kOpenBytesMin, "; make room there"));
}

absl::StatusOr<int> LockDirectory(const std::string& directory) {
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error)
    return absl::UnavailableError(StrCat(directory, ": cannot be made: ", error.message()));
  const std::string path = StrCat(directory, "/", kLockFile);
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return absl::UnavailableError(StrCat(path, ": ", std::strerror(errno)));
  const absl::Status locked = LockExclusively(fd, directory);
  if (!locked.ok()) {
    close(fd);
    return locked;
  }
  return fd;
}

}  // namespace

struct RocksKv::Impl {
  ~Impl() {
    // A log that ends with acknowledged records cannot be told from a torn one when its last record
    // is damaged later; tables can. Failing costs only that.
    if (db != nullptr && !failed.load()) (void)db->Flush({}, handles);
    for (rocksdb::ColumnFamilyHandle* handle : handles) {
      if (handle != nullptr) db->DestroyColumnFamilyHandle(handle);
    }
    db.reset();
    if (lock_fd >= 0) close(lock_fd);
  }
  // OK, or the refusal that names the first error.
  absl::Status Refusal() {
    if (!failed.load(std::memory_order_acquire)) return absl::OkStatus();
    std::lock_guard lock(mutex);
    return absl::FailedPreconditionError(
        StrCat("the store has failed and takes nothing more; restart cairnd once "
               "the cause is gone: ",
               ToStd(first_error.message())));
  }
  void Fail(const absl::Status& error) {
    std::lock_guard lock(mutex);
    if (first_error.ok()) first_error = error;
    failed.store(true, std::memory_order_release);
  }

  // Ends the log with a record that says nothing, so that the last acknowledged one is never the
  // last: see log_check.h. Not synced: a power cut that takes it leaves just that one commit to the
  // judgement of a torn end.
  absl::Status MarkAcknowledged() {
    rocksdb::WriteBatch mark;
    mark.PutLogData(kAcknowledgedMark);
    return FromRocks(db->Write({}, &mark), "writing to the log", options.directory);
  }

  Options options;
  int lock_fd = -1;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  // Writers take turns: RocksDB would let a second one reach its log after the first one failed
  // there.
  std::mutex write_mutex;
  std::atomic<bool> failed{false};
  std::mutex mutex;
  absl::Status first_error;
};

RocksKv::RocksKv(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RocksKv::~RocksKv() = default;

absl::StatusOr<std::unique_ptr<RocksKv>> RocksKv::Open(Options options) {
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  ASSIGN_OR_RETURN(impl->lock_fd, LockDirectory(options.directory));
  RETURN_IF_ERROR(CheckSpaceToOpen(options.directory));
  RETURN_IF_ERROR(CheckLogs(options.directory));
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   FamiliesToOpen(options.directory, options.families));

  const auto cache = rocksdb::NewLRUCache(options.memory_bytes, kCacheShardBits);
  const auto tables = MakeTables(cache);
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  for (const std::string& name : names) {
    descriptors.emplace_back(name, MakeFamilyOptions(options.memory_bytes, tables));
  }
  rocksdb::DB* db = nullptr;
  const rocksdb::Status opened =
      rocksdb::DB::Open(MakeOptions(options.memory_bytes, cache), options.directory, descriptors,
                        &impl->handles, &db);
  RETURN_IF_ERROR(FromRocks(opened, "opening the store", options.directory));
  impl->db.reset(db);
  return std::unique_ptr<RocksKv>(new RocksKv(std::move(impl)));
}

absl::StatusOr<std::optional<std::string>> RocksKv::Get(ColumnFamily family, std::string_view key) {
  CAIRN_CHECK(family < impl_->options.families.size());
  RETURN_IF_ERROR(impl_->Refusal());
  rocksdb::ReadOptions read;
  read.verify_checksums = true;
  std::string value;
  const rocksdb::Status got = impl_->db->Get(read, impl_->handles[family], ToSlice(key), &value);
  if (got.IsNotFound()) return std::nullopt;
  if (got.ok()) return std::optional<std::string>(std::move(value));
  absl::Status error = FromRocks(got, "reading a key", impl_->options.directory);
  if (got.IsIOError()) impl_->Fail(error);
  return error;
}

std::unique_ptr<KvIterator> RocksKv::NewIterator(ColumnFamily family, std::string_view end) {
  CAIRN_CHECK(family < impl_->options.families.size());
  const absl::Status refusal = impl_->Refusal();
  if (!refusal.ok()) return std::make_unique<FailedIterator>(refusal);
  rocksdb::ReadOptions read;
  read.verify_checksums = true;
  return std::make_unique<RocksIterator>(*impl_->db, impl_->handles[family], read, end,
                                         impl_->options.directory);
}

absl::Status RocksKv::Write(const KvBatch& batch, KvDurability durability) {
  rocksdb::WriteBatch writes;
  for (const KvBatch::Entry& entry : batch.entries()) {
    CAIRN_CHECK(entry.family < impl_->options.families.size());
    rocksdb::ColumnFamilyHandle* const family = impl_->handles[entry.family];
    rocksdb::Status added;
    switch (entry.op) {
      case KvBatch::Op::kPut:
        added = writes.Put(family, ToSlice(entry.key), ToSlice(entry.value));
        break;
      case KvBatch::Op::kDelete:
        added = writes.Delete(family, ToSlice(entry.key));
        break;
      case KvBatch::Op::kDeleteRange:
        added = writes.DeleteRange(family, ToSlice(entry.key), ToSlice(entry.value));
        break;
    }
    CAIRN_CHECK(added.ok());  // in memory; fails only beyond 4 GiB
  }
  rocksdb::WriteOptions write;
  write.sync = durability == KvDurability::kSynced && impl_->options.sync == Sync::kDurable;
  std::lock_guard lock(impl_->write_mutex);
  RETURN_IF_ERROR(impl_->Refusal());
  RETURN_IF_ERROR(CheckSpace(batch, impl_->options));
  absl::Status written =
      FromRocks(impl_->db->Write(write, &writes), "writing a batch", impl_->options.directory);
  if (written.ok() && write.sync) written = impl_->MarkAcknowledged();
  if (!written.ok()) impl_->Fail(written);
  return written;
}

}  // namespace cairn
