// Text as bytes and bytes as text, in place.
#pragma once

#include <cstddef>
#include <string_view>

#include "common/base/units.h"

namespace cairn {

inline ConstBytes AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

inline std::string_view AsText(ConstBytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace cairn
