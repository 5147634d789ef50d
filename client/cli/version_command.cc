// `cairn version` and `cairn --version`.
#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"

#ifndef CAIRN_VERSION
#error "the build passes CAIRN_VERSION"
#endif

namespace cairn::cli {

int PrintVersion(Context& context) {
  if (context.json()) {
    context.PrintJson({{"name", "cairn"}, {"version", CAIRN_VERSION}});
  } else {
    context.Print(absl::StrCat("cairn ", CAIRN_VERSION, "\n"));
  }
  return kExitOk;
}

void AddVersionCommand(CLI::App* app, Command* chosen) {
  CLI::App* version = app->add_subcommand("version", "Print the version of this command");
  version->footer(R"(Those of the nodes are in 'cairn doctor --nodes'.

Examples:
  cairn version
  cairn version --output json)");
  version->callback([chosen] { *chosen = PrintVersion; });
}

}  // namespace cairn::cli
