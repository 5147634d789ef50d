// See memory.h.
#include "client/python/bindings/memory.h"

#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/python/bindings/errors.h"

namespace py = pybind11;

namespace cairn::python {
namespace {

// Loans dropped by threads that do not hold the GIL. Such a thread must not wait for it: an
// interpreter that is shutting down would end the thread inside C++ frames. Leaked on purpose:
// threads may outlive static destruction.
struct Returned {
  std::mutex mutex;
  std::vector<Loan*> loans;
};

Returned& ReturnedLoans() {
  static Returned* returned = new Returned;
  return *returned;
}

void ReleaseReturned() {
  std::vector<Loan*> loans;
  {
    std::lock_guard lock(ReturnedLoans().mutex);
    loans.swap(ReturnedLoans().loans);
  }
  for (Loan* loan : loans) delete loan;
}

void EndLoan(Loan* loan) {
  if (Py_IsInitialized() && PyGILState_Check()) {
    delete loan;
    return;
  }
  std::lock_guard lock(ReturnedLoans().mutex);
  ReturnedLoans().loans.push_back(loan);
}

}  // namespace

std::shared_ptr<Loan> Loan::Make() {
  ReleaseReturned();
  return std::shared_ptr<Loan>(new Loan, EndLoan);
}

Loan::~Loan() {
  for (auto& view : views_) PyBuffer_Release(view.get());
  for (PyObject* object : objects_) Py_DECREF(object);
}

ConstBuffer Loan::Lend(py::handle object) {
  if (PyObject_CheckBuffer(object.ptr())) return LendBuffer(object, PyBUF_SIMPLE);
  return LendTensor(object);
}

MutableBuffer Loan::LendWritable(py::handle object) {
  if (PyObject_CheckBuffer(object.ptr())) return LendBuffer(object, PyBUF_WRITABLE);
  return LendTensor(object);
}

MutableBuffer Loan::LendBuffer(py::handle object, int flags) {
  auto view = std::make_unique<Py_buffer>();
  if (PyObject_GetBuffer(object.ptr(), view.get(), flags) != 0) {
    py::error_already_set error;
    ThrowStatus(absl::InvalidArgumentError(
        absl::StrCat("cannot use the memory of a ", Py_TYPE(object.ptr())->tp_name,
                     " in place: ", std::string(py::str(error.value())))));
  }
  const MutableBuffer memory(static_cast<std::byte*>(view->buf), static_cast<size_t>(view->len));
  views_.push_back(std::move(view));
  return memory;
}

MutableBuffer Loan::LendTensor(py::handle tensor) {
  if (py::isinstance<Region>(tensor)) {
    const auto& region = tensor.cast<const Region&>();
    Keep(py::reinterpret_borrow<py::object>(tensor));
    return {reinterpret_cast<std::byte*>(region.address), region.size_bytes};
  }
  const char* type = Py_TYPE(tensor.ptr())->tp_name;
  if (!py::hasattr(tensor, "data_ptr") || !py::hasattr(tensor, "is_contiguous")) {
    ThrowStatus(absl::InvalidArgumentError(absl::StrCat(
        "expected an object with the buffer protocol or a torch CPU tensor, not a ", type)));
  }
  const std::string device = py::str(tensor.attr("device").attr("type"));
  if (device != "cpu") {
    ThrowStatus(absl::InvalidArgumentError(
        absl::StrCat("a tensor on ", device,
                     " cannot be used in place: copy it to host memory first (cairn.torch does)")));
  }
  if (!tensor.attr("is_contiguous")().cast<bool>()) {
    ThrowStatus(
        absl::InvalidArgumentError("a tensor that is not contiguous cannot be used in place"));
  }
  const auto address = tensor.attr("data_ptr")().cast<uint64_t>();
  const auto size_bytes = tensor.attr("nbytes").cast<uint64_t>();
  if (address == 0 && size_bytes != 0) {
    ThrowStatus(absl::InvalidArgumentError(absl::StrCat("a ", type, " without memory of its own")));
  }
  Keep(py::reinterpret_borrow<py::object>(tensor));
  return {reinterpret_cast<std::byte*>(address), size_bytes};
}

}  // namespace cairn::python
