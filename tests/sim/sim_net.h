// The simulated network: a SimFabric connects SimNets of many simulated processes on one
// SimExecutor. Latency and faults come from the executor's seed. It keeps the promises of Net and
// breaks everything that Net does not promise: messages overtake each other, failed transfers leave
// garbage, a frozen peer never answers.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fabric/net.h"
#include "tests/sim/sim_executor.h"

namespace cairn {

class SimNet;

// Outlives its nets and everything that runs on the executor afterwards; lives on the executor's
// thread. Functions may be called inside and outside of a run.
class SimFabric {
 public:
  struct Faults {
    absl::Duration latency_min = absl::Microseconds(5);
    absl::Duration latency_max = absl::Microseconds(100);
    uint64_t bytes_per_second = 10'000'000'000;
    // Of 1000 messages.
    uint32_t lost_per_mille = 0;
    uint32_t duplicated_per_mille = 0;
    bool reorder = true;
    // Of 1000 RMA calls, those that fail on the way as if the connection had broken.
    uint32_t broken_rma_per_mille = 0;
  };

  explicit SimFabric(SimExecutor& executor);
  ~SimFabric();

  void set_faults(const Faults& faults) { faults_ = faults; }

  // An endpoint of the simulated process `process`; one a core.
  std::unique_ptr<SimNet> MakeNet(std::string process);

  // Drops what goes from one process to the other; both directions for a full partition. RMA needs
  // both and stalls; control connections notice after kKeepAlive.
  void Cut(const std::string& from, const std::string& to);
  void Heal(const std::string& from, const std::string& to);
  // Messages from the one process to the other take so long more. Zero: no longer.
  void SlowDown(const std::string& from, const std::string& to, absl::Duration delay) {
    delays_[{from, to}] = delay;
  }
  // How much longer a message is on its way; for ever: it is lost.
  using Detour = std::function<absl::Duration(ConstBytes message)>;
  // Of messages to the process. Null: none any more.
  void SendRound(const std::string& to, Detour detour) { detours_[to] = std::move(detour); }
  // SIGSTOP and SIGCONT: everything sent to the process waits; RMA against its memory too.
  void Freeze(const std::string& process);
  void Thaw(const std::string& process);
  // SIGKILL: its endpoints are gone, its control connections close, its own calls fail with
  // UNAVAILABLE. A net made later for the same name is a new process.
  void Kill(const std::string& process);
  // The next `count` resets of the process's endpoints fail, as if it were out of descriptors.
  void FailResets(const std::string& process, int count) { failing_resets_[process] = count; }

  // What a dead host costs on a control connection, and a stalled RMA on a connection.
  static constexpr absl::Duration kKeepAlive = absl::Seconds(30);
  static constexpr absl::Duration kConnectionTimeout = absl::Seconds(60);

  uint64_t messages_delivered() const { return messages_delivered_; }
  uint64_t messages_lost() const { return messages_lost_; }
  uint64_t messages_duplicated() const { return messages_duplicated_; }

 private:
  friend class SimNet;
  friend class SimControl;
  struct Transfer;
  struct Link;
  struct Listener;

  SimExecutor& executor() { return executor_; }
  absl::Duration Latency();
  bool Happens(uint32_t per_mille);
  void After(absl::Duration delay, absl::AnyInvocable<void()> function);
  bool Reaches(const std::string& from, const std::string& to) const;
  SimNet* FindEndpoint(const std::string& address) const;
  void DeliverMessage(std::string from, std::string address, std::string message);
  bool TakesDetour(const std::string& from, const std::string& address, const std::string& process,
                   std::string* message);
  void StartTransfer(std::shared_ptr<Transfer> transfer);
  void StepTransfer(std::shared_ptr<Transfer> transfer);
  void FailTransfers(SimNet* initiator, const std::string& address);
  void RetryStalled();
  void CloseLinks(const std::string& process, absl::Duration delay);
  void CheckLinks();

  SimExecutor& executor_;
  Faults faults_;
  uint64_t next_endpoint_ = 1;
  uint64_t next_key_ = 1;
  uint64_t next_port_ = 10'000;
  uint64_t messages_delivered_ = 0;
  uint64_t messages_lost_ = 0;
  uint64_t messages_duplicated_ = 0;
  std::set<SimNet*> nets_;
  std::map<std::string, SimNet*> endpoints_;
  std::map<std::string, Listener> listeners_;
  std::set<std::pair<std::string, std::string>> cuts_;
  std::map<std::pair<std::string, std::string>, absl::Duration> delays_;
  std::map<std::string, Detour> detours_;
  std::set<std::string> frozen_;
  std::map<std::string, int> failing_resets_;
  std::list<std::shared_ptr<Transfer>> transfers_;
  std::vector<absl::AnyInvocable<void()>> stalled_;
  std::list<std::weak_ptr<Link>> links_;
  std::map<std::pair<std::string, std::string>, MonoTime> last_delivery_;
};

class SimNet final : public Net {
 public:
  ~SimNet() override;

  const std::string& process() const { return process_; }

  const std::string& provider() const override { return provider_; }
  const std::string& address() const override { return address_; }
  absl::StatusOr<PeerId> AddPeer(std::string_view address) override;
  void RemovePeer(PeerId peer) override;
  void SetReceiver(Receiver receiver) override { receiver_ = std::move(receiver); }
  void SetPeerLost(PeerLost lost) override { peer_lost_ = std::move(lost); }
  // Tells that a message to the endpoint at `address` was lost with its connection.
  void LosePeer(const std::string& address);
  Task<absl::Status> Send(PeerId peer, ConstBytes message, Deadline deadline) override;
  absl::StatusOr<std::unique_ptr<MemoryRegion>> Register(MutableBytes memory,
                                                         MemoryAccess access) override;
  Task<absl::Status> Read(PeerId peer, const BulkDescriptor& remote, uint64_t offset_bytes,
                          MutableBytes local, Deadline deadline) override;
  Task<absl::Status> Write(PeerId peer, const BulkDescriptor& remote, uint64_t offset_bytes,
                           ConstBytes local, Deadline deadline) override;
  absl::Status Reset() override;
  Task<absl::StatusOr<std::unique_ptr<ControlConnection>>> Dial(std::string host_port,
                                                                std::string hello,
                                                                Deadline deadline) override;
  absl::StatusOr<std::string> Listen(std::string_view host_port, HelloHandler* handler) override;
  void StopListening() override;
  Task<void> Stop() override;

 private:
  friend class SimFabric;
  class Region;
  SimNet(SimFabric& fabric, std::string process);
  void TakeAddress();
  void ReleaseAddress();
  Task<absl::Status> Rma(bool read, PeerId peer, BulkDescriptor remote, uint64_t offset_bytes,
                         MutableBytes local, Deadline deadline);
  Region* FindRegion(uint64_t key) const;
  bool IsLocal(ConstBytes bytes) const;

  SimFabric& fabric_;
  const std::string process_;
  const std::string provider_ = "sim";
  std::string address_;
  bool dead_ = false;
  bool closed_ = false;  // by a reset that failed
  absl::Status Usable() const;
  Receiver receiver_;
  PeerLost peer_lost_;
  uint64_t next_peer_ = 1;
  std::map<uint64_t, std::string> peers_;
  std::set<Region*> regions_;
};

}  // namespace cairn
