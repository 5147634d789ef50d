// `cairn tier push|release|fetch|cancel`, `queue`, `explain`, `pause`, `resume`, `limit` and
// `import`: what operators have done with data in cold tiers, and how far it is.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cairn/tiering.h"
#include "client/cli/arguments.h"
#include "client/cli/confirm.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/progress.h"
#include "client/cli/table.h"
#include "client/cli/tier_text.h"
#include "client/cli/watch.h"

namespace cairn::cli {
namespace {

constexpr absl::Duration kLookInterval = absl::Milliseconds(500);

struct MoveArguments {
  std::vector<std::string> paths;
  std::string tier;
  absl::Duration hold = absl::ZeroDuration();
  bool wait = false;
};

// One of the four actions.
struct Move {
  const char* verb;
  const char* done;  // what is printed before the path
  std::function<absl::StatusOr<TierAsked>(Tiering&, const std::string&, const MoveArguments&)> ask;
  // How far it is: of so many bytes so many.
  std::function<std::pair<uint64_t, uint64_t>(const TierProgress&)> far;
};

std::pair<uint64_t, uint64_t> CopiedOf(const TierProgress& progress) {
  return {progress.copied_bytes, progress.size_bytes};
}
std::pair<uint64_t, uint64_t> HotOf(const TierProgress& progress) {
  return {progress.size_bytes - std::min(progress.size_bytes, progress.cold_bytes),
          progress.size_bytes};
}
std::pair<uint64_t, uint64_t> ColdOf(const TierProgress& progress) {
  return {progress.cold_bytes, progress.size_bytes};
}

// Until nothing below the paths waits any more. A failure ends it: the service goes on trying. Ends
// partly when not all came to what was asked for.
int WaitFor(Context& context, Tiering& tiering, const Move& move,
            const std::vector<std::string>& paths) {
  Progress bar(&context.console(), &context.clock(),
               context.json() ? ProgressMode::kNever : ProgressMode::kAuto, move.verb,
               std::nullopt);
  std::string held;
  while (true) {
    uint64_t done = 0, total = 0, waiting = 0;
    for (const std::string& path : paths) {
      const auto progress = tiering.Progress(path);
      if (!progress.ok())
        return context.Fail({"cannot see how far it is:", path, progress.status()});
      const auto [done_bytes, total_bytes] = move.far(*progress);
      done += done_bytes;
      total += total_bytes;
      waiting += progress->waiting;
      if (progress->failed == 0) continue;
      bar.Finish();
      return context.Fail(
          {absl::StrCat("cannot ", move.verb), path,
           absl::FailedPreconditionError(
               absl::StrCat(progress->error,
                            "; it is tried again; see `cairn tier explain` and `cairn health`"))});
    }
    bar.Set(done, total);
    if (waiting == 0 && done >= total) return kExitOk;
    if (waiting == 0) {
      bar.Finish();
      context.Complain({absl::StrCat("could not ", move.verb), "all of it",
                        absl::AbortedError(absl::StrCat(
                            HumanBytes(done), " of ", HumanBytes(total),
                            "; the rest was cancelled, is pinned, or came later: see `cairn tier "
                            "explain`"))});
      return kExitPartial;
    }
    // What holds everything up is said once.
    const auto queue = tiering.Queue();
    if (queue.ok() && queue->holds_back != held) {
      held = queue->holds_back;
      if (!held.empty()) context.Complain({"waits", "", absl::UnavailableError(held)}, &bar);
    }
    const absl::Status waited = context.wait(kLookInterval);
    if (!waited.ok()) return context.Fail({"no longer waits; it goes on by itself", "", waited});
  }
}

int RunMove(Context& context, const Move& move, const MoveArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Tiering tiering(*client);
  std::vector<std::string> asked_paths;
  JsonList list(&context);
  Outcomes outcomes;
  for (const std::string& typed : arguments.paths) {
    const std::string path = PlainPath(typed);
    const auto asked = move.ask(tiering, path, arguments);
    if (!asked.ok()) {
      context.Complain({absl::StrCat("cannot ", move.verb), path, asked.status()});
      list.Add({{"path", path}, {"error", std::string(asked.status().message())}});
      outcomes.Failed(asked.status());
      continue;
    }
    outcomes.Succeeded();
    asked_paths.push_back(path);
    list.Add({{"path", path}, {"subjects", asked->subjects}, {"more_follow", asked->more_follow}});
    if (context.json() || arguments.wait) continue;
    const bool nothing = asked->subjects == 0 && !asked->more_follow;
    context.Print(absl::StrCat(nothing ? "nothing to do for " : move.done, Printable(path), "\n"));
  }
  if (arguments.wait && !asked_paths.empty()) {
    const int waited = WaitFor(context, tiering, move, asked_paths);
    if (waited != kExitOk) {
      list.Finish();
      return waited;
    }
    for (const std::string& path : asked_paths)
      if (!context.json()) context.Print(absl::StrCat("done: ", Printable(path), "\n"));
  }
  list.Finish();
  return outcomes.ExitCode();
}

Json EntryJson(const TierQueueEntry& entry) {
  return {{"path", entry.path},
          {"step", StepWord(entry.step)},
          {"by", entry.by_operator ? "operator" : "policy"},
          {"running", entry.running},
          {"since", UtcTime(entry.since)},
          {"size_bytes", entry.size_bytes},
          {"done_bytes", entry.done_bytes},
          {"tier", entry.tier},
          {"error", entry.error}};
}

std::string StateOf(const TierQueueEntry& entry) {
  if (!entry.running) return entry.error.empty() ? "waits" : "tried again";
  if (entry.size_bytes == 0) return "running";
  const uint64_t done = std::min(entry.done_bytes, entry.size_bytes);
  return absl::StrCat(done * 100 / entry.size_bytes, "%");
}

Look LookAtQueue(Context& context, Tiering& tiering) {
  const auto queue = tiering.Queue();
  if (!queue.ok()) return {context.Fail({"cannot see the queue", "", queue.status()})};
  if (context.json()) {
    Json entries = Json::array();
    for (auto page = queue; true; page = tiering.Queue(page->next)) {
      if (!page.ok()) return {context.Fail({"cannot see all of the queue", "", page.status()})};
      for (const TierQueueEntry& entry : page->entries) entries.push_back(EntryJson(entry));
      if (!page->more) break;
    }
    context.PrintJson({{"waiting", queue->waiting},
                       {"holds_back", queue->holds_back},
                       {"entries", std::move(entries)}});
    return {kExitOk, queue->waiting == 0};
  }
  if (!queue->holds_back.empty())
    context.Print(absl::StrCat(Toned("held back", Tone::kWarning, context.style()), "  ",
                               Printable(queue->holds_back), "\n"));
  if (queue->entries.empty()) {
    context.Print("nothing waits\n");
    return {kExitOk, true};
  }
  Table table({{"STEP"},
               {"STATE"},
               {"AGE", Align::kRight},
               {"SIZE", Align::kRight},
               {"BY"},
               {"PATH"},
               {"LAST ERROR"}});
  for (const TierQueueEntry& entry : queue->entries) {
    table.AddRow({StepWord(entry.step), StateOf(entry),
                  HumanAge(entry.since, context.clock().WallNow()), HumanBytes(entry.size_bytes),
                  entry.by_operator ? "operator" : "policy", entry.path,
                  Cell(entry.error, Tone::kBad)});
  }
  context.Print(table.Render(context.style()));
  if (queue->waiting > queue->entries.size())
    context.Print(absl::StrCat("and ", queue->waiting - queue->entries.size(), " more\n"));
  return {kExitOk};
}

Json ExplanationJson(const TierExplanation& told) {
  Json json = VerdictJson(told.verdict);
  json["policy_path"] = told.policy_path;
  json["tier"] = told.tier;
  json["written_at"] = UtcTime(told.written_at);
  json["read_at"] = UtcTime(told.read_at);
  json["step"] = told.step == TierStep::kNone ? "nothing" : StepWord(told.step);
  json["running"] = told.running;
  json["by"] = told.by_operator ? "operator" : "policy";
  json["done_bytes"] = told.done_bytes;
  json["cold_bytes"] = told.cold_bytes;
  json["failures"] = told.failures;
  json["error"] = told.error;
  json["error_at"] = UtcTime(told.error_at);
  json["try_again_at"] = UtcTime(told.try_again_at);
  json["held"] = told.held;
  json["hot_until"] = UtcTime(told.hot_until);
  return json;
}

std::string WorkText(const TierExplanation& told) {
  if (told.step == TierStep::kNone) return "nothing waits";
  return absl::StrCat(StepWord(told.step), told.by_operator ? ", asked for" : ", by policy",
                      told.running ? absl::StrCat(", under way: ", HumanBytes(told.done_bytes),
                                                  " of ", HumanBytes(told.verdict.size_bytes))
                                   : ", waits");
}

std::string NextText(const TierExplanation& told, absl::Time now) {
  if (told.verdict.now != TierStep::kNone) return absl::StrCat(StepWord(told.verdict.now), ", now");
  if (told.verdict.next == TierStep::kNone) return "nothing";
  if (told.verdict.next_at == absl::InfiniteFuture())
    return absl::StrCat(StepWord(told.verdict.next), ", not by time");
  return absl::StrCat(StepWord(told.verdict.next), " ", HumanAhead(told.verdict.next_at, now), ", ",
                      UtcTime(told.verdict.next_at));
}

int RunExplain(Context& context, const std::string& typed) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string path = PlainPath(typed);
  const auto told = Tiering(*client).Explain(path);
  if (!told.ok()) return context.Fail({"cannot explain", path, told.status()});
  if (context.json()) {
    context.PrintJson(ExplanationJson(*told));
    return kExitOk;
  }
  const absl::Time now = context.clock().WallNow();
  const TierVerdict& verdict = told->verdict;
  std::vector<std::pair<std::string, std::string>> lines = {
      {"path", verdict.path},
      {"place",
       absl::StrCat(PlaceWord(verdict.place), told->tier.empty() ? "" : ", tier ", told->tier)},
      {"size", absl::StrCat(HumanBytes(verdict.size_bytes), ", ", HumanBytes(told->cold_bytes),
                            " of it cold alone")},
      {"policy", told->policy_path.empty() ? "none" : absl::StrCat("of ", told->policy_path)},
      {"rule", verdict.rule},
      {"next", NextText(*told, now)},
      {"work", WorkText(*told)}};
  if (told->held) lines.emplace_back("held", "an operator has cancelled it: asked for, it goes on");
  if (told->hot_until > now)
    lines.emplace_back("stays hot", absl::StrCat("until ", UtcTime(told->hot_until)));
  if (told->failures > 0) {
    lines.emplace_back("last error", told->error);
    lines.emplace_back("failures", absl::StrCat(told->failures, " in a row; next try ",
                                                HumanAhead(told->try_again_at, now)));
  }
  context.Print(RenderProperties(lines, context.style()));
  return kExitOk;
}

struct ControlArguments {
  std::string tier;
  bool archive = false;
  bool recall = false;
  std::vector<std::string> limits;
  bool none = false;
};

int RunControl(Context& context, const std::string& tier, const TierControlChange& change) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto info = Tiering(*client).Control(tier, change);
  if (!info.ok())
    return context.Fail({"cannot change", absl::StrCat("tier ", Printable(tier)), info.status()});
  const TierControl& control = info->control;
  if (context.json()) {
    Json limits = Json::array();
    for (const TierLimit& limit : control.limits) {
      limits.push_back({{"from_minute", limit.from_minute},
                        {"to_minute", limit.to_minute},
                        {"bytes_per_second", limit.bytes_per_second}});
    }
    context.PrintJson({{"name", tier},
                       {"archive_paused", control.archive_paused},
                       {"recall_paused", control.recall_paused},
                       {"limits", std::move(limits)}});
    return kExitOk;
  }
  context.Print(RenderProperties({{"tier", tier},
                                  {"archive", control.archive_paused ? "paused" : "on"},
                                  {"fetch", control.recall_paused ? "paused" : "on"},
                                  {"bandwidth", DescribeLimits(control.limits)}},
                                 context.style()));
  return kExitOk;
}

