// The command line as a whole: global options, the command groups, usage errors. main calls
// RunCommandLine.
#include "client/cli/arguments.h"

#include <algorithm>
#include <memory>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "client/cli/format.h"

#ifndef CAIRN_VERSION
#error "the build passes CAIRN_VERSION"
#endif

namespace cairn::cli {
namespace {

constexpr char kFooter[] =
    R"(Paths are BUCKET/DIRECTORY/NAME; "cairn://BUCKET/..." is understood too.

Exit codes: 0 ok, 1 error, 2 partial (some of several failed, or some shards are bad),
4 unreachable (no node answered), 130 interrupted.

Environment: CAIRN_ENDPOINT names the nodes, NO_COLOR turns colors off.

Examples:
  cairn health
  cairn doctor
  cairn ckpt ls models/run7
  cairn ckpt verify models/run7/step-1000
  cairn get models/run7/step-1000/rank0.safetensors .
  cairn --output json ckpt latest models/run7)";

// One of a few words. CLI11's own transformer prints its whole map into the help.
template <class T>
void AddChoice(CLI::App* app, const std::string& name, T* value,
               const std::vector<std::pair<std::string, T>>& choices, const std::string& help) {
  std::vector<std::string> words;
  for (const auto& [word, meaning] : choices) words.push_back(word);
  auto choose = [name, value, choices, words](const std::string& text) {
    for (const auto& [word, meaning] : choices) {
      if (text != word) continue;
      *value = meaning;
      return;
    }
    throw CLI::ValidationError(
        name, absl::StrCat("'", text, "' is none of ", absl::StrJoin(words, ", ")));
  };
  app->add_option_function<std::string>(name, choose, help)->type_name(absl::StrJoin(words, "|"));
}

void AddGlobalOptions(CLI::App* app, GlobalOptions* options) {
  app->add_option("-e,--endpoint", options->endpoint,
                  "Nodes to ask, HOST:PORT[,HOST:PORT...] (CAIRN_ENDPOINT, else 127.0.0.1:7440)")
      ->type_name("HOST:PORT");
  AddChoice<OutputFormat>(app, "-o,--output", &options->output,
                          {{"table", OutputFormat::kTable}, {"json", OutputFormat::kJson}},
                          "What is printed: tables for people or JSON for programs");
  AddDurationOption(app, "--timeout", &options->timeout,
                    "How long one call may take, retries included (60s)");
  AddChoice<ProgressMode>(app, "--progress", &options->progress,
                          {{"auto", ProgressMode::kAuto},
                           {"always", ProgressMode::kAlways},
                           {"never", ProgressMode::kNever}},
                          "Bars on stderr; auto: of long transfers, on a terminal");
}

// "put" or "ckpt verify": the command that the arguments got to before they went wrong.
std::string CommandReached(const CLI::App& app) {
  std::string words;
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    absl::StrAppend(&words, " ", at->get_name());
  }
  return words;
}

}  // namespace

RemotePath ParseRemotePath(std::string_view text) {
  RemotePath result;
  absl::string_view rest(text.data(), text.size());
  absl::ConsumePrefix(&rest, "cairn://");
  absl::ConsumePrefix(&rest, "/");
  // One slash only: "a//b" is a mistake that the service names.
  result.names_directory = absl::ConsumeSuffix(&rest, "/") || rest.empty();
  result.path = std::string(rest);
  return result;
}

std::string PlainPath(std::string_view text) { return ParseRemotePath(text).path; }

std::string BaseName(std::string_view path) {
  const size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  std::string path(directory);
  if (path.back() != '/') path.push_back('/');
  path.append(name);
  return path;
}

CLI::Option* AddBytesOption(CLI::App* app, const std::string& name, uint64_t* value,
                            const std::string& help) {
  return app
      ->add_option_function<std::string>(
          name,
          [name, value](const std::string& text) {
            auto parsed = ParseBytes(text);
            if (!parsed.ok())
              throw CLI::ValidationError(name, std::string(parsed.status().message()));
            *value = *parsed;
          },
          help)
      ->type_name("BYTES");
}

CLI::Option* AddDurationOption(CLI::App* app, const std::string& name, absl::Duration* value,
                               const std::string& help) {
  return app
      ->add_option_function<std::string>(
          name,
          [name, value](const std::string& text) {
            auto parsed = ParseDuration(text);
            if (!parsed.ok())
              throw CLI::ValidationError(name, std::string(parsed.status().message()));
            *value = *parsed;
          },
          help)
      ->type_name("TIME");
}

int RunCommandLine(std::vector<std::string> arguments, Context& context) {
  Command chosen;
  CLI::App app("Look after the checkpoints and files of a Cairn cluster.", "cairn");
  app.set_version_flag("--version", std::string("cairn ") + CAIRN_VERSION);
  app.require_subcommand(1);
  // Global options are understood after the command too: cairn ls --output json.
  app.fallthrough();
  app.footer(kFooter);
  AddGlobalOptions(&app, &context.options);
  AddClusterCommands(&app, &chosen);
  AddDoctorCommand(&app, &chosen);
  AddRebalanceCommand(&app, &chosen);
  AddRebuildCommands(&app, &chosen);
  AddStorageCheckCommands(&app, &chosen);
  AddPutCommand(&app, &chosen);
  AddGetCommands(&app, &chosen);
  AddFileCommands(&app, &chosen);
  AddBucketCommands(&app, &chosen);
  AddCheckpointCommands(&app, &chosen);
  AddBenchCommands(&app, &chosen);
  try {
    std::reverse(arguments.begin(), arguments.end());
    app.parse(std::move(arguments));
  } catch (const CLI::Success& wanted) {
    // --help and --version.
    std::ostringstream out, err;
    app.exit(wanted, out, err);
    context.Print(out.str());
    return kExitOk;
  } catch (const CLI::Error& wrong) {
    const std::string help = absl::StrCat("see 'cairn", CommandReached(app), " --help'");
    return context.Fail(
        {"bad arguments", "", absl::InvalidArgumentError(absl::StrCat(wrong.what(), "; ", help))});
  }
  return chosen(context);
}

}  // namespace cairn::cli
