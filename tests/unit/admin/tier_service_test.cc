// Goal: a tier is noted only once every node that is up can use it; a check tells of each node how
// it went. Method: the service over the real metadata, with a map of three nodes whose probes the
// test answers.
#include "server/admin/tier_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/task/stop.h"
#include "tests/sim/sim_net.h"
#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class TierServiceTest : public MetaTest {
 protected:
  TierServiceTest() {
    for (uint32_t id : {1, 2, 3}) {
      map_.add_nodes()->set_id(id);
      map_.mutable_nodes()->rbegin()->set_state(wire::NODE_UP);
    }
  }

  Task<absl::StatusOr<wire::ProbeTierReply>> Answer(wire::NodeInfo node,
                                                    wire::ProbeTierRequest request,
                                                    Deadline deadline) {
    probed_.push_back(StrCat(node.id(), request.prepare() ? " prepares" : ""));
    if (unreachable_.contains(node.id())) co_return absl::UnavailableError("no route");
    if (slow_.contains(node.id())) {
      StopSource never;
      (void)co_await SleepUntil(deadline, never);
      co_return absl::DeadlineExceededError("silent");
    }
    wire::ProbeTierReply reply;
    reply.add_steps()->set_name("open");
    reply.mutable_steps(0)->set_took_us(10 * node.id());
    if (request.prepare()) co_return reply;
    auto* put = reply.add_steps();
    put->set_name("put");
    put->set_took_us(100);
    if (refusing_.contains(node.id())) {
      put->set_code(static_cast<uint32_t>(absl::StatusCode::kPermissionDenied));
      put->set_error("403");
      put->set_hint("check the rights");
    }
    co_return reply;
  }

  CallContext Call() {
    return CallContext(*net_, PeerId(1), SessionId(1),
                       Deadline::After(executor_.clock(), patience_), RequestId(), {});
  }
  absl::StatusOr<wire::AddTierReply> Add(const std::string& name, const std::string& location,
                                         bool unchecked = false) {
    wire::AddTierRequest request;
    request.mutable_spec()->set_name(name);
    request.mutable_spec()->set_location(location);
    request.set_unchecked(unchecked);
    CallContext call = Call();
    return executor_.Run(service_.AddTier(call, request));
  }
  absl::StatusOr<wire::CheckTierReply> Check(const std::string& name) {
    wire::CheckTierRequest request;
    request.set_name(name);
    CallContext call = Call();
    return executor_.Run(service_.CheckTier(call, request));
  }
  absl::Status RemoveTier(const std::string& name, bool dry_run) {
    wire::RemoveTierRequest request;
    request.set_name(name);
    request.set_dry_run(dry_run);
    CallContext call = Call();
    return executor_.Run(service_.RemoveTier(call, request)).status();
  }
  std::vector<std::string> Names() {
    CallContext call = Call();
    const auto reply = executor_.Run(service_.ListTiers(call, wire::ListTiersRequest()));
    EXPECT_THAT(reply, IsOk());
    std::vector<std::string> names;
    for (const wire::TierInfo& tier : reply->tiers()) names.push_back(tier.spec().name());
    return names;
  }

  SimFabric fabric_{executor_};
  std::unique_ptr<SimNet> net_ = fabric_.MakeNet("node-1");
  wire::ClusterMap map_;
  std::vector<std::string> probed_;
  std::set<uint32_t> unreachable_;
  std::set<uint32_t> refusing_;
  std::set<uint32_t> slow_;
  absl::Duration patience_ = absl::Minutes(2);
  TierService service_{
      *engine_,
      {[this]() -> const wire::ClusterMap& { return map_; },
       [this](wire::NodeInfo node, wire::ProbeTierRequest request, Deadline deadline) {
         return Answer(std::move(node), std::move(request), deadline);
       }}};
};

TEST_F(TierServiceTest, ATierIsNotedOnceAllNodesHaveTriedIt) {
  const auto added = Add("archive", "/mnt/archive/");
  ASSERT_THAT(added, IsOk());
  EXPECT_EQ(added->tier().spec().location(), "dir:///mnt/archive");
  EXPECT_EQ(added->nodes_ok(), 3u);
  EXPECT_FALSE(added->existed());
  ASSERT_FALSE(probed_.empty());
  EXPECT_EQ(probed_[0], "1 prepares");
  EXPECT_THAT(probed_, UnorderedElementsAre("1 prepares", "1", "2", "3"));
  EXPECT_THAT(Names(), ElementsAre("archive"));
  // What is there is not made a store again: it may only not be mounted.
  probed_.clear();
  EXPECT_TRUE(Add("archive", "dir:///mnt/archive")->existed());
  EXPECT_THAT(probed_, UnorderedElementsAre("1", "2", "3"));
}

TEST_F(TierServiceTest, OneThatANodeCannotUseIsRefused) {
  refusing_ = {3};
  EXPECT_THAT(
      Add("archive", "/mnt/archive"),
      Fails(kPrecondition, "1 of 3 nodes cannot use it: node 3, put: 403; check the rights"));
  unreachable_ = {2};
  EXPECT_THAT(Add("archive", "/mnt/archive"), Fails(kPrecondition, "node 2: no route"));
  EXPECT_THAT(Names(), IsEmpty());
  // Whoever wants it nonetheless has it.
  refusing_ = {1, 2, 3};
  EXPECT_THAT(Add("archive", "/mnt/archive", /*unchecked=*/true), IsOk());
  EXPECT_THAT(Names(), ElementsAre("archive"));
}

