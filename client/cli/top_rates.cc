#include "client/cli/top_rates.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "absl/time/time.h"

namespace cairn::cli {
namespace {

double Per(uint64_t before, uint64_t after, double seconds) {
  return after > before ? static_cast<double>(after - before) / seconds : 0;
}

const NodeLoad* SameLife(const std::vector<NodeLoad>& before, const NodeLoad& after) {
  const auto found = std::find_if(before.begin(), before.end(), [&after](const NodeLoad& node) {
    return node.node == after.node && node.life == after.life && node.status.ok();
  });
  return found == before.end() || found->uptime >= after.uptime ? nullptr : &*found;
}

void AddTargets(const NodeLoad& before, const NodeLoad& after, double seconds, NodeRate* node,
                TopRates* rates) {
  for (const TargetLoad& target : after.targets) {
    const auto known =
        std::find_if(before.targets.begin(), before.targets.end(),
                     [&target](const TargetLoad& each) { return each.target == target.target; });
    if (known == before.targets.end()) continue;
    const Rate rate{Per(known->written_bytes, target.written_bytes, seconds),
                    Per(known->read_bytes, target.read_bytes, seconds)};
    node->rate.written += rate.written;
    node->rate.read += rate.read;
    rates->targets.push_back({target.target, after.node, rate});
  }
}

void AddTiers(const NodeLoad& before, const NodeLoad& after, double seconds,
              std::map<std::string, TierRate>* tiers) {
  for (const TierLoad& tier : after.tiers) {
    const auto known =
        std::find_if(before.tiers.begin(), before.tiers.end(),
                     [&tier](const TierLoad& each) { return each.tier == tier.tier; });
    // A tier is told of from its first byte on.
    const TierLoad was = known == before.tiers.end() ? TierLoad() : *known;
    TierRate& rate = (*tiers)[tier.tier];
    rate.tier = tier.tier;
    rate.archived += Per(was.archived_bytes, tier.archived_bytes, seconds);
    rate.recalled += Per(was.recalled_bytes, tier.recalled_bytes, seconds);
    rate.read += Per(was.read_bytes, tier.read_bytes, seconds);
  }
}

OperationRate RateOf(const OperationCount& count, double seconds) {
  OperationRate rate;
  rate.name = count.name;
  rate.calls = Per(0, count.calls, seconds);
  rate.errors = Per(0, count.errors, seconds);
  if (count.calls > 0) rate.latency = count.time / static_cast<double>(count.calls);
  return rate;
}

MountRate RateOf(const MountLoad& load) {
  MountRate mount;
  mount.name = load.name;
  mount.client = load.client;
  mount.path = load.path;
  mount.open_files = load.open_files;
  mount.locks = load.locks;
  mount.interval = load.interval;
  const double seconds = absl::ToDoubleSeconds(load.interval);
  if (seconds <= 0) return mount;
  mount.rate = {Per(0, load.written_bytes, seconds), Per(0, load.read_bytes, seconds)};
  OperationCount all;
  for (const OperationCount& count : load.operations) {
    mount.operations.push_back(RateOf(count, seconds));
    all.calls += count.calls;
    all.errors += count.errors;
    all.time += count.time;
  }
  mount.all = RateOf(all, seconds);
  std::sort(mount.operations.begin(), mount.operations.end(),
            [](const OperationRate& a, const OperationRate& b) {
              return std::tuple(-a.calls, a.name) < std::tuple(-b.calls, b.name);
            });
  return mount;
}

}  // namespace

TopRates RatesBetween(const std::vector<NodeLoad>& before, const std::vector<NodeLoad>& after) {
  TopRates rates;
  std::map<std::string, ClientRate> clients;
  std::map<std::string, TierRate> tiers;
  for (const NodeLoad& now : after) {
    NodeRate node{now.node, now.status, now.sessions, {}};
    if (const NodeLoad* was = SameLife(before, now); was != nullptr && now.status.ok()) {
      const double seconds = absl::ToDoubleSeconds(now.uptime - was->uptime);
      AddTargets(*was, now, seconds, &node, &rates);
      AddTiers(*was, now, seconds, &tiers);
    }
    for (const ClientLoad& client : now.clients) {
      ClientRate& sum = clients[client.name];
      sum.name = client.name;
      ++sum.nodes;
      sum.rate.written += static_cast<double>(client.written_bytes_per_second);
      sum.rate.read += static_cast<double>(client.read_bytes_per_second);
    }
    for (const MountLoad& mount : now.mounts) rates.mounts.push_back(RateOf(mount));
    rates.mount_count += now.mount_count;
    rates.total.written += node.rate.written;
    rates.total.read += node.rate.read;
    rates.nodes.push_back(std::move(node));
  }
  std::sort(rates.nodes.begin(), rates.nodes.end(),
            [](const NodeRate& a, const NodeRate& b) { return a.node < b.node; });
  std::sort(rates.targets.begin(), rates.targets.end(),
            [](const TargetRate& a, const TargetRate& b) {
              return std::tuple(-a.rate.total(), a.target) < std::tuple(-b.rate.total(), b.target);
            });
  for (auto& [name, client] : clients) rates.clients.push_back(std::move(client));
  std::stable_sort(
      rates.clients.begin(), rates.clients.end(),
      [](const ClientRate& a, const ClientRate& b) { return a.rate.total() > b.rate.total(); });
  for (auto& [name, tier] : tiers)
    if (tier.archived + tier.recalled + tier.read > 0) rates.tiers.push_back(std::move(tier));
  return rates;
}

}  // namespace cairn::cli
