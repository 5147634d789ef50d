// See losses_text.h.
#include "client/cli/losses_text.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/cli/format.h"

namespace cairn::cli {

std::string LossesText(const std::vector<std::string>& losses) {
  if (losses.empty()) return "";
  return absl::StrCat("Lost with it: data in ", Printable(absl::StrJoin(losses, ", ")), ".\n");
}

}  // namespace cairn::cli
