// Session: the client's view of the cluster. It keeps one connection a node, dials again after a
// loss, caches the cluster map and retries metadata calls until their deadline. It knows only the
// seams (Net, Executor, Random), so the simulation runs it as it is. Next on the data path:
// write_path.h and read_path.h.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "client/io/hedge_policy.h"
#include "client/io/map_index.h"
#include "client/io/map_parts.h"
#include "client/io/parity_pool.h"
#include "common/base/ids.h"
#include "common/base/random.h"
#include "common/rpc/rpc_client.h"
#include "common/task/scope.h"
#include "common/task/semaphore.h"
#include "common/task/stop.h"
#include "proto/wire/meta.pb.h"

namespace cairn {

// Counts those who are about to call a target, or do.
class RouteUse {
 public:
  RouteUse() = default;
  explicit RouteUse(size_t* count) : count_(count) { ++*count_; }
  RouteUse(const RouteUse& other) : count_(other.count_) {
    if (count_ != nullptr) ++*count_;
  }
  RouteUse(RouteUse&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  RouteUse& operator=(RouteUse other) noexcept {
    std::swap(count_, other.count_);
    return *this;
  }
  ~RouteUse() {
    if (count_ != nullptr) --*count_;
  }

 private:
  size_t* count_ = nullptr;
};

// Where one fragment lives: the connection to its node, and the core that owns the target.
struct TargetRoute {
  std::shared_ptr<NodeConnection> node;
  uint32_t core = 0;
  TargetId target;
  RouteUse use;
  uint64_t map_version = 0;  // of the map that says so
};

// Lives on one executor; not thread-safe.
class Session {
 public:
  struct Options {
    std::vector<std::string> endpoints;  // HOST:PORT of nodes to ask first, at least one
    std::string name;                    // host:pid, for operators
    int64_t window = 8;                  // fragments under way at once, all nodes together
    bool background = false;             // for the service itself: no client waits for it
  };
  Session(Net& net, Random& random, Options options);
  ~Session();

  Net& net() { return net_; }
  const std::string& name() const { return options_.name; }
  Random& random() { return random_; }
  void OnMessage(ConstBytes message) { rpc_.OnMessage(message); }

  // A node that answers at all answers within this; a longer silence is worth another try on a new
  // connection.
  static constexpr absl::Duration kMetaTryTimeout = absl::Seconds(15);

  // A metadata call. UNAVAILABLE answers (a node that is down or restarting) are retried, under one
  // request id, until the deadline; then the last reason is returned.
  template <class Reply, class Request>
  Task<absl::StatusOr<Reply>> Meta(wire::Method method, Request request, Deadline deadline,
                                   absl::Duration try_timeout = kMetaTryTimeout) {
    absl::StatusOr<std::string> body =
        co_await MetaRaw(method, request.SerializeAsString(), deadline, try_timeout);
    if (!body.ok()) co_return body.status();
    Reply reply;
    if (!reply.ParseFromString(*body)) co_return absl::DataLossError("a reply could not be parsed");
    co_return reply;
  }

