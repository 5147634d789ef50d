// The bytes of a cold object: a header that says whose it is, pieces of runs of stripes, an index
// with the checksums of their blocks, a trailer that finds the index. Pure; FORMAT_COLD.md has it
// byte by byte.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/crc32c.h"
#include "common/base/units.h"
#include "proto/disk/cold.pb.h"

namespace cairn {

inline constexpr uint64_t kColdHeaderBytes = 64;
inline constexpr uint64_t kColdTrailerBytes = 32;
// An index of an object of 256 MiB in a few pieces has 17 KiB.
inline constexpr uint64_t kColdIndexBytesMax = 16 * kMiB;

// "CLUSTER/objects/0123456789abcdef": clusters may share a bucket.
std::string ColdObjectKey(std::string_view cluster_id, uint64_t object);

struct ColdHeader {
  std::string cluster_id;  // 1 to 36 bytes
  uint64_t object = 0;
};
std::string EncodeColdHeader(const ColdHeader& header);
// DATA_LOSS: it is none, or damaged. FAILED_PRECONDITION: of a later release.
absl::StatusOr<ColdHeader> DecodeColdHeader(ConstBytes bytes);

// Where in an object of `size_bytes` its index is; `trailer` has its last kColdTrailerBytes. Errors
// as above.
struct ColdIndexPlace {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  uint32_t crc32c = 0;
};
absl::StatusOr<ColdIndexPlace> DecodeColdTrailer(ConstBytes trailer, uint64_t size_bytes);
// All pieces lie between header and index, one behind the other, with a checksum for each block.
// DATA_LOSS: they do not, or the bytes do not match their checksum. REQUIRES: `place` is of
// DecodeColdTrailer().
absl::StatusOr<disk::ColdIndex> DecodeColdIndex(ConstBytes bytes, const ColdIndexPlace& place);

// `bytes` are those of the piece from block `first_block` on, whole blocks but for the piece's
// last. DATA_LOSS: they are not. REQUIRES: `piece` is of DecodeColdIndex().
absl::Status CheckColdBlocks(const disk::ColdPiece& piece, uint64_t first_block, ConstBytes bytes);

// Lays out an object over bytes that are the caller's.
class ColdObjectBuilder {
 public:
  explicit ColdObjectBuilder(const ColdHeader& header);
  ColdObjectBuilder(const ColdObjectBuilder&) = delete;
  ColdObjectBuilder& operator=(const ColdObjectBuilder&) = delete;

  // Begins a piece: of the run, from there on.
  void BeginPiece(uint64_t first_stripe, uint64_t run_offset_bytes);
  // Its next bytes. Kept unchanged by the caller for as long as what Finish() returns is used.
  // REQUIRES: a piece has been begun.
  void Add(ConstBytes bytes);
  // Of the object if it were finished now, but for its index.
  uint64_t size_bytes() const { return kColdHeaderBytes + payload_bytes_ + kColdTrailerBytes; }

  // The whole object, in order; valid as long as the builder. Pieces without bytes are left out. Is
  // called once.
  std::span<const ConstBytes> Finish();
  // After Finish().
  const disk::ColdIndex& index() const { return index_; }

 private:
  void EndPiece();

  const std::string header_;
  std::string end_;  // index and trailer
  std::vector<ConstBytes> parts_;
  disk::ColdIndex index_;
  disk::ColdPiece piece_;
  bool has_piece_ = false;
  BlockCrcs crcs_;
  uint64_t payload_bytes_ = 0;
};

}  // namespace cairn
