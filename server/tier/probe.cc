#include "server/tier/probe.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/cold_key.h"

namespace cairn {
namespace {

constexpr absl::Duration kCleanUpPatience = absl::Seconds(15);
constexpr size_t kRangeBytes = 4321;

std::vector<std::byte> DrawBytes(uint64_t size_bytes, Random& random) {
  SeededRandom numbers(random.Next());
  std::vector<std::byte> bytes(size_bytes);
  for (size_t i = 0; i < bytes.size(); i += sizeof(uint64_t)) {
    const uint64_t number = numbers.Next();
    std::memcpy(bytes.data() + i, &number, std::min(sizeof(number), bytes.size() - i));
  }
  return bytes;
}

std::string HintFor(const absl::Status& status, bool is_directory) {
  switch (status.code()) {
    case absl::StatusCode::kPermissionDenied:
      return is_directory ? "give the server's user the right to read and write the directory"
                          : "check the credentials, their rights to the bucket, and the clocks";
    case absl::StatusCode::kUnavailable:
      return is_directory ? "check the mount and its server"
                          : "check the endpoint's name and port, the network, and proxies";
    case absl::StatusCode::kDeadlineExceeded:
      return "it is slow or out of reach: check the network, or allow more time";
    case absl::StatusCode::kResourceExhausted:
      return "make room, raise the quota, or ask for fewer requests at once";
    case absl::StatusCode::kFailedPrecondition:
      return is_directory ? "mount the disk, or make the directory a store first"
                          : "check the bucket's name, the region and the CA file";
    case absl::StatusCode::kDataLoss:
      return "what came back is not what was sent: do not use it before that is understood";
    case absl::StatusCode::kUnimplemented:
      return "the service lacks an operation that a tier needs; use another one";
    case absl::StatusCode::kNotFound:
      return "what was just written is not there: does something else delete in it, or does it "
             "show what is written only later?";
    case absl::StatusCode::kInvalidArgument:
      return "check the tier's location and options";
    default:
      return "";
  }
}

class Probe {
 public:
  Probe(ColdStore& store, const ProbeOptions& options, const CallBounds& bounds, const Clock& clock,
        Random& random)
      : store_(store),
        options_(options),
        bounds_(bounds),
        clock_(clock),
        is_directory_(store.Describe().starts_with("dir:")),
        prefix_(absl::StrCat("cairn-probe/", absl::Hex(random.Next(), absl::kZeroPad16))),
        keys_{prefix_ + "-parts", prefix_ + "-whole"},
        parts_(DrawBytes(options.parts_bytes, random)),
        whole_(DrawBytes(options.whole_bytes, random)) {}

  ProbeReport Run() {
    const bool worked = Step("put an object", [&] { return PutWhole(); }) &&
                        Step("put one in parts", [&] { return PutParts(); }) &&
                        Step("look at them", [&] { return LookAtThem(); }) &&
                        Step("read them whole", [&] { return ReadWhole(); }) &&
                        Step("read ranges", [&] { return ReadRanges(); }) &&
                        Step("list them", [&] { return ListThem(); }) &&
                        Step("delete them", [&] { return store_.Delete(keys_, bounds_); }) &&
                        Step("see that they are gone", [&] { return SeeThemGone(); });
    if (!worked) Step("clean up", [&] { return CleanUp(); });
    return std::move(report_);
  }

 private:
  bool Step(const std::string& name, const std::function<absl::Status()>& work) {
    const MonoTime began = clock_.Now();
    const absl::Status status = work();
    report_.steps.push_back({.name = name,
                             .took = clock_.Now() - began,
                             .status = status,
                             .hint = HintFor(status, is_directory_)});
    return status.ok();
  }

  absl::Status PutWhole() {
    // In two pieces, as objects come.
    const ConstBytes all(whole_);
    const ConstBytes pieces[] = {all.first(all.size() / 3), all.subspan(all.size() / 3)};
    ASSIGN_OR_RETURN(whole_etag_, store_.Put(keys_[1], pieces, {}, bounds_));
    return absl::OkStatus();
  }

  absl::Status PutParts() {
    const ConstBytes pieces[] = {parts_};
    ASSIGN_OR_RETURN(parts_etag_,
                     store_.Put(keys_[0], pieces,
                                {.part_bytes = options_.part_bytes, .parallel_parts = 2}, bounds_));
    return absl::OkStatus();
  }