  // The cluster map, asked for once and again when a reply has named a newer version. Once there is
  // one it serves, also while a newer one cannot be had: that is waited for a second at most, and
  // not again within a second. For new stripes, and for what this one lacks: NewestMap().
  Task<absl::StatusOr<std::shared_ptr<const MapIndex>>> Map(Deadline deadline);
  // The map at least as new as any reply has named. Who places stripes under a lease must know the
  // map as it was when the lease was granted: what lies by an older one is not looked for where it
  // is (server/repair/rebuild_loop.cc).
  Task<absl::StatusOr<std::shared_ptr<const MapIndex>>> NewestMap(Deadline deadline);
  // Asks for a newer one. OK also when there is none.
  Task<absl::Status> RefreshMap(Deadline deadline);
  // As last fetched; null before that.
  const wire::ClusterMap* known_map() const { return map_ == nullptr ? nullptr : &map_->map(); }
  // The newest that is here or that a reply has named.
  uint64_t newest_map_version() const;
  // How much it is worth to reach a node. In haste, by who has another place to go to: not for
  // long, and for some seconds not again after it has failed.
  enum class Reach { kPatiently, kInHaste };
  // The target of fragment `index` of a stripe in `group`. FAILED_PRECONDITION when the map has
  // none. By an old map when a newer one cannot be had. `target`, if not null, is told it also
  // where its node cannot be reached.
  Task<absl::StatusOr<TargetRoute>> Route(PgId group, uint32_t index, Deadline deadline,
                                          std::optional<TargetId>* target = nullptr,
                                          Reach reach = Reach::kPatiently);
  // As Route(), to the target that was the group's before, while not all that it holds has been
  // taken over. NOT_FOUND: there is none.
  Task<absl::StatusOr<TargetRoute>> RouteToFormer(PgId group, uint32_t index, Deadline deadline,
                                                  Reach reach = Reach::kPatiently);
  // Some node that is up, and the same one for the same `choice` while nodes stay; `skip` of them
  // are passed by. UNAVAILABLE: it cannot be reached.
  struct NodeRoute {
    std::shared_ptr<NodeConnection> node;
    uint32_t last_core = 0;
    RouteUse use;
  };
  Task<absl::StatusOr<NodeRoute>> RouteToAnyNode(uint64_t choice, uint32_t skip, Deadline deadline);
  bool background() const { return options_.background; }

  // There is a connection to its node.
  bool IsConnected(TargetId target) const;
  // Its node could not be reached the last time, a few seconds ago at most.
  bool IsOutOfReach(TargetId target) const;
  // Asks the service for placement groups without these targets, which cannot be reached from here,
  // and for the map that has them. Errors are those of a metadata call, or the service's reasons.
  Task<absl::Status> MakeGroupsWithout(std::string redundancy, std::vector<TargetId> avoid,
                                       Deadline deadline);
  // For a writer that goes on in such groups: says so again, aside and not often. They stay as they
  // are for a minute only after the last time.
  void StillWantGroupsWithout(const std::string& redundancy, std::vector<TargetId> avoid);
  // The target of fragment `index` by the map that is here.
  std::optional<TargetId> MemberNow(PgId group, uint32_t index) const;
  // How quickly targets answer reads.
  HedgePolicy& hedges() { return hedges_; }
  // Gives up the connection to the target's node, if there is one: calls under way fail with
  // UNAVAILABLE, later ones connect anew.
  void HangUpOn(TargetId target);
  // Tells the service of a stripe that was read around something, so that it is mended. In the
  // background; what does not get through is forgotten: the scrub finds it, too.
  void ReportStripe(StripeId stripe);
  // For a writer that finds all targets full: says so to the service, and waits for a second.
  // False: no space is coming; for a session in the background, at once.
  Task<bool> WaitForSpace();
  // What parity of all this client's shards is made in.
  ParityPool& parity() { return parity_; }

  // Takes part in every bulk call, beside the connection's own window.
  Semaphore& window() { return window_; }
  // Takes a unit of `window`, this one or a connection's. A node that serves many clients gives
  // each a turn after the other, so waiting is no fault as long as this client's calls go on:
  // DEADLINE_EXCEEDED when none has ended well for `patience`, CANCELLED when stopping.
  Task<absl::Status> TakeTurn(Semaphore& window, absl::Duration patience);
  // A bulk call has ended well.
  void NoteProgress() { last_progress_ = Executor::Current().clock().Now(); }

  // Keeps a lease alive until it is forgotten as often as it was kept (the ranks of one process
  // share their attempt's lease). A lease that the service has ended is forgotten by itself.
  void KeepLease(LeaseId lease, absl::Duration ttl);
  void ForgetLease(LeaseId lease);

  // Waits for background work; every later call fails with CANCELLED.
  Task<void> Stop();
  // Sleeps; CANCELLED when stopping.
  Task<absl::Status> Pause(absl::Duration duration) { return SleepFor(duration, stop_); }

