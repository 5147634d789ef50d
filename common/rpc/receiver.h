// Hands what arrives on an endpoint to its server, its client or both.
#pragma once

#include "common/fabric/net.h"

namespace cairn {

class RpcClient;
class RpcServer;

// Sets the receiver of `net`: requests go to `server`, replies to `client`; either may be null, and
// both outlive the last message. What is no frame goes to the server, which counts it.
void ConnectReceiver(Net& net, RpcServer* server, RpcClient* client);

}  // namespace cairn
