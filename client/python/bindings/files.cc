// Region, File and ShardWriter as Python classes: the ones that touch bytes. Everything that may
// wait runs in Blocking(), and memory is lent for exactly as long as the SDK says. Next:
// client/core/file.cc, client/core/shard.cc.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <utility>
#include <vector>

#include "client/python/bindings/blocking.h"
#include "client/python/bindings/classes.h"
#include "client/python/bindings/errors.h"
#include "client/python/bindings/handles.h"
#include "client/python/bindings/memory.h"

namespace py = pybind11;

namespace cairn::python {
namespace {

py::bytes ReadBytes(const std::shared_ptr<FileHandle>& file, uint64_t offset, uint64_t length) {
  // Filled in place before anybody else sees it, which is what makes writing to a bytes object
  // legal.
  py::object bytes = py::reinterpret_steal<py::object>(
      PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(length)));
  if (!bytes) throw py::error_already_set();
  const MutableBuffer memory(reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes.ptr())), length);
  std::shared_ptr<Loan> loan = Loan::Make();
  loan->Keep(bytes);
  ThrowIfError(Blocking([file, loan, offset, memory] {
    return file->With([&](File& open) { return open.Read(offset, memory); });
  }));
  return py::reinterpret_steal<py::bytes>(bytes.release());
}

void ReadRanges(const std::shared_ptr<FileHandle>& file, const py::iterable& ranges) {
  std::shared_ptr<Loan> loan = Loan::Make();
  std::vector<ReadRange> wanted;
  for (py::handle item : ranges) {
    const auto pair = py::reinterpret_borrow<py::sequence>(item);
    const py::object destination = pair[1];
    wanted.push_back({py::object(pair[0]).cast<uint64_t>(), loan->LendWritable(destination)});
  }
  ThrowIfError(Blocking([file, loan, wanted = std::move(wanted)] {
    return file->With([&](File& open) { return open.Read(wanted); });
  }));
}

void WritePieces(const std::shared_ptr<ShardHandle>& shard, const py::iterable& pieces) {
  std::shared_ptr<Loan> loan = Loan::Make();
  std::vector<ConstBuffer> gathered;
  for (py::handle piece : pieces) gathered.push_back(loan->Lend(piece));
  shard->Lent(loan);
  ThrowIfError(Blocking([shard, loan, gathered = std::move(gathered)] {
    return shard->writer.WithLock([&](ShardWriter& writer) { return writer.Write(gathered); });
  }));
}

template <class Settle>
void SettleShard(const std::shared_ptr<ShardHandle>& shard, Settle settle) {
  const absl::Status settled = Blocking([shard, settle] {
    return shard->writer.WithLock([&](ShardWriter& writer) { return settle(writer); });
  });
  // Whatever the outcome, no server reads the memory any more.
  shard->loans.clear();
  ThrowIfError(settled);
}

}  // namespace

void BindRegion(py::module_& module) {
  py::class_<Region>(
      module, "Region",
      "Part of an object's memory, given by address. `owner` is kept alive as long as it is lent.")
      .def(py::init([](uint64_t address, uint64_t size_bytes, py::object owner) {
             return Region{address, size_bytes, std::move(owner)};
           }),
           py::arg("address"), py::arg("size_bytes"), py::arg("owner"))
      .def_readonly("address", &Region::address)
      .def_readonly("size_bytes", &Region::size_bytes);
}

void BindFile(py::module_& module) {
  py::class_<FileHandle, std::shared_ptr<FileHandle>>(module, "File")
      .def_property_readonly("size_bytes",
                             [](const FileHandle& file) { return file.get().size_bytes(); })
      .def_property_readonly("crc32c", [](const FileHandle& file) { return file.get().crc32c(); })
      .def("read", &ReadBytes, py::arg("offset"), py::arg("length"))
      .def("read_ranges", &ReadRanges, py::arg("ranges"));
}

void BindShard(py::module_& module) {
  py::class_<ShardHandle, std::shared_ptr<ShardHandle>>(module, "ShardWriter")
      .def_property_readonly(
          "size_bytes", [](const ShardHandle& shard) { return shard.writer.get().size_bytes(); })
      .def("write", &WritePieces, py::arg("pieces"))
      .def("flush",
           [](const std::shared_ptr<ShardHandle>& shard) {
             SettleShard(shard, [](ShardWriter& writer) { return writer.Flush(); });
           })
      .def("close",
           [](const std::shared_ptr<ShardHandle>& shard) {
             SettleShard(shard, [](ShardWriter& writer) { return writer.Close(); });
           })
      .def("abandon", [](const std::shared_ptr<ShardHandle>& shard) {
        SettleShard(shard, [](ShardWriter& writer) {
          writer.Abandon();
          return absl::OkStatus();
        });
      });
}

}  // namespace cairn::python
