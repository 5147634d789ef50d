// See watch.h.
#include "client/cli/watch.h"

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"

namespace cairn::cli {
namespace {

// Whoever wants less is about to load the cluster with looks.
constexpr absl::Duration kIntervalMin = absl::Milliseconds(100);

// Empty, or why it is none.
std::string ParseInterval(const std::string& text, absl::Duration* interval) {
  const auto parsed = ParseDuration(text);
  if (!parsed.ok()) return std::string(parsed.status().message());
  if (*parsed < kIntervalMin) return absl::StrCat("'", text, "' is too often; 100ms is the least");
  *interval = *parsed;
  return "";
}

std::string Headline(Context& context, const WatchOptions& options) {
  if (context.json() || context.console().can_redraw() || options.form == LookForm::kLine)
    return "";
  return absl::StrCat(UtcTime(context.clock().WallNow()), "\n");
}

std::string BottomLine(Context& context, const WatchOptions& options, const Look& look) {
  if (context.json()) return "";
  if (!context.console().can_redraw()) return options.form == LookForm::kBlock ? "\n" : "";
  if (look.last) return "";
  return absl::StrCat("\n", UtcTime(context.clock().WallNow()), ", again every ",
                      HumanDuration(options.interval), "; Ctrl-C ends it\n");
}

}  // namespace

void AddWatchOption(CLI::App* command, WatchOptions* options, const std::string& until) {
  // A flag that may have a value, with "=" only: what follows it is an argument of its own.
  CLI::Option* watch = command->add_flag(
      "-w,--watch", options->typed,
      absl::StrCat("Look again every so often (2s)", until.empty() ? "" : ", ", until));
  watch->type_name("TIME")->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  watch->check([options](const std::string& text) -> std::string {
    options->on = true;
    return text == "true" ? "" : ParseInterval(text, &options->interval);
  });
}

int RunLooks(Context& context, const WatchOptions& options, const std::function<Look()>& look) {
  if (!options.on) return look().code;
  context.BeginWatching();
  Console& console = context.console();
  const bool redraws = console.can_redraw() && !context.json();
  const bool one_screen = redraws && console.can_redraw_error();
  while (true) {
    console.BeginFrame(one_screen ? Console::FrameOf::kBoth : Console::FrameOf::kOutput);
    context.Print(Headline(context, options));
    const Look seen = look();
    if (!context.failed()) context.Print(BottomLine(context, options, seen));
    // What failed is told below the last look that did not.
    const bool redraw = redraws && !context.failed();
    console.EndFrame(redraw ? Console::FrameEnd::kRedraw : Console::FrameEnd::kAppend);
    if (seen.last || context.failed()) return seen.code;
    const absl::Status waited = context.wait(options.interval);
    if (!waited.ok()) return context.Fail({"stopped watching", "", waited});
    // The reader of a pipe may be gone.
    if (console.write_errno() != 0) return kExitError;
  }
}

}  // namespace cairn::cli
