// An HTTP server on the loopback that does what it is told, wrongly too: for tests of what talks to
// services. A handler makes a reply of each request; a reply says which bytes go out and what
// becomes of the connection then.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace cairn {

struct SeenRequest {
  std::string method;
  // Path and query, as sent.
  std::string target;
  // Names in lower case.
  std::map<std::string, std::string> headers;
  std::string body;
  // Counts connections from 0.
  int connection = 0;

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
  // Of the query, not decoded; "-" where there is none.
  std::string Query(const std::string& name) const;
};

struct Reply {
  enum class Then {
    kKeep,   // waits for the next request
    kClose,  // closes in order
    kReset,  // sends RST
    kStall,  // sends nothing more, and keeps the connection until the server ends
  };
  std::string bytes;
  Then then = Then::kKeep;

  // A whole answer with its length.
  static Reply Of(int status, const std::string& body = "",
                  const std::vector<std::pair<std::string, std::string>>& headers = {});
  // One with the XML of an error of S3.
  static Reply Error(int status, const std::string& code, const std::string& extra = "");
  // The same up to `bytes` bytes from its end, then `then`.
  Reply CutBy(size_t bytes, Then then) const;
  Reply And(Then next) const { return {.bytes = bytes, .then = next}; }
};

class FaultServer {
 public:
  using Handler = std::function<Reply(const SeenRequest&)>;

  // `handler` is called from one thread a connection, one at a time.
  explicit FaultServer(Handler handler);
  // Replies in this order; the last one again and again.
  explicit FaultServer(std::vector<Reply> script);
  ~FaultServer();

  uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<SeenRequest> seen();
  size_t seen_count() { return seen().size(); }

 private:
  void Start();
  void Accept();
  void Serve(int fd, int connection);
  bool ReadRequest(int fd, std::string* buffer, SeenRequest* request);
  bool ReadMore(int fd, std::string* buffer);

  Handler handler_;
  int listener_ = -1;
  int stop_[2] = {-1, -1};
  uint16_t port_ = 0;
  std::thread acceptor_;
  std::mutex mutex_;
  std::vector<std::thread> threads_;
  std::vector<SeenRequest> seen_;
};

}  // namespace cairn
