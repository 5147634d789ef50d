// See man_page.h.
#include "client/cli/man_page.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli/failure.h"
#include "client/cli/help.h"
#include "client/cli/settings.h"

#if !defined(CAIRN_VERSION) || !defined(CAIRN_MANUAL_DATE)
#error "the build passes CAIRN_VERSION and CAIRN_MANUAL_DATE"
#endif

namespace cairn::cli {
namespace {

// Characters that roff takes for commands, or shows as their typographic kin, which no shell knows.
std::string Escaped(const std::string& text) {
  std::string out = absl::StrReplaceAll(text, {{"\\", "\\e"},
                                               {"-", "\\-"},
                                               {"'", "\\(aq"},
                                               {"`", "\\(ga"},
                                               {"^", "\\(ha"},
                                               {"~", "\\(ti"}});
  if (out.starts_with('.')) out.insert(0, "\\&");
  return out;
}

std::string Bold(const std::string& text) { return absl::StrCat("\\fB", Escaped(text), "\\fR"); }
std::string Italic(const std::string& text) { return absl::StrCat("\\fI", Escaped(text), "\\fR"); }

std::string PageName(const CLI::App& command) {
  return absl::StrReplaceAll(CommandPath(command), {{" ", "-"}});
}

// The text below --help, cut at its headings.
struct HelpText {
  std::vector<std::string> description;
  std::vector<std::string> exit_codes;
  std::vector<std::string> examples;
};

HelpText CutHelp(const CLI::App& command) {
  HelpText text;
  std::vector<std::string>* part = &text.description;
  // What these say is said by sections of their own, in full.
  std::vector<std::string> told_elsewhere;
  for (const std::string& line :
       std::vector<std::string>(absl::StrSplit(command.get_footer(), '\n'))) {
    if (line == "Examples:") {
      part = &text.examples;
      continue;
    }
    // A paragraph ends at an empty line, and with it what was cut out. Examples go on to the end.
    if (line.empty() && part != &text.examples) part = &text.description;
    if (line.starts_with("Exit code")) part = &text.exit_codes;
    if (line.starts_with("Environment:") || line.starts_with("Configuration:"))
      part = &told_elsewhere;
    part->push_back(line);
  }
  return text;
}

bool IsIndented(const std::string& line) { return line.starts_with("  "); }

// Paragraphs, and what is indented as it stands.
std::string Body(const std::vector<std::string>& lines) {
  std::string out;
  bool literal = false, begins = true;
  for (const std::string& line : lines) {
    if (line.empty()) {
      begins = true;
      continue;
    }
    if (literal && !IsIndented(line)) {
      absl::StrAppend(&out, ".fi\n.RE\n");
      literal = false;
      begins = true;
    }
    if (!literal && IsIndented(line)) {
      absl::StrAppend(&out, out.empty() ? "" : ".PP\n", ".RS 2\n.nf\n");
      literal = true;
    } else if (literal && begins) {
      absl::StrAppend(&out, "\n");
    } else if (begins && !out.empty()) {
      absl::StrAppend(&out, ".PP\n");
    }
    begins = false;
    absl::StrAppend(&out, Escaped(literal ? line.substr(2) : line), "\n");
  }
  if (literal) absl::StrAppend(&out, ".fi\n.RE\n");
  return out;
}

std::string Section(const std::string& title, const std::string& body) {
  return body.empty() ? "" : absl::StrCat(".SH ", title, "\n", body);
}

std::string Item(const std::string& term, const std::string& text) {
  return absl::StrCat(".TP\n", term, "\n", text, "\n");
}

// "[=TIME]" with the value's name in italics, " TIME" too.
std::string ValueTerm(const CLI::Option& option) {
  const std::string value = ValueName(option);
  if (value.empty()) return "";
  if (value[0] != '[') return absl::StrCat(" ", Italic(value));
  return absl::StrCat("[=", Italic(value.substr(2, value.size() - 3)), "]");
}

std::string OptionTerm(const CLI::Option& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.get_snames())
    names.push_back(Bold(absl::StrCat("-", name)));
  for (const std::string& name : option.get_lnames())
    names.push_back(Bold(absl::StrCat("--", name)));
  return absl::StrCat(absl::StrJoin(names, ", "), ValueTerm(option));
}

std::string Synopsis(const CLI::App& command) {
  std::string text = absl::StrCat(Bold(CommandPath(command)), " [", Italic("OPTIONS"), "]");
  for (const CLI::Option* positional : Positionals(command)) {
    const std::string name = Italic(ValueName(*positional));
    absl::StrAppend(&text, " ", positional->get_required() ? name : absl::StrCat("[", name, "]"));
  }
  if (!VisibleSubcommands(command).empty()) {
    const bool needed = command.get_require_subcommand_min() > 0;
    const std::string verb = Italic("COMMAND");
    absl::StrAppend(&text, " ", needed ? verb : absl::StrCat("[", verb, "]"), " ...");
  }
  return absl::StrCat(text, "\n");
}

std::string Options(const CLI::App& command) {
  std::string text;
  for (const CLI::Option* positional : Positionals(command))
    absl::StrAppend(&text,
                    Item(Italic(ValueName(*positional)), Escaped(positional->get_description())));
  for (const CLI::Option* option : VisibleOptions(command))
    absl::StrAppend(&text, Item(OptionTerm(*option), Escaped(option->get_description())));
  if (command.get_parent() != nullptr) {
    absl::StrAppend(&text, ".PP\nOptions of all commands, as ", Bold("--output"), " and ",
                    Bold("--endpoint"), ", are in ", Bold("cairn"), "(1).\n");
  }
  return text;
}

std::string Commands(const CLI::App& command) {
  std::string text;
  for (const CLI::App* each : VisibleSubcommands(command))
    absl::StrAppend(
        &text, Item(absl::StrCat(Bold(PageName(*each)), "(1)"), Escaped(each->get_description())));
  return text;
}

std::string ExitStatus(const HelpText& help, bool whole) {
  std::string text;
  // Of the whole command the help has the same table.
  if (!whole && !help.exit_codes.empty()) absl::StrAppend(&text, Body(help.exit_codes));
  for (const ExitCode& exit : kExitCodes)
    absl::StrAppend(&text, Item(absl::StrCat(exit.code), Escaped(exit.meaning)));
  return text;
}

std::string EnvironmentItems() {
  std::string text;
  for (const Setting& setting : AllSettings()) {
    absl::StrAppend(&text,
                    Item(Bold(setting.environment),
                         absl::StrCat("Stands for ", Bold(absl::StrCat("--", setting.key)), ".")));
  }
  absl::StrAppend(
      &text, Item(Bold("CAIRN_CONFIG"), absl::StrCat("Stands for ", Bold("--config"), ".")),
      Item(Bold("NO_COLOR"), "When it is not empty: no colors, unless an option asks for them."),
      Item(Bold("CLICOLOR_FORCE"), "When it is not empty and not 0: colors everywhere."),
      Item(Bold("TERM"),
           Escaped("No colors, bars and redrawing where it is \"dumb\" or not set.")));
  return text;
}

std::string Files() {
  return Item(absl::StrCat(Italic("~/.config/cairn/config.toml"), ", or below ",
                           Italic("$XDG_CONFIG_HOME")),
              absl::StrCat("The settings that apply where neither an option nor the environment "
                           "says otherwise; see ",
                           Bold("cairn-config-show"), "(1)."));
}

std::string SeeAlso(const CLI::App& command) {
  std::vector<std::string> names;
  auto add = [&names](const CLI::App& each) {
    names.push_back(absl::StrCat(Bold(PageName(each)), "(1)"));
  };
  if (const CLI::App* parent = command.get_parent(); parent != nullptr) {
    add(*parent);
    for (const CLI::App* sibling : VisibleSubcommands(*parent)) {
      // Of the whole command there are too many.
      if (sibling != &command && parent->get_parent() != nullptr) add(*sibling);
    }
  }
  for (const CLI::App* each : VisibleSubcommands(command)) add(*each);
  return names.empty() ? "" : absl::StrCat(absl::StrJoin(names, ",\n"), "\n");
}

}  // namespace

