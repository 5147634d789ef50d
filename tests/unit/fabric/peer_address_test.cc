// Addresses of another kind are told apart before they are used.
#include "common/fabric/peer_address.h"

#include <gtest/gtest.h>
#include <netinet/in.h>

#include <string>

namespace cairn {
namespace {

template <class Address>
std::string BytesOf(sa_family_t family) {
  Address address = {};
  reinterpret_cast<sockaddr*>(&address)->sa_family = family;
  return std::string(reinterpret_cast<const char*>(&address), sizeof address);
}

TEST(PeerAddress, OtherFamilyIsRefusedInWords) {
  const std::string v4 = BytesOf<sockaddr_in>(AF_INET);
  const std::string v6 = BytesOf<sockaddr_in6>(AF_INET6);
  EXPECT_EQ(CheckPeerAddress("tcp", v4, v4), absl::OkStatus());
  EXPECT_EQ(CheckPeerAddress("verbs;ofi_rxm", v6, v6), absl::OkStatus());
  const absl::Status refused = CheckPeerAddress("tcp", v4, v6);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused));
  EXPECT_NE(std::string(refused.message()).find("IPv6"), std::string::npos) << refused;
}

TEST(PeerAddress, OtherLengthIsRefused) {
  EXPECT_FALSE(CheckPeerAddress("tcp", BytesOf<sockaddr_in>(AF_INET), "x").ok());
  EXPECT_FALSE(CheckPeerAddress("efa", std::string(32, 'e'), std::string(16, 'e')).ok());
  EXPECT_EQ(CheckPeerAddress("efa", std::string(32, 'e'), std::string(32, 'f')), absl::OkStatus());
}

TEST(PeerAddress, UnknownProvidersAddressesAreNotJudged) {
  EXPECT_EQ(CheckPeerAddress("carrier pigeon", "loft 1", "loft 22"), absl::OkStatus());
}

}  // namespace
}  // namespace cairn
