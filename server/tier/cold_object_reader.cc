#include "server/tier/cold_object_reader.h"

#include <algorithm>
#include <vector>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

// An index mostly fits it, with the trailer.
constexpr uint64_t kTailBytes = 64 * kKiB;

// The piece that has all of the bytes; null: none has.
const disk::ColdPiece* FindPiece(const disk::ColdIndex& index, uint64_t offset_bytes,
                                 uint64_t length_bytes) {
  const auto& pieces = index.pieces();
  auto after = std::upper_bound(
      pieces.begin(), pieces.end(), offset_bytes,
      [](uint64_t offset, const auto& piece) { return offset < piece.object_offset_bytes(); });
  if (after == pieces.begin()) return nullptr;
  const disk::ColdPiece& piece = *--after;
  const uint64_t in_piece = offset_bytes - piece.object_offset_bytes();
  const bool has_all =
      in_piece < piece.length_bytes() && length_bytes <= piece.length_bytes() - in_piece;
  return has_all ? &piece : nullptr;
}

absl::Status CheckHeader(ColdStore& store, const ColdObjectId& object, const CallBounds& bounds) {
  std::vector<std::byte> bytes(kColdHeaderBytes);
  RETURN_IF_ERROR(store.Get(object.key(), 0, bytes, "", bounds));
  ASSIGN_OR_RETURN(const ColdHeader header, DecodeColdHeader(bytes));
  if (header.cluster_id == object.header.cluster_id && header.object == object.header.object)
    return absl::OkStatus();
  return absl::DataLossError(StrCat("cold object ", object.key(), " says that it is object ",
                                    header.object, " of cluster ", header.cluster_id));
}

}  // namespace

absl::StatusOr<disk::ColdIndex> ReadColdIndex(ColdStore& store, const ColdObjectId& object,
                                              const CallBounds& bounds) {
  if (object.size_bytes < kColdHeaderBytes + kColdTrailerBytes)
    return absl::DataLossError(StrCat("cold object ", object.key(), " is too short to be one"));
  RETURN_IF_ERROR(CheckHeader(store, object, bounds));
  std::vector<std::byte> tail(std::min(object.size_bytes, kTailBytes));
  uint64_t tail_at = object.size_bytes - tail.size();
  RETURN_IF_ERROR(store.Get(object.key(), tail_at, tail, "", bounds));
  const ConstBytes trailer = ConstBytes(tail).last(kColdTrailerBytes);
  ASSIGN_OR_RETURN(const ColdIndexPlace place, DecodeColdTrailer(trailer, object.size_bytes));
  if (place.offset_bytes < tail_at) {
    tail.resize(place.length_bytes);
    tail_at = place.offset_bytes;
    RETURN_IF_ERROR(store.Get(object.key(), tail_at, tail, "", bounds));
  }
  return DecodeColdIndex(ConstBytes(tail).subspan(place.offset_bytes - tail_at, place.length_bytes),
                         place);
}

absl::StatusOr<ConstBytes> ReadColdBytes(ColdStore& store, const ColdObjectId& object,
                                         const disk::ColdIndex& index, uint64_t offset_bytes,
                                         uint64_t length_bytes, MutableBytes scratch,
                                         const CallBounds& bounds) {
  const disk::ColdPiece* piece = FindPiece(index, offset_bytes, length_bytes);
  if (piece == nullptr) {
    return absl::OutOfRangeError(StrCat("cold object ", object.key(), " has no piece with bytes ",
                                        offset_bytes, " to ", offset_bytes + length_bytes));
  }
  const uint64_t in_piece = offset_bytes - piece->object_offset_bytes();
  const uint64_t begin = AlignDown(in_piece, kBlockBytes);
  const uint64_t end =
      std::min(AlignUp(in_piece + length_bytes, kBlockBytes), piece->length_bytes());
  CAIRN_CHECK(end - begin <= scratch.size());
  const MutableBytes blocks = scratch.first(end - begin);
  RETURN_IF_ERROR(
      store.Get(object.key(), piece->object_offset_bytes() + begin, blocks, "", bounds));
  RETURN_IF_ERROR(CheckColdBlocks(*piece, begin / kBlockBytes, blocks));
  return ConstBytes(blocks).subspan(in_piece - begin, length_bytes);
}

}  // namespace cairn
