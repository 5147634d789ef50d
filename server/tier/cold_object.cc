#include "server/tier/cold_object.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/base/byte_text.h"
#include "common/base/check.h"
#include "common/base/little_endian.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr std::string_view kHeaderMagic("CAIRNCLD", 8);
constexpr std::string_view kTrailerMagic("CAIRNEND", 8);
constexpr uint32_t kVersion = 1;

// Of the header. Its checksum is the last field and covers all before it.
constexpr size_t kVersionAt = 8;
constexpr size_t kObjectAt = 12;
constexpr size_t kClusterLengthAt = 20;
constexpr size_t kClusterAt = 24;
constexpr size_t kClusterIdBytesMax = 36;
constexpr size_t kHeaderCrcAt = 60;
static_assert(kClusterAt + kClusterIdBytesMax == kHeaderCrcAt);
static_assert(kHeaderCrcAt + sizeof(uint32_t) == kColdHeaderBytes);

// Of the trailer. The magic is last, so that an object that was cut off is known by that.
constexpr size_t kIndexBytesAt = 0;
constexpr size_t kIndexCrcAt = 8;
constexpr size_t kTrailerVersionAt = 12;
constexpr size_t kTrailerCrcAt = 20;
constexpr size_t kTrailerMagicAt = 24;
static_assert(kTrailerMagicAt + kTrailerMagic.size() == kColdTrailerBytes);

absl::Status Damaged(std::string_view what) {
  return absl::DataLossError(StrCat("cold object: ", what));
}

absl::Status CheckVersion(uint32_t version) {
  if (version == kVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(
      StrCat("a cold object of format ", version, "; this release knows ", kVersion));
}

uint64_t BlocksOf(uint64_t length_bytes) { return DivideUp(length_bytes, kBlockBytes); }

// Pieces fill `payload_bytes` from the header on.
absl::Status CheckPieces(const disk::ColdIndex& index, uint64_t payload_bytes) {
  uint64_t at = 0;
  for (const disk::ColdPiece& piece : index.pieces()) {
    if (piece.object_offset_bytes() != kColdHeaderBytes + at)
      return Damaged("a piece is not where the one before it ends");
    if (piece.length_bytes() == 0 || piece.length_bytes() > payload_bytes - at)
      return Damaged("a piece is empty, or longer than the object");
    if (piece.run_offset_bytes() + piece.length_bytes() < piece.length_bytes())
      return Damaged("a piece wraps around");
    if (static_cast<uint64_t>(piece.block_crc32c_size()) != BlocksOf(piece.length_bytes()))
      return Damaged("a piece has not as many checksums as blocks");
    at += piece.length_bytes();
  }
  if (at != payload_bytes) return Damaged("its pieces do not fill it");
  return absl::OkStatus();
}

}  // namespace

std::string ColdObjectKey(std::string_view cluster_id, uint64_t object) {
  return StrCat(cluster_id, "/objects/", absl::StrFormat("%016x", object));
}

std::string EncodeColdHeader(const ColdHeader& header) {
  CAIRN_CHECK(!header.cluster_id.empty() && header.cluster_id.size() <= kClusterIdBytesMax);
  std::string bytes(kHeaderMagic);
  AppendLittleEndian<uint32_t>(bytes, kVersion);
  AppendLittleEndian<uint64_t>(bytes, header.object);
  AppendLittleEndian<uint32_t>(bytes, static_cast<uint32_t>(header.cluster_id.size()));
  bytes += header.cluster_id;
  bytes.resize(kHeaderCrcAt);
  AppendLittleEndian<uint32_t>(bytes, Crc32c(AsBytes(bytes)));
  return bytes;
}

absl::StatusOr<ColdHeader> DecodeColdHeader(ConstBytes bytes) {
  if (bytes.size() < kColdHeaderBytes) return Damaged("it is too short");
  if (AsText(bytes.first(kHeaderMagic.size())) != kHeaderMagic)
    return Damaged("it does not begin as one");
  const std::byte* at = bytes.data();
  // Before the checksum, whose place may be another then.
  if (absl::Status known = CheckVersion(LoadLittleEndian<uint32_t>(at + kVersionAt)); !known.ok())
    return known;
  if (LoadLittleEndian<uint32_t>(at + kHeaderCrcAt) != Crc32c(bytes.first(kHeaderCrcAt)))
    return Damaged("its header does not match its checksum");
  const auto cluster_bytes = LoadLittleEndian<uint32_t>(at + kClusterLengthAt);
  if (cluster_bytes == 0 || cluster_bytes > kClusterIdBytesMax)
    return Damaged("its header names no cluster");
  return ColdHeader{std::string(AsText(bytes.subspan(kClusterAt, cluster_bytes))),
                    LoadLittleEndian<uint64_t>(at + kObjectAt)};
}

