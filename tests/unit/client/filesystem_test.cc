// Goal: the public FileSystem keeps its promises where threads meet. Method: the real SDK against a
// real node in this process, over loopback and without syncs.

#include "cairn/filesystem.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/base/random.h"
#include "common/base/units.h"
#include "server/main/node.h"

namespace cairn {
namespace {

using Bytes = std::vector<std::byte>;

class FileSystemTest : public ::testing::Test {
 protected:
  void SetUp() override {
    data_ = testing::TempDir() + "/cairn-filesystem-" + std::to_string(SystemRandom().Next());
    config::Server config;
    config.set_data(data_);
    config.set_listen("127.0.0.1:0");
    config.set_slab_memory("64MiB");
    config.set_unsafe_no_sync(true);
    config.add_targets()->set_size("256MiB");
    auto node = Node::Start(config);
    ASSERT_TRUE(node.ok()) << node.status();
    node_ = *std::move(node);
    auto client = Client::Connect({.endpoint = node_->endpoint()});
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
    Mount();
  }
  void TearDown() override {
    fs_.reset();
    client_.reset();
    node_.reset();
    std::filesystem::remove_all(data_);
  }
  void Mount() {
    auto fs = FileSystem::Open(*client_, "default");
    ASSERT_TRUE(fs.ok()) << fs.status();
    fs_ = *std::move(fs);
  }
  std::unique_ptr<OpenFile> Create(const std::string& name) {
    auto created =
        fs_->Create(fs_->root(), name, {}, FileSystem::Existing::kOpen, OpenMode::kReadWrite);
    EXPECT_TRUE(created.ok()) << created.status();
    return created.ok() ? std::move(created->file) : nullptr;
  }

  std::string data_;
  std::unique_ptr<Node> node_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<FileSystem> fs_;
};

TEST_F(FileSystemTest, ManyThreadsWriteAndReadTheirPartsOfOneFile) {
  static constexpr size_t kThreads = 4, kPart = 9 * kMiB + 1234;
  const std::unique_ptr<OpenFile> file = Create("shared");
  ASSERT_NE(file, nullptr);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      const Bytes bytes(256 * kKiB, static_cast<std::byte>(t + 1));
      for (size_t at = 0; at < kPart; at += bytes.size()) {
        const size_t length = std::min(bytes.size(), kPart - at);
        ASSERT_TRUE(file->Write(t * kPart + at, std::span(bytes).first(length)).ok());
      }
      Bytes read(kPart);
      const auto length = file->Read(t * kPart, read);
      ASSERT_TRUE(length.ok()) << length.status();
      ASSERT_EQ(*length, kPart);
      for (const std::byte byte : read) ASSERT_EQ(byte, static_cast<std::byte>(t + 1));
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(file->Sync().ok());
  EXPECT_EQ(fs_->GetAttributes(file->inode())->size_bytes, kThreads * kPart);
  EXPECT_GE(fs_->stats().stripes_written, kThreads * kPart / (4 * kMiB));
}

TEST_F(FileSystemTest, WhatWasWrittenOutlivesTheFileSystem) {
  std::unique_ptr<OpenFile> file = Create("kept");
  ASSERT_NE(file, nullptr);
  const Bytes bytes(300'000, std::byte{42});
  ASSERT_TRUE(file->Write(0, bytes).ok());
  fs_.reset();
  // Open files of a file system that is gone say so, and can be closed.
  EXPECT_EQ(ErrnoOf(file->Write(0, bytes)), EIO);
  file.reset();
  Mount();
  const auto found = fs_->Lookup(fs_->root(), "kept");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->size_bytes, bytes.size());
  const auto opened = fs_->OpenFileAt(found->inode, OpenMode::kRead);
  ASSERT_TRUE(opened.ok()) << opened.status();
  Bytes read(400'000);
  EXPECT_EQ(*(*opened)->Read(0, read), bytes.size());
  read.resize(bytes.size());
  EXPECT_EQ(read, bytes);
}

TEST_F(FileSystemTest, ADirectoryIsReadInPagesForthAndBack) {
  std::set<std::string> names;
  for (int i = 0; i < 700; ++i) {
    const std::string name =
        "a rather long name, so that pages are short, of file number " + std::to_string(i);
    const auto made = fs_->Make(fs_->root(), name, {});
    ASSERT_TRUE(made.ok()) << made.status();
    names.insert(name);
  }
  const auto reader = fs_->OpenDirectory(fs_->root());
  ASSERT_TRUE(reader.ok());
  std::vector<std::string> read;
  while (true) {
    const auto item = (*reader)->At(read.size());
    ASSERT_TRUE(item.ok()) << item.status();
    if (*item == nullptr) break;
    EXPECT_TRUE((*item)->attributes.has_value());
    read.push_back((*item)->name);
  }
  EXPECT_EQ(read.size(), names.size());
  EXPECT_EQ(std::set<std::string>(read.begin(), read.end()), names);
  for (const uint64_t position : {uint64_t{699}, uint64_t{3}, uint64_t{350}, uint64_t{0}})
    EXPECT_EQ((*(*reader)->At(position))->name, read[position]);
  EXPECT_EQ(*(*reader)->At(700), nullptr);
}

TEST_F(FileSystemTest, NamesAndAttributesCarryTheErrnoOfThePosixRule) {
  NewNodeOptions directory;
  directory.type = NodeType::kDirectory;
  directory.mode = 0755;
  const auto made = fs_->Make(fs_->root(), "dir", directory);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(ErrnoOf(fs_->Make(fs_->root(), "dir", directory).status()), EEXIST);
  EXPECT_EQ(ErrnoOf(fs_->Lookup(made->inode, "nothing").status()), ENOENT);
  ASSERT_TRUE(fs_->Make(made->inode, "file", {}).ok());
  EXPECT_EQ(ErrnoOf(fs_->RemoveDirectory(fs_->root(), "dir")), ENOTEMPTY);
  EXPECT_EQ(ErrnoOf(fs_->Unlink(fs_->root(), "dir")), EISDIR);
  EXPECT_TRUE(
      fs_->Rename(made->inode, "file", fs_->root(), "moved", FileSystem::RenameMode::kReplace)
          .ok());
  const auto moved = fs_->Lookup(fs_->root(), "moved");
  ASSERT_TRUE(moved.ok());
  AttributeChanges changes;
  changes.mode = 0600;
  changes.modified = absl::FromUnixSeconds(1234);
  EXPECT_EQ(fs_->SetAttributes(moved->inode, changes)->modified, absl::FromUnixSeconds(1234));
  EXPECT_TRUE(fs_->SetXattr(moved->inode, "user.a", "b", FileSystem::XattrMode::kCreate).ok());
  EXPECT_EQ(fs_->Xattrs(moved->inode)->at("user.a"), "b");
  EXPECT_EQ(ErrnoOf(fs_->RemoveXattr(moved->inode, "user.c")), ENODATA);
  EXPECT_TRUE(fs_->GetSpace(fs_->root()).ok());
  EXPECT_TRUE(fs_->Sync().ok());
}

}  // namespace
}  // namespace cairn
