#include "client/io/stripe_cutter.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace cairn {

uint64_t StripeCutter::Add(size_t registration, uint64_t offset_bytes, ConstBytes piece) {
  if (full() || piece.empty()) return 0;
  const uint64_t taken = std::min<uint64_t>(piece.size(), stripe_bytes_ - filled_bytes_);
  segments_.push_back({registration, offset_bytes, piece.first(taken)});
  filled_bytes_ += taken;
  return taken;
}

std::vector<Segment> StripeCutter::Take() {
  filled_bytes_ = 0;
  return std::exchange(segments_, {});
}

std::vector<wire::ExtentRun> ToExtentRuns(const std::vector<PlacedStripe>& stripes,
                                          const std::vector<PgId>& rotation, uint64_t stripe_bytes,
                                          uint64_t offset_bytes) {
  std::vector<wire::ExtentRun> runs;
  for (const PlacedStripe& stripe : stripes) {
    CAIRN_CHECK(stripe.length_bytes > 0 && stripe.length_bytes <= stripe_bytes);
    bool joins = false;
    if (!runs.empty()) {
      const wire::ExtentRun& run = runs.back();
      const bool consecutive = stripe.id.value() == run.first_stripe() + run.stripe_count();
      const bool last_is_full = run.length_bytes() == uint64_t{run.stripe_count()} * stripe_bytes;
      const int turn = static_cast<int>(run.stripe_count()) % run.groups_size();
      const bool in_rotation = stripe.group.value() == run.groups(turn);
      joins = consecutive && last_is_full && in_rotation;
    }
    if (joins) {
      wire::ExtentRun& run = runs.back();
      run.set_stripe_count(run.stripe_count() + 1);
      run.set_length_bytes(run.length_bytes() + stripe.length_bytes);
    } else {
      wire::ExtentRun& run = runs.emplace_back();
      run.set_offset_bytes(offset_bytes);
      run.set_length_bytes(stripe.length_bytes);
      run.set_first_stripe(stripe.id.value());
      run.set_stripe_count(1);
      run.set_stripe_bytes(static_cast<uint32_t>(stripe_bytes));
      const auto found = std::find(rotation.begin(), rotation.end(), stripe.group);
      if (found == rotation.end()) {
        run.add_groups(stripe.group.value());  // moved elsewhere: a run of its own
      } else {
        const size_t start = static_cast<size_t>(found - rotation.begin());
        for (size_t i = 0; i < rotation.size(); ++i) {
          run.add_groups(rotation[(start + i) % rotation.size()].value());
        }
      }
    }
    offset_bytes += stripe.length_bytes;
  }
  // A run shorter than its rotation needs only the groups it uses.
  for (wire::ExtentRun& run : runs) {
    if (run.stripe_count() < static_cast<uint32_t>(run.groups_size())) {
      run.mutable_groups()->Truncate(static_cast<int>(run.stripe_count()));
    }
  }
  return runs;
}

}  // namespace cairn
