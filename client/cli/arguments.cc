// The command line as a whole: global options, the command groups, usage errors. main calls
// RunCommandLine.
#include "client/cli/arguments.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli/complete_command.h"
#include "client/cli/format.h"
#include "client/cli/help.h"
#include "client/cli/suggest.h"

namespace cairn::cli {
namespace {

constexpr char kPaths[] =
    R"(Commands are NOUN VERB, as in "node ls"; those on files and on the cluster as a whole are the verb
alone. Paths are BUCKET/DIRECTORY/NAME; "cairn://BUCKET/..." is understood too.

Exit codes:
)";

constexpr char kExamples[] =
    R"(
Environment: CAIRN_ENDPOINT, CAIRN_OUTPUT, CAIRN_TIMEOUT, CAIRN_COLOR and CAIRN_PROGRESS stand for the
options of these names, CAIRN_CONFIG for --config. NO_COLOR turns colors off, CLICOLOR_FORCE on.

Configuration: ~/.config/cairn/config.toml has the same settings, as in: endpoint = "10.0.0.5:7440".
An option goes before the environment, and that before the file. See 'cairn config show'.

Examples:
  cairn health
  cairn doctor
  cairn ckpt ls models/run7
  cairn ckpt verify models/run7/step-1000
  cairn get models/run7/step-1000/rank0.safetensors .
  cairn --output json ckpt latest models/run7)";

void AddGlobalOptions(CommandLine* line) {
  SettingArguments* settings = &line->settings;
  line->app
      .add_option("--config", settings->config_path,
                  "Configuration file (CAIRN_CONFIG, else ~/.config/cairn/config.toml)")
      ->type_name("FILE");
  for (const Setting& setting : AllSettings()) {
    auto take = [settings, &setting](const std::string& text) {
      GlobalOptions ignored;
      const absl::Status status = setting.apply(text, &ignored);
      if (!status.ok()) {
        throw CLI::ValidationError(absl::StrCat("--", setting.key), std::string(status.message()));
      }
      settings->texts[setting.key] = text;
    };
    line->app
        .add_option_function<std::string>(
            setting.option, take,
            absl::StrCat(setting.help, " (", setting.environment, ", else ", setting.fallback, ")"))
        ->type_name(setting.type);
  }
}

// The command that the arguments got to.
const CLI::App& CommandReached(const CLI::App& app) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands().front();
  return *at;
}

std::vector<std::string> NamesOf(const std::vector<const CLI::App*>& commands) {
  std::vector<std::string> names;
  for (const CLI::App* command : commands) names.push_back(command->get_name());
  return names;
}

std::string DidYouMean(const std::string& nearest) {
  return nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?");
}

std::string UnknownOption(const CLI::App& command, const std::string& word) {
  std::vector<std::string> names;
  for (const CLI::App* at = &command; at != nullptr; at = at->get_parent()) {
    for (const CLI::Option* option : VisibleOptions(*at)) {
      for (const std::string& name : option->get_lnames()) names.push_back(name);
    }
  }
  const std::string typed = word.substr(0, word.find('='));
  const std::string nearest = typed.starts_with("--") ? Nearest(typed.substr(2), names) : "";
  return absl::StrCat("unknown option '", typed, "'",
                      DidYouMean(nearest.empty() ? "" : absl::StrCat("--", nearest)));
}

std::string UnknownCommand(const CLI::App& command, const std::string& word) {
  return absl::StrCat("unknown command '", word, "'",
                      DidYouMean(Nearest(word, NamesOf(VisibleSubcommands(command)))));
}

// Whether `word` comes before the first command that is one: in "checkpoint ls" it is "ls".
bool IsBeforeCommand(const CLI::App& app, const std::vector<std::string>& words,
                     const std::string& word) {
  if (app.get_subcommands().empty()) return true;
  const std::string& first = app.get_subcommands().front()->get_name();
  return std::find(words.begin(), words.end(), word) < std::find(words.begin(), words.end(), first);
}

// In words that say what to do; the parser's own where they do. `words` as they were typed.
std::string WhatIsWrong(const CLI::App& app, const std::vector<std::string>& words,
                        const CLI::Error& wrong) {
  const CLI::App& command = CommandReached(app);
  const std::vector<std::string> verbs = NamesOf(VisibleSubcommands(command));
  const std::vector<std::string> left = app.remaining(true);
  if (!left.empty() && left.front().starts_with("-") && left.front() != "-")
    return UnknownOption(command, left.front());
  if (!left.empty() && IsBeforeCommand(app, words, left.front()))
    return UnknownCommand(app, left.front());
  if (!left.empty() && !verbs.empty()) return UnknownCommand(command, left.front());
  if (!verbs.empty() && command.get_require_subcommand_min() > 0)
    return absl::StrCat("what to do is missing: ", absl::StrJoin(verbs, ", "));
  return wrong.what();
}

