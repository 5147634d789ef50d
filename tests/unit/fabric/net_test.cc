// What every Net promises: messages arrive whole, RMA moves exactly the bytes asked for, errors
// leave the endpoint usable, Reset() makes exposed memory unreachable. Runs on libfabric (both
// reactor backends) and on the simulation.
#include "common/fabric/net.h"

#include <algorithm>

#include "tests/unit/fabric/net_worlds.h"

namespace cairn {
namespace {

template <class World>
class NetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world_.available()) GTEST_SKIP() << "the kernel refuses io_uring";
    a_ = world_.MakeNet("a");
    b_ = world_.MakeNet("b");
  }
  World world_;
  std::unique_ptr<Net> a_;
  std::unique_ptr<Net> b_;
};
TYPED_TEST_SUITE(NetTest, NetWorlds);

Task<absl::Status> SendAllSizes(Net& a, Net& b, Inbox& inbox) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  CO_RETURN_IF_ERROR(peer.status());
  const std::vector<size_t> sizes = {0, 1, 64, 128, 129, 1024, 1025, 8192, 8193, kMaxMessageBytes};
  for (size_t size : sizes) {
    const std::string message(size, static_cast<char>('a' + size % 23));
    const absl::Status sent = co_await a.Send(*peer, BytesOf(message), InSeconds(5));
    CO_RETURN_IF_ERROR(sent);
  }
  co_await inbox.WaitFor(sizes.size());
  // The simulation reorders.
  std::sort(inbox.messages().begin(), inbox.messages().end(),
            [](const std::string& x, const std::string& y) { return x.size() < y.size(); });
  for (size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(inbox.messages()[i], std::string(sizes[i], static_cast<char>('a' + sizes[i] % 23)));
  }
  co_return absl::OkStatus();
}

TYPED_TEST(NetTest, MessagesOfEverySizeArriveWhole) {
  Inbox inbox(*this->b_);
  EXPECT_EQ(this->world_.Run(SendAllSizes(*this->a_, *this->b_, inbox)), absl::OkStatus());
}

Task<absl::Status> SendTooLong(Net& a, Net& b) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  CO_RETURN_IF_ERROR(peer.status());
  const std::string message(kMaxMessageBytes + 1, 'x');
  co_return co_await a.Send(*peer, BytesOf(message), InSeconds(5));
}

TYPED_TEST(NetTest, MessageOverTheLimitIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(this->world_.Run(SendTooLong(*this->a_, *this->b_))));
}

TYPED_TEST(NetTest, ForeignAddressIsRefused) {
  EXPECT_TRUE(absl::IsInvalidArgument(this->a_->AddPeer("not an address").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(this->a_->AddPeer("").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      this->a_->AddPeer(std::string(this->b_->address().size(), '\xff')).status()));
}

Task<absl::Status> SendMany(Net& a, Net& b, Inbox& inbox) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  CO_RETURN_IF_ERROR(peer.status());
  // More than the receive buffers and the send buffers of one peer together.
  for (int i = 0; i < 500; ++i) {
    const std::string message(30'000, static_cast<char>(i));
    const absl::Status sent = co_await a.Send(*peer, BytesOf(message), InSeconds(10));
    CO_RETURN_IF_ERROR(sent);
  }
  co_await inbox.WaitFor(500);
  co_return absl::OkStatus();
}

TYPED_TEST(NetTest, FloodOfMessagesArrives) {
  Inbox inbox(*this->b_);
  EXPECT_EQ(this->world_.Run(SendMany(*this->a_, *this->b_, inbox)), absl::OkStatus());
}

// Moves every range through `a`, with `b` as the target.
Task<absl::Status> MoveRanges(Net& a, Net& b) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  CO_RETURN_IF_ERROR(peer.status());
  constexpr size_t kSize = 10 * kMiB + 123;
  const std::vector<std::byte> original = Pattern(kSize, 1);
  std::vector<std::byte> source = original;
  std::vector<std::byte> sink(kSize);
  std::vector<std::byte> local(kSize);
  auto readable = b.Register(source, MemoryAccess::kRemoteRead);
  auto writable = b.Register(sink, MemoryAccess::kRemoteWrite);
  auto own = a.Register(local, MemoryAccess::kLocal);
  CO_RETURN_IF_ERROR(readable.status());
  CO_RETURN_IF_ERROR(writable.status());
  CO_RETURN_IF_ERROR(own.status());
  const std::vector<std::pair<size_t, size_t>> ranges = {
      {0, 1}, {1, 4095}, {4096, 65536}, {77, 4 * kMiB}, {5, 4 * kMiB + 1}, {0, kSize}};
  for (const auto& [offset, size] : ranges) {
    const MutableBytes piece = MutableBytes(local).subspan(offset, size);
    std::fill(local.begin(), local.end(), std::byte{0});
    absl::Status moved =
        co_await a.Read(*peer, (*readable)->descriptor(), offset, piece, InSeconds(10));
    CO_RETURN_IF_ERROR(moved);
    EXPECT_TRUE(std::equal(piece.begin(), piece.end(), original.begin() + offset));
    EXPECT_TRUE(std::all_of(local.begin(), local.begin() + offset,
                            [](std::byte byte) { return byte == std::byte{0}; }));
    std::fill(sink.begin(), sink.end(), std::byte{0});
    moved = co_await a.Write(*peer, (*writable)->descriptor(), offset, piece, InSeconds(10));
    CO_RETURN_IF_ERROR(moved);
    EXPECT_TRUE(std::equal(piece.begin(), piece.end(), sink.begin() + offset));
    EXPECT_TRUE(std::all_of(sink.begin() + offset + size, sink.end(),
                            [](std::byte byte) { return byte == std::byte{0}; }));
  }
  EXPECT_EQ(source, original);
  co_return absl::OkStatus();
}

