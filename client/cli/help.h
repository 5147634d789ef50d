// How the commands present themselves: the layout of --help, and what it shares with the manual
// pages (man_page.h) and with completion (completion.h). All read the same tree of CLI11's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace cairn::cli {

std::shared_ptr<CLI::FormatterBase> MakeHelpFormatter();

// "cairn ckpt ls".
std::string CommandPath(const CLI::App& command);

// What stands for an option's value in texts: "TIME", "table|json|ndjson"; of a flag whose value
// may be left out "[=TIME]" with the sign; empty for other flags.
std::string ValueName(const CLI::Option& option);

// Commands and options that are for people: the hidden ones are in the group "".
std::vector<const CLI::App*> VisibleSubcommands(const CLI::App& command);
std::vector<const CLI::Option*> VisibleOptions(const CLI::App& command);
std::vector<const CLI::Option*> Positionals(const CLI::App& command);

// The exit codes, in lines for --help of the whole command.
std::string ExitCodesText();

}  // namespace cairn::cli
