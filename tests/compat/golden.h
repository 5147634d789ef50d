// Golden files: text with one item a line, "name hex".
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"
#include "common/base/strings.h"

namespace cairn {

inline std::string GoldenLine(std::string_view name, std::string_view bytes) {
  return StrCat(name, " ", absl::BytesToHexString(ToAbsl(bytes)), "\n");
}

// Compares `actual` with golden/`file`; with CAIRN_GOLDEN_WRITE set, writes it instead.
inline void ExpectGolden(const std::string& file, const std::string& actual) {
  const std::string path = StrCat(CAIRN_GOLDEN_DIR, "/", file);
  if (std::getenv("CAIRN_GOLDEN_WRITE") != nullptr) {
    std::ofstream(path) << actual;
    return;
  }
  std::ifstream stream(path);
  ASSERT_TRUE(stream.is_open()) << path << " is missing; see tests/compat/README.md";
  std::stringstream golden;
  golden << stream.rdbuf();
  EXPECT_EQ(actual, golden.str()) << "a format has changed; see tests/compat/README.md";
}

}  // namespace cairn
