// The completion scripts. bash and zsh share tables of what there is, as functions that print lines
// of WORD, tab, HELP; fish has a command for that.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/cli/completion.h"

namespace cairn::cli {
namespace {

// In single quotes, for bash and zsh.
std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

// In single quotes, for fish.
std::string FishQuoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"\\", "\\\\"}, {"'", "\\'"}}), "'");
}

// "words table json", "files", "query node": what _cairn_offer understands. "free": anything.
std::string KindText(const Completable& value) {
  if (!value.words.empty()) return absl::StrCat("words ", absl::StrJoin(value.words, " "));
  std::vector<std::string> kinds;
  if (value.local_files) kinds.emplace_back("files");
  if (!value.query.empty()) kinds.push_back(absl::StrCat("query ", value.query));
  return kinds.empty() ? "free" : absl::StrJoin(kinds, " ");
}

// A function of the words $1 (and $2), from its cases.
std::string CaseFunction(const std::string& name, const std::string& subject,
                         const std::string& cases) {
  return absl::StrCat(name, "() {\n  case ", subject, " in\n", cases, "  esac\n}\n\n");
}

std::string Lines(const std::vector<std::pair<std::string, std::string>>& lines) {
  std::vector<std::string> quoted;
  for (const auto& [word, help] : lines) quoted.push_back(Quoted(absl::StrCat(word, "\t", help)));
  return absl::StrCat("printf '%s\\n' ", absl::StrJoin(quoted, " \\\n      "));
}

std::string Subcommands(const std::vector<CompletedCommand>& commands) {
  std::string cases;
  for (const CompletedCommand& command : commands) {
    if (command.subcommands.empty()) continue;
    std::vector<std::pair<std::string, std::string>> lines;
    for (const CLI::App* each : command.subcommands)
      lines.emplace_back(each->get_name(), each->get_description());
    absl::StrAppend(&cases, "    ", Quoted(command.path), ")\n      ", Lines(lines), " ;;\n");
  }
  return CaseFunction("_cairn_subcommands", "$1", cases);
}

std::string OptionNames(const std::vector<CompletedCommand>& commands) {
  std::string cases;
  for (const CompletedCommand& command : commands) {
    std::vector<std::pair<std::string, std::string>> lines;
    for (const CompletedOption& option : command.options)
      lines.emplace_back(option.names.back(), option.help);
    absl::StrAppend(&cases, "    ", Quoted(command.path), ")\n      ", Lines(lines), " ;;\n");
  }
  return CaseFunction("_cairn_options", "$1", cases);
}

// Of options that take a value in the next word.
std::string OptionValues(const std::vector<CompletedCommand>& commands) {
  std::string cases;
  for (const CompletedCommand& command : commands) {
    for (const CompletedOption& option : command.options) {
      if (!option.takes_value) continue;
      std::vector<std::string> patterns;
      for (const std::string& name : option.names)
        patterns.push_back(Quoted(absl::StrCat(command.path, " ", name)));
      absl::StrAppend(&cases, "    ", absl::StrJoin(patterns, "|"), ") echo ",
                      Quoted(KindText(option.value)), " ;;\n");
    }
  }
  return CaseFunction("_cairn_value", "\"$1 $2\"", cases);
}

std::string PositionalKinds(const std::vector<CompletedCommand>& commands) {
  std::string cases;
  for (const CompletedCommand& command : commands) {
    for (size_t i = 0; i < command.positionals.size(); ++i) {
      const bool rest = command.last_repeats && i + 1 == command.positionals.size();
      absl::StrAppend(&cases, "    ", Quoted(absl::StrCat(command.path, " ")),
                      rest ? "*" : absl::StrCat(i), ") echo ",
                      Quoted(KindText(command.positionals[i])), " ;;\n");
    }
  }
  return CaseFunction("_cairn_positional", "\"$1 $2\"", cases);
}

std::string Tables(const std::vector<CompletedCommand>& commands) {
  return absl::StrCat(Subcommands(commands), OptionNames(commands), OptionValues(commands),
                      PositionalKinds(commands));
}

// For both: walks over the words before the current one; sets `command`, the number of positionals
// `count`, and `value`, what the current word is the value of.
constexpr char kWalk[] = R"sh(_cairn_walk() {
  local word
  command='' count=0 value=''
  for word in "$@"; do
    if [[ -n $value ]]; then
      value=''
      continue
    fi
    case $word in
      --*=*) ;;
      -*) value=$(_cairn_value "$command" "$word") ;;
      *)
        if [[ $count == 0 && $'\n'$(_cairn_subcommands "$command") == *$'\n'"$word"$'\t'* ]]; then
          command="${command:+$command }$word"
        else
          ((count += 1))
        fi ;;
    esac
  done
}

)sh";

