// Cold stores at the end of a command line, for tests against services that are not ours:
//   cold_store_driver COMMAND LOCATION [NAME=VALUE]...
// prepare, probe (as `cairn tier check` does), roundtrip (objects of many sizes and odd keys,
// listed in pages), stat (of a key that is not there). Prints one JSON object; exits 1 when a step
// failed.
#include <algorithm>
#include <cstddef>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "server/tier/open_cold_store.h"
#include "server/tier/probe.h"

namespace cairn {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(120);

using Objects = std::map<std::string, std::vector<std::byte>>;

std::vector<std::byte> DrawBytes(size_t size_bytes, uint64_t seed) {
  SeededRandom random(seed);
  std::vector<std::byte> bytes(size_bytes);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Next());
  return bytes;
}

Objects MakeObjects() {
  const std::pair<const char*, size_t> kinds[] = {
      {"rt/empty", 0},
      {"rt/one", 1},
      {"rt/blanks and + signs", 1000},
      {"rt/percent% 41%zz&amp;<x>\"'", 1000},
      {"rt/\xc3\xa9t\xc3\xa9/\xe6\x97\xa5", 1000},
      {"rt/dir/under", 65536},
      {"rt/dir+1/under", 65536},
      {"rt/~tilde=equals,comma;semi:colon@at", 10},
      {"rt/whole", size_t{4} << 20},
      {"rt/three parts", (size_t{11} << 20) + 17},
  };
  Objects objects;
  for (const auto& [key, size] : kinds) objects[key] = DrawBytes(size, objects.size());
  return objects;
}

absl::Status Differs(const std::string& key, const std::string& how) {
  return absl::DataLossError(absl::StrCat("\"", key, "\" ", how));
}

absl::Status PutAndGet(ColdStore& store, const std::string& key,
                       const std::vector<std::byte>& bytes, const CallBounds& bounds) {
  const ConstBytes all(bytes);
  const ConstBytes pieces[] = {all.first(bytes.size() / 3), all.subspan(bytes.size() / 3)};
  const ColdPutOptions options{.part_bytes = 5 * kMiB, .parallel_parts = 3};
  ASSIGN_OR_RETURN(const std::string etag, store.Put(key, pieces, options, bounds));
  ASSIGN_OR_RETURN(const ColdObject object, store.Stat(key, bounds));
  if (object.size_bytes != bytes.size() || object.etag != etag)
    return Differs(key, "is not told as it was put");
  std::vector<std::byte> into(bytes.size());
  RETURN_IF_ERROR(store.Get(key, 0, into, etag, bounds));
  if (into != bytes) return Differs(key, "came back with other bytes");
  if (bytes.size() < 10) return absl::OkStatus();
  std::vector<std::byte> part(bytes.size() / 2);
  RETURN_IF_ERROR(store.Get(key, 3, part, etag, bounds));
  if (!std::equal(part.begin(), part.end(), bytes.begin() + 3))
    return Differs(key, "came back with another range");
  const absl::Status beyond = store.Get(key, bytes.size() - 1, {part.data(), 2}, "", bounds);
  return absl::IsOutOfRange(beyond) ? absl::OkStatus() : Differs(key, "gives bytes beyond its end");
}

absl::Status ListAll(ColdStore& store, const Objects& objects, const CallBounds& bounds) {
  std::vector<std::string> found;
  for (bool more = true; more;) {
    const std::string after = found.empty() ? "" : found.back();
    ASSIGN_OR_RETURN(const ColdListing page,
                     store.List({.prefix = "rt/", .start_after = after, .limit = 3}, bounds));
    for (const ColdObject& object : page.objects) found.push_back(object.key);
    more = page.more && !page.objects.empty();
  }
  std::vector<std::string> expected;
  for (const auto& [key, bytes] : objects) expected.push_back(key);
  if (found == expected) return absl::OkStatus();
  std::string names;
  for (const std::string& key : found) absl::StrAppend(&names, " ", key);
  return absl::DataLossError(absl::StrCat("a listing in pages shows:", names));
}

absl::Status RoundTrip(ColdStore& store, const CallBounds& bounds) {
  const Objects objects = MakeObjects();
  std::vector<std::string> keys = {"rt/never was"};
  for (const auto& [key, bytes] : objects) {
    RETURN_IF_ERROR(PutAndGet(store, key, bytes, bounds));
    keys.push_back(key);
  }
  RETURN_IF_ERROR(ListAll(store, objects, bounds));
  RETURN_IF_ERROR(store.Delete(keys, bounds));
  RETURN_IF_ERROR(store.Delete(keys, bounds));
  ASSIGN_OR_RETURN(const ColdListing rest, store.List({}, bounds));
  return rest.objects.empty() ? absl::OkStatus() : Differs(rest.objects[0].key, "was not deleted");
}

nlohmann::json StepJson(const std::string& name, const absl::Status& status) {
  return {{"name", name},
          {"code", absl::StatusCodeToString(status.code())},
          {"message", std::string(status.message())}};
}

nlohmann::json ProbeJson(ColdStore& store, const CallBounds& bounds, const Clock& clock,
                         Random& random) {
  nlohmann::json steps = nlohmann::json::array();
  for (const ProbeStep& step : ProbeColdStore(store, {}, bounds, clock, random).steps) {
    steps.push_back(StepJson(step.name, step.status));
    steps.back()["took_ms"] = absl::ToDoubleMilliseconds(step.took);
    steps.back()["hint"] = step.hint;
  }
  return steps;
}

nlohmann::json RunCommand(const std::string& command, const ColdStoreText& text) {
  static SystemClock clock;
  static SystemRandom random;
  const auto one = [&](const absl::Status& status) {
    return nlohmann::json::array({StepJson(command, status)});
  };
  const absl::StatusOr<ColdStoreSpec> spec = ParseColdStoreSpec(text);
  if (!spec.ok()) return one(spec.status());
  if (command == "prepare") return one(PrepareColdStore(*spec, random));
  const auto store = OpenColdStore(*spec, clock, random);
  if (!store.ok()) return one(store.status());
  const CallBounds bounds{.deadline = Deadline::After(clock, kPatience)};
  if (command == "probe") return ProbeJson(**store, bounds, clock, random);
  if (command == "roundtrip") return one(RoundTrip(**store, bounds));
  if (command == "stat") return one((*store)->Stat("not there", bounds).status());
  return one(absl::InvalidArgumentError("the command is none of prepare, probe, roundtrip, stat"));
}

}  // namespace
}  // namespace cairn

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: cold_store_driver COMMAND LOCATION [NAME=VALUE]...\n";
    return 2;
  }
  cairn::ColdStoreText text{.location = argv[2]};
  for (int i = 3; i < argc; ++i) {
    const std::string option = argv[i];
    const size_t equals = std::min(option.find('='), option.size());
    text.options.emplace_back(option.substr(0, equals),
                              option.substr(std::min(equals + 1, option.size())));
  }
  const nlohmann::json steps = cairn::RunCommand(argv[1], text);
  bool ok = true;
  for (const auto& step : steps) ok = ok && step["code"] == "OK";
  std::cout << nlohmann::json{{"ok", ok}, {"steps", steps}}.dump() << std::endl;
  return ok ? 0 : 1;
}