TYPED_TEST(NetTest, ReadsAndWritesMoveExactlyTheirRange) {
  EXPECT_EQ(this->world_.Run(MoveRanges(*this->a_, *this->b_)), absl::OkStatus());
}

struct Exposed {
  std::vector<std::byte> memory;
  std::unique_ptr<MemoryRegion> region;
};

Task<void> CheckArguments(Net& a, Net& b) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  std::vector<std::byte> remote(100), local(200), foreign(10);
  auto readable = b.Register(remote, MemoryAccess::kRemoteRead);
  auto own = a.Register(local, MemoryAccess::kLocal);
  const BulkDescriptor descriptor = (*readable)->descriptor();
  absl::Status read =
      co_await a.Read(*peer, descriptor, 0, MutableBytes(local).first(101), InSeconds(5));
  EXPECT_TRUE(absl::IsInvalidArgument(read)) << read;
  read = co_await a.Read(*peer, descriptor, UINT64_MAX, MutableBytes(local).first(2), InSeconds(5));
  EXPECT_TRUE(absl::IsInvalidArgument(read)) << read;
  read = co_await a.Read(*peer, descriptor, 0, foreign, InSeconds(5));
  EXPECT_TRUE(absl::IsInvalidArgument(read)) << read;
  read = co_await a.Read(*peer, descriptor, 100, MutableBytes(local).first(0), InSeconds(5));
  EXPECT_TRUE(read.ok()) << read;
  read = co_await a.Read(PeerId(77), descriptor, 0, MutableBytes(local).first(1), InSeconds(5));
  EXPECT_TRUE(absl::IsUnavailable(read)) << read;
  read = co_await a.Read(*peer, descriptor, 0, MutableBytes(local).first(1), Deadline(MonoTime(0)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(read)) << read;
  EXPECT_FALSE(a.Register({}, MemoryAccess::kLocal).ok());
}

TYPED_TEST(NetTest, WrongArgumentsAreRefusedBeforeAnythingMoves) {
  this->world_.Run(CheckArguments(*this->a_, *this->b_));
}

// A key that was never valid, then one that was.
Task<void> UseBadKeys(Net& a, Net& b) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  std::vector<std::byte> remote = Pattern(65536, 3);
  std::vector<std::byte> local(65536);
  auto readable = b.Register(remote, MemoryAccess::kRemoteRead);
  auto own = a.Register(local, MemoryAccess::kLocal);
  const BulkDescriptor good = (*readable)->descriptor();
  BulkDescriptor bad = good;
  bad.key += 12345;
  absl::Status read = co_await a.Read(*peer, bad, 0, local, InSeconds(5));
  EXPECT_TRUE(absl::IsUnavailable(read)) << read;
  // Writing to memory that may only be read.
  const absl::Status write = co_await a.Write(*peer, good, 0, local, InSeconds(5));
  EXPECT_FALSE(write.ok());
  read = co_await a.Read(*peer, good, 0, local, InSeconds(5));
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(local, remote);
  readable->reset();
  read = co_await a.Read(*peer, good, 0, local, InSeconds(5));
  EXPECT_TRUE(absl::IsUnavailable(read)) << read;
}

