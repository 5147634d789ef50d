#include "client/core/fs_names.h"

#include "common/base/strings.h"

namespace cairn::client_internal {
namespace {

// No path is deeper; what is known of names may go in circles after renames elsewhere.
constexpr int kDepthMax = 4096;

}  // namespace

void NameHints::SetRoot(uint64_t inode, std::string root_path) {
  root_ = inode;
  root_path_ = std::move(root_path);
}

void NameHints::Found(uint64_t inode, uint64_t parent, std::string_view name) {
  if (inode == root_) return;
  Name full(parent, std::string(name));
  const auto known = by_inode_.find(inode);
  if (known != by_inode_.end() && known->second == full) return;
  Forget(inode);
  if (const auto had = by_name_.find(full); had != by_name_.end()) by_inode_.erase(had->second);
  by_name_[full] = inode;
  by_inode_[inode] = std::move(full);
}

void NameHints::Gone(uint64_t parent, std::string_view name) {
  const auto known = by_name_.find(Name(parent, std::string(name)));
  if (known == by_name_.end()) return;
  by_inode_.erase(known->second);
  by_name_.erase(known);
}

void NameHints::Forget(uint64_t inode) {
  const auto known = by_inode_.find(inode);
  if (known == by_inode_.end()) return;
  by_name_.erase(known->second);
  by_inode_.erase(known);
}

wire::NodeRef NameHints::Refer(uint64_t inode) const {
  wire::NodeRef node;
  node.set_inode(inode);
  if (const auto known = by_inode_.find(inode); known != by_inode_.end()) {
    node.set_parent(known->second.first);
    node.set_name(known->second.second);
  }
  return node;
}

std::optional<uint64_t> NameHints::InodeAt(uint64_t parent, std::string_view name) const {
  const auto known = by_name_.find(Name(parent, std::string(name)));
  if (known == by_name_.end()) return std::nullopt;
  return known->second;
}

std::optional<std::string> NameHints::PathOf(uint64_t inode) const {
  std::string path;
  for (int depth = 0; depth < kDepthMax; ++depth) {
    if (inode == root_)
      return root_path_.empty() || path.empty() ? StrCat(root_path_, path)
                                                : StrCat(root_path_, "/", path);
    const auto known = by_inode_.find(inode);
    if (known == by_inode_.end()) return std::nullopt;
    path = path.empty() ? known->second.second : StrCat(known->second.second, "/", path);
    inode = known->second.first;
  }
  return std::nullopt;
}

std::optional<uint64_t> NameHints::BucketOf(uint64_t inode) const {
  if (!root_path_.empty()) return root_;
  for (int depth = 0; depth < kDepthMax && inode != root_; ++depth) {
    const auto known = by_inode_.find(inode);
    if (known == by_inode_.end()) return std::nullopt;
    if (known->second.first == root_) return inode;
    inode = known->second.first;
  }
  return std::nullopt;
}

}  // namespace cairn::client_internal
