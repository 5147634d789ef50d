#include "client/io/session.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "client/io/map_changes.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/tier.pb.h"

namespace cairn {
namespace {

// Parity of twelve stripes of ec:4+2. With the rest of the SDK below what a rank may take.
constexpr uint64_t kParityBytesMax = 24 * kMiB;
constexpr absl::Duration kDialTimeout = absl::Seconds(5);
constexpr absl::Duration kDownDialTimeout = absl::Seconds(1);
constexpr absl::Duration kHastyDialTimeout = absl::Seconds(2);
constexpr absl::Duration kHastyDialInterval = absl::Seconds(5);
// For a newer map than the one that serves: a metadata node that works gives it in a few
// milliseconds, and what a caller has to do must not wait for one that does not.
constexpr absl::Duration kMapPatience = absl::Seconds(1);
constexpr absl::Duration kMapPause = absl::Seconds(1);
// Leases in one renewal: ten bytes each, and so many again in a reply that says they have ended.
constexpr size_t kLeasesPerCall = 4096;
static_assert(kLeasesPerCall * 10 < kMaxMessageBytes - 4 * kKiB, "a renewal must fit a message");
constexpr size_t kReportsMax = 1000;
constexpr int kReportsPerCall = 64;
constexpr absl::Duration kReportPause = absl::Seconds(1);
// No call has got through for so long: something may be wrong.
constexpr absl::Duration kSilence = absl::Seconds(2);
constexpr absl::Duration kWatchInterval = absl::Seconds(1);
// A node that works answers at once that it is there, however long its disks take.
constexpr absl::Duration kPingTimeout = absl::Seconds(2);
// A third of what the service keeps groups for that were wished for.
constexpr absl::Duration kWishInterval = absl::Seconds(20);
// Between two questions whether space is coming: thousands of ranks ask.
constexpr absl::Duration kSpacePause = absl::Seconds(1);
constexpr int kSpaceAsks = 3;
constexpr absl::Duration kBackoffMin = absl::Milliseconds(10);
constexpr absl::Duration kBackoffMax = absl::Milliseconds(500);

// splitmix64's finish: every bit of the result hangs on every bit of the number.
uint64_t Mix(uint64_t number) {
  number ^= number >> 30;
  number *= 0xbf58476d1ce4e5b9;
  number ^= number >> 27;
  number *= 0x94d049bb133111eb;
  return number ^ number >> 31;
}

bool WorthRetrying(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace

Session::Session(Net& net, Random& random, Options options)
    : net_(net),
      random_(random),
      options_(std::move(options)),
      rpc_(net, random, options_.name),
      window_(options_.window),
      parity_(net, kParityBytesMax),
      request_client_(random.Next()) {
  CAIRN_CHECK(!options_.endpoints.empty());
}

Session::~Session() = default;

Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> Session::Node(std::string host_port,
                                                                    Deadline deadline) {
  NodeSlot& slot = nodes_[host_port];
  if (slot.connection != nullptr && !slot.connection->lost()) co_return slot.connection;
  if (slot.dialling == nullptr) slot.dialling = std::make_unique<Semaphore>(1);
  Semaphore& dialling = *slot.dialling;
  const MonoTime began = Executor::Current().clock().Now();
  CO_RETURN_IF_ERROR(co_await dialling.Acquire(1, deadline));
  // Slots are never erased, but the map may have moved them.
  if (auto& ready = nodes_[host_port].connection; ready != nullptr && !ready->lost()) {
    std::shared_ptr<NodeConnection> connection = ready;
    dialling.Release(1);
    co_return connection;
  }
  // Who has waited for another's dial has its answer: else each would wait once more.
  if (const NodeSlot& dialled = nodes_[host_port];
      dialled.failure_is_final && dialled.failed_at > began) {
    absl::Status failure = dialled.failure;
    dialling.Release(1);
    co_return failure;
  }
  const Clock& clock = Executor::Current().clock();
  const bool in_haste = deadline.Remaining(clock) < kDialTimeout;
  const Deadline dial_deadline = Earlier(deadline, Deadline::After(clock, kDialTimeout));
  absl::StatusOr<std::unique_ptr<NodeConnection>> dialled =
      co_await rpc_.Connect(host_port, cluster_id_, dial_deadline);
  if (dialled.ok()) {
    cluster_id_ = (*dialled)->hello().cluster_id();
    nodes_[host_port].connection = std::move(*dialled);
  }
  if (!dialled.ok()) {
    NodeSlot& failed = nodes_[host_port];
    failed.failure = dialled.status();
    failed.failed_at = clock.Now();
    failed.failure_is_final = !in_haste || !absl::IsDeadlineExceeded(dialled.status());
  }
  dialling.Release(1);
  if (!dialled.ok()) co_return dialled.status();
  co_return nodes_[host_port].connection;
}

Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> Session::NodeInHaste(std::string host_port,
                                                                           absl::Duration patience,
                                                                           Deadline deadline) {
  const Clock& clock = Executor::Current().clock();
  const NodeSlot& slot = nodes_[host_port];
  const bool connected = slot.connection != nullptr && !slot.connection->lost();
  if (!connected && !slot.failure.ok() && clock.Now() - slot.failed_at < kHastyDialInterval)
    co_return slot.failure;
  co_return co_await Node(host_port, Earlier(deadline, Deadline::After(clock, patience)));
}

const std::string* Session::EndpointOf(TargetId target) const {
  const wire::TargetInfo* const info = map_ == nullptr ? nullptr : map_->FindTarget(target);
  const wire::NodeInfo* const node =
      info == nullptr ? nullptr : map_->FindNode(NodeId(info->node()));
  return node == nullptr ? nullptr : &node->endpoint();
}

bool Session::IsConnected(TargetId target) const {
  const std::string* const endpoint = EndpointOf(target);
  const auto slot = endpoint == nullptr ? nodes_.end() : nodes_.find(*endpoint);
  return slot != nodes_.end() && slot->second.connection != nullptr &&
         !slot->second.connection->lost();
}

bool Session::IsOutOfReach(TargetId target) const {
  const std::string* const endpoint = EndpointOf(target);
  const auto slot = endpoint == nullptr ? nodes_.end() : nodes_.find(*endpoint);
  if (slot == nodes_.end() || slot->second.failure.ok()) return false;
  const std::shared_ptr<NodeConnection>& connection = slot->second.connection;
  if (connection != nullptr && !connection->lost()) return false;
  return Executor::Current().clock().Now() - slot->second.failed_at < kHastyDialInterval;
}

Task<absl::Status> Session::MakeGroupsWithout(std::string redundancy, std::vector<TargetId> avoid,
                                              Deadline deadline) {
  wire::MakeGroupsRequest request;
  request.set_redundancy(std::move(redundancy));
  for (TargetId target : avoid) request.add_avoid_targets(target.value());
  absl::StatusOr<wire::MakeGroupsReply> made =
      co_await Meta<wire::MakeGroupsReply>(wire::MAKE_GROUPS, std::move(request), deadline);
  if (!made.ok()) co_return made.status();
  if (map_ != nullptr && map_->version() >= made->map_version()) co_return absl::OkStatus();
  co_return co_await RefreshMap(deadline);
}

Task<bool> Session::WaitForSpace() {
  if (options_.background) co_return false;
  const Clock& clock = Executor::Current().clock();
  const absl::Status turn =
      co_await asking_for_space_->Acquire(1, Deadline::After(clock, kMetaTryTimeout));
  if (!turn.ok()) co_return false;
  if (clock.Now() - space_asked_at_ >= kSpacePause) {
    space_is_coming_ = co_await AskForSpace();
    space_asked_at_ = clock.Now();
  }
  asking_for_space_->Release(1);
  if (!space_is_coming_) co_return false;
  const absl::Status paused = co_await Pause(kSpacePause);
  co_return paused.ok();
}

// What is coming may not be known yet when the targets are full already: a commit that lets go of
// an older checkpoint, say.
Task<bool> Session::AskForSpace() {
  for (int i = 0; i < kSpaceAsks; ++i) {
    const absl::StatusOr<wire::AskForSpaceReply> reply = co_await Meta<wire::AskForSpaceReply>(
        wire::ASK_FOR_SPACE, wire::AskForSpaceRequest(),
        Deadline::After(Executor::Current().clock(), kMetaTryTimeout));
    if (!reply.ok()) co_return false;
    if (reply->coming()) co_return true;
    const absl::Status paused = co_await Pause(kSpacePause);
    if (!paused.ok()) co_return false;
  }
  co_return false;
}

void Session::StillWantGroupsWithout(const std::string& redundancy, std::vector<TargetId> avoid) {
  const MonoTime now = Executor::Current().clock().Now();
  MonoTime& next = next_wish_[redundancy];
  if (stop_.stop_requested() || now < next) return;
  next = now + kWishInterval;
  scope_.Spawn(RepeatWish(redundancy, std::move(avoid)));
}

Task<void> Session::RepeatWish(std::string redundancy, std::vector<TargetId> avoid) {
  (void)co_await MakeGroupsWithout(std::move(redundancy), std::move(avoid),
                                   Deadline::After(Executor::Current().clock(), kWishInterval));
}

Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> Session::MetaNamedBy(
    std::shared_ptr<NodeConnection> node, Deadline deadline) {
  if (node->hello().meta_endpoints().empty()) co_return node;
  absl::Status failure;
  for (const std::string& named : node->hello().meta_endpoints()) {
    absl::StatusOr<std::shared_ptr<NodeConnection>> meta = co_await Node(named, deadline);
    if (!meta.ok()) {
      failure = absl::Status(meta.status().code(), StrCat("the metadata at ", named, ": ",
                                                          ToStd(meta.status().message())));
    } else if ((*meta)->hello().meta_endpoints().empty()) {
      endpoint_of_metadata_ = named;
      co_return meta;
    } else {
      failure = absl::UnavailableError(StrCat(named, " does not keep the metadata any more"));
    }
  }
  co_return failure;
}

Task<absl::StatusOr<std::shared_ptr<NodeConnection>>> Session::MetaNode(Deadline deadline) {
  // As long as it is there it does not matter what became of the node that has named it.
  if (metadata_ != nullptr && !metadata_->lost()) co_return metadata_;
  std::vector<std::string> failures;
  absl::StatusCode code = absl::StatusCode::kUnavailable;
  for (size_t i = 0; i < options_.endpoints.size(); ++i) {
    const size_t choice = (preferred_endpoint_ + i) % options_.endpoints.size();
    const std::string& endpoint = options_.endpoints[choice];
    // A silent one must leave time for the others.
    const Clock& clock = Executor::Current().clock();
    const auto left = static_cast<int64_t>(options_.endpoints.size() - i);
    const Deadline share = Deadline::After(clock, deadline.Remaining(clock) / left);
    absl::StatusOr<std::shared_ptr<NodeConnection>> node =
        co_await Node(endpoint, Earlier(deadline, share));
    if (node.ok()) node = co_await MetaNamedBy(*std::move(node), Earlier(deadline, share));
    if (node.ok()) {
      preferred_endpoint_ = choice;
      metadata_ = *node;
      co_return node;
    }
    if (absl::IsCancelled(node.status())) co_return node.status();
    // A refusal in words is final; silence is not.
    if (!WorthRetrying(node.status())) code = node.status().code();
    failures.push_back(StrCat(endpoint, ": ", node.status().message()));
  }
  if (!endpoint_of_metadata_.empty()) {
    // The nodes that the user named are gone; the one they have named may be back, or never left.
    absl::StatusOr<std::shared_ptr<NodeConnection>> node =
        co_await Node(endpoint_of_metadata_, deadline);
    if (node.ok()) {
      metadata_ = *node;
      co_return node;
    }
    failures.push_back(StrCat(endpoint_of_metadata_, ": ", node.status().message()));
  }
  co_return absl::Status(code, StrCat("no Cairn node answers (", absl::StrJoin(failures, "; "),
                                      "); is cairnd running there?"));
}

Task<absl::StatusOr<std::string>> Session::MetaRaw(wire::Method method, std::string request,
                                                   Deadline deadline, absl::Duration try_timeout) {
  const RequestId id{request_client_, ++request_sequence_};
  absl::Duration backoff = kBackoffMin;
  while (true) {
    if (stop_.stop_requested()) co_return absl::CancelledError("the client is closing");
    absl::StatusOr<std::shared_ptr<NodeConnection>> node = co_await MetaNode(deadline);
    absl::Status failure = node.status();
    if (node.ok()) {
      const Deadline try_deadline =
          Earlier(deadline, Deadline::After(Executor::Current().clock(), try_timeout));
      CallOptions options{try_deadline, {}, id};
      absl::StatusOr<std::string> body =
          co_await (*node)->CallRaw(0, method, request, std::move(options));
      if (body.ok() || !WorthRetrying(body.status())) co_return body;
      failure = body.status();
    } else if (!WorthRetrying(failure)) {
      co_return failure;
    }
    if (deadline.Remaining(Executor::Current().clock()) <= backoff) co_return failure;
    CO_RETURN_IF_ERROR(co_await SleepFor(backoff, stop_));
    backoff = std::min(backoff * 2, kBackoffMax);
  }
}

Task<absl::Status> Session::TakeTurn(Semaphore& window, absl::Duration patience) {
  const MonoTime began = Executor::Current().clock().Now();
  while (true) {
    const Deadline deadline(std::max(began, last_progress_) + patience);
    absl::Status taken = co_await window.Acquire(1, deadline);
    if (!absl::IsDeadlineExceeded(taken)) co_return taken;
    // Something got through meanwhile: the queue moves.
    const bool moves = std::max(began, last_progress_) + patience > deadline.at();
    if (!moves) {
      co_return absl::DeadlineExceededError(
          StrCat("none of this client's transfers has ended for ", absl::FormatDuration(patience)));
    }
  }
}

Task<absl::Status> Session::FetchMap(uint64_t version, Deadline deadline) {
  CO_RETURN_IF_ERROR(co_await fetching_map_.Acquire(1, deadline));
  if (map_ != nullptr && map_->version() >= version) {
    fetching_map_.Release(1);
    co_return absl::OkStatus();  // fetched by another while this one waited
  }
  absl::Status asked = co_await AskForMap(deadline);
  fetching_map_.Release(1);
  co_return asked;
}

Task<absl::Status> Session::AskForMap(Deadline deadline) {
  const uint64_t known_version = map_ == nullptr ? 0 : map_->version();
  while (true) {
    wire::GetMapRequest request = arriving_map_.Next(known_version);
    request.set_takes_changes(map_ != nullptr && takes_map_changes_);
    absl::StatusOr<wire::GetMapReply> reply =
        co_await Meta<wire::GetMapReply>(wire::GET_MAP, std::move(request), deadline);
    if (!reply.ok()) co_return reply.status();
    if (!reply->changes().empty()) co_return TakeMapChanges(*reply);
    CO_ASSIGN_OR_RETURN(MapParts::Taken taken,
                        arriving_map_.Take(*std::move(reply), known_version));
    if (taken.map.has_value()) {
      map_ = std::make_shared<const MapIndex>(*std::move(taken.map));
      takes_map_changes_ = true;
    }
    if (!taken.more) break;
    // Of a map that changes faster than it is fetched only beginnings come.
    if (deadline.HasPassed(Executor::Current().clock()))
      co_return absl::DeadlineExceededError("the cluster map did not come whole in time");
  }
  if (map_ == nullptr) co_return absl::DataLossError("the service says that it has no cluster map");
  co_return absl::OkStatus();
}

absl::Status Session::TakeMapChanges(const wire::GetMapReply& reply) {
  takes_map_changes_ = false;
  if (map_ == nullptr) return absl::DataLossError("changes of a cluster map that nobody has");
  ASSIGN_OR_RETURN(wire::ClusterMap map, ApplyMapChanges(map_->map(), reply.changes()));
  takes_map_changes_ = true;
  arriving_map_ = MapParts();
  map_ = std::make_shared<const MapIndex>(std::move(map));
  return absl::OkStatus();
}

uint64_t Session::newest_map_version() const {
  uint64_t newest = map_ == nullptr ? 0 : map_->version();
  for (const auto& [endpoint, slot] : nodes_) {
    if (slot.connection != nullptr) newest = std::max(newest, slot.connection->map_version());
  }
  return newest;
}

Task<absl::StatusOr<std::shared_ptr<const MapIndex>>> Session::NewestMap(Deadline deadline) {
  if (MapIsOld()) {
    absl::Status fetched = co_await FetchMap(newest_map_version(), deadline);
    if (!fetched.ok()) co_return fetched;
  }
  co_return map_;
}

Task<absl::StatusOr<std::shared_ptr<const MapIndex>>> Session::Map(Deadline deadline) {
  if (map_ == nullptr) co_return co_await NewestMap(deadline);
  if (MapIsOld()) co_await TryNewerMap(deadline);
  co_return map_;
}

Task<void> Session::TryNewerMap(Deadline deadline) {
  const Clock& clock = Executor::Current().clock();
  if (clock.Now() < next_map_try_) co_return;
  const Deadline patience = Earlier(deadline, Deadline::After(clock, kMapPatience));
  absl::Status fetched = co_await fetching_map_.Acquire(1, patience);
  if (fetched.ok()) {
    // Another may have got it meanwhile, or have failed to.
    if (MapIsOld() && clock.Now() >= next_map_try_) fetched = co_await AskForMap(patience);
    fetching_map_.Release(1);
  }
  if (!fetched.ok()) next_map_try_ = clock.Now() + kMapPause;
}

Task<absl::StatusOr<TargetRoute>> Session::Route(PgId group, uint32_t index, Deadline deadline,
                                                 std::optional<TargetId>* asked, Reach reach) {
  while (true) {
    absl::StatusOr<std::shared_ptr<const MapIndex>> map = co_await Map(deadline);
    // What an old map lacks is worth waiting for.
    if (map.ok() && !(*map)->MemberOf(group, index).ok()) map = co_await NewestMap(deadline);
    if (!map.ok()) co_return map.status();
    CO_ASSIGN_OR_RETURN(const wire::TargetInfo* const target, (*map)->MemberOf(group, index));
    if (asked != nullptr) *asked = TargetId(target->id());
    absl::StatusOr<TargetRoute> route = co_await RouteBy(**map, *target, deadline, reach);
    // The hello of a node that has restarted tells of a newer map, in which the target may be on
    // another core. Ends, because the map is a newer one each time.
    const bool stale = route.ok() && route->node->map_version() > (*map)->version();
    if (!stale) co_return route;
    const absl::StatusOr<std::shared_ptr<const MapIndex>> newer = co_await Map(deadline);
    if (!newer.ok()) co_return newer.status();
    // It cannot be had now. A node refuses what is not meant for it, so the old one may be tried.
    if ((*newer)->version() <= (*map)->version()) co_return route;
  }
}

Task<absl::StatusOr<TargetRoute>> Session::RouteToFormer(PgId group, uint32_t index,
                                                         Deadline deadline, Reach reach) {
  const std::shared_ptr<const MapIndex> map = map_;
  const wire::TargetInfo* const former = map == nullptr ? nullptr : map->FormerOf(group, index);
  if (former == nullptr) co_return absl::NotFoundError("no other target may hold it");
  co_return co_await RouteBy(*map, *former, deadline, reach);
}

Task<absl::StatusOr<TargetRoute>> Session::RouteBy(const MapIndex& map,
                                                   const wire::TargetInfo& target,
                                                   Deadline deadline, Reach reach) {
  const TargetId target_id(target.id());
  const uint32_t node_id = target.node();
  const wire::NodeInfo* const info = map.FindNode(NodeId(node_id));
  // A single node is reached by the address the user gave, which may be a forwarded one.
  std::string endpoint = options_.endpoints[preferred_endpoint_];
  if (map.map().nodes_size() > 1 && info != nullptr) endpoint = info->endpoint();
  const uint32_t core = target.core();
  const bool down =
      info != nullptr && (info->state() == wire::NODE_DOWN || info->state() == wire::NODE_OUT);
  RouteUse use(&routes_in_use_);
  WatchCalls();
  const absl::Duration patience = down ? kDownDialTimeout : kHastyDialTimeout;
  auto reached = down || reach == Reach::kInHaste ? NodeInHaste(endpoint, patience, deadline)
                                                  : Node(endpoint, deadline);
  absl::StatusOr<std::shared_ptr<NodeConnection>> node = co_await std::move(reached);
  if (!node.ok()) {
    // That one which is down cannot be reached is no news.
    if (!down) unreachable_at_ = Executor::Current().clock().Now();
    co_return node.status();
  }
  // The map is older than a move of the node, or than its restart with fewer cores.
  const wire::HelloReply& hello = (*node)->hello();
  if (hello.node_id() != node_id || core >= static_cast<uint32_t>(hello.core_addresses_size())) {
    unreachable_at_ = Executor::Current().clock().Now();
    co_return absl::UnavailableError(
        StrCat("core ", core, " of node ", node_id, " is not at ", endpoint, " any more"));
  }
  co_return TargetRoute{*std::move(node), core, target_id, std::move(use), map.version()};
}

Task<absl::StatusOr<Session::NodeRoute>> Session::RouteToAnyNode(uint64_t choice, uint32_t skip,
                                                                 Deadline deadline) {
  const absl::StatusOr<std::shared_ptr<const MapIndex>> map = co_await Map(deadline);
  if (!map.ok()) co_return map.status();
  // By rendezvous: a node that goes or comes changes little for others.
  std::vector<std::pair<uint64_t, const wire::NodeInfo*>> nodes;
  for (const wire::NodeInfo& node : (*map)->map().nodes()) {
    const bool away = node.state() == wire::NODE_DOWN || node.state() == wire::NODE_OUT;
    if (!away) nodes.emplace_back(Mix(choice ^ Mix(node.id())), &node);
  }
  if (nodes.empty()) co_return absl::UnavailableError("no node is up");
  std::sort(nodes.begin(), nodes.end());
  const wire::NodeInfo& chosen = *nodes[skip % nodes.size()].second;
  std::string endpoint = options_.endpoints[preferred_endpoint_];
  if ((*map)->map().nodes_size() > 1) endpoint = chosen.endpoint();
  RouteUse use(&routes_in_use_);
  WatchCalls();
  absl::StatusOr<std::shared_ptr<NodeConnection>> node =
      co_await NodeInHaste(endpoint, kHastyDialTimeout, deadline);
  if (!node.ok()) co_return node.status();
  const auto cores = static_cast<uint32_t>((*node)->hello().core_addresses_size());
  co_return NodeRoute{*std::move(node), cores - 1, std::move(use)};
}

void Session::WatchCalls() {
  if (stop_.stop_requested() || std::exchange(watching_calls_, true)) return;
  scope_.Spawn(RunCallWatch());
}

Task<void> Session::RunCallWatch() {
  const Clock& clock = Executor::Current().clock();
  while (!stop_.stop_requested()) {
    absl::Status slept = co_await SleepFor(kWatchInterval, stop_);
    const bool unreachable = clock.Now() - unreachable_at_ < kSilence;
    if (!slept.ok() || (routes_in_use_ == 0 && !unreachable)) break;
    AskTheSilent();
    if (clock.Now() - last_progress_ < kSilence && !unreachable) continue;
    absl::Status refreshed = co_await RefreshMap(Deadline::After(clock, kWatchInterval));
    if (refreshed.ok()) HangUpOnNodesDown();
  }
  watching_calls_ = false;
}

Task<absl::Status> Session::RefreshMap(Deadline deadline) {
  CO_RETURN_IF_ERROR(co_await fetching_map_.Acquire(1, deadline));
  absl::Status asked = co_await AskForMap(deadline);
  fetching_map_.Release(1);
  co_return asked;
}

void Session::AskTheSilent() {
  // Of a single one the answer would change nothing.
  if (map_ == nullptr || map_->map().nodes_size() < 2) return;
  for (auto& [endpoint, slot] : nodes_) {
    const std::shared_ptr<NodeConnection>& connection = slot.connection;
    if (connection == nullptr || connection->lost() || slot.is_being_asked) continue;
    if (connection->silence() < kSilence) continue;
    slot.is_being_asked = true;
    scope_.Spawn(AskSilent(endpoint, connection));
  }
}

Task<void> Session::AskSilent(std::string endpoint, std::shared_ptr<NodeConnection> connection) {
  CallOptions options{Deadline::After(Executor::Current().clock(), kPingTimeout), {}, {}};
  const absl::StatusOr<std::string> there =
      co_await connection->CallRaw(0, wire::PING, "", std::move(options));
  NodeSlot& slot = nodes_[endpoint];
  slot.is_being_asked = false;
  if (!absl::IsDeadlineExceeded(there.status()) || connection->lost()) co_return;
  slot.failure = absl::UnavailableError(StrCat(endpoint, ": no answer from this node"));
  slot.failed_at = Executor::Current().clock().Now();
  slot.failure_is_final = true;
  connection->HangUp(slot.failure);
}

void Session::HangUpOnNodesDown() {
  // Once: whoever is reached all the same, from here, is not to be cut off again and again.
  if (map_ == nullptr || map_->version() == hung_up_for_) return;
  const std::shared_ptr<const MapIndex> map = map_;
  hung_up_for_ = map->version();
  for (const wire::NodeInfo& node : map->map().nodes()) {
    if (node.state() != wire::NODE_DOWN && node.state() != wire::NODE_OUT) continue;
    const auto slot = nodes_.find(node.endpoint());
    if (slot == nodes_.end()) continue;
    const std::shared_ptr<NodeConnection> connection = slot->second.connection;
    if (connection == nullptr || connection->lost()) continue;
    connection->HangUp(absl::UnavailableError(
        StrCat(node.endpoint(), ": the cluster has not heard from this node for a while")));
  }
}

void Session::HangUpOn(TargetId target) {
  const std::string* const endpoint = EndpointOf(target);
  const auto slot = endpoint == nullptr ? nodes_.end() : nodes_.find(*endpoint);
  if (slot == nodes_.end() || slot->second.connection == nullptr) return;
  const std::shared_ptr<NodeConnection> connection = slot->second.connection;
  connection->HangUp(absl::UnavailableError(StrCat(*endpoint, ": no answer to a read")));
}

std::optional<TargetId> Session::MemberNow(PgId group, uint32_t index) const {
  if (map_ == nullptr) return std::nullopt;
  const absl::StatusOr<const wire::TargetInfo*> target = map_->MemberOf(group, index);
  if (!target.ok()) return std::nullopt;
  return TargetId((*target)->id());
}

void Session::ReportStripe(StripeId stripe) {
  if (stop_.stop_requested() || reports_.size() >= kReportsMax) return;
  reports_.insert(stripe);
  if (!std::exchange(reporting_, true)) scope_.Spawn(SendReports());
}

Task<void> Session::SendReports() {
  while (!reports_.empty()) {
    // Many come together.
    absl::Status slept = co_await SleepFor(kReportPause, stop_);
    if (!slept.ok()) break;
    wire::ReportStripesRequest request;
    while (!reports_.empty() && request.stripes_size() < kReportsPerCall) {
      request.add_stripes(reports_.begin()->value());
      reports_.erase(reports_.begin());
    }
    (void)co_await Meta<wire::ReportStripesReply>(
        wire::REPORT_STRIPES, std::move(request),
        Deadline::After(Executor::Current().clock(), kMetaTryTimeout));
  }
  reporting_ = false;
}

void Session::KeepLease(LeaseId lease, absl::Duration ttl) {
  KeptLease& kept = leases_[lease];
  kept.ttl = ttl;
  ++kept.holders;
  if (renewing_) return;
  renewing_ = true;
  scope_.Spawn(RenewLeases());
}

void Session::ForgetLease(LeaseId lease) {
  const auto kept = leases_.find(lease);
  if (kept != leases_.end() && --kept->second.holders == 0) leases_.erase(kept);
}

Task<void> Session::RenewLeases() {
  bool renewed = true;
  while (!leases_.empty() && !stop_.stop_requested()) {
    absl::Duration ttl = absl::InfiniteDuration();
    for (const auto& [lease, kept] : leases_) ttl = std::min(ttl, kept.ttl);
    absl::Status slept = co_await SleepFor(renewed ? ttl / 3 : ttl / 30, stop_);
    if (!slept.ok() || leases_.empty()) break;
    // A renewal that failed has taken a third of the lease; the next one still comes in time.
    renewed = (co_await RenewAll(Deadline::After(Executor::Current().clock(), ttl / 3))).ok();
  }
  renewing_ = false;
}

Task<absl::Status> Session::RenewAll(Deadline deadline) {
  std::vector<LeaseId> kept;
  for (const auto& [lease, each] : leases_) kept.push_back(lease);
  for (size_t at = 0; at < kept.size();) {
    wire::RenewLeasesRequest request;
    const size_t end = std::min(kept.size(), at + kLeasesPerCall);
    for (; at < end; ++at) request.add_leases(kept[at].value());
    absl::StatusOr<wire::RenewLeasesReply> reply =
        co_await Meta<wire::RenewLeasesReply>(wire::RENEW_LEASES, std::move(request), deadline);
    if (!reply.ok()) co_return reply.status();
    for (uint64_t ended : reply->ended()) leases_.erase(LeaseId(ended));
  }
  co_return absl::OkStatus();
}

Task<void> Session::Stop() {
  stop_.RequestStop();
  window_.Break();
  fetching_map_.Break();
  for (auto& [endpoint, slot] : nodes_) {
    if (slot.dialling != nullptr) slot.dialling->Break();
  }
  co_await rpc_.Stop();
  co_await scope_.Join();
  metadata_.reset();
  nodes_.clear();
  parity_.Drop();
}

}  // namespace cairn
