// fsx: does to a few files what programs may do to files, in an order that follows from a seed, and
// compares all that it reads with a model in memory. For the mount, and for any other file system
// that behaves as a local one. With several directories, which must be the same one by several
// mounts, a file moves from one to the other whenever it is closed.
//
// What is written tells of itself: each word has the number of the operation that wrote it and its
// place, so that a wrong byte can be traced to where it came from.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/base/random.h"
#include "common/base/strings.h"

namespace cairn::e2e {
namespace {

constexpr char kHelp[] =
    R"(Reads, writes, truncates, punches, maps, syncs, reopens and renames files at random, and compares them with a model.

Examples:
  fsx --seconds 60 /mnt/cairn/b/fsx                       one mount
  fsx --seconds 1800 --files 8 /mnt/a/fsx /mnt/b/fsx      the same directory by two mounts
  fsx --seed 42 --operations 1381 /mnt/cairn/b/fsx        a run that failed, again
)";

constexpr uint64_t kPage = 4096;
constexpr size_t kOperationsKept = 40;
constexpr uint64_t kWord = 8;
constexpr int kOpenAtOnce = 3;

struct Options {
  std::vector<std::string> directories;
  double seconds = 0;
  uint64_t operations = 0;
  uint64_t seed = 0;
  int files = 3;
  uint64_t max_bytes = 6u << 20;
  bool direct = true;
  bool keep = false;
};

// What has been done last, to be told when something is wrong.
class Journal {
 public:
  explicit Journal(const Options& options) : options_(options) {}

  // Operation `number` begins.
  void Note(uint64_t number, const std::string& what) {
    number_ = number;
    lines_.push_back(StrCat(number, ": ", what));
    if (lines_.size() > kOperationsKept) lines_.pop_front();
  }
  // What it turned out to do.
  void Detail(const std::string& what) {
    if (!lines_.empty()) lines_.back() += " " + what;
  }

  // Tells, and ends the program.
  [[noreturn]] void Fail(const std::string& what) const {
    std::cerr << "fsx: FAILED at operation " << number_ << ": " << what
              << "\nthe operations before it:\n";
    for (const std::string& line : lines_) std::cerr << "  " << line << "\n";
    std::cerr << "again: --seed " << options_.seed << " --operations " << number_ << " --files "
              << options_.files << " --max-bytes " << options_.max_bytes
              << (options_.direct ? "" : " --no-direct") << std::endl;
    std::_Exit(1);
  }

  // `result` of a system call, which must not have failed.
  template <typename Result>
  Result Checked(Result result, const char* call) const {
    if (result < 0) Fail(StrCat(call, ": ", strerror(errno)));
    return result;
  }

 private:
  const Options& options_;
  std::deque<std::string> lines_;
  uint64_t number_ = 0;
};

uint64_t WordOf(uint64_t operation, uint64_t offset) {
  return operation << 32 | (offset / kWord & 0xffffffff);
}

// What operation number `operation` writes at `offset`.
std::vector<char> Written(uint64_t operation, uint64_t offset, uint64_t length) {
  std::vector<char> bytes(length);
  for (uint64_t i = 0; i < length; ++i) {
    const uint64_t word = WordOf(operation, offset + i);
    bytes[i] = static_cast<char>(word >> 8 * ((offset + i) % kWord));
  }
  return bytes;
}

// Where the word at `offset` says that it comes from.
std::string Origin(const std::vector<char>& bytes, uint64_t offset) {
  const uint64_t start = offset / kWord * kWord;
  if (start + kWord > bytes.size()) return "cut off";
  uint64_t word = 0;
  memcpy(&word, bytes.data() + start, kWord);
  if (word == 0) return "zeros";
  return StrCat("operation ", word >> 32, " at offset ", (word & 0xffffffff) * kWord);
}

// Memory that direct I/O takes.
struct Aligned {
  explicit Aligned(uint64_t size)
      : bytes(static_cast<char*>(aligned_alloc(kPage, size)), std::free) {}
  std::unique_ptr<char, decltype(&std::free)> bytes;
};

// One file, its descriptors and what must be in it.
class File {
 public:
  File(std::string name, const Options& options, const Journal& journal)
      : name_(std::move(name)), options_(options), journal_(journal) {}

