// What shells complete on a command line of `cairn`: scripts for them, made of the same tree of
// commands as --help. What only the cluster knows they ask `cairn __complete` for
// (complete_command.cc).
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace cairn::cli {

enum class Shell { kBash, kZsh, kFish };

std::string MakeCompletion(const CLI::App& root, Shell shell);

// What may stand for a value or a positional.
struct Completable {
  std::vector<std::string> words;  // one of these
  bool local_files = false;
  std::string query;  // what `cairn __complete` is asked for; empty: nothing
};

// By the name of the value in the help, which all commands share (README.md lists them).
Completable WhatCompletes(const CLI::App& command, const CLI::Option& option);

struct CompletedOption {
  std::vector<std::string> names;  // with their dashes
  std::string help;
  bool takes_value = false;  // in the next word
  Completable value;
};

// A command as the scripts see it.
struct CompletedCommand {
  std::string path;  // "ckpt ls"; "" for the whole
  std::vector<const CLI::App*> subcommands;
  std::vector<CompletedOption> options;  // those of all commands, too
  std::vector<Completable> positionals;  // in their order
  bool last_repeats = false;
};

// All that are for people, the whole first.
std::vector<CompletedCommand> CompletedCommands(const CLI::App& root);

}  // namespace cairn::cli
