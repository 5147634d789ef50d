// What somebody may have meant by a word that nothing is called.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn::cli {

// The one of `words` that `typed` is most like: a letter or two wrong, missing, too many or swapped
// with the next, the beginning of a single one, or another name that people use for it ("delete"
// for "rm"). Empty: none is near.
std::string Nearest(std::string_view typed, const std::vector<std::string>& words);

}  // namespace cairn::cli
