// What a cold store gives back may be anything: it is taken for an object only if all of it agrees.
#include <cstddef>
#include <cstdint>
#include <span>

#include "server/tier/cold_object.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cairn;
  const ConstBytes object = std::as_bytes(std::span(data, size));
  (void)DecodeColdHeader(object);
  if (size < kColdTrailerBytes) return 0;
  auto place = DecodeColdTrailer(object.last(kColdTrailerBytes), size);
  // Checksums of all kinds are beyond a fuzzer: the index is tried as if its own were right.
  if (!place.ok()) {
    const size_t payload = data[0] % (size + 1);
    place = ColdIndexPlace{payload, size - payload, 0};
    if (place->offset_bytes < kColdHeaderBytes) return 0;
    place->crc32c = Crc32c(object.subspan(payload));
  }
  const auto index =
      DecodeColdIndex(object.subspan(place->offset_bytes, place->length_bytes), *place);
  if (!index.ok()) return 0;
  for (const disk::ColdPiece& piece : index->pieces()) {
    const ConstBytes content = object.subspan(piece.object_offset_bytes(), piece.length_bytes());
    (void)CheckColdBlocks(piece, 0, content);
  }
  return 0;
}
