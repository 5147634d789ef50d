// The options that every command understands, as they are used. Where their values come from:
// settings.h.
#pragma once

#include <string>

#include "absl/time/time.h"
#include "client/cli/progress.h"

namespace cairn::cli {

enum class OutputFormat {
  kTable,
  kJson,    // one document
  kNdjson,  // one document a line, as they come
};

enum class ColorMode {
  kAuto,  // on a terminal
  kAlways,
  kNever,
};

struct GlobalOptions {
  std::string endpoint = "127.0.0.1:7440";
  OutputFormat output = OutputFormat::kTable;
  absl::Duration timeout = absl::Seconds(60);
  ColorMode color = ColorMode::kAuto;
  ProgressMode progress = ProgressMode::kAuto;
};

}  // namespace cairn::cli