  const std::string& name() const { return name_; }
  uint64_t size() const { return model_.size(); }
  int home() const { return home_; }
  const std::vector<char>& model() const { return model_; }

  std::string Path() const { return PathOf(name_); }
  std::string PathOf(const std::string& name) const {
    return StrCat(options_.directories[home_], "/", name);
  }

  // `direct`: the last of the descriptors is for direct I/O.
  void Open(int home, int count, bool direct) {
    home_ = home;
    for (int i = 0; i < count; ++i) {
      descriptors_.push_back(
          journal_.Checked(open(Path().c_str(), O_RDWR | O_CREAT, 0644), "open"));
    }
    if (direct)
      direct_ = journal_.Checked(open(Path().c_str(), O_RDWR | O_DIRECT), "open(O_DIRECT)");
    append_ = journal_.Checked(open(Path().c_str(), O_WRONLY | O_APPEND), "open(O_APPEND)");
  }

  void Close() {
    for (const int descriptor : descriptors_) journal_.Checked(close(descriptor), "close");
    descriptors_.clear();
    if (append_ >= 0) journal_.Checked(close(append_), "close");
    if (direct_ >= 0) journal_.Checked(close(direct_), "close");
    append_ = direct_ = -1;
  }

  int Descriptor(Random& dice) const { return descriptors_[dice.Below(descriptors_.size())]; }
  int direct() const { return direct_; }
  int append() const { return append_; }

  void Renamed(std::string name) { name_ = std::move(name); }

  void ModelWrite(uint64_t offset, const std::vector<char>& bytes) {
    if (bytes.empty()) return;
    if (offset + bytes.size() > model_.size()) model_.resize(offset + bytes.size());
    std::copy(bytes.begin(), bytes.end(), model_.begin() + static_cast<int64_t>(offset));
  }
  void ModelZero(uint64_t offset, uint64_t length) {
    const uint64_t end = std::min<uint64_t>(offset + length, model_.size());
    if (offset < end) std::fill(model_.begin() + offset, model_.begin() + end, 0);
  }
  void ModelResize(uint64_t size) { model_.resize(size); }

  void CheckSize() const {
    struct stat found;
    journal_.Checked(fstat(descriptors_.front(), &found), "fstat");
    Expect(static_cast<uint64_t>(found.st_size) == model_.size(), "fstat", StrCat(found.st_size));
    journal_.Checked(stat(Path().c_str(), &found), "stat");
    Expect(static_cast<uint64_t>(found.st_size) == model_.size(), "stat", StrCat(found.st_size));
  }

  // `found` is what the model has at `offset`.
  void CheckContent(uint64_t offset, const std::vector<char>& found, std::string_view by) const {
    const uint64_t expected = offset < size() ? std::min(found.size(), size() - offset) : 0;
    const auto begin = model_.begin() + static_cast<int64_t>(std::min(offset, size()));
    const auto differs = std::mismatch(found.begin(), found.begin() + expected, begin);
    if (differs.first == found.begin() + expected) return;
    const uint64_t at = offset + (differs.first - found.begin());
    uint64_t last = at;
    for (uint64_t i = at; i < offset + expected; ++i)
      if (found[i - offset] != model_[i]) last = i;
    // As the file has it, for Origin(), which looks at whole words.
    std::vector<char> whole(model_);
    std::copy_n(found.begin(), expected, whole.begin() + offset);
    journal_.Fail(StrCat(name_, " by ", by, " of [", offset, ", ", offset + found.size(),
                         "), size ", size(), ": bytes from ", at, " to ", last,
                         " differ; there is ", Origin(whole, at), " instead of ",
                         Origin(model_, at)));
  }