absl::StatusOr<uint32_t> ParseMinute(std::string_view text) {
  uint32_t hour = 0, minute = 0;
  char rest = 0;
  const std::string copy(text);
  if (std::sscanf(copy.c_str(), "%2u:%2u%c", &hour, &minute, &rest) != 2 || hour > 24 ||
      minute > 59 || hour * 60 + minute > 24 * 60) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", copy, "\" is no time of day as 08:00 is one"));
  }
  return (hour * 60 + minute) % (24 * 60);
}

// "200MiB", "none", "08:00-20:00=50MiB".
absl::StatusOr<TierLimit> ParseLimit(std::string_view text) {
  TierLimit limit;
  const size_t sign = text.find('=');
  std::string_view amount = text;
  if (sign != std::string_view::npos) {
    amount = text.substr(sign + 1);
    const std::string_view times = text.substr(0, sign);
    const size_t dash = times.find('-');
    if (dash == std::string_view::npos)
      return absl::InvalidArgumentError("write a limit by time as 08:00-20:00=50MiB");
    const auto from = ParseMinute(times.substr(0, dash));
    if (!from.ok()) return from.status();
    const auto to = ParseMinute(times.substr(dash + 1));
    if (!to.ok()) return to.status();
    limit.from_minute = *from;
    limit.to_minute = *to;
  }
  if (amount == "none") return limit;
  const auto bytes = ParseBytes(amount);
  if (!bytes.ok()) return bytes.status();
  if (*bytes == 0)
    return absl::InvalidArgumentError(
        "0 would be no limit; say none, or `cairn tier pause` for nothing at all");
  limit.bytes_per_second = *bytes;
  return limit;
}