constexpr char kBashTail[] =
    R"sh(# Takes lines of WORD, tab, HELP; keeps the words that begin with $1.
_cairn_take() {
  local line
  while IFS= read -r line; do
    line=${line%%$'\t'*}
    [[ $line == "$1"* ]] && COMPREPLY+=("$(printf '%q' "$line")")
  done
}

# Offers what $1 says for the word $2.
_cairn_offer() {
  local kind=$1 word=$2 line
  case $kind in
    words*)
      COMPREPLY+=($(compgen -W "${kind#words }" -- "$word"))
      return ;;
    *files*)
      compopt -o filenames
      while IFS= read -r line; do COMPREPLY+=("$line"); done < <(compgen -f -- "$word") ;;
  esac
  if [[ $kind == *query* ]]; then
    _cairn_take "$word" < <("$program" __complete "${kind##*query }" "$word" "${before[@]}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace
  fi
}

_cairn() {
  local program=${COMP_WORDS[0]} before=() current='' glue='' part i command count value
  COMPREPLY=()
  # Bash has cut the line at "=" and ":", too.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    part=${COMP_WORDS[i]}
    if [[ $i -gt 1 && ( -n $glue || $part == [=:]* ) ]]; then
      current+=$part
    else
      [[ $i -gt 1 ]] && before+=("$current")
      current=$part
    fi
    [[ $part == [=:] ]] && glue=1 || glue=''
  done
  _cairn_walk "${before[@]}"
  if [[ -n $value ]]; then
    _cairn_offer "$value" "$current"
  elif [[ $current == --*=* ]]; then
    _cairn_offer "$(_cairn_value "$command" "${current%%=*}")" "${current#*=}"
  elif [[ $current == -* ]]; then
    _cairn_take "$current" < <(_cairn_options "$command")
  else
    [[ $count == 0 ]] && _cairn_take "$current" < <(_cairn_subcommands "$command")
    _cairn_offer "$(_cairn_positional "$command" "$count")" "$current"
  fi
  # What is before the last cut is on the line already.
  if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
    for i in "${!COMPREPLY[@]}"; do
      COMPREPLY[i]=${COMPREPLY[i]#"$(printf '%q' "${current%:*}:")"}
    done
  fi
}

complete -F _cairn cairn
)sh";

