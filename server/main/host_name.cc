#include "server/main/host_name.h"

#include <unistd.h>

namespace cairn {

std::string HostName() {
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) != 0) return "unknown";
  return name;
}

}  // namespace cairn
