// Objects as files: every call, what crashes leave, mounts that are away or full, symbolic links,
// odd keys. Method: a temporary directory that the test changes behind the store's back.
#include "server/tier/directory_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "server/tier/digest.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const CallBounds kBounds{};

class DirectoryStoreTest : public ::testing::Test {
 protected:
  DirectoryStoreTest() {
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
    EXPECT_EQ(DirectoryStore::Prepare(root_, random_), absl::OkStatus());
    Reopen();
  }
  ~DirectoryStoreTest() override { std::filesystem::remove_all(root_); }

  void Reopen() {
    auto store = DirectoryStore::Open(root_, clock_, random_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  absl::StatusOr<std::string> Put(const std::string& key, const std::string& content) {
    const ConstBytes pieces[] = {BytesOf(content)};
    return store_->Put(key, pieces, {}, kBounds);
  }
  absl::StatusOr<std::string> Get(const std::string& key, uint64_t offset, size_t length,
                                  const std::string& etag = "") {
    std::string into(length, '\0');
    const MutableBytes bytes(reinterpret_cast<std::byte*>(into.data()), into.size());
    const absl::Status status = store_->Get(key, offset, bytes, etag, kBounds);
    if (!status.ok()) return status;
    return into;
  }
  // The bytes, or what went wrong.
  std::string Read(const std::string& key, uint64_t offset, size_t length,
                   const std::string& etag = "") {
    const auto bytes = Get(key, offset, length, etag);
    return bytes.ok() ? *bytes : bytes.status().ToString();
  }
  absl::Status Delete(const std::vector<std::string>& keys) {
    return store_->Delete(keys, kBounds);
  }
  std::vector<std::string> Keys(const ColdListOptions& options = {}) {
    const auto listing = store_->List(options, kBounds);
    EXPECT_TRUE(listing.ok()) << listing.status();
    std::vector<std::string> keys;
    for (const ColdObject& object : listing->objects) keys.push_back(object.key);
    return keys;
  }
  std::string ReadFile(const std::string& name) {
    std::ostringstream text;
    text << std::ifstream(root_ + "/" + name).rdbuf();
    return text.str();
  }

  std::string root_ = std::filesystem::temp_directory_path() / "cairn_directory_store_XXXXXX";
  SystemClock clock_;
  SystemRandom random_;
  std::unique_ptr<DirectoryStore> store_;
};

TEST_F(DirectoryStoreTest, WhatIsPutIsAPlainFileAndComesBack) {
  const std::string content(5 << 20, 'x');
  const ConstBytes bytes = BytesOf(content);
  const ConstBytes pieces[] = {bytes.first(10), ConstBytes(), bytes.subspan(10)};
  const auto etag = store_->Put("a/b/c.bin", pieces, {}, kBounds);
  ASSERT_TRUE(etag.ok()) << etag.status();
  EXPECT_EQ(ReadFile("a/b/c.bin"), content);
  EXPECT_EQ(Read("a/b/c.bin", 0, content.size(), *etag), content);
  EXPECT_EQ(Read("a/b/c.bin", 7, 9), content.substr(7, 9));
  const auto object = store_->Stat("a/b/c.bin", kBounds);
  ASSERT_TRUE(object.ok()) << object.status();
  EXPECT_EQ(object->size_bytes, content.size());
  EXPECT_EQ(object->etag, *etag);
  EXPECT_LT(absl::AbsDuration(object->modified - clock_.WallNow()), absl::Minutes(1));
  EXPECT_THAT(Keys(), ElementsAre("a/b/c.bin"));
}

TEST_F(DirectoryStoreTest, AnEmptyObjectIsOne) {
  ASSERT_TRUE(Put("empty", "").ok());
  EXPECT_EQ(store_->Stat("empty", kBounds)->size_bytes, 0u);
  EXPECT_EQ(Read("empty", 0, 0), "");
}

TEST_F(DirectoryStoreTest, PutReplacesAndTheEtagTells) {
  const auto before = Put("a", "one");
  const auto after = Put("a", "three");
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_NE(*before, *after);
  EXPECT_EQ(Read("a", 0, 5, *after), "three");
  EXPECT_EQ(Get("a", 0, 3, *before).status().code(), absl::StatusCode::kDataLoss);
}

TEST_F(DirectoryStoreTest, ARangeBeyondTheEndIsRefused) {
  ASSERT_TRUE(Put("a", "12345").ok());
  EXPECT_EQ(Get("a", 3, 3).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Get("a", 6, 0).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Get("a", UINT64_MAX, 2).status().code(), absl::StatusCode::kOutOfRange);
}

TEST_F(DirectoryStoreTest, WhatIsNotThereIsNotFound) {
  ASSERT_TRUE(Put("d/a", "x").ok());
  for (const std::string key : {"gone", "d", "d/gone", "gone/a", "d/a/below"}) {
    EXPECT_EQ(Get(key, 0, 1).status().code(), absl::StatusCode::kNotFound) << key;
    EXPECT_EQ(store_->Stat(key, kBounds).status().code(), absl::StatusCode::kNotFound) << key;
    EXPECT_EQ(Delete({key}), absl::OkStatus()) << key;
  }
  EXPECT_THAT(Keys(), ElementsAre("d/a"));
}

TEST_F(DirectoryStoreTest, DeleteTakesEmptyDirectoriesAlongButNotOthers) {
  ASSERT_TRUE(Put("a/b/1", "x").ok());
  ASSERT_TRUE(Put("a/b/2", "x").ok());
  ASSERT_TRUE(Put("a/3", "x").ok());
  EXPECT_EQ(Delete({"a/b/1", "a/b/2", "nothing"}), absl::OkStatus());
  EXPECT_FALSE(std::filesystem::exists(root_ + "/a/b"));
  EXPECT_EQ(ReadFile("a/3"), "x");
  EXPECT_EQ(Delete({"a/3"}), absl::OkStatus());
  EXPECT_FALSE(std::filesystem::exists(root_ + "/a"));
  Reopen();
}

TEST_F(DirectoryStoreTest, AKeyBelowAnObjectIsRefused) {
  ASSERT_TRUE(Put("a", "x").ok());
  const absl::Status below = Put("a/b", "y").status();
  EXPECT_EQ(below.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(below.message()), HasSubstr("\"a\" is an object"));
  ASSERT_TRUE(Put("c/d", "x").ok());
  const absl::Status above = Put("c", "y").status();
  EXPECT_EQ(above.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(above.message()), HasSubstr("there are others below it"));
  EXPECT_THAT(Keys(), ElementsAre("a", "c/d"));
}

TEST_F(DirectoryStoreTest, KeysThatLeadOutAreRefused) {
  for (const std::string key : {"../x", "/x", "a/../../x", ".cairn-tmp/x", ".cairn-tier", ""}) {
    EXPECT_EQ(Put(key, "x").status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_EQ(Delete({key}).code(), absl::StatusCode::kInvalidArgument) << key;
  }
}

TEST_F(DirectoryStoreTest, SymbolicLinksAreNotFollowed) {
  std::string outside = std::filesystem::temp_directory_path() / "cairn_outside_XXXXXX";
  ASSERT_NE(mkdtemp(outside.data()), nullptr);
  std::ofstream(outside + "/file") << "theirs";
  ASSERT_EQ(symlink(outside.c_str(), (root_ + "/link").c_str()), 0);
  ASSERT_EQ(symlink((outside + "/file").c_str(), (root_ + "/file").c_str()), 0);
  EXPECT_EQ(Put("link/new", "x").status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Get("link/file", 0, 1).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Get("file", 0, 1).status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Delete({"link/file"}).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Delete({"file"}), absl::OkStatus());
  EXPECT_THAT(Keys(), IsEmpty());
  // Replacing a link leaves what it led to alone.
  ASSERT_TRUE(Put("file", "ours").ok());
  EXPECT_EQ(ReadFile("file"), "ours");
  std::ostringstream theirs;
  theirs << std::ifstream(outside + "/file").rdbuf();
  EXPECT_EQ(theirs.str(), "theirs");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(outside), {}), 1);
  std::filesystem::remove_all(outside);
}

TEST_F(DirectoryStoreTest, AListingIsInTheOrderOfWholeKeys) {
  const std::vector<std::string> keys = {"foo/a", "foo+1/b", "foo", "foo0/c", "foo.d", "foo-/e"};
  for (const std::string& key : keys) {
    if (key == "foo") continue;  // a directory
    ASSERT_TRUE(Put(key, "x").ok()) << key;
  }
  EXPECT_THAT(Keys(), ElementsAre("foo+1/b", "foo-/e", "foo.d", "foo/a", "foo0/c"));
}

TEST_F(DirectoryStoreTest, PagesJoinToTheWholeListing) {
  SeededRandom random(11);
  std::vector<std::string> all;
  const std::string letters = "a+/.0";
  for (int i = 0; i < 100; ++i) {
    std::string key = "k";
    for (int j = 0; j < 6; ++j) key += letters[random.Below(letters.size())];
    key += std::to_string(i);
    if (Put(key, "x").ok()) all.push_back(key);
  }
  ASSERT_GT(all.size(), 20u);
  std::sort(all.begin(), all.end());
  for (const std::string prefix : {"", "k", "k+", "ka/", "k/", "nothing"}) {
    std::vector<std::string> expected;
    for (const std::string& key : all) {
      if (key.starts_with(prefix)) expected.push_back(key);
    }
    std::vector<std::string> found;
    std::string after;
    for (;;) {
      const auto page = store_->List({.prefix = prefix, .start_after = after, .limit = 7}, kBounds);
      ASSERT_TRUE(page.ok()) << page.status();
      for (const ColdObject& object : page->objects) found.push_back(object.key);
      if (!page->more) break;
      ASSERT_EQ(page->objects.size(), 7u);
      after = found.back();
    }
    EXPECT_EQ(found, expected) << prefix;
  }
}

TEST_F(DirectoryStoreTest, OnlyObjectsAreListed) {
  ASSERT_TRUE(Put("a", "x").ok());
  ASSERT_EQ(mkdir((root_ + "/empty").c_str(), 0755), 0);
  ASSERT_EQ(mkfifo((root_ + "/pipe").c_str(), 0600), 0);
  std::ofstream(root_ + "/not\xffutf8") << "x";
  EXPECT_THAT(Keys(), ElementsAre("a"));
}

TEST_F(DirectoryStoreTest, AListingsLimitIsChecked) {
  EXPECT_FALSE(store_->List({.limit = 0}, kBounds).ok());
  EXPECT_FALSE(store_->List({.limit = 10'001}, kBounds).ok());
}

TEST_F(DirectoryStoreTest, OldLeftoversGoAtOpeningAndYoungOnesStay) {
  const std::string aside = root_ + "/.cairn-tmp/";
  std::ofstream(aside + "old") << "x";
  std::ofstream(aside + "young") << "x";
  const timespec day_ago = absl::ToTimespec(clock_.WallNow() - absl::Hours(25));
  const timespec times[2] = {day_ago, day_ago};
  ASSERT_EQ(utimensat(AT_FDCWD, (aside + "old").c_str(), times, 0), 0);
  Reopen();
  EXPECT_FALSE(std::filesystem::exists(aside + "old"));
  EXPECT_TRUE(std::filesystem::exists(aside + "young"));
  EXPECT_THAT(Keys(), IsEmpty());
}

TEST_F(DirectoryStoreTest, AMountThatIsAwayIsNoticedAndNothingWritten) {
  ASSERT_TRUE(Put("a", "x").ok());
  // As if unmounted: an empty directory is left.
  std::filesystem::rename(root_, root_ + ".away");
  ASSERT_EQ(mkdir(root_.c_str(), 0755), 0);
  for (const absl::Status& status :
       {Put("b", "y").status(), Get("a", 0, 1).status(), store_->Stat("a", kBounds).status(),
        store_->List({}, kBounds).status(), Delete({"a"}),
        DirectoryStore::Open(root_, clock_, random_).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr("is it mounted?"));
  }
  EXPECT_TRUE(std::filesystem::is_empty(root_));
  // Mounted again, it goes on.
  std::filesystem::remove(root_);
  EXPECT_EQ(Get("a", 0, 1).status().code(), absl::StatusCode::kFailedPrecondition);
  std::filesystem::rename(root_ + ".away", root_);
  EXPECT_EQ(Read("a", 0, 1), "x");
}

TEST_F(DirectoryStoreTest, AnotherStoreInItsPlaceIsRefused) {
  std::filesystem::remove(root_ + "/.cairn-tier");
  ASSERT_EQ(DirectoryStore::Prepare(root_, random_), absl::OkStatus());
  const absl::Status status = Put("a", "x").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("is the right disk mounted?"));
}

TEST_F(DirectoryStoreTest, PreparingAgainChangesNothing) {
  const std::string marker = ReadFile(".cairn-tier");
  ASSERT_TRUE(Put("a", "x").ok());
  EXPECT_EQ(DirectoryStore::Prepare(root_, random_), absl::OkStatus());
  EXPECT_EQ(ReadFile(".cairn-tier"), marker);
  EXPECT_EQ(Read("a", 0, 1), "x");
}

TEST_F(DirectoryStoreTest, WhatHoldsSomethingElseIsNotMadeAStore) {
  std::filesystem::remove(root_ + "/.cairn-tier");
  std::ofstream(root_ + "/mine") << "x";
  const absl::Status status = DirectoryStore::Prepare(root_, random_);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("\"mine\""));
  EXPECT_EQ(DirectoryStore::Prepare(root_ + "/gone", random_).code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(root_ + "/.cairn-tier"));
}

TEST_F(DirectoryStoreTest, ADamagedMarkerIsRefused) {
  std::ofstream(root_ + "/.cairn-tier") << "cairn cold store 9\nx\n";
  EXPECT_EQ(Put("a", "x").status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(DirectoryStoreTest, ASetStopFlagOrPassedDeadlineEndsACall) {
  std::atomic<bool> stop = true;
  const std::string content = "x";
  const ConstBytes pieces[] = {BytesOf(content)};
  EXPECT_EQ(store_->Put("a", pieces, {}, {.stop = &stop}).status().code(),
            absl::StatusCode::kCancelled);
  const CallBounds late{.deadline = Deadline::After(clock_, -absl::Seconds(1))};
  EXPECT_EQ(store_->Put("a", pieces, {}, late).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(Keys(), IsEmpty());
  EXPECT_TRUE(std::filesystem::is_empty(root_ + "/.cairn-tmp"));
}

TEST_F(DirectoryStoreTest, PutsBesideDeletesOfTheSameDirectorySucceed) {
  std::thread deleter([&] {
    for (int i = 0; i < 40; ++i) EXPECT_EQ(Delete({"d/e/a"}), absl::OkStatus());
  });
  for (int i = 0; i < 40; ++i) EXPECT_TRUE(Put("d/e/b" + std::to_string(i), "x").ok()) << i;
  deleter.join();
  EXPECT_EQ(Keys().size(), 40u);
}

}  // namespace
}  // namespace cairn
