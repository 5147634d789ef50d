// The four error macros of the house, and no others. The CO_ twins are for coroutines, where
// `return` does not compile.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define CAIRN_CONCAT_INNER(a, b) a##b
#define CAIRN_CONCAT(a, b) CAIRN_CONCAT_INNER(a, b)

#define RETURN_IF_ERROR(expr)                                         \
  do {                                                                \
    if (absl::Status status_ = (expr); !status_.ok()) return status_; \
  } while (false)

#define CO_RETURN_IF_ERROR(expr)                                         \
  do {                                                                   \
    if (absl::Status status_ = (expr); !status_.ok()) co_return status_; \
  } while (false)

#define CAIRN_ASSIGN_OR(ret, tmp, lhs, expr)  \
  auto tmp = (expr);                          \
  if (!tmp.ok()) ret std::move(tmp).status(); \
  lhs = *std::move(tmp)

#define ASSIGN_OR_RETURN(lhs, expr) \
  CAIRN_ASSIGN_OR(return, CAIRN_CONCAT(status_or_, __LINE__), lhs, expr)

#define CO_ASSIGN_OR_RETURN(lhs, expr) \
  CAIRN_ASSIGN_OR(co_return, CAIRN_CONCAT(status_or_, __LINE__), lhs, expr)
