// See help.h.
#include "client/cli/help.h"

#include <array>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "client/cli/failure.h"

namespace cairn::cli {
namespace {

class HelpFormatter final : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string value = ValueName(*option);
    if (value.empty()) return "";
    return value[0] == '[' ? value : absl::StrCat(" ", value);
  }

  std::string make_footer(const CLI::App* command) const override {
    std::string footer = command->get_footer();
    if (footer.empty()) return footer;
    absl::StrAppend(&footer, "\n");
    if (command->get_parent() != nullptr)
      absl::StrAppend(&footer,
                      "\nOptions of all commands (--output, --endpoint, ...): cairn --help\n");
    return footer;
  }
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> MakeHelpFormatter() {
  auto formatter = std::make_shared<HelpFormatter>();
  formatter->column_width(34);
  return formatter;
}

std::string CommandPath(const CLI::App& command) {
  if (command.get_parent() == nullptr) return command.get_name();
  return absl::StrCat(CommandPath(*command.get_parent()), " ", command.get_name());
}

std::string ValueName(const CLI::Option& option) {
  std::string name = option.get_type_name();
  // What the parser's own checks add says how it sees them.
  for (const char* check : {":INT in ", ":UINT in ", ":FLOAT in ", ":{"}) {
    if (const size_t at = name.find(check); at != std::string::npos) name.resize(at);
  }
  if (name == "UINT" || name == "INT") name = "N";
  if (option.get_positional()) return name;
  const bool flag = option.get_items_expected_max() == 0;
  if (!flag) return name.empty() ? "VALUE" : name;
  return name.empty() ? "" : absl::StrCat("[=", name, "]");
}

std::vector<const CLI::App*> VisibleSubcommands(const CLI::App& command) {
  return command.get_subcommands(
      [](const CLI::App* each) { return !each->get_name().empty() && !each->get_group().empty(); });
}

std::vector<const CLI::Option*> VisibleOptions(const CLI::App& command) {
  return command.get_options([](const CLI::Option* option) {
    return option->nonpositional() && !option->get_group().empty();
  });
}

std::vector<const CLI::Option*> Positionals(const CLI::App& command) {
  return command.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

std::string ExitCodesText() {
  std::string text;
  for (const ExitCode& exit : kExitCodes)
    absl::StrAppend(&text, "  ", exit.code, exit.code < 10 ? "    " : "  ", exit.meaning, "\n");
  return text;
}

}  // namespace cairn::cli