absl::StatusOr<ColdIndexPlace> DecodeColdTrailer(ConstBytes trailer, uint64_t size_bytes) {
  if (trailer.size() != kColdTrailerBytes || size_bytes < kColdHeaderBytes + kColdTrailerBytes)
    return Damaged("it is too short");
  if (AsText(trailer.subspan(kTrailerMagicAt)) != kTrailerMagic)
    return Damaged("it does not end as one; it may be cut off");
  const std::byte* at = trailer.data();
  if (absl::Status known = CheckVersion(LoadLittleEndian<uint32_t>(at + kTrailerVersionAt));
      !known.ok()) {
    return known;
  }
  if (LoadLittleEndian<uint32_t>(at + kTrailerCrcAt) != Crc32c(trailer.first(kTrailerCrcAt)))
    return Damaged("its trailer does not match its checksum");
  ColdIndexPlace place;
  place.length_bytes = LoadLittleEndian<uint64_t>(at + kIndexBytesAt);
  place.crc32c = LoadLittleEndian<uint32_t>(at + kIndexCrcAt);
  const uint64_t room = size_bytes - kColdHeaderBytes - kColdTrailerBytes;
  if (place.length_bytes > std::min(room, kColdIndexBytesMax))
    return Damaged("its index is longer than it can be");
  place.offset_bytes = size_bytes - kColdTrailerBytes - place.length_bytes;
  return place;
}

absl::StatusOr<disk::ColdIndex> DecodeColdIndex(ConstBytes bytes, const ColdIndexPlace& place) {
  if (bytes.size() != place.length_bytes || Crc32c(bytes) != place.crc32c)
    return Damaged("its index does not match its checksum");
  disk::ColdIndex index;
  if (!index.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return Damaged("its index makes no sense");
  if (absl::Status good = CheckPieces(index, place.offset_bytes - kColdHeaderBytes); !good.ok())
    return good;
  return index;
}

absl::Status CheckColdBlocks(const disk::ColdPiece& piece, uint64_t first_block, ConstBytes bytes) {
  const uint64_t begin = first_block * kBlockBytes;
  if (begin >= piece.length_bytes() || bytes.size() > piece.length_bytes() - begin)
    return Damaged("there are no such blocks in the piece");
  const bool is_end = begin + bytes.size() == piece.length_bytes();
  if (!is_end && bytes.size() % kBlockBytes != 0) return Damaged("a part of a block");
  for (uint64_t at = 0; at < bytes.size(); at += kBlockBytes) {
    const uint64_t block = first_block + at / kBlockBytes;
    const ConstBytes content = bytes.subspan(at, std::min(kBlockBytes, bytes.size() - at));
    if (Crc32c(content) == piece.block_crc32c(static_cast<int>(block))) continue;
    return Damaged(StrCat("block ", block, " of the piece at ", piece.object_offset_bytes(),
                          " does not match its checksum"));
  }
  return absl::OkStatus();
}

ColdObjectBuilder::ColdObjectBuilder(const ColdHeader& header) : header_(EncodeColdHeader(header)) {
  parts_.push_back(AsBytes(header_));
}

void ColdObjectBuilder::BeginPiece(uint64_t first_stripe, uint64_t run_offset_bytes) {
  EndPiece();
  piece_.set_first_stripe(first_stripe);
  piece_.set_run_offset_bytes(run_offset_bytes);
  piece_.set_object_offset_bytes(kColdHeaderBytes + payload_bytes_);
  has_piece_ = true;
}

void ColdObjectBuilder::Add(ConstBytes bytes) {
  CAIRN_CHECK(has_piece_);
  if (bytes.empty()) return;
  crcs_.Add(bytes);
  parts_.push_back(bytes);
  piece_.set_length_bytes(piece_.length_bytes() + bytes.size());
  payload_bytes_ += bytes.size();
}

void ColdObjectBuilder::EndPiece() {
  if (has_piece_ && piece_.length_bytes() > 0) {
    const std::vector<uint32_t> crcs = crcs_.Finish();
    piece_.mutable_block_crc32c()->Add(crcs.begin(), crcs.end());
    *index_.add_pieces() = std::move(piece_);
  }
  piece_.Clear();
  has_piece_ = false;
}

std::span<const ConstBytes> ColdObjectBuilder::Finish() {
  EndPiece();
  end_ = index_.SerializeAsString();
  const size_t index_bytes = end_.size();
  std::string trailer;
  AppendLittleEndian<uint64_t>(trailer, index_bytes);
  AppendLittleEndian<uint32_t>(trailer, Crc32c(AsBytes(end_)));
  AppendLittleEndian<uint32_t>(trailer, kVersion);
  AppendLittleEndian<uint32_t>(trailer, 0);  // reserved
  AppendLittleEndian<uint32_t>(trailer, Crc32c(AsBytes(trailer)));
  trailer += kTrailerMagic;
  end_ += trailer;
  parts_.push_back(AsBytes(end_));
  return parts_;
}

}  // namespace cairn
