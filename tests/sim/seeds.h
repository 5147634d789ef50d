// How many seeds a test runs. Sanitizers look for other faults than seeds do, and take twenty times
// as long: a tenth is enough for them.
#pragma once

#include <algorithm>
#include <cstdint>

namespace cairn {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif
#else
inline constexpr bool kSanitized = false;
#endif

constexpr uint64_t SeedsHere(uint64_t seeds) {
  return kSanitized ? std::max<uint64_t>(1, seeds / 10) : seeds;
}

}  // namespace cairn
