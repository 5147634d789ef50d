// See errors.h.
#include "client/python/bindings/errors.h"

#include <pybind11/pybind11.h>

#include <string>

namespace py = pybind11;

namespace cairn::python {

void ThrowStatus(const absl::Status& status) {
  const std::string message(status.message());
  // Looked up at each error: errors are rare, and a cached object would outlive the interpreter.
  py::object error = py::module_::import("cairn.errors")
                         .attr("from_status")(static_cast<int>(status.code()),
                                              absl::StatusCodeToString(status.code()), message);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw py::error_already_set();
}

}  // namespace cairn::python
