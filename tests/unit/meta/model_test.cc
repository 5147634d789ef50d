// The engine against a model of a few hundred lines that nobody optimized: random commands on a
// small namespace, the same answers and the same tree afterwards. Now and then a write fails and
// the power goes: after the restart the store is as before that command or as after it. At the end
// everything is removed, and every stripe ever granted must come back exactly once.
#include <map>
#include <memory>
#include <random>

#include "tests/unit/meta/meta_fixture.h"

namespace cairn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct ModelAttempt {
  uint64_t number = 0;
  uint32_t world = 0;
  std::map<uint32_t, uint64_t> begun;  // rank → first stripe granted
  std::map<uint32_t, uint64_t> done;   // rank → bytes of its shard
};

struct ModelNode {
  enum class Type { kDirectory, kFile, kCheckpoint } type = Type::kDirectory;
  uint64_t size = 0;
  uint64_t order = 0;  // of commit
  std::map<std::string, std::shared_ptr<ModelNode>> children;
  std::map<std::string, ModelAttempt> attempts;  // open ones
};
using NodePtr = std::shared_ptr<ModelNode>;
using Type = ModelNode::Type;

NodePtr Copy(const ModelNode& node) {
  auto copy = std::make_shared<ModelNode>(node);
  for (auto& [name, child] : copy->children) child = Copy(*child);
  return copy;
}

// What can be seen of a tree.
std::string Dump(const ModelNode& node, const std::string& path) {
  std::string text;
  for (const auto& [name, child] : node.children) {
    const std::string child_path = path.empty() ? name : path + "/" + name;
    switch (child->type) {
      case Type::kFile:
        text += StrCat(child_path, " file ", child->size, "\n");
        break;
      case Type::kCheckpoint:
        text += StrCat(child_path, " checkpoint ", child->size, "\n");
        break;
      case Type::kDirectory:
        text += StrCat(child_path, " directory\n") + Dump(*child, child_path);
    }
  }
  return text;
}

class Model {
 public:
  Model() : root_(std::make_shared<ModelNode>()) {
    root_->children["default"] = std::make_shared<ModelNode>();
  }
  Model(const Model& other) : root_(Copy(*other.root_)), commits_(other.commits_) {}
  Model& operator=(const Model& other) {
    root_ = Copy(*other.root_);
    commits_ = other.commits_;
    return *this;
  }

  std::string Dump() const { return cairn::Dump(*root_, ""); }

