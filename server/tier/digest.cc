#include "server/tier/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <memory>

#include "absl/strings/escaping.h"
#include "common/base/check.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

// Small enough that the second hash finds it in the cache of the first.
constexpr size_t kSliceBytes = 64 * kKiB;

class Hash {
 public:
  explicit Hash(const char* name)
      : method_(EVP_MD_fetch(nullptr, name, "-fips")), context_(EVP_MD_CTX_new()) {
    CAIRN_CHECK(method_ != nullptr && context_ != nullptr);
    CAIRN_CHECK(EVP_DigestInit_ex(context_.get(), method_.get(), nullptr) == 1);
  }
  void Add(ConstBytes bytes) {
    CAIRN_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }
  std::string Finish() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    CAIRN_CHECK(EVP_DigestFinal_ex(context_.get(), digest, &length) == 1);
    return {reinterpret_cast<const char*>(digest), length};
  }

 private:
  struct Free {
    void operator()(EVP_MD* method) const { EVP_MD_free(method); }
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  // "-fips": MD5 checks for accidents here and secures nothing, so a FIPS configuration may keep it
  // out of its own provider.
  std::unique_ptr<EVP_MD, Free> method_;
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

std::string HashOf(const char* name, std::string_view text) {
  Hash hash(name);
  hash.Add(BytesOf(text));
  return hash.Finish();
}

}  // namespace

PayloadDigest DigestPayload(std::span<const ConstBytes> pieces) {
  Hash sha256("SHA256");
  Hash md5("MD5");
  for (ConstBytes piece : pieces) {
    while (!piece.empty()) {
      const ConstBytes slice = piece.first(std::min(piece.size(), kSliceBytes));
      sha256.Add(slice);
      md5.Add(slice);
      piece = piece.subspan(slice.size());
    }
  }
  return {.sha256 = sha256.Finish(), .md5 = md5.Finish()};
}

std::string Sha256(std::string_view text) { return HashOf("SHA256", text); }

std::string Md5(std::string_view text) { return HashOf("MD5", text); }

std::string HmacSha256(std::string_view key, std::string_view text) {
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  const unsigned char* made =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac, &length);
  CAIRN_CHECK(made != nullptr && length == 32);
  return {reinterpret_cast<const char*>(mac), length};
}

std::string Hex(std::string_view bytes) { return absl::BytesToHexString(ToAbsl(bytes)); }

std::string Base64(std::string_view bytes) { return absl::Base64Escape(ToAbsl(bytes)); }

}  // namespace cairn
