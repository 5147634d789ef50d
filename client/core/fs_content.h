// A file's content as it is at the service: what is known of it here, and reading it. What was
// written here and is not there yet lies over it (fs_writer.h). Next: client/io/read_path.h.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "client/core/fs_context.h"
#include "client/core/fs_readahead.h"
#include "client/io/read_path.h"

namespace cairn::client_internal {

// Lives on the session's executor.
class FsContent {
 public:
  using Extents = std::vector<wire::ExtentRun>;

  FsContent(FsContext& context, uint64_t inode, ReadAheadSource& source)
      : context_(context), inode_(inode), readahead_(context, source) {}

  uint64_t inode() const { return inode_; }
  // The newest that is known. REQUIRES: Learn().
  const wire::Attributes& attributes() const { return attributes_; }
  uint64_t size_bytes() const { return attributes_.size_bytes(); }
  void set_recall(wire::RecallMode recall) { recall_ = recall; }

  // What the service says, as of now or some time ago. What is cached of another content goes.
  // `asked_at` is what learned() was before the service was asked, if that is known: an answer that
  // nothing has overtaken is the truth, also when its version is lower, since a service that has
  // lost its power has lost what was not synced.
  void Learn(const wire::Attributes& attributes, uint64_t asked_at = 0);
  // Counts what was learned. Never 0.
  uint64_t learned() const { return learned_; }
  // As Learn(), in an answer to a change that was made from here: `before` is the version that it
  // changed, 0 when that is not known, and `fresh` what it put there; null: something else.
  void LearnOwnChange(const wire::Attributes& attributes, uint64_t before, const Extents* fresh);
  // The content, at an open: whether it is what was seen at the last, or came of it by changes made
  // here. `seen` is what was told of the file while it was not open; 0: nothing.
  bool SeeAtOpen(uint64_t seen);
  uint64_t seen_version() const { return seen_version_; }

  // Asks the service, and learns. NOT_FOUND (ESTALE): the file is gone.
  Task<absl::Status> Refresh();
  // Extents of the content as known are here on return, if it is OK; others may be after any await.
  Task<absl::Status> LoadExtents();
  bool has_extents() const { return extents_ != nullptr; }
  const Extents& extents() const { return *extents_; }
  // LoadExtents(), and what lies in a cold tier alone may be read: by the file's policy it was
  // fetched, or is read from there. FAILED_PRECONDITION (EIO): the policy refuses.
  Task<absl::Status> Prepare(uint64_t offset, uint64_t length);
  // Prepare()d bytes. FAILED_PRECONDITION or NOT_FOUND without an errno: the content has changed.
  // REQUIRES: has_extents(), and the ranges lie within the size.
  Task<absl::Status> Read(std::vector<WantedRange> ranges);
  // What a read's error, without an errno, was: the file has changed, and was looked at anew. False
  // for other errors, and after too many changes.
  Task<bool> HasChanged(const absl::Status& status, int tries);
  // As a whole: Prepare() and Read(), again while the file changes. Zeros behind its end.
  Task<absl::Status> ReadStable(uint64_t offset, MutableBytes destination);
  // Has all of it fetched from its cold tier, and waits until it is there.
  Task<absl::Status> FetchFromTier();

  ReadAhead& readahead() { return readahead_; }
  std::string Describe() const;

 private:
  void DropCaches();
  bool IsCold(uint64_t offset, uint64_t length) const;
  Task<absl::Status> CheckFetch(const std::string& path);
  void TakeAttributes(const wire::Attributes& attributes);

  FsContext& context_;
  const uint64_t inode_;
  wire::Attributes attributes_;
  uint64_t learned_ = 1;
  wire::RecallMode recall_ = wire::RECALL_BLOCK;
  std::shared_ptr<const Extents> extents_;  // of attributes_.version(); or null
  uint64_t seen_version_ = 0;
  ReadAhead readahead_;
};

}  // namespace cairn::client_internal
