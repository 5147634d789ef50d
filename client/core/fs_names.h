// Pure: by which names each inode was found. The service finds its way by the last of them, and
// people are told paths. A hint: others may have renamed what it names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "proto/wire/fs.pb.h"

namespace cairn::client_internal {

// Not thread-safe.
class NameHints {
 public:
  // Of one inode; more are not remembered.
  static constexpr size_t kNamesMax = 8;

  // `root_path` is that of the cluster, "" for its top.
  void SetRoot(uint64_t inode, std::string root_path);
  uint64_t root() const { return root_; }
  const std::string& root_path() const { return root_path_; }

  void Found(uint64_t inode, uint64_t parent, std::string_view name);
  // The name leads nowhere any more.
  void Gone(uint64_t parent, std::string_view name);
  void Forget(uint64_t inode);

  wire::NodeRef Refer(uint64_t inode) const;
  // That was last found by the name.
  std::optional<uint64_t> InodeAt(uint64_t parent, std::string_view name) const;
  // What else it was found by, as directory and name.
  std::vector<std::pair<uint64_t, std::string>> OthersOf(uint64_t inode, uint64_t parent,
                                                         std::string_view name) const;
  // In which it was found, each once or more.
  std::vector<uint64_t> DirectoriesOf(uint64_t inode) const;
  // All names that are known in a directory, and what they lead to.
  std::vector<std::pair<std::string, uint64_t>> NamesIn(uint64_t parent) const;
  // From the top of the cluster; nullopt: the way to it is not known.
  std::optional<std::string> PathOf(uint64_t inode) const;
  // The bucket's directory, on the way to it; nullopt: not known.
  std::optional<uint64_t> BucketOf(uint64_t inode) const;
  size_t size() const { return by_inode_.size(); }

 private:
  using Name = std::pair<uint64_t, std::string>;

  // By which it was found last; null: none is known.
  const Name* NameOf(uint64_t inode) const;
  void Drop(uint64_t inode, const Name& name);

  uint64_t root_ = 0;
  std::string root_path_;
  absl::flat_hash_map<uint64_t, std::vector<Name>> by_inode_;  // the last found comes last
  absl::btree_map<Name, uint64_t> by_name_;
};

}  // namespace cairn::client_internal
