#include "server/tier/tier_worker.h"

#include <memory>
#include <string>
#include <utility>

#include "common/base/byte_text.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/call_bounds.h"
#include "server/tier/open_cold_store.h"
#include "server/tier/probe.h"
#include "server/tier/tier_spec.h"

namespace cairn {
namespace {

// Cleaning up after a probe that has run out of time takes so long at most (probe.h), and the
// answer has to get back.
constexpr absl::Duration kAnswerTime = absl::Seconds(17);
// A manifest, twice as large as any.
constexpr uint64_t kTextBytesMax = 128 * kMiB;

void Tell(const std::string& name, absl::Duration took, const absl::Status& status,
          const std::string& hint, wire::ProbeTierReply* reply) {
  auto* step = reply->add_steps();
  step->set_name(name);
  step->set_took_us(static_cast<uint64_t>(absl::ToInt64Microseconds(took)));
  step->set_code(static_cast<uint32_t>(status.code()));
  step->set_error(std::string(status.message()));
  if (!status.ok()) step->set_hint(hint);
}

}  // namespace

Task<absl::StatusOr<wire::ProbeTierReply>> TierWorker::Probe(wire::ProbeTierRequest request,
                                                             Deadline deadline) {
  CO_ASSIGN_OR_RETURN(const ColdStoreSpec spec, ToColdStoreSpec(request.spec()));
  wire::ProbeTierReply reply;
  co_await runner_.Run([&] { reply = ProbeNow(spec, request.prepare(), deadline); });
  co_return reply;
}

wire::ProbeTierReply TierWorker::ProbeNow(const ColdStoreSpec& spec, bool prepare,
                                          Deadline deadline) {
  wire::ProbeTierReply reply;
  const CallBounds bounds{Deadline(deadline.at() + -kAnswerTime), &stop_};
  const MonoTime began = clock_.Now();
  const auto open = [&]() -> absl::StatusOr<std::unique_ptr<ColdStore>> {
    // It may have waited long for its turn.
    RETURN_IF_ERROR(CheckBounds(bounds, clock_));
    if (prepare) RETURN_IF_ERROR(PrepareColdStore(spec, random_));
    return OpenColdStore(spec, clock_, random_);
  };
  const absl::StatusOr<std::unique_ptr<ColdStore>> store = open();
  const bool is_directory = spec.kind == ColdStoreSpec::Kind::kDirectory;
  Tell("open", clock_.Now() - began, store.status(),
       is_directory ? "on every node the same directory must be mounted there" : "", &reply);
  if (!store.ok() || prepare) return reply;
  const ProbeReport report = ProbeColdStore(**store, ProbeOptions(), bounds, clock_, random_);
  for (const ProbeStep& step : report.steps)
    Tell(step.name, step.took, step.status, step.hint, &reply);
  return reply;
}

Task<absl::Status> TierWorker::PutText(wire::TierSpec tier, std::string key, std::string text,
                                       Deadline deadline) {
  absl::Status result;
  absl::AnyInvocable<void()> put = [&] {
    const absl::StatusOr<std::shared_ptr<ColdStore>> store = stores_.Get(tier);
    if (!store.ok()) {
      result = store.status();
      return;
    }
    const ConstBytes bytes = AsBytes(text);
    result = (*store)->Put(key, std::span(&bytes, 1), {}, CallBounds{deadline, &stop_}).status();
  };
  co_await runner_.Run(std::move(put));
  co_return result;
}

Task<absl::StatusOr<std::string>> TierWorker::GetText(wire::TierSpec tier, std::string key,
                                                      uint64_t size_bytes, Deadline deadline) {
  if (size_bytes > kTextBytesMax)
    co_return absl::DataLossError(StrCat("cold object ", key, " has ", size_bytes, " bytes"));
  absl::StatusOr<std::string> result = std::string(size_bytes, '\0');
  absl::AnyInvocable<void()> get = [&] {
    const absl::StatusOr<std::shared_ptr<ColdStore>> store = stores_.Get(tier);
    if (!store.ok()) {
      result = store.status();
      return;
    }
    const MutableBytes into(reinterpret_cast<std::byte*>(result->data()), result->size());
    absl::Status got = (*store)->Get(key, 0, into, "", CallBounds{deadline, &stop_});
    if (!got.ok()) result = std::move(got);
  };
  co_await runner_.Run(std::move(get));
  co_return result;
}

Task<absl::StatusOr<ColdListing>> TierWorker::List(wire::TierSpec tier, ColdListOptions options,
                                                   Deadline deadline) {
  absl::StatusOr<ColdListing> result = absl::InternalError("not listed");
  absl::AnyInvocable<void()> list = [&] {
    const absl::StatusOr<std::shared_ptr<ColdStore>> store = stores_.Get(tier);
    result = store.ok() ? (*store)->List(options, CallBounds{deadline, &stop_})
                        : absl::StatusOr<ColdListing>(store.status());
  };
  co_await runner_.Run(std::move(list));
  co_return result;
}

}  // namespace cairn
