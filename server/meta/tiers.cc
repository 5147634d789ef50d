#include "server/meta/tiers.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "google/protobuf/util/message_differencer.h"
#include "proto/disk/meta.pb.h"
#include "server/meta/cold.h"
#include "server/meta/families.h"
#include "server/meta/keys.h"
#include "server/meta/paths.h"
#include "server/meta/records.h"

namespace cairn {
namespace {

constexpr size_t kNameBytesMax = 63;

bool IsLetter(char c) { return c >= 'a' && c <= 'z'; }
bool IsNameCharacter(char c) { return IsLetter(c) || (c >= '0' && c <= '9') || c == '-'; }

disk::TierRecord ToRecord(const wire::TierSpec& spec, int64_t added_at_ns) {
  disk::TierRecord record;
  record.set_location(spec.location());
  for (const wire::TierOption& option : spec.options()) {
    auto* kept = record.add_options();
    kept->set_name(option.name());
    kept->set_value(option.value());
  }
  record.set_added_at_ns(added_at_ns);
  return record;
}

wire::TierInfo ToInfo(std::string_view name, const disk::TierRecord& record,
                      const disk::ColdUsageRecord& usage) {
  wire::TierInfo info;
  if (record.has_control()) *info.mutable_control() = record.control();
  info.set_objects(usage.objects());
  info.set_stored_bytes(usage.size_bytes());
  info.set_live_bytes(usage.live_bytes());
  info.mutable_spec()->set_name(std::string(name));
  info.mutable_spec()->set_location(record.location());
  for (const disk::TierRecord::Option& option : record.options()) {
    auto* told = info.mutable_spec()->add_options();
    told->set_name(option.name());
    told->set_value(option.value());
  }
  info.set_added_at_ns(record.added_at_ns());
  return info;
}

bool IsSame(const wire::TierSpec& a, const wire::TierSpec& b) {
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

// What else two tiers of one location differ in, as credentials, makes no other store of it; but
// an endpoint does.
bool IsSameStore(const wire::TierSpec& a, const wire::TierSpec& b) {
  const auto endpoint = [](const wire::TierSpec& spec) -> std::string {
    for (const wire::TierOption& option : spec.options())
      if (option.name() == "endpoint") return option.value();
    return "";
  };
  return a.location() == b.location() && endpoint(a) == endpoint(b);
}

absl::Status CheckNoPolicyNames(const Transaction& txn, std::string_view tier) {
  const std::string prefix = TierPolicyPrefix();
  Transaction::Scan scan(txn, kFamilyPolicy, prefix, PrefixEnd(prefix));
  for (; scan.Valid(); scan.Next()) {
    disk::TierPolicyRecord record;
    RETURN_IF_ERROR(ParseRecord(kFamilyPolicy, scan.value(), record));
    if (record.policy().tier() != tier) continue;
    return absl::FailedPreconditionError(
        StrCat("a policy has copies go to tier ", tier, "; see `cairn tier policy ls`"));
  }
  return scan.status();
}

}  // namespace

absl::Status CheckTierName(std::string_view name) {
  const bool good = !name.empty() && name.size() <= kNameBytesMax && IsLetter(name[0]) &&
                    std::all_of(name.begin(), name.end(), IsNameCharacter);
  if (good) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat(
      Quoted(name), " is no tier's name: a to z, 0 to 9 and \"-\", beginning with a letter, ",
      kNameBytesMax, " at most"));
}

absl::Status CheckTiersDiffer(const wire::TierSpec& there, const wire::TierSpec& added) {
  if (IsSame(there, added)) return absl::OkStatus();
  if (there.name() == added.name()) {
    return absl::AlreadyExistsError(StrCat("there is another tier ", there.name(), ", at ",
                                           there.location(), "; see `cairn tier show ",
                                           there.name(), "`"));
  }
  if (!IsSameStore(there, added)) return absl::OkStatus();
  return absl::AlreadyExistsError(
      StrCat("tier ", there.name(), " is at ", there.location(), " already"));
}

absl::StatusOr<disk::AddTierReply> AddTier(Transaction& txn, const disk::AddTier& request,
                                           const CommandFacts& facts) {
  const wire::TierSpec& spec = request.spec();
  RETURN_IF_ERROR(CheckTierName(spec.name()));
  ASSIGN_OR_RETURN(const wire::ListTiersReply tiers, ListTiers(txn));
  disk::AddTierReply reply;
  for (const wire::TierInfo& tier : tiers.tiers()) {
    RETURN_IF_ERROR(CheckTiersDiffer(tier.spec(), spec));
    if (!IsSame(tier.spec(), spec)) continue;
    *reply.mutable_tier() = tier;
    reply.set_existed(true);
    return reply;
  }
  if (tiers.tiers_size() >= kTiersMax)
    return absl::ResourceExhaustedError(StrCat("there are ", kTiersMax, " tiers already"));
  const disk::TierRecord record = ToRecord(spec, facts.now_ns());
  Store(txn, kFamilyPolicy, TierKey(spec.name()), record);
  *reply.mutable_tier() = ToInfo(spec.name(), record, {});
  return reply;
}

absl::StatusOr<disk::RemoveTierReply> RemoveTier(Transaction& txn,
                                                 const disk::RemoveTier& request) {
  const std::string key = TierKey(request.name());
  ASSIGN_OR_RETURN(const std::optional<disk::TierRecord> record,
                   Find<disk::TierRecord>(txn, kFamilyPolicy, key));
  if (!record.has_value())
    return absl::NotFoundError(StrCat("there is no tier ", Quoted(request.name())));
  ASSIGN_OR_RETURN(const disk::ColdUsageRecord usage, ColdUsage(txn, request.name()));
  if (usage.objects() > 0) {
    return absl::FailedPreconditionError(
        StrCat("tier ", request.name(), " holds ", usage.objects(), " objects of files"));
  }
  RETURN_IF_ERROR(CheckNoPolicyNames(txn, request.name()));
  if (!request.dry_run()) txn.Delete(kFamilyPolicy, key);
  return disk::RemoveTierReply();
}

absl::StatusOr<wire::ListTiersReply> ListTiers(const Transaction& txn) {
  wire::ListTiersReply reply;
  const std::string prefix = TierPrefix();
  Transaction::Scan scan(txn, kFamilyPolicy, prefix, PrefixEnd(prefix));
  for (; scan.Valid(); scan.Next()) {
    disk::TierRecord record;
    RETURN_IF_ERROR(ParseRecord(kFamilyPolicy, scan.value(), record));
    const std::string name(scan.key().substr(prefix.size()));
    ASSIGN_OR_RETURN(const disk::ColdUsageRecord usage, ColdUsage(txn, name));
    *reply.add_tiers() = ToInfo(name, record, usage);
  }
  RETURN_IF_ERROR(scan.status());
  return reply;
}

}  // namespace cairn
