// A file opened for reading: its extents, fetched once, and ranges of its bytes.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cairn/client.h"
#include "client/core/client_impl.h"
#include "client/io/read_path.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/wire/tier.pb.h"

namespace cairn {
namespace client_internal {

class FileImpl {
 public:
  FileImpl(std::shared_ptr<ClientImpl> client, std::string path, wire::StatReply opened,
           std::vector<wire::ExtentRun> extents)
      : client_(std::move(client)),
        path_(std::move(path)),
        entry_(opened.entry()),
        recall_(opened.recall()),
        extents_(std::make_shared<const Extents>(std::move(extents))) {}

  const wire::Entry& entry() const { return entry_; }

  absl::Status Read(std::span<const ReadRange> ranges) {
    RETURN_IF_ERROR(client_->CheckUsable());
    std::vector<WantedRange> wanted;
    wanted.reserve(ranges.size());
    for (const ReadRange& range : ranges) wanted.push_back({range.offset_bytes, range.destination});
    return client_->Run<absl::Status>([&] { return ReadTask(std::move(wanted)); });
  }

 private:
  using Extents = std::vector<wire::ExtentRun>;

  Task<absl::Status> ReadTask(std::vector<WantedRange> wanted) {
    CO_RETURN_IF_ERROR(co_await MindRecall(wanted));
    // Another read may learn of others meanwhile.
    const std::shared_ptr<const Extents> extents = extents_;
    const OpenedFile file{entry_.inode(), entry_.version(), entry_.size_bytes(), *extents};
    Extents newer;
    absl::Status read = co_await ReadRanges(client_->session(), file, std::move(wanted),
                                            client_->options().timeout, &newer);
    if (!newer.empty()) extents_ = std::make_shared<const Extents>(std::move(newer));
    co_return read;
  }

  bool IsCold(const std::vector<WantedRange>& wanted) const {
    for (const wire::ExtentRun& run : *extents_) {
      if (!run.has_cold()) continue;
      const uint64_t begin = run.offset_bytes(), end = begin + run.length_bytes();
      for (const WantedRange& range : wanted) {
        if (range.offset_bytes < end && begin < range.offset_bytes + range.destination.size())
          return true;
      }
    }
    return false;
  }

  // What the file's policy says of reading bytes that lie in a cold tier alone.
  Task<absl::Status> MindRecall(const std::vector<WantedRange>& wanted) {
    if (recall_ == wire::RECALL_BLOCK || !IsCold(wanted)) co_return absl::OkStatus();
    if (recall_ == wire::RECALL_FAIL) {
      co_return absl::FailedPreconditionError(
          StrCat(path_,
                 " lies in a cold tier alone, and its policy does not have it read from "
                 "there: fetch it first, with `cairn tier fetch`"));
    }
    Session& session = client_->session();
    const Clock& clock = Executor::Current().clock();
    wire::AskTierRequest ask;
    ask.set_path(path_);
    ask.set_action(wire::TIER_FETCH);
    CO_RETURN_IF_ERROR(
        (co_await session.Meta<wire::AskTierReply>(
             wire::ASK_TIER, ask, Deadline::After(clock, client_->options().timeout)))
            .status());
    while (IsCold(wanted)) {
      CO_RETURN_IF_ERROR(co_await session.Pause(kFetchPause));
      CO_RETURN_IF_ERROR(co_await CheckFetch());
      absl::StatusOr<Extents> now =
          co_await FetchExtents(session, entry_.inode(), entry_.version(), entry_.size_bytes(),
                                Deadline::After(clock, client_->options().timeout));
      if (!now.ok()) co_return now.status();
      extents_ = std::make_shared<const Extents>(*std::move(now));
    }
    co_return absl::OkStatus();
  }

