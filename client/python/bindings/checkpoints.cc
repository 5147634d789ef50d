// CheckpointWriter as a Python class. Waiting for other ranks in slices is left to Python
// (client/python/cairn/ checkpoint.py): an interrupted commit must not go on behind the caller's
// back. Next: client/core/checkpoint.cc.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>

#include "client/python/bindings/blocking.h"
#include "client/python/bindings/classes.h"
#include "client/python/bindings/convert.h"
#include "client/python/bindings/errors.h"
#include "client/python/bindings/handles.h"

namespace py = pybind11;

namespace cairn::python {
namespace {

std::shared_ptr<ShardHandle> NewShard(const std::shared_ptr<CheckpointHandle>& checkpoint,
                                      std::string name) {
  return std::make_shared<ShardHandle>(ValueOrThrow(Blocking([checkpoint, name = std::move(name)] {
    return checkpoint->With([&](CheckpointWriter& writer) { return writer.NewShard(name); });
  })));
}

py::dict Commit(const std::shared_ptr<CheckpointHandle>& checkpoint, double timeout_s) {
  return ToDict(ValueOrThrow(Blocking([checkpoint, timeout = absl::Seconds(timeout_s)] {
    return checkpoint->With([&](CheckpointWriter& writer) { return writer.Commit(timeout); });
  })));
}

void Abort(const std::shared_ptr<CheckpointHandle>& checkpoint, std::string reason) {
  ThrowIfError(Blocking([checkpoint, reason = std::move(reason)] {
    return checkpoint->With([&](CheckpointWriter& writer) { return writer.Abort(reason); });
  }));
}

}  // namespace

void BindCheckpoint(py::module_& module) {
  py::class_<CheckpointHandle, std::shared_ptr<CheckpointHandle>>(module, "CheckpointWriter")
      .def_property_readonly("attempt",
                             [](const CheckpointHandle& writer) { return writer.get().attempt(); })
      .def_property_readonly("path",
                             [](const CheckpointHandle& writer) { return writer.get().path(); })
      .def("new_shard", &NewShard, py::arg("name"))
      .def("rank_done",
           [](const std::shared_ptr<CheckpointHandle>& checkpoint) {
             ThrowIfError(Blocking([checkpoint] {
               return checkpoint->With([](CheckpointWriter& writer) { return writer.RankDone(); });
             }));
           })
      .def("commit", &Commit, py::arg("timeout"))
      .def("abort", &Abort, py::arg("reason"));
}

}  // namespace cairn::python
