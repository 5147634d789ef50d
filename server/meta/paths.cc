#include "server/meta/paths.h"

#include "absl/strings/str_format.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

constexpr size_t kMaxPrinted = 200;

// The length of the UTF-8 character that `text` starts with; 0 when it is none. Overlong forms,
// surrogates and what is beyond U+10FFFF are none (RFC 3629).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](size_t i) { return i < text.size() && (byte(i) & 0xc0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    if (!continues(1) || !continues(2)) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) > 0x9f) return 0;
    return 3;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::string Printable(std::string_view text) {
  const bool cut = text.size() > kMaxPrinted;
  if (cut) text = text.substr(0, kMaxPrinted);
  std::string result;
  while (!text.empty()) {
    const unsigned char first = static_cast<unsigned char>(text[0]);
    const size_t length = Utf8Length(text);
    if (length == 0 || first < 0x20 || first == 0x7f) {
      result += absl::StrFormat("\\x%02x", first);
      text.remove_prefix(1);
    } else {
      result.append(text.substr(0, length));
      text.remove_prefix(length);
    }
  }
  if (cut) result += "...";
  return result;
}

std::string Quoted(std::string_view text) { return StrCat("\"", Printable(text), "\""); }

absl::Status CheckName(std::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("a name is empty");
  if (name.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(StrCat("the name ", Quoted(name), " has ", name.size(),
                                             " bytes; at most ", kMaxNameBytes, " are allowed"));
  }
  if (name == "." || name == "..") {
    return absl::InvalidArgumentError(StrCat("\"", name, "\" is not allowed as a name"));
  }
  if (name.find('\0') != std::string_view::npos) {
    return absl::InvalidArgumentError(StrCat("the name ", Quoted(name), " contains a NUL byte"));
  }
  if (name.find('/') != std::string_view::npos) {
    return absl::InvalidArgumentError(StrCat("the name ", Quoted(name), " contains a slash"));
  }
  if (!IsUtf8(name)) {
    return absl::InvalidArgumentError(StrCat("the name ", Quoted(name), " is not valid UTF-8"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string_view>> SplitPath(std::string_view path) {
  if (path.empty()) return absl::InvalidArgumentError("the path is empty");
  if (path.size() > kMaxPathBytes) {
    return absl::InvalidArgumentError(StrCat("the path ", Quoted(path), " has ", path.size(),
                                             " bytes; at most ", kMaxPathBytes, " are allowed"));
  }
  const auto bad = [&](std::string_view what) {
    return absl::InvalidArgumentError(StrCat("the path ", Quoted(path), " ", what));
  };
  if (path.front() == '/') return bad("starts with a slash; paths are \"bucket/dir/name\"");
  if (path.back() == '/') return bad("ends with a slash");
  std::vector<std::string_view> components;
  for (;;) {
    const size_t slash = path.find('/');
    const std::string_view name = path.substr(0, slash);
    if (name.empty()) return bad("contains \"//\"");
    RETURN_IF_ERROR(CheckName(name));
    components.push_back(name);
    if (slash == std::string_view::npos) return components;
    path.remove_prefix(slash + 1);
  }
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  return StrCat(directory, "/", name);
}

std::optional<uint64_t> StepOfName(std::string_view name) {
  size_t begin = name.size();
  while (begin > 0 && name[begin - 1] >= '0' && name[begin - 1] <= '9') --begin;
  if (begin == name.size()) return std::nullopt;
  uint64_t step = 0;
  for (const char digit : name.substr(begin)) {
    const uint64_t value = static_cast<uint64_t>(digit - '0');
    if (step > (UINT64_MAX - value) / 10) return std::nullopt;
    step = step * 10 + value;
  }
  return step;
}

}  // namespace cairn