  absl::Status Compare(const ColdObject& object, size_t size_bytes, const std::string& etag) {
    if (object.size_bytes == size_bytes && object.etag == etag) return absl::OkStatus();
    return absl::DataLossError(StrCat(QuotedKey(object.key), " has ", object.size_bytes,
                                      " bytes and the ETag ", QuotedKey(object.etag),
                                      " instead of ", size_bytes, " and ", QuotedKey(etag)));
  }

  absl::Status LookAtThem() {
    ASSIGN_OR_RETURN(const ColdObject parts, store_.Stat(keys_[0], bounds_));
    RETURN_IF_ERROR(Compare(parts, parts_.size(), parts_etag_));
    ASSIGN_OR_RETURN(const ColdObject whole, store_.Stat(keys_[1], bounds_));
    return Compare(whole, whole_.size(), whole_etag_);
  }

  absl::Status Read(const std::string& key, const std::vector<std::byte>& bytes, uint64_t offset,
                    size_t size_bytes, const std::string& etag) {
    std::vector<std::byte> into(size_bytes);
    RETURN_IF_ERROR(store_.Get(key, offset, into, etag, bounds_));
    if (std::equal(into.begin(), into.end(), bytes.begin() + static_cast<ptrdiff_t>(offset)))
      return absl::OkStatus();
    return absl::DataLossError(StrCat("bytes ", offset, " to ", offset + size_bytes, " of ",
                                      QuotedKey(key), " are not those that were put"));
  }

  absl::Status ReadWhole() {
    RETURN_IF_ERROR(Read(keys_[0], parts_, 0, parts_.size(), parts_etag_));
    return Read(keys_[1], whole_, 0, whole_.size(), whole_etag_);
  }

  absl::Status ReadRanges() {
    // Across the border of two parts, and up to the end.
    const uint64_t border = std::min<uint64_t>(options_.part_bytes, parts_.size() / 2);
    RETURN_IF_ERROR(Read(keys_[0], parts_, border - kRangeBytes / 2, kRangeBytes, parts_etag_));
    return Read(keys_[1], whole_, whole_.size() - kRangeBytes, kRangeBytes, whole_etag_);
  }

  absl::Status ListThem() {
    ASSIGN_OR_RETURN(const ColdListing all, store_.List({.prefix = prefix_}, bounds_));
    const bool both = all.objects.size() == 2 && !all.more && all.objects[0].key == keys_[0] &&
                      all.objects[1].key == keys_[1] && all.objects[0].size_bytes == parts_.size();
    if (!both) return absl::NotFoundError("a listing does not show what was put, and only that");
    ASSIGN_OR_RETURN(
        const ColdListing rest,
        store_.List({.prefix = prefix_, .start_after = keys_[0], .limit = 1}, bounds_));
    if (rest.objects.size() != 1 || rest.objects[0].key != keys_[1])
      return absl::FailedPreconditionError("a listing does not go on after a key");
    return absl::OkStatus();
  }

  absl::Status SeeThemGone() {
    for (const std::string& key : keys_) {
      const absl::Status status = store_.Stat(key, bounds_).status();
      if (absl::IsNotFound(status)) continue;
      RETURN_IF_ERROR(status);
      return absl::FailedPreconditionError(
          StrCat(QuotedKey(key), " is there after it was deleted"));
    }
    ASSIGN_OR_RETURN(const ColdListing listing, store_.List({.prefix = prefix_}, bounds_));
    if (listing.objects.empty()) return absl::OkStatus();
    return absl::FailedPreconditionError("a listing shows objects after they were deleted");
  }

  absl::Status CleanUp() {
    return store_.Delete(keys_, {.deadline = Deadline::After(clock_, kCleanUpPatience)});
  }

  ColdStore& store_;
  const ProbeOptions& options_;
  const CallBounds& bounds_;
  const Clock& clock_;
  const bool is_directory_;
  const std::string prefix_;
  // In order.
  const std::vector<std::string> keys_;
  const std::vector<std::byte> parts_;
  const std::vector<std::byte> whole_;
  std::string parts_etag_;
  std::string whole_etag_;
  ProbeReport report_;
};

}  // namespace

bool ProbeReport::ok() const {
  return std::all_of(steps.begin(), steps.end(),
                     [](const ProbeStep& step) { return step.status.ok(); });
}

ProbeReport ProbeColdStore(ColdStore& store, const ProbeOptions& options, const CallBounds& bounds,
                           const Clock& clock, Random& random) {
  return Probe(store, options, bounds, clock, random).Run();
}

}  // namespace cairn
