// `cairn bucket create|set|show|ls`: top-level directories and how the files in them survive.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/json_shapes.h"
#include "client/cli/table.h"

namespace cairn::cli {
namespace {

struct BucketArguments {
  std::string name;
  BucketOptions options;
};

constexpr char kNoQuota[] = "none";

void AddQuotaOption(CLI::App* command, const std::shared_ptr<BucketArguments>& arguments) {
  const auto parse = [arguments](const std::string& text) {
    const absl::StatusOr<uint64_t> bytes = text == kNoQuota ? uint64_t{0} : ParseBytes(text);
    if (!bytes.ok()) throw CLI::ValidationError("--quota", std::string(bytes.status().message()));
    if (*bytes == 0 && text != kNoQuota)
      throw CLI::ValidationError("--quota", "0 would be no limit; say none for that");
    arguments->options.quota_bytes = *bytes;
  };
  command
      ->add_option_function<std::string>(
          "--quota", parse,
          "How many logical bytes it may hold, without copies and parity; none: no limit")
      ->type_name("BYTES");
}

void AddPolicy(CLI::App* command, const std::shared_ptr<BucketArguments>& arguments,
               const std::string& default_redundancy) {
  command->add_option("bucket", arguments->name, "Name of the bucket")
      ->required()
      ->type_name("BUCKET");
  command
      ->add_option(
          "-r,--redundancy", arguments->options.redundancy,
          "How files survive: replica:N for N copies, ec:K+M for K data and M parity fragments " +
              default_redundancy)
      ->type_name("SCHEME");
  AddChoiceOption<BucketOptions::Spread>(
      command, "--spread", &arguments->options.spread,
      {{"nodes", BucketOptions::Spread::kNodes}, {"targets", BucketOptions::Spread::kTargets}},
      "What no two fragments share: nodes, or targets where all are on one node [nodes]");
  AddQuotaOption(command, arguments);
}

std::string QuotaText(const BucketInfo& info) {
  return info.quota_bytes == 0 ? kNoQuota : HumanBytes(info.quota_bytes);
}

using Change = absl::Status (Client::*)(std::string_view, const BucketOptions&);

int RunChange(Context& context, const BucketArguments& arguments, Change change,
              const std::string& what, const std::string& done) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string name = PlainPath(arguments.name);
  const absl::Status changed = (client->*change)(name, arguments.options);
  if (!changed.ok()) return context.Fail({what, name, changed});
  const absl::StatusOr<BucketInfo> info = client->ShowBucket(name);
  if (!info.ok()) return context.Fail({"cannot show the bucket", name, info.status()});
  if (context.json()) {
    context.PrintJson(BucketJson(*info));
    return kExitOk;
  }
  std::string text = absl::StrCat(done, " ", Printable(name), ": new files get ", info->redundancy);
  if (arguments.options.quota_bytes.has_value())
    absl::StrAppend(&text, "; ", HumanBytes(info->size_bytes), " used, quota ", QuotaText(*info));
  context.Print(text + "\n");
  return kExitOk;
}

int RunShow(Context& context, const std::string& typed) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const std::string name = PlainPath(typed);
  const auto info = client->ShowBucket(name);
  if (!info.ok()) return context.Fail({"cannot show the bucket", name, info.status()});
  if (context.json()) {
    context.PrintJson(BucketJson(*info));
  } else {
    context.Print(absl::StrCat("bucket       ", Printable(info->name), "\nredundancy   ",
                               info->redundancy, "\nused         ", HumanBytes(info->size_bytes),
                               "\nquota        ", QuotaText(*info), "\nfiles        ", info->files,
                               "\ncheckpoints  ", info->checkpoints, "\n"));
  }
  return kExitOk;
}

