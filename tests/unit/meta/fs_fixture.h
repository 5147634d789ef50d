// What the tests of the namespace by inode share: short ways to make requests.
#pragma once

#include <cerrno>
#include <string>
#include <vector>

#include "common/base/posix_error.h"
#include "proto/wire/fs.pb.h"
#include "server/meta/fs_queries.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {

// The errno that a status or result carries or stands for; 0 of OK.
template <class T>
int ErrnoOfResult(const T& result) {
  return ToErrno(StatusOf(result));
}

class FsTest : public MetaTest {
 protected:
  static constexpr uint64_t kMount = 77;

  FsTest() { bucket_ = Lookup(1, "default")->inode(); }

  absl::StatusOr<wire::Attributes> Lookup(uint64_t parent, const std::string& name) {
    wire::LookupRequest request;
    request.set_parent(parent);
    request.set_name(name);
    auto reply = Ask(request);
    if (!reply.ok()) return reply.status();
    return reply->attributes();
  }
  absl::StatusOr<wire::Attributes> Get(uint64_t inode) {
    wire::GetAttributesRequest request;
    request.set_inode(inode);
    auto reply = Ask(request);
    if (!reply.ok()) return reply.status();
    return reply->attributes();
  }
  absl::StatusOr<wire::Attributes> Make(uint64_t parent, const std::string& name,
                                        wire::EntryType type = wire::ENTRY_FILE,
                                        uint32_t mode = 0644) {
    wire::MakeNodeRequest request;
    request.set_parent(parent);
    request.set_name(name);
    request.set_type(type);
    request.set_mode(mode);
    request.set_uid(7);
    request.set_gid(8);
    request.set_buffered(buffered_);
    auto reply = Do(request);
    if (!reply.ok()) return reply.status();
    return reply->attributes();
  }
  uint64_t MakeDir(uint64_t parent, const std::string& name) {
    return Make(parent, name, wire::ENTRY_DIRECTORY, 0755)->inode();
  }
  absl::StatusOr<wire::Attributes> LinkTo(uint64_t inode, uint64_t parent,
                                          const std::string& name) {
    wire::LinkNodeRequest request;
    request.mutable_node()->set_inode(inode);
    request.set_parent(parent);
    request.set_name(name);
    auto reply = Do(request);
    if (!reply.ok()) return reply.status();
    return reply->attributes();
  }
  absl::Status UnlinkAt(uint64_t parent, const std::string& name, bool directory = false) {
    wire::UnlinkNodeRequest request;
    request.set_parent(parent);
    request.set_name(name);
    request.set_directory(directory);
    return Do(request).status();
  }
  absl::StatusOr<wire::RenameNodeReply> Move(uint64_t from, const std::string& from_name,
                                             uint64_t to, const std::string& to_name,
                                             wire::RenameMode mode = wire::NODE_RENAME_REPLACE) {
    wire::RenameNodeRequest request;
    request.set_from_parent(from);
    request.set_from_name(from_name);
    request.set_to_parent(to);
    request.set_to_name(to_name);
    request.set_mode(mode);
    return Do(request);
  }
  std::vector<std::string> ReadDir(uint64_t inode, uint32_t limit = 0) {
    std::vector<std::string> names;
    wire::ReadDirectoryRequest request;
    request.set_inode(inode);
    request.set_limit(limit);
    request.set_with_attributes(true);
    for (;;) {
      auto reply = Ask(request);
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (!reply.ok()) return names;
      for (const wire::DirectoryEntry& entry : reply->entries()) {
        names.push_back(entry.name());
        EXPECT_EQ(entry.inode(), entry.attributes().inode());
      }
      if (!reply->more()) return names;
      request.set_start_after(reply->entries().rbegin()->cursor());
    }
  }

  // -- content
  wire::BeginWritesReply BeginWrites(uint64_t inode) {
    wire::BeginWritesRequest request;
    request.set_inode(inode);
    auto reply = Do(request);
    EXPECT_TRUE(reply.ok()) << reply.status();
    return reply.value_or(wire::BeginWritesReply());
  }
  static wire::ExtentRun Inline(uint64_t offset, const std::string& data) {
    wire::ExtentRun run;
    run.set_offset_bytes(offset);
    run.set_length_bytes(data.size());
    run.set_data(data);
    return run;
  }
  static wire::ExtentRun Hole(uint64_t offset, uint64_t length) {
    wire::ExtentRun run;
    run.set_offset_bytes(offset);
    run.set_length_bytes(length);
    return run;
  }
  absl::StatusOr<wire::WriteExtentsReply> Write(uint64_t inode, std::vector<wire::ExtentRun> runs,
                                                uint64_t lease = 0) {
    wire::WriteExtentsRequest request;
    request.mutable_node()->set_inode(inode);
    request.set_lease(lease);
    for (wire::ExtentRun& run : runs) *request.add_extents() = std::move(run);
    request.set_buffered(buffered_);
    return Do(request);
  }
  absl::StatusOr<wire::Attributes> Truncate(uint64_t inode, uint64_t size) {
    wire::SetAttributesRequest request;
    request.mutable_node()->set_inode(inode);
    request.set_size_bytes(size);
    auto reply = Do(request);
    if (!reply.ok()) return reply.status();
    return reply->attributes();
  }
  std::vector<wire::ExtentRun> Extents(uint64_t inode) {
    std::vector<wire::ExtentRun> runs;
    wire::GetExtentsRequest request;
    request.set_inode(inode);
    for (;;) {
      auto reply = Ask(request);
      EXPECT_TRUE(reply.ok()) << reply.status();
      if (!reply.ok()) return runs;
      runs.insert(runs.end(), reply->extents().begin(), reply->extents().end());
      if (!reply->more()) return runs;
      request.set_offset_bytes(runs.back().offset_bytes() + runs.back().length_bytes());
    }
  }
  absl::Status Sync() { return Do(wire::SyncNamespaceRequest()).status(); }

  // -- mounts
  wire::RenewMountReply Renew(std::vector<uint64_t> closed = {}, bool bye = false) {
    wire::RenewMountRequest request;
    request.set_mount(kMount);
    request.set_all(true);
    request.set_bye(bye);
    request.mutable_closed()->Add(closed.begin(), closed.end());
    return engine_->RenewMount(request);
  }
  absl::StatusOr<wire::OpenNodeReply> OpenIt(uint64_t inode, uint64_t parent = 0,
                                             const std::string& name = "") {
    wire::OpenNodeRequest request;
    request.set_mount(kMount);
    request.mutable_node()->set_inode(inode);
    request.mutable_node()->set_parent(parent);
    request.mutable_node()->set_name(name);
    return executor_.Run(engine_->OpenNode(request));
  }
  size_t FamilySize(MetaFamily family) { return kv_.family(family).size(); }

  bool buffered_ = false;
  uint64_t bucket_ = 0;
};

}  // namespace cairn
