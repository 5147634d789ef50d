// `cairn __complete`: what the scripts of completion.h ask for while somebody types. Not for
// people: no help, and never an error, which would run through the line that is being typed.
#pragma once

#include <string>
#include <vector>

#include "client/cli/context.h"

namespace cairn::cli {

inline constexpr char kCompleteWord[] = "__complete";

// `words`: what is asked for (path, directory, checkpoint, bucket, node or target), the word to be
// completed, and those before it, among which may be an --endpoint. Prints lines of VALUE, tab,
// HELP; nothing when the cluster does not answer soon. Returns kExitOk.
int RunComplete(Context& context, const std::vector<std::string>& words);

}  // namespace cairn::cli
