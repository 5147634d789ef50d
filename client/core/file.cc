// A file opened for reading: its extents, fetched once, and ranges of its bytes.

#include <memory>
#include <utility>

#include "cairn/client.h"
#include "client/core/client_impl.h"
#include "client/io/read_path.h"
#include "common/base/status_macros.h"

namespace cairn {
namespace client_internal {

class FileImpl {
 public:
  FileImpl(std::shared_ptr<ClientImpl> client, wire::Entry entry,
           std::vector<wire::ExtentRun> extents)
      : client_(std::move(client)), entry_(std::move(entry)), extents_(std::move(extents)) {}

  const wire::Entry& entry() const { return entry_; }

  absl::Status Read(std::span<const ReadRange> ranges) {
    RETURN_IF_ERROR(client_->CheckUsable());
    std::vector<WantedRange> wanted;
    wanted.reserve(ranges.size());
    for (const ReadRange& range : ranges) wanted.push_back({range.offset_bytes, range.destination});
    return client_->Run<absl::Status>([&] {
      const OpenedFile file{entry_.inode(), entry_.version(), entry_.size_bytes(), extents_};
      return ReadRanges(client_->session(), file, std::move(wanted), client_->options().timeout);
    });
  }

 private:
  std::shared_ptr<ClientImpl> client_;
  const wire::Entry entry_;
  const std::vector<wire::ExtentRun> extents_;
};

}  // namespace client_internal

absl::StatusOr<File> Client::OpenFile(std::string_view path) {
  wire::StatRequest request;
  request.set_path(std::string(path));
  ASSIGN_OR_RETURN(wire::StatReply reply, impl_->Meta<wire::StatReply>(wire::STAT, request));
  if (reply.entry().type() != wire::ENTRY_FILE) {
    return absl::FailedPreconditionError(std::string(path) + " is not a file");
  }
  std::vector<wire::ExtentRun> extents(reply.extents().begin(), reply.extents().end());
  bool more = reply.more_extents();
  while (more) {
    wire::GetExtentsRequest next;
    next.set_inode(reply.entry().inode());
    next.set_version(reply.entry().version());
    next.set_offset_bytes(
        extents.empty() ? 0 : extents.back().offset_bytes() + extents.back().length_bytes());
    next.set_length_bytes(reply.entry().size_bytes() - next.offset_bytes());
    ASSIGN_OR_RETURN(wire::GetExtentsReply page,
                     impl_->Meta<wire::GetExtentsReply>(wire::GET_EXTENTS, next));
    if (page.extents().empty())
      return absl::DataLossError(std::string(path) + ": its extents end early");
    extents.insert(extents.end(), page.extents().begin(), page.extents().end());
    more = page.more();
  }
  return File(
      std::make_shared<client_internal::FileImpl>(impl_, reply.entry(), std::move(extents)));
}

File::File(std::shared_ptr<client_internal::FileImpl> impl) : impl_(std::move(impl)) {}
File::File(File&&) noexcept = default;
File::~File() = default;
uint64_t File::size_bytes() const { return impl_->entry().size_bytes(); }
uint32_t File::crc32c() const { return impl_->entry().crc32c(); }
absl::Status File::Read(std::span<const ReadRange> ranges) { return impl_->Read(ranges); }
absl::Status File::Read(uint64_t offset_bytes, MutableBuffer destination) {
  const ReadRange range{offset_bytes, destination};
  return impl_->Read(std::span(&range, 1));
}

}  // namespace cairn
