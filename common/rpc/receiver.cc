// The dispatch by frame kind. The frame is checked by whom it goes to.
#include "common/rpc/receiver.h"

#include "common/rpc/frame.h"
#include "common/rpc/rpc_client.h"
#include "common/rpc/rpc_server.h"

namespace cairn {

void ConnectReceiver(Net& net, RpcServer* server, RpcClient* client) {
  net.SetReceiver([server, client](ConstBytes message) {
    if (client != nullptr && LooksLikeReply(message)) {
      client->OnMessage(message);
    } else if (server != nullptr) {
      server->OnMessage(message);
    }
  });
}

}  // namespace cairn
