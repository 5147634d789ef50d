// See bridge.h.
#include "client/fuse/bridge.h"

#include <algorithm>
#include <cerrno>

#include "client/fuse/attributes.h"
#include "client/fuse/kernel_messages.h"
#include "common/telemetry/log.h"

namespace cairn {
namespace {

// Locks that are asked for at once. More only help when the service is slow.
constexpr int kLockThreads = 4;
// What is in a committed checkpoint changes no more.
constexpr absl::Duration kFixedAttributesHold = absl::Minutes(1);
constexpr absl::Duration kComplaintsEvery = absl::Seconds(1);
// Of what the service tells when it changes: should this process not get to pass that on, the
// kernel asks again after so long.
constexpr absl::Duration kHeld = absl::Seconds(30);
constexpr absl::Duration kExpireAgainAfter = absl::Seconds(1);

// Since then a name may be let go of while somebody uses it.
constexpr unsigned kExpiresSince = 38;
// The largest request that kernels make without being told otherwise by root
// (fs.fuse.max_pages_limit).
constexpr unsigned kRequestBytesMax = 1u << 20;
// Requests that nobody waits for (read-ahead, asynchronous I/O) and that the kernel hands over at
// once; the default of 12 would keep a fast cluster idle.
constexpr uint16_t kBackgroundMax = 256;

void Want(fuse_conn_info* connection, unsigned capability) {
  if ((connection->capable & capability) != 0) connection->want |= capability;
}

void Initialize(void* user_data, fuse_conn_info* connection) {
  auto* bridge = static_cast<Bridge*>(user_data);
  bridge->NoteKernel(connection->proto_minor);
  for (const unsigned wanted :
       {FUSE_CAP_ASYNC_READ, FUSE_CAP_ASYNC_DIO, FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_POSIX_LOCKS,
        FUSE_CAP_FLOCK_LOCKS, FUSE_CAP_ATOMIC_O_TRUNC, FUSE_CAP_HANDLE_KILLPRIV,
        FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO,
        // Pages that are cached are dropped when the time or the size of the file has changed
        // elsewhere: a reader that keeps it open, as `tail -f` does, sees what is appended.
        FUSE_CAP_AUTO_INVAL_DATA}) {
    Want(connection, wanted);
  }
  // The kernel's write-back cache would order and merge what only the service may order. Pipes
  // (splice) cost more than they save: the bytes are copied at a write, and are in memory at a
  // read.
  constexpr unsigned kUnwanted = FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_READ |
                                 FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                                 FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_DONT_MASK;
  connection->want &= ~kUnwanted;
  connection->max_write = kRequestBytesMax;
  connection->max_readahead = static_cast<unsigned>(
      std::clamp<uint64_t>(bridge->options.readahead_bytes, 0, uint64_t{1} << 30));
  connection->max_background = kBackgroundMax;
  connection->congestion_threshold = kBackgroundMax * 3 / 4;
}

}  // namespace

Bridge::Bridge(FileSystem* file_system, OperationStats* stats, const BridgeOptions& options)
    : file_system(file_system),
      options(options),
      nodes(file_system->root()),
      stats(*stats),
      lock_queue(&clock, kLockThreads) {}

Bridge::~Bridge() = default;

fuse_lowlevel_ops Bridge::Calls() {
  fuse_lowlevel_ops calls = {};
  calls.init = Initialize;
  AddNameCalls(&calls);
  AddAttributeCalls(&calls);
  AddFileCalls(&calls);
  AddDirectoryCalls(&calls);
  AddLockCalls(&calls);
  return calls;
}

void Bridge::Begin(fuse_session* session) {
  session_ = session;
  notifier = std::make_unique<Notifier>(fuse_session_fd(session));
  invalidator = std::make_unique<Invalidator>([this](NodeNumber node) { DropCache(node); });
  if (options.attribute_timeout == absl::ZeroDuration()) return;
  expirer = std::make_unique<NameExpirer>(
      &clock, kExpireAgainAfter, [this](const FileSystem::Change& change) { Expire(change); });
  file_system->OnChange(
      [this](std::vector<FileSystem::Change> changes) { expirer->Add(std::move(changes)); });
}

void Bridge::End() {
  if (expirer != nullptr) file_system->OnChange(nullptr);
  // Nobody answers any more what the kernel would wait for.
  if (notifier != nullptr) notifier->Stop();
  expirer.reset();
  lock_queue.Stop();
  invalidator.reset();
  notifier.reset();
}

double Bridge::EntrySeconds(const NodeAttributes& attributes) const {
  if (options.attribute_timeout == absl::ZeroDuration()) return 0;
  // Older kernels drop what expires, and a directory that somebody works in would lose its path.
  const bool may_hold = expires_names_ || attributes.type != NodeType::kDirectory;
  const bool holds = attributes.name_holds && may_hold && options.attribute_timeout < kHeld;
  return absl::ToDoubleSeconds(holds ? kHeld : options.attribute_timeout);
}

double Bridge::AttributeSeconds(const NodeAttributes& attributes) const {
  const absl::Duration timeout = options.attribute_timeout;
  if (timeout == absl::ZeroDuration()) return 0;
  absl::Duration holds = timeout;
  if (attributes.attributes_hold) holds = std::max(holds, kHeld);
  if (attributes.fixed) holds = std::max(holds, kFixedAttributesHold);
  return absl::ToDoubleSeconds(holds);
}

fuse_entry_param Bridge::EntryOf(const NodeAttributes& attributes) const {
  fuse_entry_param entry = {};
  entry.ino = nodes.NodeOf(attributes.inode);
  entry.attr = ToStat(attributes);
  entry.attr_timeout = AttributeSeconds(attributes);
  entry.entry_timeout = EntrySeconds(attributes);
  return entry;
}

void Bridge::DropCache(NodeNumber node) {
  notifier->Tell(Notifier::kPages, DropPagesMessage(node));
}

// Unlike pages, attributes are not locked while a call waits for its answer.
void Bridge::DropAttributes(NodeNumber node) {
  static_cast<void>(fuse_lowlevel_notify_inval_inode(session_, node, -1, 0));
}

void Bridge::NoteKernel(unsigned protocol_minor) {
  expires_names_ = protocol_minor >= kExpiresSince;
}

void Bridge::Expire(const FileSystem::Change& change) {
  DropAttributes(nodes.NodeOf(change.inode));
  if (change.name.empty()) return;
  const NodeNumber parent = nodes.NodeOf(change.directory);
  const bool drops = change.gone || !expires_names_;
  notifier->Tell(Notifier::kNames, drops ? DropNameMessage(parent, change.name)
                                         : ExpireNameMessage(parent, change.name));
}

void Bridge::TakeBack(InodeNumber inode, uint64_t count) {
  if (nodes.Release(inode, count)) file_system->Forget(inode);
}

void Bridge::Complain(Operation operation, InodeNumber inode, const absl::Status& why) {
  const int64_t now = clock.Now().nanoseconds();
  int64_t last = complained_at_ns_.load(std::memory_order_relaxed);
  if (last != INT64_MIN && now - last < absl::ToInt64Nanoseconds(kComplaintsEvery)) return;
  if (!complained_at_ns_.compare_exchange_strong(last, now)) return;
  CAIRN_LOG_WARN("{} of inode {} failed: {}", NameOf(operation), inode, why);
}

// ---- one call ----

Call::Call(fuse_req_t request, Operation operation, NodeNumber node)
    : request_(request),
      operation_(operation),
      bridge_(*static_cast<Bridge*>(fuse_req_userdata(request))),
      inode_(bridge_.nodes.InodeOf(node)),
      began_(bridge_.clock.Now()) {}

void Call::Record(int error) {
  bridge_.stats.Record(operation_, bridge_.clock.Now() - began_, error);
}

void Call::Answer(const absl::Status& status) {
  const int error = ErrnoOf(status);
  if (error == EIO) bridge_.Complain(operation_, inode_, status);
  Refuse(error);
}

void Call::Refuse(int error) {
  Record(error);
  fuse_reply_err(request_, error);
}

void Call::AnswerEntry(const absl::StatusOr<NodeAttributes>& made) {
  if (!made.ok()) return Answer(made.status());
  // Before the answer: the kernel may forget it at once.
  bridge_.nodes.Refer(made->inode);
  bridge_.open_sizes.Tell(made->inode, made->size_bytes);
  const fuse_entry_param entry = bridge_.EntryOf(*made);
  Record(0);
  // Whoever asked may have been killed; then nobody forgets.
  if (fuse_reply_entry(request_, &entry) != 0) bridge_.TakeBack(made->inode, 1);
}

void Call::AnswerAttributes(const absl::StatusOr<NodeAttributes>& attributes) {
  if (!attributes.ok()) return Answer(attributes.status());
  const struct stat stat = ToStat(*attributes);
  bridge_.open_sizes.Tell(attributes->inode, attributes->size_bytes);
  Record(0);
  fuse_reply_attr(request_, &stat, bridge_.AttributeSeconds(*attributes));
}

bool Call::HasGrown(const absl::StatusOr<NodeAttributes>& found) const {
  return found.ok() && bridge_.open_sizes.WouldGrow(found->inode, found->size_bytes);
}

void Call::AnswerFoundEntry(const absl::StatusOr<NodeAttributes>& found) {
  if (!HasGrown(found)) return AnswerEntry(found);
  bridge_.invalidator->Add(bridge_.nodes.NodeOf(found->inode),
                           [call = *this, found]() mutable { call.AnswerEntry(found); });
}

void Call::AnswerFoundAttributes(const absl::StatusOr<NodeAttributes>& found) {
  if (!HasGrown(found)) return AnswerAttributes(found);
  bridge_.invalidator->Add(bridge_.nodes.NodeOf(found->inode),
                           [call = *this, found]() mutable { call.AnswerAttributes(found); });
}

bool Call::AnswerBytes(std::span<const std::byte> bytes) {
  Record(0);
  return fuse_reply_buf(request_, reinterpret_cast<const char*>(bytes.data()), bytes.size()) == 0;
}

void Call::AnswerText(const std::string& text) {
  Record(0);
  fuse_reply_readlink(request_, text.c_str());
}

void Call::AnswerXattr(std::string_view value, size_t room) {
  if (room != 0 && value.size() > room) return Refuse(ERANGE);
  Record(0);
  if (room == 0) {
    fuse_reply_xattr(request_, value.size());
  } else {
    fuse_reply_buf(request_, value.data(), value.size());
  }
}

void Call::AnswerWritten(size_t bytes) {
  Record(0);
  fuse_reply_write(request_, bytes);
}

void Call::AnswerPosition(uint64_t position) {
  Record(0);
  fuse_reply_lseek(request_, static_cast<off_t>(position));
}

void Call::AnswerSpace(const Space& space) {
  const struct statvfs statvfs = ToStatvfs(space);
  Record(0);
  fuse_reply_statfs(request_, &statvfs);
}

void Call::AnswerLock(const struct flock& lock) {
  Record(0);
  fuse_reply_lock(request_, &lock);
}

bool Call::AnswerOpen(const fuse_file_info& file) {
  Record(0);
  return fuse_reply_open(request_, &file) == 0;
}

bool Call::AnswerCreated(const NodeAttributes& attributes, const fuse_file_info& file) {
  const fuse_entry_param entry = bridge_.EntryOf(attributes);
  Record(0);
  return fuse_reply_create(request_, &entry, &file) == 0;
}

void Call::AnswerNothing() {
  Record(0);
  fuse_reply_none(request_);
}

}  // namespace cairn