  // It goes on: neither given up nor cancelled.
  Task<absl::Status> CheckFetch() {
    wire::ExplainTierRequest request;
    request.set_path(path_);
    const absl::StatusOr<wire::ExplainTierReply> reply =
        co_await client_->session().Meta<wire::ExplainTierReply>(
            wire::EXPLAIN_TIER, request,
            Deadline::After(Executor::Current().clock(), client_->options().timeout));
    if (!reply.ok()) co_return reply.status();
    if (reply->failures() >= kFetchFailuresMax || reply->held()) {
      co_return absl::UnavailableError(
          StrCat(path_, " cannot be fetched from its cold tier: ",
                 reply->held() ? std::string("an operator has cancelled it") : reply->error()));
    }
    co_return absl::OkStatus();
  }

  static constexpr absl::Duration kFetchPause = absl::Milliseconds(500);
  static constexpr uint32_t kFetchFailuresMax = 3;

  std::shared_ptr<ClientImpl> client_;
  const std::string path_;
  const wire::Entry entry_;
  const wire::RecallMode recall_;
  // The reactor thread's.
  std::shared_ptr<const Extents> extents_;
};

}  // namespace client_internal

namespace {

// Who opens a file that is changed all the time gets one of its states in the end.
constexpr int kOpensMax = 50;

struct Opened {
  wire::StatReply stat;
  std::vector<wire::ExtentRun> extents;
};
// nullopt: the file was changed while its extents were asked for, page by page.
absl::StatusOr<std::optional<Opened>> OpenOnce(client_internal::ClientImpl& client,
                                               const std::string& path) {
  wire::StatRequest request;
  request.set_path(path);
  request.set_for_reading(true);
  Opened opened;
  ASSIGN_OR_RETURN(opened.stat, client.Meta<wire::StatReply>(wire::STAT, request));
  const wire::StatReply& reply = opened.stat;
  if (reply.entry().type() != wire::ENTRY_FILE)
    return absl::FailedPreconditionError(path + " is not a file");
  std::vector<wire::ExtentRun>& extents = opened.extents;
  extents.assign(reply.extents().begin(), reply.extents().end());
  for (bool more = reply.more_extents(); more;) {
    wire::GetExtentsRequest next;
    next.set_inode(reply.entry().inode());
    next.set_version(reply.entry().version());
    next.set_offset_bytes(
        extents.empty() ? 0 : extents.back().offset_bytes() + extents.back().length_bytes());
    next.set_length_bytes(reply.entry().size_bytes() - next.offset_bytes());
    const absl::StatusOr<wire::GetExtentsReply> page =
        client.Meta<wire::GetExtentsReply>(wire::GET_EXTENTS, next);
    if (absl::IsNotFound(page.status())) return std::nullopt;
    RETURN_IF_ERROR(page.status());
    if (page->extents().empty()) return absl::DataLossError(path + ": its extents end early");
    extents.insert(extents.end(), page->extents().begin(), page->extents().end());
    more = page->more();
  }
  return opened;
}

}  // namespace

absl::StatusOr<File> Client::OpenFile(std::string_view path) {
  const std::string name(path);
  for (int i = 0; i < kOpensMax; ++i) {
    ASSIGN_OR_RETURN(std::optional<Opened> opened, OpenOnce(*impl_, name));
    if (!opened.has_value()) continue;
    return File(std::make_shared<client_internal::FileImpl>(impl_, name, std::move(opened->stat),
                                                            std::move(opened->extents)));
  }
  return absl::UnavailableError(name + " is changed faster than it can be opened; try again");
}

File::File(std::shared_ptr<client_internal::FileImpl> impl) : impl_(std::move(impl)) {}
File::File(File&&) noexcept = default;
File::~File() = default;
uint64_t File::size_bytes() const { return impl_->entry().size_bytes(); }
uint32_t File::crc32c() const { return impl_->entry().crc32c(); }
bool File::crc32c_known() const { return !impl_->entry().changed_in_place(); }
absl::Status File::Read(std::span<const ReadRange> ranges) { return impl_->Read(ranges); }
absl::Status File::Read(uint64_t offset_bytes, MutableBuffer destination) {
  const ReadRange range{offset_bytes, destination};
  return impl_->Read(std::span(&range, 1));
}

}  // namespace cairn