int RunLimit(Context& context, const ControlArguments& arguments) {
  TierControlChange change;
  if (!arguments.limits.empty()) {
    change.limits.emplace();
    for (const std::string& text : arguments.limits) {
      const auto limit = ParseLimit(text);
      if (!limit.ok()) return context.Fail({"bad limit", text, limit.status()});
      const bool all_day = limit->from_minute == limit->to_minute;
      if (all_day && limit->bytes_per_second == 0) continue;
      change.limits->push_back(*limit);
    }
  }
  return RunControl(context, arguments.tier, change);
}

struct ImportArguments {
  std::string tier;
  std::string cluster;
  Consent consent;
};

Json ImportJson(const TierImport& import) {
  return {{"tier", import.tier},
          {"cluster_id", import.cluster_id},
          {"dry_run", import.dry_run},
          {"running", import.running},
          {"subjects", import.subjects},
          {"files", import.files},
          {"size_bytes", import.size_bytes},
          {"skipped", import.skipped},
          {"failed", import.failed},
          {"problems", import.problems},
          {"error", import.error}};
}

int RunImport(Context& context, const ImportArguments& arguments) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  Tiering tiering(*client);
  const std::string name = absl::StrCat("tier ", Printable(arguments.tier));
  auto import = tiering.Import(arguments.tier, arguments.cluster, arguments.consent.dry_run);
  if (!import.ok()) return context.Fail({"cannot import from", name, import.status()});
  {
    Progress bar(&context.console(), &context.clock(),
                 context.json() ? ProgressMode::kNever : ProgressMode::kAuto, "import",
                 import->steps, ProgressUnit::kFiles);
    while (import->running) {
      const absl::Status waited = context.wait(kLookInterval);
      if (!waited.ok()) return context.Fail({"no longer waits; it goes on by itself", "", waited});
      import = tiering.ImportStatus();
      if (!import.ok())
        return context.Fail({"cannot see how far the import is", "", import.status()});
      bar.Set(import->steps_done, import->steps);
    }
  }
  if (context.json()) {
    context.PrintJson(ImportJson(*import));
  } else {
    for (const std::string& problem : import->problems)
      context.Print(absl::StrCat(Toned("problem", Tone::kBad, context.style()), "  ",
                                 Printable(problem), "\n"));
    context.Print(absl::StrCat(
        import->dry_run ? "would import " : "imported ", import->subjects, " of cluster ",
        import->cluster_id, ", with ", import->files, " files and ", HumanBytes(import->size_bytes),
        import->skipped > 0 ? absl::StrCat("; ", import->skipped, " were there already") : "",
        import->failed > 0 ? absl::StrCat("; ", import->failed, " could not be") : "", "\n"));
  }
  if (!import->error.empty())
    return context.Fail(
        {"the import has ended early", "", absl::FailedPreconditionError(import->error)});
  if (import->failed == 0) return kExitOk;
  return import->subjects > 0 ? kExitPartial : kExitError;
}

