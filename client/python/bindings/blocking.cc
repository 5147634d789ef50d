// See blocking.h.
#include "client/python/bindings/blocking.h"

namespace py = pybind11;

namespace cairn::python {

bool OnMainThread() {
  // Asked anew each time: after fork() another thread is the main one.
  py::object main_thread = py::module_::import("threading").attr("main_thread")();
  return main_thread.attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
}

}  // namespace cairn::python
