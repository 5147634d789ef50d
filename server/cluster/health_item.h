// What items of health begin with.
#pragma once

#include "proto/wire/meta.pb.h"

namespace cairn {

inline wire::HealthItem MakeHealthItem(const char* code, wire::HealthSeverity severity) {
  wire::HealthItem item;
  item.set_code(code);
  item.set_severity(severity);
  return item;
}

}  // namespace cairn
