// Mounts of a simulated node: each a real Session with a real FsCore, driven step by step.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/core/fs_core.h"
#include "tests/unit/client/client_world.h"

namespace cairn {

inline Content Bytes(std::string_view text) {
  Content content(text.size());
  std::memcpy(content.data(), text.data(), text.size());
  return content;
}

// One mount; a machine of its own. Runs the simulation until each call has ended.
class SimMount {
 public:
  using Core = client_internal::FsCore;
  using File = Core::Opened;

  SimMount(ClientWorld& world, const std::string& name, FileSystemOptions options = {})
      : world_(world), net_(world.fabric.MakeNet(name)) {
    session_ = std::make_unique<Session>(
        *net_, world.random, Session::Options{{world.node.options().endpoint}, name, 8});
    net_->SetReceiver([to = session_.get()](ConstBytes message) { to->OnMessage(message); });
    options.name = name;
    core_ = std::make_unique<Core>(*session_, std::move(options), world.timeout, world.random);
    const absl::Status opened = Run(core_->Open("default"));
    EXPECT_TRUE(opened.ok()) << opened;
  }
  ~SimMount() {
    Unmount();
    Run(session_->Stop());
    Run(net_->Stop());
    net_.reset();
    session_.reset();
  }
  SimMount(const SimMount&) = delete;
  SimMount& operator=(const SimMount&) = delete;

  void Unmount() {
    if (core_ == nullptr) return;
    Run(core_->Close());
    core_.reset();
  }

  template <class T>
  T Run(Task<T> task) {
    return world_.executor.Run(std::move(task));
  }
  void Run(Task<void> task) { (void)world_.executor.Run(Finish(std::move(task))); }
  Core& core() { return *core_; }
  Session& session() { return *session_; }

  // -- short for what tests do. In the root, files.
  uint64_t Make(const std::string& name, wire::EntryType type = wire::ENTRY_FILE) {
    wire::MakeNodeRequest request;
    request.set_parent(core_->root());
    request.set_name(name);
    request.set_type(type);
    request.set_mode(0644);
    request.set_may_exist(true);
    const auto made = Run(core_->Make(std::move(request)));
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->inode() : 0;
  }
  void OnChange(std::function<void(std::vector<FileSystem::Change>)> tell) {
    Run([](Core& core, auto tell) -> Task<void> {
      core.OnChange(std::move(tell));
      co_return;
    }(*core_, std::move(tell)));
  }
  absl::StatusOr<wire::Attributes> Lookup(const std::string& name,
                                          Core::Holding* holding = nullptr) {
    return Run(core_->Lookup(core_->root(), name, holding));
  }
  File Open(const std::string& name, OpenMode mode = OpenMode::kReadWrite) {
    const auto found = Lookup(name);
    EXPECT_TRUE(found.ok()) << found.status();
    auto opened = Run(core_->OpenFile(found.ok() ? found->inode() : 0, mode));
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : File{};
  }
  File Create(const std::string& name) {
    Make(name);
    return Open(name);
  }
  absl::Status Write(const File& file, uint64_t offset, ConstBytes bytes) {
    return Run(file.file->Write(file.handle, offset, bytes));
  }
  absl::StatusOr<uint64_t> Append(const File& file, ConstBytes bytes) {
    return Run(file.file->Append(file.handle, bytes));
  }
  absl::Status Flush(const File& file) { return Run(file.file->Flush(file.handle)); }
  absl::StatusOr<Content> Read(const File& file, uint64_t offset, size_t length) {
    Content content(length, std::byte{0xEE});
    const absl::StatusOr<size_t> read = Run(file.file->Read(file.handle, offset, content));
    if (!read.ok()) return read.status();
    content.resize(*read);
    return content;
  }
  absl::StatusOr<Content> ReadAll(const File& file) { return Read(file, 0, 32 * kMiB); }
  absl::Status Truncate(const File& file, uint64_t size) {
    wire::SetAttributesRequest request;
    request.mutable_node()->set_inode(file.file->inode());
    request.set_size_bytes(size);
    return Run(core_->SetAttributes(std::move(request))).status();
  }
  absl::StatusOr<wire::Attributes> Stat(const File& file) {
    return Run(core_->GetAttributes(file.file->inode()));
  }
  void Close(File file) { Run(core_->CloseFile(std::move(file))); }
  absl::Status Unlink(const std::string& name) {
    return Run(core_->Unlink(core_->root(), name, false));
  }
  absl::StatusOr<bool> Lock(const File& file, uint64_t owner, wire::LockType type) {
    wire::FileLock lock;
    lock.set_inode(file.file->inode());
    lock.set_owner(owner);
    lock.set_type(type);
    lock.set_end_bytes(UINT64_MAX);
    const auto reply = Run(core_->Lock(std::move(lock), false));
    if (!reply.ok()) return reply.status();
    return reply->granted();
  }

 private:
  static Task<bool> Finish(Task<void> task) {
    co_await std::move(task);
    co_return true;
  }

  ClientWorld& world_;
  std::unique_ptr<SimNet> net_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Core> core_;
};

}  // namespace cairn
