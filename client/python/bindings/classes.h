// The Python classes of the extension, one function each; module.cc calls them in order.
#pragma once

#include <pybind11/pybind11.h>

namespace cairn::python {

void BindRegion(pybind11::module_& module);
void BindFile(pybind11::module_& module);
void BindShard(pybind11::module_& module);
void BindCheckpoint(pybind11::module_& module);
void BindClient(pybind11::module_& module);

}  // namespace cairn::python
