#include "server/tier/piece_list.h"

#include <algorithm>

#include "common/base/check.h"

namespace cairn {

std::vector<ConstBytes> SlicePieces(std::span<const ConstBytes> pieces, uint64_t offset,
                                    uint64_t length) {
  std::vector<ConstBytes> slices;
  for (const ConstBytes piece : pieces) {
    if (length == 0) break;
    if (offset >= piece.size()) {
      offset -= piece.size();
      continue;
    }
    const uint64_t take = std::min<uint64_t>(piece.size() - offset, length);
    slices.push_back(piece.subspan(offset, take));
    length -= take;
    offset = 0;
  }
  CAIRN_CHECK(length == 0);
  return slices;
}

}  // namespace cairn