TEST_F(TierServiceTest, NothingIsTriedInAPlaceThatIsAnothers) {
  ASSERT_THAT(Add("archive", "/mnt/archive"), IsOk());
  probed_.clear();
  EXPECT_THAT(Add("other", "/mnt/archive"), Fails(kExists, "tier archive is at"));
  EXPECT_THAT(Add("archive", "/mnt/other"), Fails(kExists, "another tier archive"));
  EXPECT_THAT(Add("Archive", "/mnt/other"), Fails(kInvalid, "no tier's name"));
  EXPECT_THAT(Add("other", "ftp://x"), Fails(kInvalid, ""));
  EXPECT_THAT(probed_, IsEmpty());
}

TEST_F(TierServiceTest, NodesThatAreDownDoNotCount) {
  map_.mutable_nodes(0)->set_state(wire::NODE_DOWN);
  const auto added = Add("archive", "/mnt/archive");
  ASSERT_THAT(added, IsOk());
  EXPECT_EQ(added->nodes_ok(), 2u);
  EXPECT_THAT(probed_, UnorderedElementsAre("2 prepares", "2", "3"));
  EXPECT_EQ(Check("archive")->nodes_away(), 1u);
}

TEST_F(TierServiceTest, ACheckTellsOfEachNodeHowItWent) {
  ASSERT_THAT(Add("archive", "/mnt/archive"), IsOk());
  refusing_ = {1};
  unreachable_ = {2};
  const auto check = Check("archive");
  ASSERT_THAT(check, IsOk());
  EXPECT_EQ(check->tier().spec().name(), "archive");
  EXPECT_EQ(check->nodes_asked(), 3u);
  EXPECT_EQ(check->nodes_ok(), 1u);
  ASSERT_EQ(check->steps_size(), 2);
  EXPECT_EQ(check->steps(0).name(), "open");
  EXPECT_EQ(check->steps(0).slowest_us(), 30u);
  EXPECT_EQ(check->steps(0).slowest_node(), 3u);
  ASSERT_EQ(check->failures_size(), 2);
  EXPECT_EQ(check->failures(0).node(), 1u);
  EXPECT_EQ(check->failures(0).step(), "put");
  EXPECT_EQ(check->failures(0).hint(), "check the rights");
  EXPECT_EQ(check->failures(1).step(), "");
  EXPECT_THAT(check->failures(1).error(), HasSubstr("no route"));
  EXPECT_THAT(Check("nothing"), Fails(kNotFound, "\"nothing\""));
}

TEST_F(TierServiceTest, OfManyNodesThatFailSomeAreTold) {
  ASSERT_THAT(Add("archive", "/mnt/archive"), IsOk());
  for (uint32_t id = 4; id <= 256; ++id) {
    map_.add_nodes()->set_id(id);
    map_.mutable_nodes()->rbegin()->set_state(wire::NODE_UP);
  }
  for (uint32_t id = 101; id <= 256; ++id) refusing_.insert(id);
  const auto check = Check("archive");
  ASSERT_THAT(check, IsOk());
  EXPECT_EQ(check->nodes_asked(), 256u);
  EXPECT_EQ(check->nodes_ok(), 100u);
  EXPECT_EQ(check->failures_size(), 32);
}

TEST_F(TierServiceTest, NodesThatTakeTooLongAreToldOfInTime) {
  ASSERT_THAT(Add("archive", "/mnt/archive"), IsOk());
  slow_ = {2};
  patience_ = absl::Seconds(30);
  const MonoTime began = executor_.clock().Now();
  const auto check = Check("archive");
  ASSERT_THAT(check, IsOk());
  EXPECT_LT(executor_.clock().Now() - began, patience_) << "while somebody still waits";
  EXPECT_EQ(check->nodes_ok(), 2u);
  ASSERT_EQ(check->failures_size(), 1);
  EXPECT_EQ(check->failures(0).node(), 2u);
}

TEST_F(TierServiceTest, OneThatHoldsSomethingStaysAndADryRunSaysSo) {
  ASSERT_THAT(Add("archive", "/mnt/archive"), IsOk());
  disk::PlanColdObjects plan;
  plan.set_tier("archive");
  plan.set_count(1);
  ASSERT_THAT(Do(plan), IsOk());
  EXPECT_THAT(RemoveTier("archive", /*dry_run=*/true), Fails(kPrecondition, "holds 1 objects"));
  EXPECT_THAT(RemoveTier("archive", /*dry_run=*/false), Fails(kPrecondition, "holds 1 objects"));
  EXPECT_THAT(Names(), ElementsAre("archive"));
}

TEST_F(TierServiceTest, OneThatIsRemovedIsForgotten) {
  ASSERT_THAT(Add("archive", "/mnt/archive"), IsOk());
  EXPECT_THAT(RemoveTier("archive", /*dry_run=*/true), IsOk());
  EXPECT_THAT(Names(), ElementsAre("archive"));
  EXPECT_THAT(RemoveTier("archive", /*dry_run=*/false), IsOk());
  EXPECT_THAT(RemoveTier("archive", /*dry_run=*/true), Fails(kNotFound, "\"archive\""));
  EXPECT_THAT(Names(), IsEmpty());
}

}  // namespace
}  // namespace cairn