 private:
  Task<absl::StatusOr<std::string>> MetaRaw(wire::Method method, std::string request,
                                            Deadline deadline, absl::Duration try_timeout);
  Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> MetaNode(Deadline deadline);
  Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> Node(std::string host_port,
                                                             Deadline deadline);
  // As Node(), tried now and then only, and not for longer than `patience`: one that the map calls
  // down, or by who has another place to go to.
  Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> NodeInHaste(std::string host_port,
                                                                    absl::Duration patience,
                                                                    Deadline deadline);
  const std::string* EndpointOf(TargetId target) const;
  // To one of the nodes that `node` names as having the metadata; `node` itself when it names none.
  Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> MetaNamedBy(
      std::shared_ptr<NodeConnection> node, Deadline deadline);
  bool MapIsOld() const { return map_ == nullptr || map_->version() < newest_map_version(); }
  // At least `version`, if the service has it.
  Task<absl::Status> FetchMap(uint64_t version, Deadline deadline);
  // Not for long, and not soon after it has failed. REQUIRES: there is a map.
  Task<void> TryNewerMap(Deadline deadline);
  // `map` stays alive meanwhile.
  Task<absl::StatusOr<TargetRoute>> RouteBy(const MapIndex& map, const wire::TargetInfo& target,
                                            Deadline deadline, Reach reach);
  Task<bool> AskForSpace();
  Task<void> RepeatWish(std::string redundancy, std::vector<TargetId> avoid);
  Task<void> SendReports();
  // While calls to targets are under way and none gets through, or nodes cannot be reached, looks
  // whether the cluster has found a node down meanwhile: what such a node was asked would else hang
  // until its deadline, and who tries to reach it would hear of no other place to go to.
  void WatchCalls();
  Task<void> RunCallWatch();
  // REQUIRES: the caller holds `fetching_map_`.
  Task<absl::Status> AskForMap(Deadline deadline);
  absl::Status TakeMapChanges(const wire::GetMapReply& reply);
  void HangUpOnNodesDown();
  // A node may be up for the cluster and out of reach from here: one that lets calls wait is asked
  // whether it is there.
  void AskTheSilent();
  Task<void> AskSilent(std::string endpoint, std::shared_ptr<NodeConnection> connection);
  Task<void> RenewLeases();
  Task<absl::Status> RenewAll(Deadline deadline);

  struct NodeSlot {
    std::shared_ptr<NodeConnection> connection;
    // One dial at a time; the others wait for it.
    std::unique_ptr<Semaphore> dialling;
    // The last dial that failed. Final unless it had less time than a dial should have.
    absl::Status failure;
    MonoTime failed_at;
    bool failure_is_final = false;
    bool is_being_asked = false;  // AskSilent()
  };

  Net& net_;
  Random& random_;
  Options options_;
  RpcClient rpc_;
  Semaphore window_;
  ParityPool parity_;
  HedgePolicy hedges_;
  MonoTime last_progress_;
  StopSource stop_;
  Scope scope_;
  bool renewing_ = false;
  // The last that was heard of space, by one for all of this client's writers.
  std::unique_ptr<Semaphore> asking_for_space_ = std::make_unique<Semaphore>(1);
  MonoTime space_asked_at_;
  bool space_is_coming_ = false;
  size_t routes_in_use_ = 0;
  bool watching_calls_ = false;
  MonoTime unreachable_at_;                    // a node, last
  std::map<std::string, MonoTime> next_wish_;  // for groups without some targets, by redundancy
  uint64_t request_client_;
  uint64_t request_sequence_ = 0;
  std::string cluster_id_;  // of the first node that answered; others are refused
  size_t preferred_endpoint_ = 0;
  std::shared_ptr<NodeConnection> metadata_;  // the last that had it
  std::string endpoint_of_metadata_;          // as another node has named it; ""
  uint64_t hung_up_for_ = 0;                  // the map version
  std::set<StripeId> reports_;
  bool reporting_ = false;
  std::shared_ptr<const MapIndex> map_;
  Semaphore fetching_map_{1};
  // Kept from one try to the next, so that those which are cut short get through together.
  MapParts arriving_map_;
  // Off after changes that do not fit: the whole map is asked for once.
  bool takes_map_changes_ = true;
  MonoTime next_map_try_;
  absl::flat_hash_map<std::string, NodeSlot> nodes_;
  struct KeptLease {
    absl::Duration ttl;
    int holders = 0;
  };
  absl::flat_hash_map<LeaseId, KeptLease> leases_;
};

}  // namespace cairn
