// Client as a Python class: every call of cairn/client.h, without the GIL. What makes it picklable,
// lazy and safe after fork() is Python (client/python/cairn/client.py). Next:
// client/core/client.cc.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/python/bindings/blocking.h"
#include "client/python/bindings/classes.h"
#include "client/python/bindings/convert.h"
#include "client/python/bindings/errors.h"
#include "client/python/bindings/handles.h"
#include "client/python/bindings/memory.h"

namespace py = pybind11;

namespace cairn::python {
namespace {

using ClientPtr = std::shared_ptr<ClientHandle>;

// Calls `use(Client&)` without the GIL.
template <class Use>
auto Call(const ClientPtr& client, Use use) {
  return Blocking([client, use = std::move(use)] { return client->With(use); });
}

// A restarting node is back by then; a wrong address should not cost a job the timeout of a call,
// and twice where it saves and loads.
constexpr absl::Duration kConnectTimeout = absl::Seconds(5);

ClientPtr Connect(std::string endpoint, double timeout_s, int window) {
  ClientOptions options;
  options.endpoint = std::move(endpoint);
  options.timeout = absl::Seconds(timeout_s);
  options.connect_timeout = std::min(options.timeout, kConnectTimeout);
  options.window = window;
  return std::make_shared<ClientHandle>(
      ValueOrThrow(Blocking([options] { return Client::Connect(options); })));
}

std::shared_ptr<CheckpointHandle> Begin(const ClientPtr& client, std::string path,
                                        uint32_t world_size, uint32_t rank, uint64_t attempt,
                                        std::string job, std::optional<uint64_t> step,
                                        std::map<std::string, std::string> attributes) {
  BeginOptions options;
  options.world_size = world_size;
  options.rank = rank;
  options.attempt = attempt;
  options.job = std::move(job);
  options.step = step;
  options.attributes = std::move(attributes);
  CheckpointWriter writer =
      ValueOrThrow(Call(client, [path = std::move(path), options](Client& connected) {
        return connected.BeginCheckpoint(path, options);
      }));
  return std::make_shared<CheckpointHandle>(std::make_unique<CheckpointWriter>(std::move(writer)));
}

py::dict Show(const ClientPtr& client, std::string path) {
  auto shards = std::make_shared<std::vector<ShardInfo>>();
  const CheckpointInfo info =
      ValueOrThrow(Call(client, [path = std::move(path), shards](Client& connected) {
        return connected.ShowCheckpoint(path, shards.get());
      }));
  py::dict shown = ToDict(info);
  shown["shards"] = ToList(*shards);
  return shown;
}

py::list ListCheckpoints(const ClientPtr& client, std::string directory, bool include_writing,
                         bool recursive) {
  return ToList(ValueOrThrow(Call(client, [=](Client& connected) {
    return connected.ListCheckpoints(directory, {include_writing, recursive});
  })));
}

py::list Prune(const ClientPtr& client, std::string directory,
               const std::optional<py::tuple>& policy, bool dry_run) {
  std::optional<RetentionPolicy> rules;
  if (policy.has_value()) {
    rules = ToRetention((*policy)[0].cast<uint32_t>(), (*policy)[1].cast<uint64_t>(),
                        (*policy)[2].cast<double>());
  }
  const Client::PruneMode mode = dry_run ? Client::PruneMode::kDryRun : Client::PruneMode::kRemove;
  return ToList(ValueOrThrow(Call(client, [=](Client& connected) {
    return connected.PruneCheckpoints(directory, rules, mode);
  })));
}

void SetRetention(const ClientPtr& client, std::string directory, uint32_t keep_last,
                  uint64_t keep_every_steps, double keep_newer_than_s) {
  const RetentionPolicy policy = ToRetention(keep_last, keep_every_steps, keep_newer_than_s);
  ThrowIfError(
      Call(client, [=](Client& connected) { return connected.SetRetention(directory, policy); }));
}

std::shared_ptr<FileHandle> Open(const ClientPtr& client, std::string path) {
  File file =
      ValueOrThrow(Call(client, [=](Client& connected) { return connected.OpenFile(path); }));
  return std::make_shared<FileHandle>(std::make_unique<File>(std::move(file)));
}

std::shared_ptr<ShardHandle> Create(const ClientPtr& client, std::string path) {
  return std::make_shared<ShardHandle>(
      ValueOrThrow(Call(client, [=](Client& connected) { return connected.CreateFile(path); })));
}

void Put(const ClientPtr& client, std::string path, const py::iterable& pieces) {
  std::shared_ptr<Loan> loan = Loan::Make();
  std::vector<ConstBuffer> gathered;
  for (py::handle piece : pieces) gathered.push_back(loan->Lend(piece));
  ThrowIfError(Call(client, [=](Client& connected) {
    (void)loan;  // captured to live as long as the call
    return connected.PutFile(path, gathered);
  }));
}

// A call that takes a path and returns a Status.
template <class Method>
auto PathCall(Method method) {
  return [method](const ClientPtr& client, std::string path) {
    ThrowIfError(Call(client, [method, path = std::move(path)](Client& connected) {
      return (connected.*method)(path);
    }));
  };
}

void BindFiles(py::class_<ClientHandle, ClientPtr>& type) {
  type.def("open_file", &Open, py::arg("path"))
      .def("create_file", &Create, py::arg("path"))
      .def("put_file", &Put, py::arg("path"), py::arg("pieces"))
      .def(
          "stat",
          [](const ClientPtr& client, std::string path) {
            return ToDict(ValueOrThrow(
                Call(client, [=](Client& connected) { return connected.Stat(path); })));
          },
          py::arg("path"))
      .def(
          "list",
          [](const ClientPtr& client, std::string path) {
            return ToList(ValueOrThrow(
                Call(client, [=](Client& connected) { return connected.List(path); })));
          },
          py::arg("path"))
      .def(
          "remove",
          [](const ClientPtr& client, std::string path, bool recursive) {
            const Client::RemoveMode mode =
                recursive ? Client::RemoveMode::kRecursive : Client::RemoveMode::kOne;
            ThrowIfError(
                Call(client, [=](Client& connected) { return connected.Remove(path, mode); }));
          },
          py::arg("path"), py::arg("recursive"))
      .def(
          "rename",
          [](const ClientPtr& client, std::string from, std::string to) {
            ThrowIfError(
                Call(client, [=](Client& connected) { return connected.Rename(from, to); }));
          },
          py::arg("source"), py::arg("target"))
      .def("make_directory", PathCall(&Client::MakeDirectory), py::arg("path"));
}

void BindCheckpoints(py::class_<ClientHandle, ClientPtr>& type) {
  type.def("begin_checkpoint", &Begin, py::arg("path"), py::arg("world_size"), py::arg("rank"),
           py::arg("attempt"), py::arg("job"), py::arg("step"), py::arg("attributes"))
      .def(
          "latest_checkpoint",
          [](const ClientPtr& client, std::string directory) {
            return ToDict(ValueOrThrow(Call(
                client, [=](Client& connected) { return connected.LatestCheckpoint(directory); })));
          },
          py::arg("directory"))
      .def("show_checkpoint", &Show, py::arg("path"))
      .def("list_checkpoints", &ListCheckpoints, py::arg("directory"), py::arg("include_writing"),
           py::arg("recursive"))
      .def("pin_checkpoint", PathCall(&Client::PinCheckpoint), py::arg("path"))
      .def("unpin_checkpoint", PathCall(&Client::UnpinCheckpoint), py::arg("path"))
      .def("set_retention", &SetRetention, py::arg("directory"), py::arg("keep_last"),
           py::arg("keep_every_steps"), py::arg("keep_newer_than"))
      .def(
          "get_retention",
          [](const ClientPtr& client, std::string directory) {
            return ToDict(ValueOrThrow(Call(
                client, [=](Client& connected) { return connected.GetRetention(directory); })));
          },
          py::arg("directory"))
      .def("prune_checkpoints", &Prune, py::arg("directory"), py::arg("policy"),
           py::arg("dry_run"));
}

}  // namespace

void BindClient(py::module_& module) {
  py::class_<ClientHandle, ClientPtr> type(module, "Client");
  type.def(py::init(&Connect), py::arg("endpoint"), py::arg("timeout"), py::arg("window"))
      .def_property_readonly("endpoint",
                             [](const ClientHandle& client) { return client.get().endpoint(); })
      .def("status_json", [](const ClientPtr& client) {
        return ValueOrThrow(Call(client, [](Client& connected) { return connected.StatusJson(); }));
      });
  BindFiles(type);
  BindCheckpoints(type);
}

}  // namespace cairn::python
