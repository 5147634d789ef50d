// Pure: which links are tried. Every node tries a few, so that the whole costs what the cluster is
// large, and each node is tried by as many others: a slow node has many slow links, a slow link
// one.
#pragma once

#include <cstddef>
#include <vector>

namespace cairn {

// Links that a node tries.
inline constexpr size_t kLinksPerNode = 4;

// The members of a ring of `nodes` that member `index` tries: those 1, 2, 4 and 8 places on, and in
// a small ring the next ones instead. At most kLinksPerNode, none twice, never itself.
// REQUIRES: index < nodes.
std::vector<size_t> LinksOf(size_t index, size_t nodes);

}  // namespace cairn
