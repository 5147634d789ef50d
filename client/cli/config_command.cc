// `cairn config show` and `path`: which settings apply, and where each is from.
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/cli/arguments.h"
#include "client/cli/format.h"
#include "client/cli/json_list.h"
#include "client/cli/settings.h"
#include "client/cli/table.h"

namespace cairn::cli {
namespace {

Json ValueJson(const SettingValue& value) {
  return {{"name", value.setting->key},
          {"value", value.text},
          {"origin", OriginName(value.origin)},
          {"where", value.where.empty() ? Json(nullptr) : Json(value.where)},
          {"environment", value.setting->environment},
          {"default", value.setting->fallback}};
}

int RunShow(Context& context) {
  const Settings& settings = context.settings;
  if (context.json()) {
    Json values = Json::array();
    for (const SettingValue& value : settings.values) values.push_back(ValueJson(value));
    context.PrintJson({{"file", settings.file.empty() ? Json(nullptr) : Json(settings.file)},
                       {"file_exists", settings.file_exists},
                       {"settings", std::move(values)}});
    return kExitOk;
  }
  Table table({{"SETTING"}, {"VALUE"}, {"FROM"}, {"WHERE"}});
  for (const SettingValue& value : settings.values) {
    table.AddRow({value.setting->key, value.text, OriginName(value.origin),
                  value.where.empty() ? "-" : value.where});
  }
  context.Print(table.Render(context.style()));
  const std::string file =
      settings.file.empty() ? "none, as HOME is not set" : Printable(settings.file);
  const bool missing = !settings.file.empty() && !settings.file_exists;
  context.Print(absl::StrCat("\nfile: ", file, missing ? " (there is none)" : "", "\n"));
  return kExitOk;
}

int RunPath(Context& context) {
  const Settings& settings = context.settings;
  if (settings.file.empty()) {
    return context.Fail({"no configuration file", "",
                         absl::NotFoundError("HOME is not set; name a file with --config")});
  }
  if (context.json()) {
    context.PrintJson({{"file", settings.file}, {"file_exists", settings.file_exists}});
  } else {
    context.Print(absl::StrCat(Printable(settings.file), "\n"));
  }
  return kExitOk;
}

// From the table of settings, so that it lists what there is.
std::string ShowFooter() {
  std::string text =
      "Of each setting, the first of these counts: its option, its variable of the environment, "
      "its line "
      "in the\nconfiguration file, its default. The file is TOML:\n\n"
      "  endpoint = [\"10.0.0.5:7440\", \"10.0.0.6:7440\"]\n"
      "  timeout = \"30s\"\n\n"
      "An unknown key or a wrong value is an error that names the line. A file that says where "
      "data goes "
      "must not\nbe writable by others. Secrets have no place in it.\n\nSettings:\n";
  for (const Setting& setting : AllSettings()) {
    std::string name = setting.key;
    name.resize(10, ' ');
    std::string variable = setting.environment;
    variable.resize(16, ' ');
    absl::StrAppend(&text, "  ", name, variable, setting.type, "\n");
  }
  absl::StrAppend(&text,
                  "\nExamples:\n  cairn config show\n"
                  "  CAIRN_TIMEOUT=5s cairn config show --output json\n"
                  "  cairn --config ./test.toml config show");
  return text;
}

}  // namespace

void AddConfigCommands(CLI::App* app, Command* chosen) {
  CLI::App* config = app->add_subcommand("config", "See the settings of this command");
  config->require_subcommand(1);
  config->footer("Examples:\n  cairn config show\n  cairn config path");
  CLI::App* show =
      config->add_subcommand("show", "Show each setting, its value and where that is from");
  show->footer(ShowFooter());
  show->callback([chosen] { *chosen = RunShow; });
  CLI::App* path = config->add_subcommand("path", "Print which configuration file is read");
  path->footer("Examples:\n  cairn config path\n  \"${EDITOR:-vi}\" \"$(cairn config path)\"");
  path->callback([chosen] { *chosen = RunPath; });
}

}  // namespace cairn::cli
