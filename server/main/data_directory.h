// The data directory of a node: who it belongs to, and that only one cairnd uses it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "common/base/random.h"
#include "proto/disk/identity.pb.h"

namespace cairn {

// Of everything in a data directory. A directory of another version is refused, never converted
// silently.
inline constexpr uint32_t kDataFormatVersion = 1;

// The bytes of "cairn.id": magic, length, CRC32C, message.
std::string EncodeIdentity(const disk::NodeIdentity& identity);
// DATA_LOSS when damaged; FAILED_PRECONDITION when of another format version, naming both.
absl::StatusOr<disk::NodeIdentity> DecodeIdentity(std::string_view bytes);

// Holds the directory's lock until destroyed.
class DataDirectory {
 public:
  enum class Purpose {
    kServe,  // of a new directory: to found a cluster
    kJoin,   // to be a node of a cluster that another has founded
  };
  // Opens `path`, making it (not its parents) when new. A new one that founds a cluster gets its
  // identity at once, one that joins with SetIdentity(). Errors name the path and what to do:
  // NOT_FOUND (missing parent), PERMISSION_DENIED (read-only), FAILED_PRECONDITION (in use by
  // another process; of another cluster than `expected_cluster_id`, unless that is empty; of
  // another format version; holds something else; is to join and has founded a cluster), DATA_LOSS
  // (the identity is damaged).
  static absl::StatusOr<std::unique_ptr<DataDirectory>> Open(const std::string& path,
                                                             std::string_view expected_cluster_id,
                                                             Random& random,
                                                             Purpose purpose = Purpose::kServe);
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  const std::string& path() const { return path_; }
  const disk::NodeIdentity& identity() const { return identity_; }
  // Whether another node founded the cluster.
  bool joined() const { return identity_.identity() != 0; }
  // Durable when it returns OK.
  absl::Status SetIdentity(disk::NodeIdentity identity);
  // The two halves of that, for who must not block: Store() may run on any thread, one at a time.
  absl::Status Store(const disk::NodeIdentity& identity) const;
  void Adopt(disk::NodeIdentity identity) { identity_ = std::move(identity); }

 private:
  DataDirectory(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  absl::Status LoadOrMakeIdentity(std::string_view expected_cluster_id, Random& random,
                                  Purpose purpose);
  absl::Status MakeIdentity(std::string_view expected_cluster_id, Random& random, Purpose purpose);

  std::string path_;
  int lock_fd_;
  disk::NodeIdentity identity_;
};

}  // namespace cairn
