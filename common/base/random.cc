#include "common/base/random.h"

#include <sys/random.h>

#include "common/base/check.h"

namespace cairn {

uint64_t SystemRandom::Next() {
  uint64_t value = 0;
  CAIRN_CHECK(getrandom(&value, sizeof(value), 0) == sizeof(value));
  return value;
}

}  // namespace cairn