 private:
  void Expect(bool holds, std::string_view call, const std::string& said) const {
    if (!holds) journal_.Fail(StrCat(name_, ": ", call, " says ", said, " bytes, not ", size()));
  }

  std::string name_;
  const Options& options_;
  const Journal& journal_;
  std::vector<char> model_;
  std::vector<int> descriptors_;
  int direct_ = -1;
  int append_ = -1;
  int home_ = 0;
};

class Exerciser {
 public:
  explicit Exerciser(const Options& options) : options_(options), dice_(options.seed) {
    for (int i = 0; i < options.files; ++i)
      files_.push_back(std::make_unique<File>(StrCat("file-", i), options_, journal_));
  }

  // Ends the program when something is wrong.
  void Run() {
    const auto start = std::chrono::steady_clock::now();
    const auto elapsed = [&start] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    for (auto& file : files_) {
      unlink(file->Path().c_str());
      Reopen(*file);
    }
    while (options_.operations > 0 ? number_ < options_.operations : elapsed() < options_.seconds) {
      Step();
    }
    for (auto& file : files_) Finish(*file);
    std::cout << "fsx: " << number_ << " operations in " << elapsed() << " s, all as the model\n";
    for (const auto& [name, count] : counts_) std::cout << "  " << name << " " << count << "\n";
  }

 private:
  using Operation = void (Exerciser::*)(File&);
  struct Kind {
    std::string name;
    int weight;
    Operation operation;
  };
  static const std::vector<Kind> kKinds;

  void Step() {
    ++number_;
    File& file = *files_[dice_.Below(files_.size())];
    int weights = 0;
    for (const Kind& kind : kKinds) weights += kind.weight;
    int chosen = static_cast<int>(dice_.Below(weights));
    for (const Kind& kind : kKinds) {
      if ((chosen -= kind.weight) >= 0) continue;
      journal_.Note(number_, StrCat(kind.name, " ", file.name()));
      (this->*kind.operation)(file);
      ++counts_[kind.name];
      break;
    }
    if (dice_.Below(8) == 0) file.CheckSize();
  }

  void DetailRange(uint64_t offset, uint64_t length) {
    journal_.Detail(StrCat("[", offset, ", ", offset + length, ")"));
  }

  // ---- where, and how much

  uint64_t SomeLength() {
    switch (dice_.Below(8)) {
      case 0:
        return 1 + dice_.Below(16);
      case 1:
      case 2:
        return 1 + dice_.Below(kPage);
      case 3:
      case 4:
        return 1 + dice_.Below(64 << 10);
      case 5:
        return kPage * (1 + dice_.Below(16));
      case 6:
        return 1 + dice_.Below(512 << 10);
      default:
        return 1 + dice_.Below(options_.max_bytes / 2);
    }
  }

  // Where `length` bytes fit below the largest size.
  uint64_t SomeOffset(const File& file, uint64_t length) {
    const uint64_t room = options_.max_bytes - length;
    uint64_t offset = 0;
    switch (dice_.Below(4)) {
      case 0:
        offset = dice_.Below(room + 1);
        break;
      case 1:
        offset = file.size();
        break;
      case 2:
        offset = dice_.Below(file.size() + 1) / kPage * kPage;
        break;
      default:
        offset = dice_.Below(file.size() + 1);
    }
    return std::min(offset, room);
  }

  struct Range {
    uint64_t offset, length;
  };
  Range SomeRange(const File& file) {
    const uint64_t length = std::min(SomeLength(), options_.max_bytes);
    const Range range = {SomeOffset(file, length), length};
    DetailRange(range.offset, range.length);
    return range;
  }
  // One within the file; of no length when the file is empty.
  Range SomeRangeWithin(const File& file) {
    if (file.size() == 0) return {0, 0};
    const uint64_t offset = dice_.Below(file.size());
    const Range range = {offset, std::min(SomeLength(), file.size() - offset)};
    DetailRange(range.offset, range.length);
    return range;
  }