TYPED_TEST(NetTest, BadKeyFailsAndLaterCallsRecover) {
  this->world_.Run(UseBadKeys(*this->a_, *this->b_));
}

Task<void> ResetTarget(Net& a, Net& b, Inbox& inbox) {
  absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  std::vector<std::byte> exposed = Pattern(65536, 4);
  const std::vector<std::byte> before = exposed;
  std::vector<std::byte> local(65536, std::byte{9});
  auto writable = b.Register(exposed, MemoryAccess::kRemoteWrite);
  auto own = a.Register(local, MemoryAccess::kLocal);
  const BulkDescriptor old = (*writable)->descriptor();
  const std::string old_address = b.address();
  absl::Status sent = co_await a.Send(*peer, BytesOf("warm"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
  co_await inbox.WaitFor(1);

  EXPECT_EQ(b.Reset(), absl::OkStatus());
  EXPECT_NE(b.address(), old_address);
  EXPECT_NE((*writable)->descriptor().key, old.key);
  // Neither at the old address nor, with the old key, at the new one.
  absl::Status write = co_await a.Write(*peer, old, 0, local, InSeconds(0.3));
  EXPECT_FALSE(write.ok());
  peer = a.AddPeer(b.address());
  write = co_await a.Write(*peer, old, 0, local, InSeconds(5));
  EXPECT_TRUE(absl::IsUnavailable(write)) << write;
  EXPECT_EQ(exposed, before);
  // With the new key it works, and messages arrive again.
  write = co_await a.Write(*peer, (*writable)->descriptor(), 0, local, InSeconds(5));
  EXPECT_TRUE(write.ok()) << write;
  EXPECT_EQ(exposed, local);
  sent = co_await a.Send(*peer, BytesOf("again"), InSeconds(5));
  EXPECT_TRUE(sent.ok()) << sent;
  co_await inbox.WaitFor(2);
}

TYPED_TEST(NetTest, ResetMakesExposedMemoryUnreachable) {
  Inbox inbox(*this->b_);
  this->world_.Run(ResetTarget(*this->a_, *this->b_, inbox));
}

Task<void> ReadInto(Net& net, PeerId peer, BulkDescriptor remote, MutableBytes local,
                    Deadline deadline, absl::Status* result) {
  *result = co_await net.Read(peer, remote, 0, local, deadline);
}

// Operations under way on the endpoint that is reset end at once, and peers added before stay
// valid.
Task<void> ResetInitiator(Net& a, Net& b) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  // More than sockets hold: one look at the fabric cannot move it all.
  std::vector<std::byte> remote = Pattern(64 * kMiB, 5);
  std::vector<std::byte> local(64 * kMiB);
  auto readable = b.Register(remote, MemoryAccess::kRemoteRead);
  auto own = a.Register(local, MemoryAccess::kLocal);
  std::vector<absl::Status> results(4);
  Scope scope;
  for (size_t i = 0; i < results.size(); ++i) {
    scope.Spawn(ReadInto(a, *peer, (*readable)->descriptor(), local, InSeconds(10), &results[i]));
  }
  // The reads begin in steps, and each pass lets one step happen, however slow the machine.
  for (int i = 0; i < 3; ++i) co_await Pass(absl::Microseconds(10));
  EXPECT_EQ(a.Reset(), absl::OkStatus());
  co_await scope.Join();
  for (const absl::Status& result : results) EXPECT_TRUE(absl::IsUnavailable(result)) << result;
  const absl::Status read =
      co_await a.Read(*peer, (*readable)->descriptor(), 0, local, InSeconds(10));
  EXPECT_TRUE(read.ok()) << read;
  EXPECT_EQ(local, remote);
}

TYPED_TEST(NetTest, ResetEndsOwnOperationsAndKeepsPeers) {
  this->world_.Run(ResetInitiator(*this->a_, *this->b_));
}

// The endpoint at the other end closes while it is read.
Task<void> CloseTarget(Net& a, std::unique_ptr<Net>& b) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b->address());
  std::vector<std::byte> remote(16 * kMiB);
  std::vector<std::byte> local(16 * kMiB);
  auto own = a.Register(local, MemoryAccess::kLocal);
  auto readable = b->Register(remote, MemoryAccess::kRemoteRead);
  const BulkDescriptor descriptor = (*readable)->descriptor();
  std::vector<absl::Status> results(4);
  Scope scope;
  for (absl::Status& result : results) {
    scope.Spawn(ReadInto(a, *peer, descriptor, local, InSeconds(0.5), &result));
  }
  co_await Pass(absl::Microseconds(20));
  readable->reset();
  b.reset();
  co_await scope.Join();
  for (const absl::Status& result : results) EXPECT_FALSE(result.ok());
  // To an endpoint that is gone: bounded by the deadline, whatever the provider says.
  const MonoTime began = Executor::Current().clock().Now();
  const absl::Status sent = co_await a.Send(*peer, BytesOf("anyone?"), InSeconds(0.2));
  EXPECT_TRUE(absl::IsDeadlineExceeded(sent) || absl::IsUnavailable(sent)) << sent;
  EXPECT_LT(Executor::Current().clock().Now() - began, absl::Seconds(2));
}