void AddMove(CLI::App* tier, Command* chosen, Move move, const char* help, const char* footer) {
  auto arguments = std::make_shared<MoveArguments>();
  CLI::App* command = tier->add_subcommand(move.verb, help);
  command->add_option("path", arguments->paths, "Checkpoints, files, or directories with all below")
      ->required()
      ->type_name("PATH");
  const std::string verb = move.verb;
  if (verb == "push")
    command->add_option("--tier", arguments->tier, "Where to [the policy's, or the only one]")
        ->type_name("TIER");
  if (verb == "fetch")
    AddDurationOption(command, "--hold", &arguments->hold, "Stays hot for so long at least [1d]");
  if (verb != "cancel")
    command->add_flag("--wait", arguments->wait, "Until it is done, with progress and time left");
  command->footer(footer);
  auto shared = std::make_shared<Move>(std::move(move));
  command->callback([arguments, shared, chosen] {
    *chosen = [arguments, shared](Context& context) {
      return RunMove(context, *shared, *arguments);
    };
  });
}

void AddMoves(CLI::App* tier, Command* chosen) {
  AddMove(tier, chosen,
          {"push", "to be copied: ",
           [](Tiering& tiering, const std::string& path, const MoveArguments& arguments) {
             return tiering.Push(path, arguments.tier);
           },
           CopiedOf},
          "Copy into a cold tier now, whatever policies say",
          "Examples:\n  cairn tier push runs/llama/step-1000 --wait\n"
          "  cairn tier push runs --tier archive");
  AddMove(
      tier, chosen,
      {"release", "to be released: ",
       [](Tiering& tiering, const std::string& path, const MoveArguments&) {
         return tiering.Release(path);
       },
       ColdOf},
      "Let go of the space on the targets now; what has no copy is copied first",
      "What is pinned stays hot.\n\nExamples:\n  cairn tier release runs/llama/step-1000 --wait");
  AddMove(tier, chosen,
          {"fetch", "to be fetched: ",
           [](Tiering& tiering, const std::string& path, const MoveArguments& arguments) {
             return tiering.Fetch(path, arguments.hold);
           },
           HotOf},
          "Bring back to the targets, before it is read",
          "Reads need no fetch: they get what is wanted from the cold tier. A fetch is for what "
          "will be\n"
          "read often, or fast.\n\nExamples:\n  cairn tier fetch runs/llama/step-1000 --wait\n"
          "  cairn tier fetch runs/llama/latest --hold 3d");
  AddMove(tier, chosen,
          {"cancel", "cancelled: ",
           [](Tiering& tiering, const std::string& path, const MoveArguments&) {
             return tiering.Cancel(path);
           },
           CopiedOf},
          "Give up what waits or is under way; policies leave it alone until it is asked for",
          "Examples:\n  cairn tier cancel runs/llama/step-1000");
}