ManPage MakeManPage(const CLI::App& command) {
  const HelpText help = CutHelp(command);
  const std::string name = PageName(command);
  const bool whole = command.get_parent() == nullptr;
  std::string description = absl::StrCat(Escaped(command.get_description()), ".\n");
  if (whole) description = absl::StrCat(Escaped(command.get_description()), "\n");
  if (const std::string more = Body(help.description); !more.empty())
    absl::StrAppend(&description, ".PP\n", more);
  std::string summary = command.get_description();
  if (summary.ends_with('.')) summary.pop_back();
  std::string text = absl::StrCat(".TH ", absl::AsciiStrToUpper(name), " 1 ", CAIRN_MANUAL_DATE,
                                  " \"cairn ", CAIRN_VERSION, "\" \"Cairn Manual\"\n");
  absl::StrAppend(&text, ".SH NAME\n", Escaped(name), " \\- ", Escaped(summary), "\n",
                  Section("SYNOPSIS", Synopsis(command)), Section("DESCRIPTION", description),
                  Section("COMMANDS", Commands(command)), Section("OPTIONS", Options(command)),
                  Section("EXIT STATUS", ExitStatus(help, whole)),
                  Section("ENVIRONMENT", EnvironmentItems()), Section("FILES", Files()),
                  Section("EXAMPLES", Body(help.examples)), Section("SEE ALSO", SeeAlso(command)));
  return {name, std::move(text)};
}

std::vector<ManPage> MakeManPages(const CLI::App& command) {
  std::vector<ManPage> pages = {MakeManPage(command)};
  for (const CLI::App* each : VisibleSubcommands(command)) {
    for (ManPage& page : MakeManPages(*each)) pages.push_back(std::move(page));
  }
  return pages;
}

}  // namespace cairn::cli
