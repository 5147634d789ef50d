// Any bytes as the body of any request: parsed or refused. The first byte chooses the message. What
// parses is then given to the pure code that a server or a client runs on it first.

#include <cstdint>
#include <memory>
#include <vector>

#include "client/io/read_plan.h"
#include "proto/wire/chunk.pb.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/meta.pb.h"
#include "proto/wire/rpc.pb.h"
#include "tests/unit/client/one_replica.h"

namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;

const std::vector<const Message*>& AllMessages() {
  static const auto* all = [] {
    auto* messages = new std::vector<const Message*>;
    for (const FileDescriptor* file : {cairn::wire::HelloRequest::descriptor()->file(),
                                       cairn::wire::FragmentKey::descriptor()->file(),
                                       cairn::wire::ClusterMap::descriptor()->file(),
                                       cairn::wire::JoinRequest::descriptor()->file()}) {
      for (int i = 0; i < file->message_type_count(); ++i) {
        messages->push_back(
            MessageFactory::generated_factory()->GetPrototype(file->message_type(i)));
      }
    }
    return messages;
  }();
  return *all;
}

void PlanFromExtents(const cairn::wire::StatReply& reply) {
  std::vector<std::byte> memory(1000);
  const std::vector<cairn::wire::ExtentRun> extents(reply.extents().begin(), reply.extents().end());
  const std::vector<cairn::WantedRange> ranges = {{0, memory},
                                                  {reply.entry().size_bytes() / 2, memory}};
  std::vector<cairn::ColdRead> cold;
  (void)cairn::PlanReads(extents, reply.entry().size_bytes(), ranges, cairn::OneReplica, &cold);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Message* prototype = AllMessages()[data[0] % AllMessages().size()];
  const std::unique_ptr<Message> message(prototype->New());
  if (!message->ParseFromArray(data + 1, static_cast<int>(size - 1))) return 0;
  (void)message->SerializeAsString();
  if (const auto* stat = dynamic_cast<const cairn::wire::StatReply*>(message.get()))
    PlanFromExtents(*stat);
  return 0;
}
