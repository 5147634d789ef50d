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

namespace {

// Groups of one run: more than a writer rotates over at once.
constexpr int kRunGroupsMax = 16;

// Whether `group` goes on where the run's stripes end. Its groups are open until the first of them
// comes again; from then on they repeat.
bool TakesGroup(const wire::ExtentRun& run, PgId group) {
  const auto stripes = static_cast<int>(run.stripe_count());
  const bool repeats = run.groups(stripes % run.groups_size()) == group.value();
  const bool open = stripes == run.groups_size() && run.groups_size() < kRunGroupsMax;
  return repeats || open;
}

bool Takes(const wire::ExtentRun& run, const PlacedStripe& stripe) {
  const bool consecutive = stripe.id.value() == run.first_stripe() + run.stripe_count();
  const bool last_is_full = run.length_bytes() == uint64_t{run.stripe_count()} * run.stripe_bytes();
  return consecutive && last_is_full && TakesGroup(run, stripe.group);
}

}  // namespace

std::vector<wire::ExtentRun> ToExtentRuns(const std::vector<PlacedStripe>& stripes,
                                          uint64_t stripe_bytes, uint64_t offset_bytes) {
  std::vector<wire::ExtentRun> runs;
  for (const PlacedStripe& stripe : stripes) {
    CAIRN_CHECK(stripe.length_bytes > 0 && stripe.length_bytes <= stripe_bytes);
    if (runs.empty() || !Takes(runs.back(), stripe)) {
      wire::ExtentRun& run = runs.emplace_back();
      run.set_offset_bytes(offset_bytes);
      run.set_first_stripe(stripe.id.value());
      run.set_stripe_bytes(static_cast<uint32_t>(stripe_bytes));
    }
    wire::ExtentRun& run = runs.back();
    const auto groups = static_cast<uint32_t>(run.groups_size());
    const bool repeats = groups > 0 && run.groups(static_cast<int>(run.stripe_count() % groups)) ==
                                           stripe.group.value();
    if (!repeats) run.add_groups(stripe.group.value());
    run.set_stripe_count(run.stripe_count() + 1);
    run.set_length_bytes(run.length_bytes() + stripe.length_bytes);
    offset_bytes += stripe.length_bytes;
  }
  return runs;
}

std::vector<wire::ExtentRun> ToExtentRuns(std::span<const FilePiece> pieces,
                                          std::span<const PlacedStripe> stripes,
                                          uint64_t stripe_bytes) {
  struct Laid {
    FilePiece piece;
    std::span<const PlacedStripe> stripes;
  };
  std::vector<Laid> laid;
  laid.reserve(pieces.size());
  size_t next = 0;
  for (const FilePiece& piece : pieces) {
    const size_t first = next;
    uint64_t length = 0;
    while (length < piece.length_bytes) {
      CAIRN_CHECK(next < stripes.size());
      length += stripes[next++].length_bytes;
    }
    CAIRN_CHECK(length == piece.length_bytes);  // no stripe spans two pieces
    laid.push_back({piece, stripes.subspan(first, next - first)});
  }
  CAIRN_CHECK(next == stripes.size());
  std::sort(laid.begin(), laid.end(), [](const Laid& a, const Laid& b) {
    return a.piece.offset_bytes < b.piece.offset_bytes;
  });
  std::vector<wire::ExtentRun> runs;
  std::vector<PlacedStripe> joined;
  uint64_t begin = 0, end = 0;
  const auto finish = [&] {
    for (wire::ExtentRun& run : ToExtentRuns(joined, stripe_bytes, begin))
      runs.push_back(std::move(run));
    joined.clear();
  };
  for (const Laid& each : laid) {
    CAIRN_CHECK(each.piece.offset_bytes >= end || joined.empty());
    if (joined.empty() || each.piece.offset_bytes != end) {
      finish();
      begin = each.piece.offset_bytes;
    }
    joined.insert(joined.end(), each.stripes.begin(), each.stripes.end());
    end = each.piece.offset_bytes + each.piece.length_bytes;
  }
  finish();
  return runs;
}

}  // namespace cairn