TYPED_TEST(NetTest, ClosedPeerFailsItsReadersAndIsBoundedByTheDeadline) {
  this->world_.Run(CloseTarget(*this->a_, this->b_));
}

Task<void> RemoveWhileReading(Net& a, Net& b) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b.address());
  const absl::StatusOr<PeerId> twin = a.AddPeer(b.address());
  EXPECT_NE(*peer, *twin);
  std::vector<std::byte> remote = Pattern(8 * kMiB, 6);
  std::vector<std::byte> local(8 * kMiB);
  auto readable = b.Register(remote, MemoryAccess::kRemoteRead);
  auto own = a.Register(local, MemoryAccess::kLocal);
  const BulkDescriptor descriptor = (*readable)->descriptor();
  absl::Status read = co_await a.Read(*twin, descriptor, 0, local, InSeconds(10));
  EXPECT_TRUE(read.ok()) << read;
  Scope scope;
  scope.Spawn(ReadInto(a, *peer, descriptor, local, InSeconds(10), &read));
  co_await Pass(absl::Microseconds(10));
  a.RemovePeer(*peer);
  co_await scope.Join();
  EXPECT_TRUE(read.ok()) << read;
  read = co_await a.Read(*peer, descriptor, 0, local, InSeconds(10));
  EXPECT_TRUE(absl::IsUnavailable(read)) << read;
  // The other user of the same address is not affected.
  read = co_await a.Read(*twin, descriptor, 0, local, InSeconds(10));
  EXPECT_TRUE(read.ok()) << read;
  a.RemovePeer(*twin);
  a.RemovePeer(*twin);
}

Task<void> SendInto(Net& net, PeerId peer, Deadline deadline, absl::Status* result) {
  *result = co_await net.Send(peer, BytesOf("anyone?"), deadline);
}

// As a call whose connection is lost must not wait for a node that has no endpoint any more.
Task<void> RemoveWhileSending(Net& a, std::unique_ptr<Net>& b) {
  const absl::StatusOr<PeerId> peer = a.AddPeer(b->address());
  const absl::StatusOr<PeerId> twin = a.AddPeer(b->address());
  b.reset();
  absl::Status sent, sent_to_twin;
  Scope scope;
  const MonoTime began = Executor::Current().clock().Now();
  scope.Spawn(SendInto(a, *peer, InSeconds(60), &sent));
  scope.Spawn(SendInto(a, *twin, InSeconds(0.3), &sent_to_twin));
  co_await Pass(absl::Milliseconds(50));
  a.RemovePeer(*peer);
  co_await scope.Join();
  EXPECT_TRUE(absl::IsUnavailable(sent)) << sent;
  EXPECT_TRUE(absl::IsDeadlineExceeded(sent_to_twin) || absl::IsUnavailable(sent_to_twin))
      << sent_to_twin;
  EXPECT_LT(Executor::Current().clock().Now() - began, absl::Seconds(20));
}

TYPED_TEST(NetTest, RemovedPeerEndsMessagesThatWaitForItsConnection) {
  this->world_.Run(RemoveWhileSending(*this->a_, this->b_));
}

TYPED_TEST(NetTest, RemovedPeerLetsOperationsUnderWayFinish) {
  this->world_.Run(RemoveWhileReading(*this->a_, *this->b_));
}

}  // namespace
}  // namespace cairn
