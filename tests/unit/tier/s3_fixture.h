// A store whose service is a FaultServer, and whose pauses take no time.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "server/tier/digest.h"
#include "server/tier/s3_store.h"
#include "tests/unit/tier/fault_server.h"

namespace cairn {

class S3StoreTest : public ::testing::Test {
 protected:
  S3StoreTest() {
    S3ConnectionOptions& connection = options_.connection;
    connection.endpoint.host = "127.0.0.1";
    connection.bucket = "bucket";
    connection.region = "eu-test-1";
    connection.http.proxy = HttpClientOptions::Proxy::kNone;
    connection.retry.attempts = 4;
    connection.pause = [this](absl::Duration pause, const CallBounds&) {
      std::lock_guard<std::mutex> lock(mutex_);
      pauses_.push_back(pause);
      return absl::OkStatus();
    };
    options_.prefix = "tier";
  }

  // A new server, and a new store on it.
  template <class Behaviour>
  void Serve(Behaviour behaviour) {
    store_.reset();
    pauses_.clear();
    server_ = std::make_unique<FaultServer>(std::move(behaviour));
    options_.connection.endpoint.port = server_->port();
    const auto lookup = [this](const std::string& name) -> std::optional<std::string> {
      const auto found = variables_.find(name);
      return found == variables_.end() ? std::nullopt : std::optional(found->second);
    };
    store_ = std::make_unique<S3Store>(
        options_, std::make_unique<CredentialsProvider>(CredentialsSource{}, clock_, lookup),
        clock_, random_);
  }
  void Serve(std::initializer_list<Reply> script) { Serve(std::vector<Reply>(script)); }

  absl::StatusOr<std::string> Put(const std::string& key, const std::string& content,
                                  const ColdPutOptions& options = {}) {
    const ConstBytes pieces[] = {BytesOf(content)};
    return store_->Put(key, pieces, options, {});
  }
  absl::StatusOr<std::string> Get(const std::string& key, uint64_t offset, size_t length,
                                  const std::string& etag = "") {
    std::string into(length, '\0');
    const MutableBytes bytes(reinterpret_cast<std::byte*>(into.data()), into.size());
    const absl::Status status = store_->Get(key, offset, bytes, etag, {});
    if (!status.ok()) return status;
    return into;
  }
  // The bytes, or what went wrong.
  std::string Read(const std::string& key, uint64_t offset, size_t length,
                   const std::string& etag = "") {
    const auto bytes = Get(key, offset, length, etag);
    return bytes.ok() ? *bytes : bytes.status().ToString();
  }
  absl::Status Delete(const std::vector<std::string>& keys) { return store_->Delete(keys, {}); }

  static Reply HeadReply(size_t size_bytes, const std::string& etag) {
    return Reply::Of(
        200, "", {{"Content-Length", std::to_string(size_bytes)}, {"ETag", "\"" + etag + "\""}});
  }

  SystemClock clock_;
  SystemRandom random_;
  std::map<std::string, std::string> variables_ = {{"AWS_ACCESS_KEY_ID", "AKID"},
                                                   {"AWS_SECRET_ACCESS_KEY", "s3cr3t"},
                                                   {"AWS_SESSION_TOKEN", "token"}};
  S3StoreOptions options_;
  std::mutex mutex_;
  std::vector<absl::Duration> pauses_;
  std::unique_ptr<FaultServer> server_;
  std::unique_ptr<S3Store> store_;
};

}  // namespace cairn
