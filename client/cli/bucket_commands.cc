// `cairn bucket create|set|show|ls`: top-level directories and how the files in them survive.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/table.h"

namespace cairn::cli {
namespace {

struct BucketArguments {
  std::string name;
  BucketOptions options;
};

void AddPolicy(CLI::App* command, const std::shared_ptr<BucketArguments>& arguments) {
  command->add_option("bucket", arguments->name, "Name of the bucket")
      ->required()
      ->type_name("BUCKET");
  command
      ->add_option(
          "-r,--redundancy", arguments->options.redundancy,
          "How files survive: replica:N for N copies, ec:K+M for K data and M parity fragments "
          "[replica:1]")
      ->type_name("SCHEME");
  AddChoiceOption<BucketOptions::Spread>(
      command, "--spread", &arguments->options.spread,
      {{"nodes", BucketOptions::Spread::kNodes}, {"targets", BucketOptions::Spread::kTargets}},
      "What no two fragments share: nodes, or targets where all are on one node [nodes]");
}

Json BucketJson(const BucketInfo& info) {
  return {{"name", info.name}, {"redundancy", info.redundancy}};
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
  const BucketInfo info{name, arguments.options.redundancy};
  if (context.json()) {
    context.PrintJson(BucketJson(info));
  } else {
    context.Print(
        absl::StrCat(done, " ", Printable(name), ": new files get ", info.redundancy, "\n"));
  }
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
    context.Print(absl::StrCat("bucket      ", Printable(info->name), "\nredundancy  ",
                               info->redundancy, "\n"));
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
  Table table({{"REDUNDANCY"}, {"BUCKET"}});
  for (const BucketInfo& info : buckets) table.AddRow({info.redundancy, info.name});
  context.Print(table.Render(context.style()));
  return kExitOk;
}

}  // namespace

void AddBucketCommands(CLI::App* app, Command* chosen) {
  CLI::App* bucket =
      app->add_subcommand("bucket", "Make buckets and choose how their files survive");
  bucket->require_subcommand(1);
  bucket->footer("Examples:\n  cairn bucket create models --redundancy ec:4+2\n  cairn bucket ls");

  auto created = std::make_shared<BucketArguments>();
  CLI::App* create = bucket->add_subcommand("create", "Make a bucket");
  AddPolicy(create, created);
  create->footer(
      R"(Examples:
  cairn bucket create models --redundancy ec:4+2      needs 6 nodes, survives the loss of any 2
  cairn bucket create scratch                         one copy
  cairn bucket create local -r replica:2 --spread targets)");
  create->callback([created, chosen] {
    *chosen = [created](Context& context) {
      return RunChange(context, *created, &Client::MakeBucket, "cannot make the bucket", "made");
    };
  });

  auto changed = std::make_shared<BucketArguments>();
  CLI::App* set = bucket->add_subcommand("set", "Change what new files of a bucket get");
  AddPolicy(set, changed);
  set->get_option("--redundancy")->required();
  set->footer(
      "Files that are there keep the redundancy they were written with.\n\n"
      "Examples:\n  cairn bucket set models --redundancy ec:8+3");
  set->callback([changed, chosen] {
    *chosen = [changed](Context& context) {
      return RunChange(context, *changed, &Client::SetBucket, "cannot change the bucket",
                       "changed");
    };
  });

  auto shown = std::make_shared<std::string>();
  CLI::App* show = bucket->add_subcommand("show", "Show a bucket");
  show->add_option("bucket", *shown, "Name of the bucket")->required()->type_name("BUCKET");
  show->footer("Examples:\n  cairn bucket show models\n  cairn bucket show models --output json");
  show->callback([shown, chosen] {
    *chosen = [shown](Context& context) { return RunShow(context, *shown); };
  });

  CLI::App* ls = bucket->add_subcommand("ls", "List the buckets and their redundancy");
  ls->footer("Examples:\n  cairn bucket ls\n  cairn bucket ls --output json");
  ls->callback([chosen] { *chosen = [](Context& context) { return RunList(context); }; });
}

}  // namespace cairn::cli
