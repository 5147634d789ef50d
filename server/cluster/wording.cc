#include "server/cluster/wording.h"

#include "common/base/strings.h"

namespace cairn {
namespace {

// More are not worth reading.
constexpr size_t kListedMax = 8;

}  // namespace

std::string Counted(uint64_t count, const char* noun) {
  return StrCat(count, " ", noun, count == 1 ? "" : "s");
}

std::string Listed(const char* noun, const std::vector<std::string>& members) {
  std::string text = StrCat(noun, members.size() == 1 ? " " : "s ");
  for (size_t i = 0; i < members.size(); ++i) {
    if (i == kListedMax) return StrCat(text, " and ", members.size() - i, " more");
    text += StrCat(i == 0 ? "" : ", ", members[i]);
  }
  return text;
}

std::string Listed(const char* noun, const std::set<uint32_t>& ids) {
  std::vector<std::string> members;
  for (uint32_t id : ids) members.push_back(StrCat(id));
  return Listed(noun, members);
}

std::string Describe(const wire::NodeInfo& node) {
  std::string more = node.name();
  if (!node.endpoint().empty()) more += StrCat(more.empty() ? "" : ", ", node.endpoint());
  return StrCat("node ", node.id(), more.empty() ? "" : StrCat(" (", more, ")"));
}

std::string Describe(const wire::TargetInfo& target) {
  return StrCat("target ", target.id(),
                target.path().empty() ? "" : StrCat(" (", target.path(), ")"));
}

}  // namespace cairn
