// The SDK's plain structs as Python dicts, from which cairn/types.py makes dataclasses, and back.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>
#include <vector>

#include "cairn/client.h"

namespace cairn::python {

// Times are Unix seconds, as float.
pybind11::dict ToDict(const Entry& entry);
pybind11::dict ToDict(const CheckpointInfo& info);
pybind11::dict ToDict(const ShardInfo& shard);
pybind11::dict ToDict(const RetentionPolicy& policy);

template <class T>
pybind11::list ToList(const std::vector<T>& values) {
  pybind11::list list;
  for (const T& value : values) list.append(ToDict(value));
  return list;
}

RetentionPolicy ToRetention(uint32_t keep_last, uint64_t keep_every_steps,
                            double keep_newer_than_s);

}  // namespace cairn::python