void AddControls(CLI::App* tier, Command* chosen) {
  for (const bool pause : {true, false}) {
    auto arguments = std::make_shared<ControlArguments>();
    CLI::App* command = tier->add_subcommand(
        pause ? "pause" : "resume",
        pause ? "Begin no more copies into a tier, or fetches from it" : "Go on after a pause");
    command->add_option("tier", arguments->tier, "The tier's name in 'cairn tier ls'")
        ->required()
        ->type_name("TIER");
    command->add_flag("--archive", arguments->archive, "Only copies into it");
    command->add_flag("--fetch", arguments->recall, "Only fetches from it");
    command->footer(pause ? "What is under way comes to its end. Reads of what is cold go on.\n\n"
                            "Examples:\n  cairn tier pause archive\n"
                            "  cairn tier pause archive --archive"
                          : "Examples:\n  cairn tier resume archive");
    command->callback([arguments, pause, chosen] {
      *chosen = [arguments, pause](Context& context) {
        TierControlChange change;
        const bool both = arguments->archive == arguments->recall;
        if (both || arguments->archive) change.archive_paused = pause;
        if (both || arguments->recall) change.recall_paused = pause;
        return RunControl(context, arguments->tier, change);
      };
    });
  }
  auto arguments = std::make_shared<ControlArguments>();
  CLI::App* limit =
      tier->add_subcommand("limit", "Limit what is moved into and out of a tier, by time of day");
  limit->add_option("tier", arguments->tier, "The tier's name in 'cairn tier ls'")
      ->required()
      ->type_name("TIER");
  limit
      ->add_option("limit", arguments->limits,
                   "A size a second, all nodes together; FROM-TO=SIZE at a time of day (UTC); "
                   "\"none\" lifts all. The first that holds counts; without one: show them")
      ->type_name("LIMIT");
  limit->footer(
      "Reads of what is cold are not limited.\n\nExamples:\n"
      "  cairn tier limit archive 500MiB\n"
      "  cairn tier limit archive 08:00-20:00=100MiB 1GiB\n"
      "  cairn tier limit archive none");
  limit->callback([arguments, chosen] {
    *chosen = [arguments](Context& context) { return RunLimit(context, *arguments); };
  });
}

}  // namespace