  // ---- operations

  void Write(File& file) {
    const Range range = SomeRange(file);
    const std::vector<char> bytes = Written(number_, range.offset, range.length);
    WriteAll(file.Descriptor(dice_), bytes, range.offset);
    file.ModelWrite(range.offset, bytes);
  }

  void WriteAll(int descriptor, const std::vector<char>& bytes, uint64_t offset) {
    uint64_t done = 0;
    while (done < bytes.size()) {
      done += journal_.Checked(
          pwrite(descriptor, bytes.data() + done, bytes.size() - done, offset + done), "pwrite");
    }
  }

  void Append(File& file) {
    const uint64_t length = std::min(SomeLength(), options_.max_bytes - file.size());
    DetailRange(file.size(), length);
    const std::vector<char> bytes = Written(number_, file.size(), length);
    uint64_t done = 0;
    while (done < length)
      done += journal_.Checked(write(file.append(), bytes.data() + done, length - done),
                               "write(O_APPEND)");
    file.ModelWrite(file.size(), bytes);
  }

  void Read(File& file) {
    const Range range = SomeRange(file);
    CheckRead(file, file.Descriptor(dice_), range);
  }

  void CheckRead(const File& file, int descriptor, const Range& range) {
    std::vector<char> bytes(range.length);
    const uint64_t expected =
        range.offset < file.size() ? std::min(range.length, file.size() - range.offset) : 0;
    uint64_t done = 0;
    while (done < range.length) {
      const auto got = static_cast<uint64_t>(journal_.Checked(
          pread(descriptor, bytes.data() + done, range.length - done, range.offset + done),
          "pread"));
      if (got == 0) break;
      done += got;
    }
    if (done != expected)
      journal_.Fail(StrCat(file.name(), ": ", done, " bytes were read at ", range.offset, ", not ",
                           expected));
    bytes.resize(done);
    file.CheckContent(range.offset, bytes, "read");
  }

  void WriteDirectly(File& file) {
    if (file.direct() < 0) return Write(file);
    const uint64_t length = kPage * (1 + dice_.Below(64));
    const uint64_t offset =
        std::min(SomeOffset(file, length), options_.max_bytes - length) / kPage * kPage;
    DetailRange(offset, length);
    const std::vector<char> bytes = Written(number_, offset, length);
    const Aligned memory(length);
    memcpy(memory.bytes.get(), bytes.data(), length);
    uint64_t done = 0;
    while (done < length) {
      done += journal_.Checked(
          pwrite(file.direct(), memory.bytes.get() + done, length - done, offset + done),
          "pwrite(O_DIRECT)");
    }
    file.ModelWrite(offset, bytes);
  }

  void ReadDirectly(File& file) {
    if (file.direct() < 0) return Read(file);
    const uint64_t length = kPage * (1 + dice_.Below(64));
    const uint64_t offset = SomeOffset(file, length) / kPage * kPage;
    DetailRange(offset, length);
    const Aligned memory(length);
    const int64_t got = journal_.Checked(pread(file.direct(), memory.bytes.get(), length, offset),
                                         "pread(O_DIRECT)");
    const uint64_t expected = offset < file.size() ? std::min(length, file.size() - offset) : 0;
    if (static_cast<uint64_t>(got) != expected)
      journal_.Fail(StrCat(file.name(), ": ", got, " bytes were read directly, not ", expected));
    file.CheckContent(offset, std::vector<char>(memory.bytes.get(), memory.bytes.get() + got),
                      "direct read");
  }

