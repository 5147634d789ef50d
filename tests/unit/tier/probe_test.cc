// What the probe tries, tells and leaves behind. Method: a real directory store, and one around it
// whose n-th call fails or lies.
#include "server/tier/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "server/tier/directory_store.h"

namespace cairn {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Passes calls on; `fault` may fail one, by its number.
class FaultyStore final : public ColdStore {
 public:
  explicit FaultyStore(ColdStore& store) : store_(store) {}
  absl::StatusOr<std::string> Put(std::string_view key, std::span<const ConstBytes> pieces,
                                  const ColdPutOptions& options,
                                  const CallBounds& bounds) override {
    if (absl::Status status = Fault(); !status.ok()) return status;
    return store_.Put(key, pieces, options, bounds);
  }
  absl::Status Get(std::string_view key, uint64_t offset, MutableBytes into, std::string_view etag,
                   const CallBounds& bounds) override {
    if (absl::Status status = Fault(); !status.ok()) return status;
    const absl::Status status = store_.Get(key, offset, into, etag, bounds);
    if (flip_) into[into.size() / 2] ^= std::byte{1};
    return status;
  }
  absl::StatusOr<ColdObject> Stat(std::string_view key, const CallBounds& bounds) override {
    if (absl::Status status = Fault(); !status.ok()) return status;
    return store_.Stat(key, bounds);
  }
  absl::StatusOr<ColdListing> List(const ColdListOptions& options,
                                   const CallBounds& bounds) override {
    if (absl::Status status = Fault(); !status.ok()) return status;
    return hide_ ? ColdListing() : store_.List(options, bounds);
  }
  absl::Status Delete(std::span<const std::string> keys, const CallBounds& bounds) override {
    if (absl::Status status = Fault(); !status.ok()) return status;
    return keep_ ? absl::OkStatus() : store_.Delete(keys, bounds);
  }
  std::string Describe() const override { return store_.Describe(); }

  int calls_ = 0;
  int failing_call_ = -1;
  bool flip_ = false;
  bool hide_ = false;
  bool keep_ = false;

 private:
  absl::Status Fault() {
    return calls_++ == failing_call_ ? absl::PermissionDeniedError("refused") : absl::OkStatus();
  }
  ColdStore& store_;
};

class ProbeTest : public ::testing::Test {
 protected:
  ProbeTest() {
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
    EXPECT_EQ(DirectoryStore::Prepare(root_, random_), absl::OkStatus());
    store_ = *DirectoryStore::Open(root_, clock_, random_);
    faulty_ = std::make_unique<FaultyStore>(*store_);
  }
  ~ProbeTest() override { std::filesystem::remove_all(root_); }
  ProbeReport Run(const CallBounds& bounds = {}) {
    const ProbeOptions small{.whole_bytes = 10'000, .parts_bytes = 20'000, .part_bytes = 15'000};
    return ProbeColdStore(*faulty_, small, bounds, clock_, random_);
  }
  size_t ObjectsLeft() { return store_->List({}, {})->objects.size(); }

  std::string root_ = std::filesystem::temp_directory_path() / "cairn_probe_test_XXXXXX";
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<DirectoryStore> store_;
  std::unique_ptr<FaultyStore> faulty_;
};

TEST_F(ProbeTest, AStoreThatWorksPassesAllStepsAndIsLeftEmpty) {
  const ProbeReport report = Run();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.steps.size(), 8u);
  for (const ProbeStep& step : report.steps) EXPECT_THAT(step.hint, IsEmpty()) << step.name;
  EXPECT_EQ(ObjectsLeft(), 0u);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/cairn-probe"));
}

TEST_F(ProbeTest, WhateverCallFailsNothingIsLeft) {
  ASSERT_TRUE(Run().ok());
  const int calls = faulty_->calls_;
  for (int call = 0; call < calls; ++call) {
    faulty_->calls_ = 0;
    faulty_->failing_call_ = call;
    const ProbeReport report = Run();
    EXPECT_FALSE(report.ok()) << call;
    EXPECT_EQ(report.steps.back().name, "clean up") << call;
    EXPECT_TRUE(report.steps.back().status.ok()) << call;
    const ProbeStep& failed = report.steps.at(report.steps.size() - 2);
    EXPECT_EQ(failed.status.code(), absl::StatusCode::kPermissionDenied) << call;
    EXPECT_THAT(failed.hint, HasSubstr("right")) << call;
    EXPECT_EQ(ObjectsLeft(), 0u) << call;
  }
}

TEST_F(ProbeTest, AFlippedBitIsSeen) {
  faulty_->flip_ = true;
  const ProbeReport report = Run();
  EXPECT_EQ(report.steps.at(3).name, "read them whole");
  EXPECT_EQ(report.steps.at(3).status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(report.steps.at(3).hint, HasSubstr("do not use it"));
  EXPECT_EQ(ObjectsLeft(), 0u);
}

TEST_F(ProbeTest, AListingThatShowsNothingIsSeen) {
  faulty_->hide_ = true;
  EXPECT_EQ(Run().steps.at(5).status.code(), absl::StatusCode::kNotFound);
}

TEST_F(ProbeTest, ADeleteThatDeletesNothingIsSeen) {
  faulty_->keep_ = true;
  const ProbeReport report = Run();
  EXPECT_EQ(report.steps.at(7).name, "see that they are gone");
  EXPECT_EQ(report.steps.at(7).status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ProbeTest, AfterTheDeadlineItStillCleansUp) {
  const CallBounds late{.deadline = Deadline::After(clock_, -absl::Seconds(1))};
  const ProbeReport report = Run(late);
  EXPECT_EQ(report.steps.at(0).status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(report.steps.back().status.ok());
}

}  // namespace
}  // namespace cairn
