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
  const auto [known, is_new] = by_name_.try_emplace(full, inode);
  if (!is_new && known->second != inode) {
    Drop(known->second, full);
    known->second = inode;
  }
  std::vector<Name>& names = by_inode_[inode];
  if (!names.empty() && names.back() == full) return;
  std::erase(names, full);
  names.push_back(std::move(full));
  if (names.size() <= kNamesMax) return;
  by_name_.erase(names.front());
  names.erase(names.begin());
}

void NameHints::Gone(uint64_t parent, std::string_view name) {
  const auto known = by_name_.find(Name(parent, std::string(name)));
  if (known == by_name_.end()) return;
  Drop(known->second, known->first);
  by_name_.erase(known);
}

void NameHints::Drop(uint64_t inode, const Name& name) {
  const auto known = by_inode_.find(inode);
  if (known == by_inode_.end()) return;
  std::erase(known->second, name);
  if (known->second.empty()) by_inode_.erase(known);
}

void NameHints::Forget(uint64_t inode) {
  const auto known = by_inode_.find(inode);
  if (known == by_inode_.end()) return;
  for (const Name& name : known->second) by_name_.erase(name);
  by_inode_.erase(known);
}

const NameHints::Name* NameHints::NameOf(uint64_t inode) const {
  const auto known = by_inode_.find(inode);
  return known == by_inode_.end() ? nullptr : &known->second.back();
}

wire::NodeRef NameHints::Refer(uint64_t inode) const {
  wire::NodeRef node;
  node.set_inode(inode);
  if (const Name* name = NameOf(inode); name != nullptr) {
    node.set_parent(name->first);
    node.set_name(name->second);
  }
  return node;
}

std::vector<std::pair<uint64_t, std::string>> NameHints::OthersOf(uint64_t inode, uint64_t parent,
                                                                  std::string_view name) const {
  const auto known = by_inode_.find(inode);
  if (known == by_inode_.end()) return {};
  std::vector<Name> others = known->second;
  std::erase(others, Name(parent, std::string(name)));
  return others;
}

std::vector<uint64_t> NameHints::DirectoriesOf(uint64_t inode) const {
  const auto known = by_inode_.find(inode);
  if (known == by_inode_.end()) return {};
  std::vector<uint64_t> directories;
  for (const auto& [directory, name] : known->second) directories.push_back(directory);
  return directories;
}

std::vector<std::pair<std::string, uint64_t>> NameHints::NamesIn(uint64_t parent) const {
  std::vector<std::pair<std::string, uint64_t>> names;
  for (auto at = by_name_.lower_bound(Name(parent, ""));
       at != by_name_.end() && at->first.first == parent; ++at)
    names.emplace_back(at->first.second, at->second);
  return names;
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
    const Name* name = NameOf(inode);
    if (name == nullptr) return std::nullopt;
    path = path.empty() ? name->second : StrCat(name->second, "/", path);
    inode = name->first;
  }
  return std::nullopt;
}

std::optional<uint64_t> NameHints::BucketOf(uint64_t inode) const {
  if (!root_path_.empty()) return root_;
  for (int depth = 0; depth < kDepthMax && inode != root_; ++depth) {
    const Name* name = NameOf(inode);
    if (name == nullptr) return std::nullopt;
    if (name->first == root_) return inode;
    inode = name->first;
  }
  return std::nullopt;
}

}  // namespace cairn::client_internal
