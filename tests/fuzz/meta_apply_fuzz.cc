// Any sequence of commands against the metadata state machine: each is applied or refused, a
// refused one leaves no trace, and no answer is DATA_LOSS or INTERNAL, which would mean that the
// store's own records contradict each other. Input: commands, each behind its length in two bytes.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "common/base/check.h"
#include "server/meta/families.h"
#include "server/meta/format.h"
#include "server/meta/meta_store.h"
#include "server/meta/state_machine.h"
#include "tests/fuzz/map_kv.h"

namespace {

using cairn::Apply;
using cairn::Transaction;

void CheckNotDamaged(const absl::Status& status) {
  CAIRN_CHECK(!absl::IsDataLoss(status) && !absl::IsInternal(status));
}

// Commands that a log can hold come from a running cluster; what the service itself never sends is
// left out.
bool IsPlausible(const cairn::disk::Command& command) { return !command.has_finish_reclaim(); }

void AskEverything(cairn::Kv& kv) {
  cairn::MetaStore store(kv);
  cairn::wire::ListCheckpointsRequest all;
  all.set_include_writing(true);
  CheckNotDamaged(store.Answer(all).status());
  cairn::wire::ListRequest list;
  list.set_path("default");
  CheckNotDamaged(store.Answer(list).status());
  CheckNotDamaged(store.Counters().status());
  CheckNotDamaged(store.Reclaimable({}, UINT64_MAX, 100).status());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cairn::MapKv kv(cairn::kMetaFamilyCount);
  CAIRN_CHECK(cairn::OpenStore(kv, "fuzz", 1).ok());
  while (size >= 2) {
    const size_t length = std::min<size_t>(size - 2, static_cast<size_t>(data[0]) << 8 | data[1]);
    cairn::disk::Command command;
    const bool parsed = command.ParseFromArray(data + 2, static_cast<int>(length));
    data += 2 + length;
    size -= 2 + length;
    if (!parsed || !IsPlausible(command)) continue;
    Transaction txn(kv);
    const auto reply = Apply(command, txn);
    CheckNotDamaged(reply.status());
    CAIRN_CHECK(reply.ok() || txn.empty());
    CAIRN_CHECK(kv.Write(txn.TakeBatch(), cairn::KvDurability::kSynced).ok());
  }
  AskEverything(kv);
  return 0;
}
