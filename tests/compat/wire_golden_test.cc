// Goal: what clients and nodes of different releases say to each other never changes by accident.
// Method: golden files of the frames of RPCs and hellos, of each message with every field set, and
// of the numbers of methods and other enums.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/fabric/hello_frame.h"
#include "common/rpc/frame.h"
#include "proto/wire/chunk.pb.h"
#include "proto/wire/cluster.pb.h"
#include "proto/wire/examine.pb.h"
#include "proto/wire/fs.pb.h"
#include "proto/wire/load.pb.h"
#include "proto/wire/meta.pb.h"
#include "proto/wire/rpc.pb.h"
#include "proto/wire/tier.pb.h"
#include "tests/compat/golden.h"
#include "tests/compat/message_golden.h"

namespace cairn {
namespace {

wire::RequestHeader FullRequestHeader() {
  wire::RequestHeader header;
  header.set_method(wire::WRITE_FRAGMENT);
  header.set_call(0x0102);
  header.set_session(0x1112131415161718);
  header.set_node_incarnation(0x2122232425262728);
  header.set_deadline_ms(30'000);
  header.set_map_version(5);
  header.set_request_client(0x3132333435363738);
  header.set_request_sequence(9);
  wire::Bulk* bulk = header.add_bulks();
  bulk->set_key(0x4142434445464748);
  bulk->set_address(0x5152535455565758);
  bulk->set_length_bytes(65536);
  header.set_reply_address("address");
  return header;
}

wire::ReplyHeader FullReplyHeader() {
  wire::ReplyHeader header;
  header.set_call(0x0102);
  header.set_code(14);
  header.set_message("say hello again");
  header.set_credits(4);
  header.set_map_version(6);
  header.set_session_unknown(true);
  return header;
}

TEST(WireGolden, RpcFrames) {
  std::string text;
  text += GoldenLine("request", *EncodeFrame(FrameKind::kRequest, FullRequestHeader(), "body"));
  text += GoldenLine("reply", *EncodeFrame(FrameKind::kReply, FullReplyHeader(), ""));
  ExpectGolden("rpc_frame.txt", text);
}

TEST(WireGolden, HelloFrames) {
  wire::HelloRequest request;
  request.set_protocol_version(1);
  request.set_software_version("0.1.0");
  request.set_provider("fabric");
  request.set_client_address("address");
  request.set_client_incarnation(0x0102);
  request.set_client_name("host:1");
  request.set_expected_cluster_id("cluster");
  wire::HelloReply reply;
  reply.set_protocol_version(1);
  reply.set_software_version("0.1.0");
  reply.set_cluster_id("cluster");
  reply.set_node_id(1);
  reply.set_node_incarnation(0x2122232425262728);
  reply.set_provider("fabric");
  reply.add_core_addresses("core 0");
  reply.add_core_addresses("core 1");
  reply.set_session(0x1112131415161718);
  reply.set_credits(4);
  reply.set_map_version(5);
  reply.set_slab_bytes(4194304);
  std::string text;
  text += GoldenLine("request", EncodeHello(HelloKind::kRequest, request.SerializeAsString()));
  text += GoldenLine("reply", EncodeHello(HelloKind::kReply, reply.SerializeAsString()));
  text += GoldenLine("refusal", EncodeHello(HelloKind::kRefusal,
                                            EncodeRefusal(absl::UnavailableError("stopping"))));
  ExpectGolden("hello_frame.txt", text);
}

// A message's own file has them all: rpc.proto, chunk.proto, meta.proto, cluster.proto,
// examine.proto, tier.proto, load.proto.
std::vector<const google::protobuf::FileDescriptor*> WireFiles() {
  return {wire::RequestHeader::descriptor()->file(),      wire::FragmentKey::descriptor()->file(),
          wire::ClusterMap::descriptor()->file(),         wire::JoinRequest::descriptor()->file(),
          wire::ExamineNodeRequest::descriptor()->file(), wire::TierSpec::descriptor()->file(),
          wire::NodeLoadRequest::descriptor()->file(),    wire::Attributes::descriptor()->file()};
}

TEST(WireGolden, Messages) {
  std::string text;
  for (const auto* file : WireFiles()) text += MessageLines(file);
  ExpectGolden("wire_messages.txt", text);
}

// Method among them.
TEST(WireGolden, Enums) {
  std::string text;
  for (const auto* file : WireFiles()) text += EnumLines(file);
  ExpectGolden("wire_enums.txt", text);
}

}  // namespace
}  // namespace cairn