int RunList(Context& context) {
  int code = kExitOk;
  Client* client = context.Connect(&code);
  if (client == nullptr) return code;
  const auto entries = client->List("");
  if (!entries.ok()) return context.Fail({"cannot list the buckets", "", entries.status()});
  std::vector<BucketInfo> buckets;
  for (const Entry& entry : *entries) {
    auto info = client->ShowBucket(entry.name);
    // Removed since the list was made.
    if (absl::IsNotFound(info.status())) continue;
    if (!info.ok()) return context.Fail({"cannot show the bucket", entry.name, info.status()});
    buckets.push_back(*std::move(info));
  }
  if (context.json()) {
    JsonList list(&context);
    for (const BucketInfo& info : buckets) list.Add(BucketJson(info));
    list.Finish();
    return kExitOk;
  }
  Table table({{"REDUNDANCY"},
               {"USED", Align::kRight},
               {"QUOTA", Align::kRight},
               {"FILES", Align::kRight},
               {"CHECKPOINTS", Align::kRight},
               {"BUCKET"}});
  for (const BucketInfo& info : buckets) {
    table.AddRow({info.redundancy, HumanBytes(info.size_bytes), QuotaText(info),
                  absl::StrCat(info.files), absl::StrCat(info.checkpoints), info.name});
  }
  context.Print(table.Render(context.style()));
  return kExitOk;
}

void AddCreate(CLI::App* bucket, Command* chosen) {
  auto arguments = std::make_shared<BucketArguments>();
  CLI::App* create = bucket->add_subcommand("create", "Make a bucket");
  AddPolicy(create, arguments, "[replica:1]");
  create->footer(
      R"(Examples:
  cairn bucket create models --redundancy ec:4+2      needs 6 nodes, survives the loss of any 2
  cairn bucket create scratch --quota 10TiB           one copy, and no more than that
  cairn bucket create local -r replica:2 --spread targets)");
  create->callback([arguments, chosen] {
    *chosen = [arguments](Context& context) {
      return RunChange(context, *arguments, &Client::MakeBucket, "cannot make the bucket", "made");
    };
  });
}

void AddSet(CLI::App* bucket, Command* chosen) {
  auto arguments = std::make_shared<BucketArguments>();
  arguments->options.redundancy.clear();
  CLI::App* set = bucket->add_subcommand("set", "Change a bucket's quota and what new files get");
  AddPolicy(set, arguments, "[as it is]");
  set->get_option("--spread")->needs(set->get_option("--redundancy"));
  set->footer(
      R"(Files that are there keep the redundancy they were written with.

A quota is on logical bytes: of what can be seen in the bucket, without copies and parity. A checkpoint or file that would
exceed it is refused when it is committed, and when it is begun if there is no room at all. Removing and replacing what is
there always goes. Retention removes checkpoints after a commit: leave room for one more than it keeps.

Examples:
  cairn bucket set models --redundancy ec:8+3
  cairn bucket set models --quota 10TiB
  cairn bucket set models --quota none)");
  set->callback([arguments, chosen] {
    const BucketOptions& options = arguments->options;
    if (options.redundancy.empty() && !options.quota_bytes.has_value())
      throw CLI::ValidationError("bucket set", "name what to change: --redundancy or --quota");
    *chosen = [arguments](Context& context) {
      return RunChange(context, *arguments, &Client::SetBucket, "cannot change the bucket",
                       "changed");
    };
  });
}

}  // namespace

void AddBucketCommands(CLI::App* app, Command* chosen) {
  CLI::App* bucket =
      app->add_subcommand("bucket", "Make buckets and choose how their files survive");
  bucket->require_subcommand(1);
  bucket->footer("Examples:\n  cairn bucket create models --redundancy ec:4+2\n  cairn bucket ls");
  AddCreate(bucket, chosen);
  AddSet(bucket, chosen);

  auto shown = std::make_shared<std::string>();
  CLI::App* show = bucket->add_subcommand("show", "Show a bucket");
  show->add_option("bucket", *shown, "Name of the bucket")->required()->type_name("BUCKET");
  show->footer("Examples:\n  cairn bucket show models\n  cairn bucket show models --output json");
  show->callback([shown, chosen] {
    *chosen = [shown](Context& context) { return RunShow(context, *shown); };
  });

  CLI::App* ls =
      bucket->add_subcommand("ls", "List the buckets: redundancy, what is in them, quotas");
  ls->footer("Examples:\n  cairn bucket ls\n  cairn bucket ls --output json");
  ls->callback([chosen] { *chosen = [](Context& context) { return RunList(context); }; });
}

}  // namespace cairn::cli
