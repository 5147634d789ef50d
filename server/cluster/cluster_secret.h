// The secret that all nodes of a cluster share, and proofs of knowing it that do not show it. Every
// connection between nodes begins with one from each side (proto/wire/cluster.proto).
//
// Keeps out strangers that reach the port, and whoever recorded a connection: a proof holds for one
// session, whose id the answerer draws at random for every connection, and the answerer's proof for
// the challenge that the caller draws besides.
// Does not keep out who changes the traffic between nodes or gets a node to connect to him: proofs
// can be passed on, and what is sent after them is neither signed nor hidden. Who reads a proof can
// try guesses of the secret on it. So the network between nodes must be private.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/random.h"

namespace cairn {

// A value. Cannot be printed, and no error shows it. Thread-safe once made.
class ClusterSecret {
 public:
  // Who proves. A proof of the one is none of the other: sending it back proves nothing.
  enum class Side { kCaller, kAnswerer };

  // The secret is `text` without the white space around it. INVALID_ARGUMENT: it has fewer than 16
  // or more than 1,024 characters.
  static absl::StatusOr<ClusterSecret> FromText(std::string_view text);

  // FromText() of a file. NOT_FOUND: there is none. FAILED_PRECONDITION: it is no regular file, or
  // its group or others may read or write it; the message says how to change that.
  // INVALID_ARGUMENT: as above. Others are the system's. Blocks the thread.
  static absl::StatusOr<ClusterSecret> ReadFile(const std::string& path);

  // Draws a secret of 256 bits from `random`, which must be unguessable, and writes it to `path`,
  // readable by its owner only. Once OK it is durable; after a crash it is there whole or not at
  // all. ALREADY_EXISTS: there is a file, which is left as it is. Others are the system's. Uses
  // PATH.new, and replaces it. Blocks the thread.
  // REQUIRES: no other process makes the same file meanwhile.
  static absl::StatusOr<ClusterSecret> MakeFile(const std::string& path, Random& random);

  // The HMAC-SHA256, 32 bytes, with the secret as key, of: "cairn node proof 1", a zero byte, 'c'
  // for the caller or 'a', and then `cluster_id`, `session` (8 bytes, little-endian) and
  // `challenge`, each after its length in 4 bytes, little-endian, so that no byte of one can count
  // as part of another.
  std::string Prove(Side side, std::string_view cluster_id, SessionId session,
                    std::string_view challenge) const;

  // Whether `proof` is what Prove() returns. Takes as long for a wrong one as for the right one. An
  // answerer checks the caller's before it gives its own, so that strangers get none.
  bool Check(Side side, std::string_view cluster_id, SessionId session, std::string_view challenge,
             std::string_view proof) const;

 private:
  explicit ClusterSecret(std::string_view text) : text_(text) {}

  std::string text_;
};

}  // namespace cairn