  bool MakeDirectory(const std::string& path, bool parents) {
    auto [parent, name] = Place(path, parents);
    if (parent == nullptr) return false;
    const auto found = parent->children.find(name);
    if (found != parent->children.end()) return found->second->type == Type::kDirectory;
    if (parent->attempts.contains(name)) return false;
    parent->children[name] = std::make_shared<ModelNode>();
    return true;
  }
  bool BeginFile(const std::string& path) {
    auto [parent, name] = Place(path, true);
    return parent != nullptr && FileMayTake(*parent, name);
  }
  bool CommitFile(const std::string& path, uint64_t size) {
    auto [parent, name] = Place(path, true);
    if (parent == nullptr || !FileMayTake(*parent, name)) return false;
    parent->children[name] = std::make_shared<ModelNode>();
    parent->children[name]->type = Type::kFile;
    parent->children[name]->size = size;
    return true;
  }
  bool Remove(const std::string& path, bool recursive) {
    auto [parent, name] = Place(path, false);
    if (parent == nullptr || !parent->children.contains(name)) return false;
    const ModelNode& node = *parent->children[name];
    if (node.type == Type::kDirectory && !recursive && !IsEmpty(node)) return false;
    parent->children.erase(name);
    return true;
  }
  bool Rename(const std::string& from, const std::string& to) {
    auto [from_parent, from_name] = Place(from, false);
    if (from_parent == nullptr || !from_parent->children.contains(from_name)) return false;
    auto [to_parent, to_name] = Place(to, false);
    if (to_parent == nullptr) return false;
    if (from == to) return true;
    const NodePtr node = from_parent->children[from_name];
    if (node->type == Type::kDirectory && Contains(*node, to_parent.get())) return false;
    if (to_parent->attempts.contains(to_name)) return false;
    const auto target = to_parent->children.find(to_name);
    if (target != to_parent->children.end()) {
      if (node->type == Type::kCheckpoint || target->second->type != node->type) return false;
      if (node->type == Type::kDirectory && !IsEmpty(*target->second)) return false;
    }
    from_parent->children.erase(from_name);
    to_parent->children[to_name] = node;
    return true;
  }
  // The attempt joined or started; null when refused.
  ModelAttempt* Begin(const std::string& path, uint32_t world, uint32_t rank) {
    auto [parent, name] = Place(path, true);
    if (parent == nullptr) return nullptr;
    const auto taken = parent->children.find(name);
    if (taken != parent->children.end() && taken->second->type != Type::kCheckpoint) return nullptr;
    ModelAttempt& attempt = parent->attempts[name];
    if (attempt.world != world || attempt.begun.contains(rank)) {
      attempt = ModelAttempt();
      attempt.world = world;
    }
    attempt.begun[rank] = 0;
    return &attempt;
  }
  ModelAttempt* Open(const std::string& path) {
    auto [parent, name] = Place(path, false);
    if (parent == nullptr || !parent->attempts.contains(name)) return nullptr;
    return &parent->attempts[name];
  }
  bool Commit(const std::string& path) {
    ModelAttempt* attempt = Open(path);
    if (attempt == nullptr || attempt->done.size() < attempt->world) return false;
    auto [parent, name] = Place(path, false);
    auto node = std::make_shared<ModelNode>();
    node->type = Type::kCheckpoint;
    node->order = ++commits_;
    for (const auto& [rank, size] : attempt->done) node->size += size;
    parent->children[name] = node;
    parent->attempts.erase(name);
    return true;
  }
  bool Abort(const std::string& path) {
    if (Open(path) == nullptr) return false;
    auto [parent, name] = Place(path, false);
    parent->attempts.erase(name);
    return true;
  }
  // The name of the newest checkpoint in a directory, "" if none.
  std::string Latest(const std::string& path) {
    auto [parent, name] = Place(path + "/x", false);
    std::string latest;
    uint64_t order = 0;
    if (parent == nullptr) return latest;
    for (const auto& [child_name, child] : parent->children) {
      if (child->order > order) latest = child_name, order = child->order;
    }
    return latest;
  }

 private:
  // The directory of a path and its last name; null when something on the way is missing or no
  // plain directory.
  std::pair<NodePtr, std::string> Place(const std::string& path, bool create) {
    NodePtr at = root_;
    size_t begin = 0;
    for (size_t slash; (slash = path.find('/', begin)) != std::string::npos; begin = slash + 1) {
      const std::string name = path.substr(begin, slash - begin);
      if (!at->children.contains(name)) {
        if (!create || at->attempts.contains(name)) return {};
        at->children[name] = std::make_shared<ModelNode>();
      }
      at = at->children[name];
      if (at->type != Type::kDirectory) return {};
    }
    return {at, path.substr(begin)};
  }
  static bool FileMayTake(const ModelNode& parent, const std::string& name) {
    const auto found = parent.children.find(name);
    if (found != parent.children.end() && found->second->type != Type::kFile) return false;
    return !parent.attempts.contains(name);
  }
  static bool IsEmpty(const ModelNode& node) {
    return node.children.empty() && node.attempts.empty();
  }
  static bool Contains(const ModelNode& node, const ModelNode* searched) {
    if (&node == searched) return true;
    for (const auto& [name, child] : node.children) {
      if (Contains(*child, searched)) return true;
    }
    return false;
  }

  NodePtr root_;
  uint64_t commits_ = 0;
};

class ModelTest : public MetaTest {
 protected:
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  std::string AnyPath() {
    std::string path = "default";
    for (uint64_t depth = 1 + Below(3); depth > 0; --depth)
      path += StrCat("/", std::string(1, static_cast<char>('a' + Below(3))));
    return path;
  }

  std::string DumpEngine(const std::string& path) {
    std::string text;
    const auto names = List(path);
    EXPECT_THAT(names, IsOk());
    if (!names.ok()) return text;
    std::map<std::string, std::string> sorted;
    for (const std::string& name : *names) {
      const std::string child = path.empty() ? name : path + "/" + name;
      const auto stat = Stat(child);
      EXPECT_THAT(stat, IsOk());
      if (!stat.ok()) continue;
      const wire::Entry& entry = stat->entry();
      if (entry.type() == wire::ENTRY_FILE) {
        sorted[name] = StrCat(child, " file ", entry.size_bytes(), "\n");
      } else if (entry.type() == wire::ENTRY_CHECKPOINT) {
        sorted[name] = StrCat(child, " checkpoint ", entry.size_bytes(), "\n");
      } else {
        sorted[name] = StrCat(child, " directory\n") + DumpEngine(child);
      }
    }
    for (const auto& [name, line] : sorted) text += line;
    return text;
  }

