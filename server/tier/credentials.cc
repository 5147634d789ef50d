#include "server/tier/credentials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "server/tier/cold_key.h"

namespace cairn {
namespace {

// Far beyond real files, which have a few hundred bytes a profile.
constexpr size_t kFileBytesMax = 1 << 20;
// Session tokens have about 1 KiB; a header of a request must hold one.
constexpr size_t kValueBytesMax = 8 << 10;

// What goes into a header: a line break there would begin another one.
bool IsValue(std::string_view text) {
  return !text.empty() && text.size() <= kValueBytesMax &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// Checks what a source has given. `from` names it, `names` its words for the three values.
absl::StatusOr<Credentials> Checked(Credentials credentials, std::string_view from,
                                    const std::string (&names)[3]) {
  const auto wrong = [&](const std::string& name) {
    return absl::InvalidArgumentError(
        StrCat(from, ": ", name, " is empty or has characters that it cannot have"));
  };
  if (!IsValue(credentials.access_key_id) ||
      credentials.access_key_id.find('/') != std::string::npos) {
    return wrong(names[0]);
  }
  if (!IsValue(credentials.secret_access_key.reveal())) return wrong(names[1]);
  if (!credentials.session_token.empty() && !IsValue(credentials.session_token.reveal()))
    return wrong(names[2]);
  return credentials;
}

std::string_view Stripped(std::string_view text) {
  return ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
}

// "[name]" or "[profile name]", as a configuration file has it.
std::string_view SectionName(std::string_view line) {
  std::string_view name = Stripped(line.substr(1, line.size() - 2));
  if (name.starts_with("profile ")) name = Stripped(name.substr(8));
  return name;
}

// The values of one profile by name; `found` says whether the profile is there at all.
absl::StatusOr<std::map<std::string, std::string>> ProfileValues(std::string_view text,
                                                                 std::string_view profile,
                                                                 std::string_view file,
                                                                 bool* found) {
  std::map<std::string, std::string> values;
  bool inside = false;
  *found = false;
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view whole = text.substr(0, end);
    const std::string_view line = Stripped(whole);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      if (!line.ends_with(']'))
        return absl::InvalidArgumentError(StrCat(file, ":", number, ": a \"]\" is missing"));
      inside = SectionName(line) == profile;
      *found |= inside;
      continue;
    }
    // An indented line belongs to the setting above it, of which there are none that matter here.
    if (absl::ascii_isspace(static_cast<unsigned char>(whole[0]))) continue;
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
      return absl::InvalidArgumentError(
          StrCat(file, ":", number, ": neither [PROFILE] nor NAME = VALUE"));
    }
    if (!inside) continue;
    values[absl::AsciiStrToLower(ToAbsl(Stripped(line.substr(0, equals))))] =
        std::string(Stripped(line.substr(equals + 1)));
  }
  return values;
}

absl::StatusOr<std::string> ReadPrivateFile(const std::string& path) {
  // Not blocking: a pipe is refused below, not waited for.
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return absl::ErrnoToStatus(errno, StrCat("cannot open the credentials ", path));
  std::string text(kFileBytesMax + 1, '\0');
  struct stat info {};
  ssize_t length = 0;
  absl::Status status;
  if (fstat(fd, &info) != 0) {
    status = absl::ErrnoToStatus(errno, StrCat("cannot look at the credentials ", path));
  } else if (!S_ISREG(info.st_mode)) {
    status =
        absl::FailedPreconditionError(StrCat("the credentials ", path, " are not a regular file"));
  } else if ((info.st_mode & (S_IWGRP | S_IRWXO)) != 0) {
    // The group may read: that is how orchestrators mount secrets for a service's user.
    status = absl::FailedPreconditionError(
        StrCat("others than the owner may read or write the credentials ", path, "; chmod 600 ",
               path, " (the group may read them: 640)"));
  } else if ((length = read(fd, text.data(), text.size())) < 0) {
    status = absl::ErrnoToStatus(errno, StrCat("cannot read the credentials ", path));
  } else if (static_cast<size_t>(length) > kFileBytesMax) {
    status = absl::InvalidArgumentError(StrCat(path, " is too large for credentials"));
  }
  close(fd);
  RETURN_IF_ERROR(status);
  text.resize(static_cast<size_t>(length));
  return text;
}

}  // namespace