void AddTierMoveCommands(CLI::App* tier, Command* chosen) {
  AddMoves(tier, chosen);
  AddControls(tier, chosen);

  auto watch = std::make_shared<WatchOptions>();
  CLI::App* queue = tier->add_subcommand("queue", "Show what waits and what is under way");
  AddWatchOption(queue, watch.get(), "until nothing waits");
  queue->footer("Examples:\n  cairn tier queue\n  cairn tier queue --watch");
  queue->callback([watch, chosen] {
    *chosen = [watch](Context& context) {
      int code = kExitOk;
      Client* client = context.Connect(&code);
      if (client == nullptr) return code;
      Tiering tiering(*client);
      return RunLooks(context, *watch, [&] { return LookAtQueue(context, tiering); });
    };
  });

  auto explained = std::make_shared<std::string>();
  CLI::App* explain = tier->add_subcommand(
      "explain", "Say which rule holds for a path, what happens next and when, and the last error");
  explain->add_option("path", *explained, "A checkpoint or a file")->required()->type_name("PATH");
  explain->footer("Examples:\n  cairn tier explain runs/llama/step-1000");
  explain->callback([explained, chosen] {
    *chosen = [explained](Context& context) { return RunExplain(context, *explained); };
  });

  auto imported = std::make_shared<ImportArguments>();
  CLI::App* import = tier->add_subcommand(
      "import", "Make the namespace again of what lies in a cold tier, on an empty cluster, say");
  import->add_option("tier", imported->tier, "The tier's name in 'cairn tier ls'")
      ->required()
      ->type_name("TIER");
  import
      ->add_option("--cluster", imported->cluster, "Whose data [the only cluster's that has some]")
      ->type_name("ID");
  AddDryRunOption(import, &imported->consent);
  import->footer(
      "Buckets, directories, checkpoints and files come back under their names, cold; what has a "
      "name already\n"
      "stays. The cluster that has written them must be gone: this one takes over their "
      "objects.\n\n"
      "Examples:\n  cairn tier import archive --dry-run\n  cairn tier import archive");
  import->callback([imported, chosen] {
    *chosen = [imported](Context& context) { return RunImport(context, *imported);
};
}  // namespace cairn::cli
);
}

}  // namespace cairn::cli
