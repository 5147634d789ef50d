#include "client/cli/copy_files.h"

#include <mutex>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/parallel.h"

namespace cairn::cli {
namespace {

Failure FailureOf(const CopyWords& words, const FileCopy& item) {
  return {absl::StrCat("cannot ", words.verb), item.remote, item.result.status()};
}

Json ItemJson(const CopyWords& words, const FileCopy& item) {
  Json file = words.to_local ? Json{{"path", item.remote}, {"local", item.local}}
                             : Json{{"local", item.local}, {"path", item.remote}};
  file["ok"] = item.result.ok();
  if (item.result.ok()) {
    file["size_bytes"] = item.result->size_bytes;
    file["crc32c"] = CrcText(item.result->crc32c);
  } else {
    file["error"] = FailureJson(FailureOf(words, item));
  }
  return file;
}

Json LeftOutJson(const CopyWords& words, const Failure& failure) {
  return {{words.to_local ? "path" : "local", failure.subject},
          {"ok", false},
          {"error", FailureJson(failure)}};
}

// One array, in the order of the plan. As ndjson each has been printed as it was done.
void ReportJson(Context& context, const CopyWords& words, const CopyPlan& plan) {
  if (context.streams_json()) return;
  JsonList files(&context);
  for (const Failure& failure : plan.failures) files.Add(LeftOutJson(words, failure));
  for (const FileCopy& item : plan.items) files.Add(ItemJson(words, item));
  files.Finish();
}

int Report(Context& context, const CopyWords& words, const CopyPlan& plan, absl::Duration elapsed) {
  Outcomes outcomes;
  uint64_t bytes = 0, count = 0;
  for (const Failure& failure : plan.failures) outcomes.Failed(failure.why);
  for (const FileCopy& item : plan.items) {
    if (!item.result.ok()) {
      outcomes.Failed(item.result.status());
      continue;
    }
    outcomes.Succeeded();
    bytes += item.result->size_bytes;
    ++count;
  }
  if (context.json()) {
    ReportJson(context, words, plan);
  } else if (outcomes.failed() == 0 || count > 0) {
    const bool single = count == 1 && plan.items.size() == 1;
    const std::string what =
        single ? Printable(words.to_local ? plan.items[0].local : plan.items[0].remote)
               : absl::StrCat(count, " files");
    context.Print(absl::StrCat(words.done, " ", what, ": ", HumanBytes(bytes), " in ",
                               HumanDuration(elapsed), " (", HumanRate(bytes, elapsed), ")\n"));
  }
  return outcomes.ExitCode();
}

}  // namespace

void TellLeftOut(Context& context, const CopyWords& words, const CopyPlan& plan) {
  for (const Failure& failure : plan.failures) {
    context.Complain(failure);
    if (context.streams_json()) context.PrintJson(LeftOutJson(words, failure));
  }
}

int CopyFiles(
    Context& context, const CopyWords& words, CopyPlan* plan, size_t jobs,
    std::optional<uint64_t> total_bytes,
    const std::function<absl::StatusOr<TransferResult>(const FileCopy&, TransferHooks)>& copy) {
  const std::string label =
      absl::StrCat(words.verb, " ",
                   plan->items.size() == 1 ? BaseName(plan->items[0].remote)
                                           : absl::StrCat(plan->items.size(), " files"));
  Progress progress(&context.console(), &context.clock(), context.options.progress, label,
                    total_bytes);
  std::mutex printing;
  ForEachParallel(jobs, plan->items.size(), context.interrupts(), [&](size_t i) {
    FileCopy& item = plan->items[i];
    item.result = copy(item, {&progress, &context.interrupts()});
    if (!item.result.ok() && context.interrupts().signal() == 0)
      context.Complain(FailureOf(words, item), &progress);
    if (!context.streams_json()) return;
    std::lock_guard lock(printing);
    context.PrintJson(ItemJson(words, item));
  });
  progress.Finish();
  if (const absl::Status stopped = context.interrupts().Check(); !stopped.ok())
    return context.Fail({words.stopped, words.subject, stopped});
  return Report(context, words, *plan, progress.elapsed());
}

}  // namespace cairn::cli
