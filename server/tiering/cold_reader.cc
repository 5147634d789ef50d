#include "server/tiering/cold_reader.h"

#include <utility>

#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

// Some 10 KiB each.
constexpr size_t kIndexesMax = 1024;

}  // namespace

ColdObjectId ColdReader::IdOf(const wire::ColdPlace& place) const {
  const std::string& cluster = place.cluster_id().empty() ? own_cluster_ : place.cluster_id();
  return {{cluster, place.object()}, place.object_bytes()};
}

Task<absl::StatusOr<ConstBytes>> ColdReader::Read(const wire::TierSpec& tier,
                                                  const wire::ColdPlace& place,
                                                  uint64_t length_bytes, MutableBytes scratch,
                                                  Deadline deadline) {
  CAIRN_CHECK(length_bytes <= kBytesMax && scratch.size() >= kScratchBytes);
  const ColdObjectId object = IdOf(place);
  CO_ASSIGN_OR_RETURN(const Index index, co_await FindIndex(tier, object, deadline));
  absl::StatusOr<ConstBytes> bytes = absl::InternalError("not read");
  absl::AnyInvocable<void()> read = [&] {
    const absl::StatusOr<std::shared_ptr<ColdStore>> store = stores_.Get(tier);
    if (!store.ok()) {
      bytes = store.status();
      return;
    }
    bytes = ReadColdBytes(**store, object, *index, place.offset_bytes(), length_bytes, scratch,
                          CallBounds{deadline, &stop_});
  };
  co_await runner_.Run(std::move(read));
  co_return bytes;
}

Task<absl::StatusOr<ColdReader::Index>> ColdReader::FindIndex(const wire::TierSpec& tier,
                                                              const ColdObjectId& object,
                                                              Deadline deadline) {
  const std::string key = StrCat(tier.name(), " ", object.key());
  while (true) {
    if (const auto found = indexes_.find(key); found != indexes_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      co_return found->second->index;
    }
    const auto other = loading_.find(key);
    if (other == loading_.end()) break;
    // Whoever loads it has a deadline, too; when it fails, one of those that wait tries itself.
    const std::shared_ptr<Event> loaded = other->second;
    co_await *loaded;
  }
  const auto loaded = std::make_shared<Event>();
  loading_.emplace(key, loaded);
  absl::StatusOr<disk::ColdIndex> index = absl::InternalError("not read");
  absl::AnyInvocable<void()> load = [&] {
    const absl::StatusOr<std::shared_ptr<ColdStore>> store = stores_.Get(tier);
    if (!store.ok()) {
      index = store.status();
      return;
    }
    index = ReadColdIndex(**store, object, CallBounds{deadline, &stop_});
  };
  co_await runner_.Run(std::move(load));
  loading_.erase(key);
  loaded->Set();
  if (!index.ok()) co_return index.status();
  auto kept = std::make_shared<const disk::ColdIndex>(*std::move(index));
  Keep(key, kept);
  co_return kept;
}

void ColdReader::Keep(std::string key, Index index) {
  if (indexes_.contains(key)) return;
  recent_.push_front({key, std::move(index)});
  indexes_.emplace(std::move(key), recent_.begin());
  if (recent_.size() <= kIndexesMax) return;
  indexes_.erase(recent_.back().key);
  recent_.pop_back();
}

}  // namespace cairn
