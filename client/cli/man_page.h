// Manual pages, made of the same tree of commands as --help: names, options, the text below them.
// man_command.cc prints them; the build writes all of them for the installation.
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace cairn::cli {

struct ManPage {
  std::string name;  // "cairn-ckpt-ls"; its file is that and ".1"
  std::string text;  // in the macros of man(7)
};

ManPage MakeManPage(const CLI::App& command);

// Of a command and all below it that are for people.
std::vector<ManPage> MakeManPages(const CLI::App& command);

}  // namespace cairn::cli
