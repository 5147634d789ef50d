// Memory of Python objects lent to the SDK: by the buffer protocol, or from a torch CPU tensor
// (which has no buffer protocol for bfloat16) by its address. Nothing is copied; the objects stay
// referenced until the loan ends. Next on the data path: client/core/shard.cc.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "cairn/client.h"

namespace cairn::python {

// A range of memory that Python code vouches for: part of a tensor, say. `owner` keeps it alive.
struct Region {
  uint64_t address = 0;
  uint64_t size_bytes = 0;
  pybind11::object owner;
};

// Objects whose memory is lent. Made by Make() so that whoever drops the last reference, on
// whatever thread, need not hold the GIL: what is dropped without it is released at the next call
// that does.
class Loan {
 public:
  static std::shared_ptr<Loan> Make();
  ~Loan();
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;

  // The memory of `object`, held until this loan ends. Throws InvalidArgument for what is not
  // contiguous, not in host memory or not writable. REQUIRES: the GIL is held.
  ConstBuffer Lend(pybind11::handle object);
  MutableBuffer LendWritable(pybind11::handle object);
  void Keep(pybind11::object object) { objects_.push_back(object.release().ptr()); }

 private:
  Loan() = default;
  MutableBuffer LendBuffer(pybind11::handle object, int flags);
  MutableBuffer LendTensor(pybind11::handle tensor);

  // Allocated one by one: a Py_buffer may point into itself and must not move.
  std::vector<std::unique_ptr<Py_buffer>> views_;
  std::vector<PyObject*> objects_;
};

}  // namespace cairn::python