  // Calls `use` with the range's bytes in a shared mapping of the pages around it.
  template <typename Use>
  void Map(File& file, const Range& range, int protection, Use use) {
    const uint64_t start = range.offset / kPage * kPage;
    const uint64_t length = range.offset + range.length - start;
    void* mapped = mmap(nullptr, length, protection, MAP_SHARED, file.Descriptor(dice_),
                        static_cast<off_t>(start));
    if (mapped == MAP_FAILED) journal_.Fail(StrCat("mmap: ", strerror(errno)));
    use(static_cast<char*>(mapped), static_cast<char*>(mapped) + (range.offset - start));
    if ((protection & PROT_WRITE) != 0 && dice_.Below(2) == 0) {
      journal_.Detail("synced");
      journal_.Checked(msync(mapped, length, MS_SYNC), "msync");
    }
    journal_.Checked(munmap(mapped, length), "munmap");
  }

  void ReadMapped(File& file) {
    const Range range = SomeRangeWithin(file);
    if (range.length == 0) return;
    Map(file, range, PROT_READ, [&](const char*, const char* bytes) {
      file.CheckContent(range.offset, std::vector<char>(bytes, bytes + range.length), "mapping");
      const uint64_t end = range.offset + range.length;
      if (end != file.size()) return;
      // What the last page has behind the end of the file is zeros.
      for (const char* tail = bytes + range.length; (tail - bytes + range.offset) % kPage != 0;
           ++tail) {
        if (*tail != 0)
          journal_.Fail(StrCat(file.name(), ": behind the end of the mapped file is a byte ",
                               static_cast<int>(*tail)));
      }
    });
  }

  void WriteMapped(File& file) {
    const Range range = SomeRangeWithin(file);
    if (range.length == 0) return;
    const std::vector<char> bytes = Written(number_, range.offset, range.length);
    Map(file, range, PROT_READ | PROT_WRITE,
        [&](const char*, char* mapped) { memcpy(mapped, bytes.data(), bytes.size()); });
    file.ModelWrite(range.offset, bytes);
  }

  void Truncate(File& file) {
    const uint64_t size =
        dice_.Below(3) == 0 ? dice_.Below(options_.max_bytes + 1) : dice_.Below(file.size() + 1);
    journal_.Detail(StrCat("from ", file.size(), " to ", size));
    if (dice_.Below(2) == 0) {
      journal_.Checked(ftruncate(file.Descriptor(dice_), static_cast<off_t>(size)), "ftruncate");
    } else {
      journal_.Checked(truncate(file.Path().c_str(), static_cast<off_t>(size)), "truncate");
    }
    file.ModelResize(size);
  }

  // True unless the file system does not have it, which is noted once.
  bool Allocate(File& file, int mode, const Range& range) {
    if (fallocate(file.Descriptor(dice_), mode, static_cast<off_t>(range.offset),
                  static_cast<off_t>(range.length)) == 0)
      return true;
    if (errno != EOPNOTSUPP) journal_.Fail(StrCat("fallocate(", mode, "): ", strerror(errno)));
    ++counts_[StrCat("(no fallocate of mode ", mode, " here)")];
    return false;
  }

  void Punch(File& file) {
    const Range range = SomeRange(file);
    if (Allocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, range))
      file.ModelZero(range.offset, range.length);
  }

  void ZeroRange(File& file) {
    const Range range = SomeRange(file);
    const bool keeps = dice_.Below(2) == 0;
    if (!Allocate(file, FALLOC_FL_ZERO_RANGE | (keeps ? FALLOC_FL_KEEP_SIZE : 0), range)) return;
    if (!keeps) file.ModelResize(std::max(file.size(), range.offset + range.length));
    file.ModelZero(range.offset, range.length);
  }

  void MakeRoom(File& file) {
    const Range range = SomeRange(file);
    const bool keeps = dice_.Below(2) == 0;
    if (!Allocate(file, keeps ? FALLOC_FL_KEEP_SIZE : 0, range)) return;
    if (!keeps) file.ModelResize(std::max(file.size(), range.offset + range.length));
  }