  void StepFile(const std::string& path, Model& model) {
    const auto begun = BeginFile(path);
    ASSERT_EQ(begun.ok(), model.BeginFile(path)) << path << " " << begun.status();
    if (!begun.ok() || Below(8) == 0) return;
    const uint64_t size = Below(3) == 0 ? 0 : 1 + Below(20 << 20);
    std::vector<wire::ExtentRun> runs;
    if (size > 0) runs.push_back(RunOf(0, size, begun->stripes().first() + Below(100)));
    const absl::Status committed = CommitFile(path, begun->lease(), std::move(runs));
    ASSERT_EQ(committed.ok(), model.CommitFile(path, size)) << path << " " << committed;
  }

  void StepBegin(const std::string& path, Model& model) {
    const uint32_t world = 1 + static_cast<uint32_t>(Below(2)),
                   rank = static_cast<uint32_t>(Below(world));
    const auto begun = Begin(path, {.world = world, .rank = rank});
    ModelAttempt* attempt = model.Begin(path, world, rank);
    ASSERT_EQ(begun.ok(), attempt != nullptr) << path << " " << begun.status();
    if (!begun.ok()) return;
    if (attempt->number != 0) {
      ASSERT_EQ(attempt->number, begun->attempt()) << path;
    }
    attempt->number = begun->attempt();
    attempt->begun[rank] = begun->stripes().first();
  }

  void StepDone(const std::string& path, Model& model) {
    ModelAttempt* attempt = model.Open(path);
    if (attempt == nullptr) {
      EXPECT_FALSE(Done(path, 999, 0).ok());
      return;
    }
    const uint32_t rank = static_cast<uint32_t>(Below(attempt->world));
    const bool may = attempt->begun.contains(rank) && !attempt->done.contains(rank);
    const uint64_t size = 1 + Below(10 << 20), first = may ? attempt->begun[rank] : 0;
    const auto done =
        Done(path, attempt->number, rank, {Shard(StrCat("dir/rank", rank), size, first)});
    ASSERT_EQ(done.ok(), may) << path << " " << done.status();
    if (may) attempt->done[rank] = size;
  }

  void StepEnd(const std::string& path, Model& model) {
    const ModelAttempt* attempt = model.Open(path);
    const uint64_t number = attempt == nullptr ? 0 : attempt->number;
    if (Below(5) == 0) {
      wire::AbortCheckpointRequest request;
      request.set_path(path);
      request.set_attempt(number);
      const auto aborted = Do(request);
      ASSERT_EQ(aborted.ok(), model.Abort(path)) << path << " " << aborted.status();
      return;
    }
    const auto committed = Commit(path, number);
    ASSERT_EQ(committed.ok(), model.Commit(path)) << path << " " << committed.status();
  }

  void Step(Model& model) {
    const std::string path = AnyPath();
    switch (Below(10)) {
      case 0: {
        const bool parents = Below(2) == 0;
        const absl::Status made = MakeDirectory(path, parents);
        ASSERT_EQ(made.ok(), Try(model, [&](Model& m) { return m.MakeDirectory(path, parents); }))
            << path << " " << made;
        break;
      }
      case 1: {
        const bool recursive = Below(2) == 0;
        const absl::Status removed = Remove(path, recursive);
        ASSERT_EQ(removed.ok(), model.Remove(path, recursive)) << path << " " << removed;
        break;
      }
      case 2: {
        const std::string to = AnyPath();
        const absl::Status renamed = Rename(path, to);
        ASSERT_EQ(renamed.ok(), model.Rename(path, to)) << path << " to " << to << " " << renamed;
        break;
      }
      case 3:
      case 4:
        ASSERT_NO_FATAL_FAILURE(StepFile(path, model));
        break;
      case 5:
      case 6:
        ASSERT_NO_FATAL_FAILURE(StepBegin(path, model));
        break;
      case 7:
      case 8:
        ASSERT_NO_FATAL_FAILURE(StepDone(path, model));
        break;
      case 9:
        ASSERT_NO_FATAL_FAILURE(StepEnd(path, model));
        break;
    }
  }
  // A command that fails leaves nothing, not even directories on its way.
  template <class F>
  static bool Try(Model& model, F&& f) {
    const Model before = model;
    const bool ok = f(model);
    if (!ok) model = before;
    return ok;
  }

