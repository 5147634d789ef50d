// See cli_fixture.h.
#include "tests/unit/cli/cli_fixture.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>

namespace cairn::cli {
namespace {

std::string ReadAll(int fd) {
  std::string text(static_cast<size_t>(lseek(fd, 0, SEEK_END)), '\0');
  if (pread(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size())) text.clear();
  close(fd);
  return text;
}

}  // namespace

CliTest::CliTest() {
  cluster_.Reset();
  std::string name = ::testing::TempDir() + "cli-XXXXXX";
  directory_ = mkdtemp(name.data());
  environment_ = {{"HOME", directory_}, {"TERM", "xterm"}, {"NO_COLOR", "1"}};
}

CliTest::~CliTest() {
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

RunResult CliTest::Run(std::vector<std::string> arguments) {
  const int out = memfd_create("out", 0), err = memfd_create("err", 0), in = memfd_create("in", 0);
  const std::string typed = typed_.value_or("");
  EXPECT_EQ(pwrite(in, typed.data(), typed.size(), 0), static_cast<ssize_t>(typed.size()));
  Console console(out, out_kind_, err, err_kind_, TextStyle::kPlain, in,
                  typed_.has_value() ? StreamKind::kTerminal : StreamKind::kOther);
  Context context(&console, &interrupts_, &clock_);
  context.environment = [this](const std::string& name) -> std::optional<std::string> {
    const auto at = environment_.find(name);
    if (at == environment_.end()) return std::nullopt;
    return at->second;
  };
  context.wait = [this](absl::Duration duration) {
    clock_.now = clock_.now + duration;
    if (at_wait_) at_wait_();
    return interrupts_.Check();
  };
  context.mounter = mounter_;
  RunResult result;
  result.code = RunCommandLine(std::move(arguments), context);
  close(in);
  result.out = ReadAll(out);
  result.err = ReadAll(err);
  return result;
}

RunResult CliTest::RunFresh(std::vector<std::string> arguments) {
  std::destroy_at(&interrupts_);
  std::construct_at(&interrupts_);
  return Run(std::move(arguments));
}

void CliTest::WriteLocal(const std::string& name, const std::string& content) {
  std::filesystem::create_directories(std::filesystem::path(LocalPath(name)).parent_path());
  std::ofstream(LocalPath(name), std::ios::binary) << content;
}

std::string CliTest::ReadLocal(const std::string& name) {
  std::ifstream file(LocalPath(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> CliTest::LocalNames() {
  std::vector<std::string> names;
  for (const auto& each : std::filesystem::recursive_directory_iterator(directory_)) {
    if (each.is_regular_file()) {
      names.push_back(std::filesystem::relative(each.path(), directory_).string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace cairn::cli
