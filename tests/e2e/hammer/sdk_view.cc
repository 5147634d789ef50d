// The tree by the SDK: whole files, and names.
#include <utility>

#include "cairn/client.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "tests/e2e/hammer/view.h"

namespace cairn::hammer {
namespace {

// Of reading a file that others change meanwhile: the SDK reads one version, or says that it is
// gone.
constexpr int kTriesMax = 1000;

class SdkView final : public View {
 public:
  SdkView(std::unique_ptr<Client> client, std::string root)
      : client_(std::move(client)), root_(std::move(root)) {}

  std::string name() const override { return "the SDK"; }
  bool writes_in_place() const override { return false; }

  absl::StatusOr<std::optional<std::string>> Read(const std::string& path) override {
    for (int tries = 0; tries < kTriesMax; ++tries) {
      auto content = ReadOnce(path);
      if (content.ok()) return content;
      if (!absl::IsNotFound(content.status()) && !absl::IsFailedPrecondition(content.status()))
        return content.status();
      // There is none, or somebody has changed it while it was opened or read.
      const auto entry = client_->Stat(At(path));
      if (absl::IsNotFound(entry.status())) return std::nullopt;
      RETURN_IF_ERROR(entry.status());
    }
    return absl::AbortedError(StrCat(path, " is changed faster than it can be read"));
  }

  absl::StatusOr<bool> IsDirectory(const std::string& path) override {
    auto entry = client_->Stat(At(path));
    if (absl::IsNotFound(entry.status())) return false;
    RETURN_IF_ERROR(entry.status());
    return entry->type == EntryType::kDirectory;
  }

  absl::StatusOr<std::vector<std::string>> List(const std::string& path) override {
    ASSIGN_OR_RETURN(const std::vector<Entry> entries, client_->List(At(path)));
    std::vector<std::string> names;
    for (const Entry& entry : entries) names.push_back(entry.name);
    return names;
  }

  absl::Status Replace(const std::string& path, const std::string& content, Durability) override {
    const ConstBuffer piece = std::as_bytes(std::span(content));
    return client_->PutFile(At(path), {&piece, 1});
  }

  absl::Status Unlink(const std::string& path, Durability) override {
    return client_->Remove(At(path));
  }
  absl::Status Move(const std::string& from, const std::string& to, Durability) override {
    return client_->Rename(At(from), At(to));
  }
  absl::Status MakeDirectory(const std::string& path, Durability) override {
    return client_->MakeDirectory(At(path));
  }
  absl::Status RemoveDirectory(const std::string& path, Durability) override {
    return client_->Remove(At(path));
  }

  absl::Status Create(const std::string&, const std::string&, Durability) override {
    return NotInPlace();
  }
  absl::Status Overwrite(const std::string&, uint64_t, const std::string&, Durability,
                         uint64_t) override {
    return NotInPlace();
  }
  absl::Status Append(const std::string&, const std::vector<std::string>&, Durability) override {
    return NotInPlace();
  }
  absl::Status Truncate(const std::string&, uint64_t, Durability, uint64_t) override {
    return NotInPlace();
  }

 private:
  static absl::Status NotInPlace() {
    return absl::UnimplementedError("the SDK replaces files as a whole");
  }
  absl::StatusOr<std::string> ReadOnce(const std::string& path) {
    ASSIGN_OR_RETURN(File file, client_->OpenFile(At(path)));
    std::string content(file.size_bytes(), '\0');
    RETURN_IF_ERROR(file.Read(0, std::as_writable_bytes(std::span(content))));
    return content;
  }
  std::string At(const std::string& path) const { return StrCat(root_, "/", path); }

  std::unique_ptr<Client> client_;
  std::string root_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<View>> MakeSdkView(const std::string& source) {
  const size_t at = source.find(":/");
  if (at == std::string::npos)
    return absl::InvalidArgumentError(StrCat(source, " is not ENDPOINT:/bucket/path"));
  ClientOptions options;
  options.endpoint = source.substr(0, at);
  options.connect_timeout = options.timeout;
  ASSIGN_OR_RETURN(std::unique_ptr<Client> client, Client::Connect(options));
  return std::make_unique<SdkView>(std::move(client), source.substr(at + 2));
}

}  // namespace cairn::hammer