  void SyncFile(File& file) {
    const int descriptor = file.Descriptor(dice_);
    journal_.Checked(dice_.Below(2) == 0 ? fsync(descriptor) : fdatasync(descriptor), "fsync");
  }

  // What the kernel has cached of it goes, so that the next reads ask the file system.
  void Evict(File& file) {
    const int descriptor = file.Descriptor(dice_);
    journal_.Checked(fsync(descriptor), "fsync");
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED);
  }

  // Closed, and opened again by any of the mounts.
  void Reopen(File& file) {
    if (file.append() >= 0) file.Close();
    const int home = static_cast<int>(dice_.Below(options_.directories.size()));
    const int count = 1 + static_cast<int>(dice_.Below(kOpenAtOnce));
    journal_.Detail(StrCat("in ", options_.directories[home]));
    file.Open(home, count, options_.direct && dice_.Below(2) == 0);
    file.CheckSize();
    if (dice_.Below(2) == 0) CheckRead(file, file.Descriptor(dice_), {0, file.size() + 1});
  }

  void Copy(File& file) {
    const File& source = *files_[dice_.Below(files_.size())];
    const Range from = SomeRangeWithin(source);
    if (from.length == 0) return;
    const uint64_t to = SomeOffset(file, from.length);
    journal_.Detail(StrCat("of ", source.name(), " to ", to));
    // Overlapping ranges of one file are refused.
    const bool overlaps =
        &source == &file && from.offset < to + from.length && to < from.offset + from.length;
    if (overlaps || source.home() != file.home()) return;
    const int in = source.Descriptor(dice_);
    const int out = file.Descriptor(dice_);
    auto in_offset = static_cast<off_t>(from.offset);
    auto out_offset = static_cast<off_t>(to);
    for (uint64_t left = from.length; left > 0;) {
      const int64_t copied = journal_.Checked(
          copy_file_range(in, &in_offset, out, &out_offset, left, 0), "copy_file_range");
      if (copied == 0) journal_.Fail("copy_file_range ended early");
      left -= copied;
    }
    const auto begin = source.model().begin() + static_cast<int64_t>(from.offset);
    file.ModelWrite(to, std::vector<char>(begin, begin + static_cast<int64_t>(from.length)));
  }

  // Where the file system says that there is a hole, nothing has been written.
  void SeekHoles(File& file) {
    const int descriptor = file.Descriptor(dice_);
    const auto size = static_cast<off_t>(file.size());
    for (off_t at = 0; at < size;) {
      off_t data = lseek(descriptor, at, SEEK_DATA);
      if (data < 0 && errno != ENXIO) journal_.Fail(StrCat("lseek(SEEK_DATA): ", strerror(errno)));
      if (data < 0) data = size;
      if (data < at || data > size) journal_.Fail(StrCat("SEEK_DATA from ", at, " gives ", data));
      file.CheckContent(at, std::vector<char>(data - at), "SEEK_DATA");
      if (data == size) break;
      at = journal_.Checked(lseek(descriptor, data, SEEK_HOLE), "lseek(SEEK_HOLE)");
      if (at <= data || at > size) journal_.Fail(StrCat("SEEK_HOLE from ", data, " gives ", at));
    }
  }

  void Rename(File& file) {
    const std::string name =
        StrCat(file.name().substr(0, file.name().find('.')), ".", dice_.Below(1000));
    journal_.Detail(StrCat("to ", name));
    journal_.Checked(rename(file.Path().c_str(), file.PathOf(name).c_str()), "rename");
    file.Renamed(name);
  }

  // Another file takes its place, as editors save.
  void Replace(File& file) {
    const uint64_t length = SomeLength();
    journal_.Detail(StrCat("by ", length, " bytes"));
    const std::string path = file.PathOf("replacement");
    const int descriptor =
        journal_.Checked(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644), "open");
    const std::vector<char> bytes = Written(number_, 0, length);
    WriteAll(descriptor, bytes, 0);
    if (dice_.Below(2) == 0) journal_.Checked(fsync(descriptor), "fsync");
    journal_.Checked(close(descriptor), "close");
    journal_.Checked(rename(path.c_str(), file.Path().c_str()), "rename");
    // Those that were open have the old file to the end.
    CheckRead(file, file.Descriptor(dice_), {0, file.size() + 1});
    file.ModelResize(0);
    file.ModelWrite(0, bytes);
    Reopen(file);
  }

  void Finish(File& file) {
    journal_.Note(number_, StrCat("the end of ", file.name()));
    file.Close();
    for (size_t home = 0; home < options_.directories.size(); ++home) {
      file.Open(static_cast<int>(home), 1, false);
      file.CheckSize();
      CheckRead(file, file.Descriptor(dice_), {0, file.size() + 1});
      file.Close();
    }
    if (!options_.keep) journal_.Checked(unlink(file.Path().c_str()), "unlink");
  }

  const Options& options_;
  Journal journal_{options_};
  SeededRandom dice_;
  std::vector<std::unique_ptr<File>> files_;
  uint64_t number_ = 0;
  std::map<std::string, uint64_t> counts_;
};

