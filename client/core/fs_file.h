// A file that somebody has open here: its content at the service, and what was written over it.
// Shared by all who have it open, and kept until what they wrote is committed.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "client/core/fs_content.h"
#include "client/core/fs_writer.h"

namespace cairn::client_internal {

// Lives on the session's executor.
class FsFile final : public ReadAheadSource, public std::enable_shared_from_this<FsFile> {
 public:
  // One open of it.
  struct Handle {
    absl::Status untold;  // of a commit in the background
    ReadPattern pattern;
    bool is_unchanged = false;
    uint64_t size_at_open = 0;
  };

  FsFile(FsContext& context, uint64_t inode)
      : context_(context), content_(context, inode, *this), writer_(context, content_, *this) {}

  uint64_t inode() const { return content_.inode(); }
  FsContent& content() { return content_; }
  FsWriter& writer() { return writer_; }

  void Attach(std::shared_ptr<Handle> handle) { handles_.push_back(std::move(handle)); }
  void Detach(const Handle& handle);
  bool is_open() const { return !handles_.empty(); }

  // As OpenFile's.
  Task<absl::StatusOr<size_t>> Read(std::shared_ptr<Handle> handle, uint64_t offset,
                                    MutableBytes destination);
  // As Read(); `scratch` is used only if the bytes do not lie in one piece here already.
  Task<absl::StatusOr<FileView>> ReadView(std::shared_ptr<Handle> handle, uint64_t offset,
                                          MutableBytes scratch);
  Task<absl::Status> Write(std::shared_ptr<Handle> handle, uint64_t offset, ConstBytes bytes);
  // Takes the memory of `bytes`, too.
  Task<absl::Status> WriteOwned(std::shared_ptr<Handle> handle, uint64_t offset,
                                std::unique_ptr<std::byte[]> memory, uint64_t length);
  Task<absl::StatusOr<uint64_t>> Append(std::shared_ptr<Handle> handle, ConstBytes bytes);
  Task<absl::Status> Flush(std::shared_ptr<Handle> handle);
  Task<absl::Status> Allocate(OpenFile::Allocation what, uint64_t offset, uint64_t length);
  Task<absl::StatusOr<uint64_t>> Seek(OpenFile::SeekTo what, uint64_t offset);

  // SET_ATTRIBUTES, after what was written and before what will be.
  Task<absl::StatusOr<wire::Attributes>> SetAttributes(wire::SetAttributesRequest request);
  // Of an answer of the service, asked for at `asked_at` of content().learned(): learns, and says
  // how the file is with what was written here.
  Task<wire::Attributes> Complete(wire::Attributes attributes, uint64_t asked_at = 0);
  // Others may have changed it: asks, and forgets what is not so any more.
  Task<absl::Status> Revalidate() { return content_.Refresh(); }
  // A commit that nobody waits for; who has it open hears of an error at the next chance.
  Task<absl::Status> CommitInBackground();
  // Gathers its small pieces in stripes, if it has many and nobody changes it meanwhile.
  Task<void> Compact();
  bool WantsCompaction() const;

  Task<absl::Status> ReadCommitted(uint64_t offset, MutableBytes destination) override {
    return content_.ReadStable(offset, destination);
  }
  std::shared_ptr<void> Keep() override { return shared_from_this(); }

 private:
  absl::Status CheckUsable() const;
  absl::Status TakeUntold(Handle& handle);
  absl::Status CheckWritable(Handle& handle);
  // What is likely to be wanted next is on its way from here on.
  void ReadAheadOf(Handle& handle, uint64_t offset, uint64_t length);
  Task<absl::StatusOr<size_t>> ReadInto(uint64_t offset, MutableBytes destination);
  // Once: what is written lies over what is committed. nullopt: something is on its way here, look
  // again.
  Task<absl::StatusOr<std::optional<size_t>>> ReadOnce(uint64_t offset, MutableBytes destination);
  // What of `gaps` neither the read ahead nor the end of the file fills.
  std::vector<WantedRange> FillGaps(const std::vector<ByteRange>& gaps, uint64_t offset,
                                    MutableBytes destination);
  Task<absl::Status> PutHole(ByteRange range, bool keep_size);
  Task<absl::StatusOr<wire::Attributes>> AskForAttributes(wire::SetAttributesRequest request);
  Task<absl::Status> Gather(std::vector<ByteRange> ranges);
  Task<absl::Status> GatherInto(WritePath& path, LeaseId lease, std::vector<ByteRange> ranges,
                                std::vector<std::unique_ptr<std::byte[]>>& memory);

  FsContext& context_;
  FsContent content_;
  FsWriter writer_;
  std::vector<std::shared_ptr<Handle>> handles_;
  uint64_t looked_at_ = 0;  // the version that was found not worth compacting, or was compacted
};

}  // namespace cairn::client_internal
