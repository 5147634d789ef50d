// Pure: what is done to a file's list of extents on this side.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "client/core/fs_dirty.h"
#include "proto/wire/meta.pb.h"

namespace cairn::client_internal {

// An extent that carries its bytes has so many at most.
inline constexpr uint64_t kInlineBytesMax = 32 * kKiB;

wire::ExtentRun InlineExtent(const DirtyPiece& piece);
wire::ExtentRun HoleExtent(ByteRange range);

// In the order of the file, in lists that each fit a message.
std::vector<std::vector<wire::ExtentRun>> PageExtents(std::vector<wire::ExtentRun> extents);

// The part of `extent` that lies in `range`. REQUIRES: some of it does.
wire::ExtentRun PartOf(const wire::ExtentRun& extent, ByteRange range);
// `fresh`, in order, takes the place of what `extents` have there; what lies between their end and
// the first of `fresh` becomes a hole.
void Overwrite(std::vector<wire::ExtentRun>& extents, const std::vector<wire::ExtentRun>& fresh);

bool IsHole(const wire::ExtentRun& extent);
// lseek(2)'s SEEK_DATA and SEEK_HOLE: the next byte at or behind `from` that is none or one of a
// hole; the end of the file is a hole. nullopt: there is none before the end.
std::optional<uint64_t> SeekInExtents(const std::vector<wire::ExtentRun>& extents,
                                      uint64_t size_bytes, uint64_t from, bool to_hole);

// Ranges of a file of which the bytes lie in so many small pieces that it is worth while to write
// them again as stripes. Each is within one stripe, and has no hole in it. At most `ranges_max`.
std::vector<ByteRange> PlanCompaction(const std::vector<wire::ExtentRun>& extents,
                                      uint64_t stripe_bytes, size_t ranges_max);
// Whether to look for such ranges at all, by what the attributes say.
bool IsWorthCompacting(uint64_t size_bytes, uint64_t inline_bytes, uint64_t extents);

}  // namespace cairn::client_internal