const std::vector<Exerciser::Kind> Exerciser::kKinds = {
    {"write", 20, &Exerciser::Write},
    {"append", 4, &Exerciser::Append},
    {"read", 20, &Exerciser::Read},
    {"direct-write", 4, &Exerciser::WriteDirectly},
    {"direct-read", 4, &Exerciser::ReadDirectly},
    {"mapped-write", 8, &Exerciser::WriteMapped},
    {"mapped-read", 8, &Exerciser::ReadMapped},
    {"truncate", 6, &Exerciser::Truncate},
    {"punch", 5, &Exerciser::Punch},
    {"zero", 3, &Exerciser::ZeroRange},
    {"allocate", 3, &Exerciser::MakeRoom},
    {"sync", 3, &Exerciser::SyncFile},
    {"evict", 4, &Exerciser::Evict},
    {"reopen", 6, &Exerciser::Reopen},
    {"copy", 4, &Exerciser::Copy},
    {"seek", 3, &Exerciser::SeekHoles},
    {"rename", 2, &Exerciser::Rename},
    {"replace", 1, &Exerciser::Replace},
};

int Main(const Options& options) {
  std::cout << "fsx: seed " << options.seed << std::endl;
  for (const std::string& directory : options.directories) {
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      std::cerr << "fsx: " << directory << ": " << strerror(errno) << "\n";
      return 2;
    }
  }
  Exerciser(options).Run();
  return 0;
}

}  // namespace
}  // namespace cairn::e2e

int main(int argc, char** argv) {
  cairn::e2e::Options options;
  options.seed = cairn::SystemRandom().Next() >> 32;
  CLI::App app(cairn::e2e::kHelp);
  app.add_option("DIRECTORY", options.directories, "the directory, by each of the mounts")
      ->required();
  app.add_option("--seconds", options.seconds, "how long (60)");
  app.add_option("--operations", options.operations, "how many operations, instead");
  app.add_option("--seed", options.seed, "repeats the operations of an earlier run");
  app.add_option("--files", options.files, "files (3)")->check(CLI::Range(1, 1000));
  app.add_option("--max-bytes", options.max_bytes, "the largest size of a file (6 MiB)")
      ->check(CLI::Range(1u << 20, 1u << 30));
  app.add_flag("!--no-direct", options.direct, "no direct I/O");
  app.add_flag("--keep", options.keep, "leave the files of a run that went well");
  CLI11_PARSE(app, argc, argv);
  if (options.seconds <= 0 && options.operations == 0) options.seconds = 60;
  return cairn::e2e::Main(options);
}
