// Any bytes as a path: refused, or cut into components that make the same path again. What is
// printed of them is printable whatever they are.
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/check.h"
#include "server/meta/paths.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view path(reinterpret_cast<const char*>(data), size);
  const auto components = cairn::SplitPath(path);
  if (components.ok()) {
    std::string joined;
    for (const std::string_view name : *components) {
      CAIRN_CHECK(cairn::CheckName(name).ok());
      joined = cairn::JoinPath(joined, name);
    }
    CAIRN_CHECK(joined == path);
    (void)cairn::StepOfName(components->back());
  }
  for (const char byte : cairn::Printable(path))
    CAIRN_CHECK(static_cast<unsigned char>(byte) >= 0x20);
  return 0;
}