int RefuseArguments(Context& context, const CLI::App& app, const std::vector<std::string>& words,
                    const CLI::Error& wrong) {
  const std::string what = WhatIsWrong(app, words, wrong);
  const std::string help = absl::StrCat(what.ends_with('?') ? " See '" : "; see '",
                                        CommandPath(CommandReached(app)), " --help'");
  return context.Fail({"bad arguments", "", absl::InvalidArgumentError(absl::StrCat(what, help))});
}

// For what is printed before the settings are known.
void TakeOutputOption(const CLI::App& app, Context& context) {
  const CLI::Option* output = app.get_option_no_throw("--output");
  if (output == nullptr || output->results().empty()) return;
  for (const Setting& setting : AllSettings()) {
    // One that makes no sense is what is wrong, and is told.
    if (std::string_view(setting.key) == "output")
      static_cast<void>(setting.apply(output->results().back(), &context.options));
  }
}

void PrepareConsole(Context& context) {
  Console& console = context.console();
  const std::string terminal = context.environment("TERM").value_or("");
  if (terminal.empty() || terminal == "dumb") console.SetDumb();
  const ColorMode mode = context.options.color;
  const bool color =
      mode == ColorMode::kAlways || (mode == ColorMode::kAuto && console.can_redraw());
  console.SetStyle(color ? TextStyle::kColor : TextStyle::kPlain);
}

// These tell what the program is, whatever the configuration says.
bool NeedsNoConfiguration(const CLI::App& app) {
  const auto commands = app.get_subcommands();
  static const std::vector<std::string> kNames = {"completion", "man", "version"};
  return !commands.empty() &&
         std::find(kNames.begin(), kNames.end(), commands.front()->get_name()) != kNames.end();
}

int RunChosen(CommandLine& line, Context& context) {
  if (NeedsNoConfiguration(line.app)) {
    context.settings = ResolveWithoutFile(line.settings, context.environment);
  } else {
    // The failure below is told in the form that the arguments ask for.
    context.options = ResolveWithoutFile(line.settings, context.environment).options;
    auto settings = ResolveSettings(line.settings, context.environment);
    if (!settings.ok()) return context.Fail({"bad configuration", "", settings.status()});
    context.settings = *std::move(settings);
  }
  context.options = context.settings.options;
  PrepareConsole(context);
  return line.chosen(context);
}

void GroupCommands(CLI::App* app, const std::string& group, const std::vector<std::string>& names) {
  for (const std::string& name : names) app->get_subcommand(name)->group(group);
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

std::unique_ptr<CommandLine> MakeCommandLine() {
  auto line = std::make_unique<CommandLine>();
  CLI::App* app = &line->app;
  Command* chosen = &line->chosen;
  app->formatter(MakeHelpFormatter());
  app->set_version_flag("--version", "", "Print the version and exit");
  app->require_subcommand(1);
  // Global options are understood after the command too: cairn ls --output json.
  app->fallthrough();
  app->footer(absl::StrCat(kPaths, ExitCodesText(), kExamples));
  AddGlobalOptions(line.get());
  AddClusterCommands(app, chosen);
  AddDoctorCommand(app, chosen);
  AddDfCommand(app, chosen);
  AddTopCommand(app, chosen);
  AddTierCommands(app, chosen);
  AddRebalanceCommand(app, chosen);
  AddRebuildCommands(app, chosen);
  AddStorageCheckCommands(app, chosen);
  AddPutCommand(app, chosen);
  AddGetCommands(app, chosen);
  AddFileCommands(app, chosen);
  AddMountCommands(app, chosen);
  AddBucketCommands(app, chosen);
  AddCheckpointCommands(app, chosen);
  AddBenchCommands(app, chosen);
  AddConfigCommands(app, chosen);
  AddVersionCommand(app, chosen);
  AddManCommand(app, chosen);
  AddCompletionCommands(app, chosen);
  GroupCommands(app, "Files",
                {"put", "get", "cat", "ls", "stat", "rm", "mv", "mkdir", "mount", "umount"});
  GroupCommands(app, "Checkpoints and buckets", {"ckpt", "bucket"});
  GroupCommands(app, "The cluster",
                {"status", "health", "doctor", "df", "top", "node", "target", "tier", "rebuild",
                 "rebalance", "fsck", "scrub", "bench"});
  GroupCommands(app, "This command", {"config", "completion", "man", "version"});
  return line;
}

int RunCommandLine(std::vector<std::string> arguments, Context& context) {
  context.arguments = arguments;
  if (!arguments.empty() && arguments[0] == kCompleteWord) {
    arguments.erase(arguments.begin());
    return RunComplete(context, arguments);
  }
  const std::unique_ptr<CommandLine> line = MakeCommandLine();
  CLI::App& app = line->app;
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForVersion&) {
    TakeOutputOption(app, context);
    return PrintVersion(context);
  } catch (const CLI::Success& wanted) {
    // --help.
    std::ostringstream out, err;
    app.exit(wanted, out, err);
    context.Print(out.str());
    return kExitOk;
  } catch (const CLI::Error& wrong) {
    TakeOutputOption(app, context);
    return RefuseArguments(context, app, arguments, wrong);
  }
  return RunChosen(*line, context);
}

}  // namespace cairn::cli