constexpr char kZshTail[] = R"sh(# Adds lines of WORD, tab, HELP.
_cairn_add() {
  local line word
  local -a plain shown directories
  while IFS= read -r line; do
    word=${line%%$'\t'*}
    if [[ $word == */ ]]; then
      directories+=("$word")
    else
      plain+=("$word")
      shown+=("${word}${${line#*$'\t'}:+  -- ${line#*$'\t'}}")
    fi
  done
  (( ${#directories} )) && compadd -S '' -a directories
  (( ${#plain} )) && compadd -l -d shown -a plain
}

# Offers what $1 says.
_cairn_offer() {
  local kind=$1
  local -a choices
  case $kind in
    words*)
      choices=(${=kind#words })
      compadd -a choices
      return ;;
    *files*) _files ;;
  esac
  if [[ $kind == *query* ]]; then
    _cairn_add < <("$program" __complete "${kind##*query }" "$PREFIX" "${before[@]}" 2>/dev/null)
  fi
}

_cairn() {
  emulate -L zsh
  local program=${words[1]} command count value
  local -a before
  before=("${(@)words[2,CURRENT-1]}")
  _cairn_walk "${before[@]}"
  if [[ -n $value ]]; then
    _cairn_offer "$value"
  elif [[ $PREFIX == --*=* ]]; then
    local option=${PREFIX%%=*}
    compset -P '*='
    _cairn_offer "$(_cairn_value "$command" "$option")"
  elif [[ $PREFIX == -* ]]; then
    _cairn_add < <(_cairn_options "$command")
  else
    [[ $count == 0 ]] && _cairn_add < <(_cairn_subcommands "$command")
    _cairn_offer "$(_cairn_positional "$command" "$count")"
  fi
}

# Read by compinit it is the function itself; sourced it is only defined.
if [[ $funcstack[1] == _cairn ]]; then
  _cairn "$@"
else
  compdef _cairn cairn
fi
)sh";

constexpr char kFishHead[] =
    R"sh(# The command that the words before the current one lead to, and how many positionals it has.
function __cairn_state
    set -l words (commandline -opc)
    set -e words[1]
    set -l path ''
    set -l count 0
    set -l skip 0
    for word in $words
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case '--*=*'
            case '-*'
                contains -- "$path $word" $__cairn_valued; and set skip 1
            case '*'
                set -l longer (string trim -- "$path $word")
                if test $count = 0; and contains -- $longer $__cairn_commands
                    set path $longer
                else
                    set count (math $count + 1)
                end
        end
    end
    echo $path
    echo $count
end

# At the command $argv[1]; and, if there are, at its positional $argv[2], or from there on ("2+").
function __cairn_at
    set -l state (__cairn_state)
    test "$state[1]" = "$argv[1]"; or return 1
    test (count $argv) = 1; and return 0
    if string match -q '*+' -- $argv[2]
        test $state[2] -ge (string trim -r -c + -- $argv[2])
    else
        test $state[2] = $argv[2]
    end
end

function __cairn_query
    set -l words (commandline -opc)
    $words[1] __complete $argv[1] (commandline -ct) $words[2..] 2>/dev/null
end

complete -c cairn -f
)sh";

std::string FishWords(const std::vector<std::string>& words) {
  std::vector<std::string> quoted;
  for (const std::string& word : words) quoted.push_back(FishQuoted(word));
  return absl::StrJoin(quoted, " ");
}

// "-x" with what may follow: nothing else.
std::string FishValue(const Completable& value) {
  if (!value.words.empty())
    return absl::StrCat(" -a ", FishQuoted(absl::StrJoin(value.words, " ")));
  std::string text = value.local_files ? " -F" : "";
  if (!value.query.empty())
    absl::StrAppend(&text, " -a ", FishQuoted(absl::StrCat("(__cairn_query ", value.query, ")")));
  return text;
}

std::string FishOption(const CompletedCommand& command, const CompletedOption& option) {
  std::string line = absl::StrCat("complete -c cairn -n ",
                                  FishQuoted(absl::StrCat("__cairn_at '", command.path, "'")));
  for (const std::string& name : option.names) {
    const bool is_long = name.starts_with("--");
    absl::StrAppend(&line, is_long ? " -l " : " -s ", name.substr(is_long ? 2 : 1));
  }
  if (option.takes_value) absl::StrAppend(&line, " -r", FishValue(option.value));
  return absl::StrCat(line, " -d ", FishQuoted(option.help), "\n");
}

std::string FishCommand(const CompletedCommand& command) {
  std::string text;
  const std::string at = absl::StrCat("__cairn_at '", command.path, "'");
  for (const CLI::App* each : command.subcommands) {
    absl::StrAppend(&text, "complete -c cairn -n ", FishQuoted(absl::StrCat(at, " 0")), " -a ",
                    each->get_name(), " -d ", FishQuoted(each->get_description()), "\n");
  }
  for (const CompletedOption& option : command.options)
    absl::StrAppend(&text, FishOption(command, option));
  for (size_t i = 0; i < command.positionals.size(); ++i) {
    const std::string value = FishValue(command.positionals[i]);
    if (value.empty()) continue;
    const bool rest = command.last_repeats && i + 1 == command.positionals.size();
    absl::StrAppend(&text, "complete -c cairn -n ",
                    FishQuoted(absl::StrCat(at, " ", i, rest ? "+" : "")), value, "\n");
  }
  return text;
}

std::string FishScript(const std::vector<CompletedCommand>& commands) {
  std::vector<std::string> paths, valued;
  std::string text;
  for (const CompletedCommand& command : commands) {
    if (!command.path.empty()) paths.push_back(command.path);
    for (const CompletedOption& option : command.options) {
      for (const std::string& name : option.names) {
        if (option.takes_value) valued.push_back(absl::StrCat(command.path, " ", name));
      }
    }
    absl::StrAppend(&text, FishCommand(command));
  }
  return absl::StrCat("# fish completion of cairn, made by 'cairn completion fish'.\n",
                      "set -g __cairn_commands ", FishWords(paths), "\nset -g __cairn_valued ",
                      FishWords(valued), "\n\n", kFishHead, text);
}

}  // namespace

std::string MakeCompletion(const CLI::App& root, Shell shell) {
  const std::vector<CompletedCommand> commands = CompletedCommands(root);
  switch (shell) {
    case Shell::kFish:
      return FishScript(commands);
    case Shell::kZsh:
      return absl::StrCat("#compdef cairn\n# zsh completion of cairn, made by 'cairn completion ",
                          "zsh'.\n\n", Tables(commands), kWalk, kZshTail);
    case Shell::kBash:
      break;
  }
  return absl::StrCat("# bash completion of cairn, made by 'cairn completion bash'.\n\n",
                      Tables(commands), kWalk, kBashTail);
}

}  // namespace cairn::cli
