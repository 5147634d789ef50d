// Runs command lines against the fake SDK and keeps what they print.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/arguments.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/unit/cli/fake_sdk.h"

namespace cairn::cli {

struct RunResult {
  int code;
  std::string out;
  std::string err;
  nlohmann::json json() const { return nlohmann::json::parse(out); }
};

class ManualClock final : public Clock {
 public:
  MonoTime Now() const override { return now; }
  absl::Time WallNow() const override { return wall; }
  MonoTime now{0};
  absl::Time wall = absl::FromUnixSeconds(1100);
};

class CliTest : public ::testing::Test {
 protected:
  CliTest();
  ~CliTest() override;

  RunResult Run(std::vector<std::string> arguments);
  // As if no signal had come before.
  RunResult RunFresh(std::vector<std::string> arguments);
  // A file in the test's own directory.
  std::string LocalPath(const std::string& name) const { return directory_ + "/" + name; }
  void WriteLocal(const std::string& name, const std::string& content);
  std::string ReadLocal(const std::string& name);
  std::vector<std::string> LocalNames();

  testing::FakeCluster& cluster_ = testing::FakeCluster::Get();
  ManualClock clock_;
  Mounter mounter_;
  Interrupts interrupts_;
  StreamKind out_kind_ = StreamKind::kOther;
  StreamKind err_kind_ = StreamKind::kOther;
  // What a person types; none: stdin is no terminal.
  std::optional<std::string> typed_;
  // All there is of an environment: nothing of the machine's own configuration is read.
  std::map<std::string, std::string> environment_;
  // Waits only move the clock, and call this.
  std::function<void()> at_wait_;

 private:
  std::string directory_;
};

}  // namespace cairn::cli