  // A write fails in the middle of a removal or a file's appearance, the power goes, the store
  // comes back.
  void CrashIn(Model& model) {
    Settle();
    Model after = model;
    kv_.FailWriteAfter(0, absl::UnavailableError("injected"));
    const std::string path = AnyPath();
    const bool removes = Below(2) == 0;
    const absl::Status result = removes ? Remove(path, true) : MakeDirectory(path, true);
    const bool changes = removes
                             ? after.Remove(path, true)
                             : Try(after, [&](Model& m) { return m.MakeDirectory(path, true); });
    if (!changes) {
      ASSERT_FALSE(result.ok());
    }
    StopEngine();
    kv_.Crash(random_());
    kv_.PowerOn();
    Restart();
    const std::string actual = DumpEngine("");
    if (result.ok()) {
      // It changed nothing, so there was no write to fail.
      ASSERT_EQ(actual, after.Dump());
      model = after;
    } else if (actual == after.Dump() && changes) {
      model = after;
    } else {
      ASSERT_EQ(actual, model.Dump());
    }
  }

  void ExpectNothingLeft() {
    const auto names = List("default");
    ASSERT_THAT(names, IsOk());
    for (const std::string& name : *names) EXPECT_THAT(Remove("default/" + name, true), IsOk());
    executor_.RunFor(options_.lease_ttl * 2);
    // Of open attempts directly in the bucket.
    EXPECT_THAT(Remove("default"), IsOk());
    EXPECT_THAT(ReclaimAll(), ElementsAre(StripeSpan{1, NextStripe() - 1}));
    for (const auto family :
         {kFamilyDentry, kFamilyExtent, kFamilyStripeRun, kFamilyCheckpoint, kFamilyAttempt,
          kFamilyAttemptRank, kFamilyLease, kFamilyCleanup, kFamilyPendingFree, kFamilyPolicy}) {
      EXPECT_THAT(kv_.family(family), IsEmpty()) << MetaFamilyNames()[family];
    }
    EXPECT_EQ(kv_.family(kFamilyInode).size(), 1u);
    const MetaCounters counters = Counters();
    EXPECT_EQ(counters.files, 0u);
    EXPECT_EQ(counters.checkpoints, 0u);
    EXPECT_EQ(counters.open_attempts, 0u);
    EXPECT_EQ(counters.pending_free_bytes, 0u);
    EXPECT_EQ(counters.cleanup_backlog, 0u);
  }
  uint64_t NextStripe() {
    Transaction txn(kv_);
    return txn.Read(Counter::kNextStripe).value_or(0);
  }

  std::mt19937_64 random_;
};

TEST_F(ModelTest, TheEngineDoesWhatTheModelDoes) {
  const uint64_t base = static_cast<uint64_t>(::testing::UnitTest::GetInstance()->random_seed());
  for (uint64_t round = 0; round < 6; ++round) {
    const uint64_t seed = base * 1000 + round;
    SCOPED_TRACE(StrCat("--gtest_random_seed=", base, " round ", round));
    random_.seed(seed);
    StopEngine();
    kv_ = SimKv(kMetaFamilyCount);
    Restart();
    Model model;
    for (int step = 0; step < 600; ++step) {
      SCOPED_TRACE(step);
      ASSERT_NO_FATAL_FAILURE(Step(model));
      if (step % 20 == 0) {
        ASSERT_EQ(DumpEngine(""), model.Dump());
        const std::string directory = Below(2) == 0 ? "default" : "default/a";
        const auto latest = Latest(directory);
        const std::string expected = model.Latest(directory);
        ASSERT_EQ(latest.ok() ? latest->path() : "",
                  expected.empty() ? "" : StrCat(directory, "/", expected));
      }
      if (step % 50 == 49) {
        ASSERT_NO_FATAL_FAILURE(CrashIn(model));
      }
    }
    ASSERT_EQ(DumpEngine(""), model.Dump());
    ExpectNothingLeft();
  }
}

}  // namespace
}  // namespace cairn
