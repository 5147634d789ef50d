// The extension module cairn._cairn: the C++ SDK as it is. The package around it
// (client/python/cairn) is what people import; nothing here is public.
#include <pybind11/pybind11.h>

#include "client/python/bindings/classes.h"

PYBIND11_MODULE(_cairn, module) {
  module.doc() = "The C++ SDK, for the package cairn alone.";
  cairn::python::BindRegion(module);
  cairn::python::BindFile(module);
  cairn::python::BindShard(module);
  cairn::python::BindCheckpoint(module);
  cairn::python::BindClient(module);
}