absl::StatusOr<CredentialsSource> ParseCredentialsSource(std::string_view text) {
  using Kind = CredentialsSource::Kind;
  if (text == "env") return CredentialsSource{.kind = Kind::kEnvironment};
  if (text == "instance") return CredentialsSource{.kind = Kind::kInstance};
  if (text == "container") return CredentialsSource{.kind = Kind::kContainer};
  if (!text.starts_with("file:")) {
    return absl::InvalidArgumentError(
        StrCat("the credentials' source ", QuotedKey(text),
               " is none of env, file:/PATH, file:/PATH#PROFILE, instance, container"));
  }
  CredentialsSource source{.kind = Kind::kFile};
  const std::string_view rest = text.substr(5);
  const size_t hash = rest.rfind('#');
  source.file = std::string(rest.substr(0, hash));
  if (hash != std::string_view::npos) source.profile = std::string(rest.substr(hash + 1));
  const bool plain = std::all_of(text.begin(), text.end(),
                                 [](char c) { return static_cast<unsigned char>(c) >= 0x20; });
  if (!source.file.starts_with('/') || source.profile.empty() || !plain) {
    return absl::InvalidArgumentError(StrCat(
        "the credentials' source ", QuotedKey(text),
        " must be file:/PATH or file:/PATH#PROFILE, with a path from the root: the server has "
        "another working directory than you"));
  }
  return source;
}

std::string FormatCredentialsSource(const CredentialsSource& source) {
  switch (source.kind) {
    case CredentialsSource::Kind::kEnvironment:
      return "env";
    case CredentialsSource::Kind::kInstance:
      return "instance";
    case CredentialsSource::Kind::kContainer:
      return "container";
    case CredentialsSource::Kind::kFile:
      // The profile must be said where the path itself has what would separate them.
      if (source.profile == "default" && source.file.find('#') == std::string::npos)
        return StrCat("file:", source.file);
      return StrCat("file:", source.file, "#", source.profile);
  }
  return "";
}

absl::StatusOr<Credentials> ParseCredentialsFile(std::string_view text, std::string_view profile,
                                                 std::string_view file) {
  // What editors of another system put before the text.
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  bool found = false;
  ASSIGN_OR_RETURN(auto values, ProfileValues(text, profile, file, &found));
  if (!found) {
    return absl::NotFoundError(
        StrCat(file, " has no profile ", QuotedKey(profile), "; name another one"));
  }
  const std::string names[3] = {"aws_access_key_id", "aws_secret_access_key", "aws_session_token"};
  return Checked({.access_key_id = values[names[0]],
                  .secret_access_key = Secret(values[names[1]]),
                  .session_token = Secret(values[names[2]])},
                 StrCat(file, ", profile ", QuotedKey(profile)), names);
}

absl::StatusOr<Credentials> ReadCredentialsFile(const std::string& path, std::string_view profile) {
  ASSIGN_OR_RETURN(const std::string text, ReadPrivateFile(path));
  return ParseCredentialsFile(text, profile, path);
}

std::optional<std::string> ProcessVariable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return value;
}

absl::StatusOr<Credentials> CredentialsFromEnvironment(const VariableLookup& lookup) {
  const std::string names[3] = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"};
  const std::string id = lookup(names[0]).value_or("");
  const std::string secret = lookup(names[1]).value_or("");
  if (id.empty() || secret.empty()) {
    return absl::NotFoundError(StrCat(
        "the environment variable ", id.empty() ? names[0] : names[1],
        " is not set for this process; set it where the server is started, or give another source "
        "of credentials"));
  }
  return Checked({.access_key_id = id,
                  .secret_access_key = Secret(secret),
                  .session_token = Secret(lookup(names[2]).value_or(""))},
                 "the environment", names);
}

absl::StatusOr<Credentials> ParseCredentialsAnswer(std::string_view json, std::string_view from) {
  const auto wrong = [&](std::string_view why) {
    return absl::UnavailableError(StrCat(from, " answered without credentials: ", why));
  };
  const auto answer = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object()) return wrong("no JSON object");
  const auto text = [&](const char* name) -> std::string {
    const auto found = answer.find(name);
    return found != answer.end() && found->is_string() ? found->get<std::string>() : "";
  };
  if (const std::string code = text("Code"); !code.empty() && code != "Success")
    return wrong(StrCat("code ", QuotedKey(code)));
  const std::string names[3] = {"AccessKeyId", "SecretAccessKey", "Token"};
  absl::StatusOr<Credentials> credentials =
      Checked({.access_key_id = text("AccessKeyId"),
               .secret_access_key = Secret(text("SecretAccessKey")),
               .session_token = Secret(text("Token"))},
              from, names);
  if (!credentials.ok()) return wrong(ToStd(credentials.status().message()));
  if (const std::string expiration = text("Expiration"); !expiration.empty()) {
    std::string error;
    if (!absl::ParseTime(absl::RFC3339_full, expiration, &credentials->expires, &error))
      return wrong(StrCat("Expiration is no time: ", QuotedKey(expiration)));
  }
  return credentials;
}

}  // namespace cairn
