#include "server/tier/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "common/base/check.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

// Connections kept open for later calls; each has a socket.
constexpr size_t kIdleLinesMax = 64;
// Of the headers of one answer: S3's have some hundred bytes.
constexpr size_t kHeaderBytesMax = 64 * kKiB;
// A body that is not wanted is read up to here, so that the connection can be used again.
constexpr uint64_t kErrorBodyBytesMax = 64 * kKiB;

void InitCurl() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  CAIRN_CHECK(done == CURLE_OK);
}

// What one request and its answer have in hand while libcurl works on them.
struct Exchange {
  const HttpRequest& request;
  HttpResponse response;
  uint64_t body_bytes_max;
  // Where sending is: piece, and offset in it.
  size_t piece = 0;
  size_t offset = 0;
  uint64_t moved_bytes = 0;
  uint64_t header_bytes = 0;
  bool too_long = false;

  bool FillsCaller() const {
    return request.into.has_value() && response.status >= 200 && response.status < 300;
  }
};

size_t SendBody(char* to, size_t size, size_t count, void* data) {
  auto& exchange = *static_cast<Exchange*>(data);
  const auto& body = exchange.request.body;
  size_t room = size * count;
  size_t sent = 0;
  while (room > 0 && exchange.piece < body.size()) {
    const ConstBytes rest = body[exchange.piece].subspan(exchange.offset);
    const size_t length = std::min(rest.size(), room);
    if (length > 0) std::memcpy(to + sent, rest.data(), length);
    sent += length;
    room -= length;
    exchange.offset += length;
    if (exchange.offset == body[exchange.piece].size()) {
      ++exchange.piece;
      exchange.offset = 0;
    }
  }
  exchange.moved_bytes += sent;
  return sent;
}

// libcurl sends again what it sent on a kept connection that the server had closed already.
int SeekBody(void* data, curl_off_t offset, int origin) {
  auto& exchange = *static_cast<Exchange*>(data);
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  exchange.piece = 0;
  auto left = static_cast<uint64_t>(offset);
  const auto& body = exchange.request.body;
  while (exchange.piece < body.size() && left >= body[exchange.piece].size())
    left -= body[exchange.piece++].size();
  exchange.offset = static_cast<size_t>(left);
  return exchange.piece < body.size() || left == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

size_t TakeHeader(char* from, size_t size, size_t count, void* data) {
  auto& exchange = *static_cast<Exchange*>(data);
  const std::string_view line(from, size * count);
  exchange.moved_bytes += line.size();
  exchange.header_bytes += line.size();
  if (exchange.header_bytes > kHeaderBytesMax) return 0;
  if (line.starts_with("HTTP/")) {
    // Another answer begins: what came before was "100 Continue".
    exchange.response = {};
    const size_t space = line.find(' ');
    for (size_t i = space; i != std::string_view::npos && i + 1 < line.size() && i < space + 3;
         ++i) {
      if (!absl::ascii_isdigit(static_cast<unsigned char>(line[i + 1]))) break;
      exchange.response.status = exchange.response.status * 10 + (line[i + 1] - '0');
    }
    return line.size();
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  exchange.response.headers.emplace_back(
      absl::AsciiStrToLower(ToAbsl(line.substr(0, colon))),
      std::string(ToStd(absl::StripAsciiWhitespace(ToAbsl(line.substr(colon + 1))))));
  return line.size();
}

size_t TakeBody(char* from, size_t size, size_t count, void* data) {
  auto& exchange = *static_cast<Exchange*>(data);
  HttpResponse& response = exchange.response;
  const size_t length = size * count;
  exchange.moved_bytes += length;
  if (exchange.FillsCaller()) {
    const MutableBytes into = *exchange.request.into;
    if (length > into.size() - response.filled_bytes) {
      exchange.too_long = true;
      return 0;
    }
    std::memcpy(into.data() + response.filled_bytes, from, length);
    response.filled_bytes += length;
    return length;
  }
  if (response.status >= 300) {
    // Errors say what they have to say at their beginning.
    const uint64_t room = kErrorBodyBytesMax - std::min(kErrorBodyBytesMax, response.body.size());
    response.body.append(from, std::min<uint64_t>(length, room));
    return length;
  }
  if (length > exchange.body_bytes_max - response.body.size()) {
    exchange.too_long = true;
    return 0;
  }
  response.body.append(from, length);
  return length;
}

std::string_view HostOf(std::string_view url) {
  const size_t begin = url.find("://");
  return url.substr(0, url.find_first_of("/?", begin == std::string_view::npos ? 0 : begin + 3));
}

// `detail` is libcurl's, which has addresses and reasons in it and no headers.
absl::Status CurlStatus(CURLcode code, const HttpRequest& request, std::string_view detail) {
  const std::string_view host = HostOf(request.url);
  if (detail.empty()) detail = curl_easy_strerror(code);
  switch (code) {
    case CURLE_URL_MALFORMAT:
      return absl::InvalidArgumentError(StrCat(host, " is no address: ", detail));
    case CURLE_SSL_CACERT_BADFILE:
      return absl::FailedPreconditionError(
          StrCat("the CA file for ", host, " cannot be used: ", detail));
    case CURLE_PEER_FAILED_VERIFICATION:
      return absl::FailedPreconditionError(
          StrCat("the certificate of ", host, " is not trusted: ", detail,
                 "; give the file of the authority that signed it, and the name that it is for"));
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return absl::UnavailableError(StrCat("the name of ", host, " does not resolve: ", detail));
    case CURLE_COULDNT_CONNECT:
      return absl::UnavailableError(StrCat("cannot connect to ", host, ": ", detail));
    case CURLE_SSL_CONNECT_ERROR:
      return absl::UnavailableError(StrCat("no TLS with ", host, ": ", detail));
    case CURLE_OPERATION_TIMEDOUT:
      return absl::UnavailableError(StrCat("no connection to ", host, " in time: ", detail));
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
      return absl::UnavailableError(
          StrCat(host, " answers with something that is no HTTP: ", detail));
    case CURLE_PARTIAL_FILE:
      return absl::UnavailableError(
          StrCat("the connection to ", host, " ended in the middle of an answer: ", detail));
    default:
      return absl::UnavailableError(StrCat("the connection to ", host, " failed: ", detail));
  }
}

// Whether a transfer goes on. Looked at each time something moved, and a few times a second.
class Progress {
 public:
  Progress(const HttpClientOptions& options, const Clock& clock)
      : options_(options), clock_(clock), window_end_(clock.Now() + options.stall_window) {}

  // False once a window has passed in which too little moved.
  bool GoesOn(uint64_t moved_bytes) {
    if (clock_.Now() < window_end_) return true;
    const bool enough = moved_bytes - at_begin_ >= options_.stall_bytes;
    at_begin_ = moved_bytes;
    window_end_ = clock_.Now() + options_.stall_window;
    return enough;
  }

 private:
  const HttpClientOptions& options_;
  const Clock& clock_;
  MonoTime window_end_;
  uint64_t at_begin_ = 0;
};

}  // namespace

std::string_view HttpResponse::Header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

// One connection at a time, and the handles that keep it.
class HttpClient::Line {
 public:
  Line() : multi_(curl_multi_init()), easy_(curl_easy_init()) {
    CAIRN_CHECK(multi_ != nullptr && easy_ != nullptr);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, 1L);
  }
  ~Line() {
    curl_slist_free_all(headers_);
    curl_easy_cleanup(easy_);
    curl_multi_cleanup(multi_);
  }
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  absl::StatusOr<HttpResponse> Perform(const HttpRequest& request, const HttpClientOptions& options,
                                       const CallBounds& bounds, const Clock& clock);

 private:
  void SetUp(const HttpClientOptions& options, Exchange& exchange);
  absl::StatusOr<CURLcode> Run(const HttpClientOptions& options, const Exchange& exchange,
                               const CallBounds& bounds, const Clock& clock);

  CURLM* const multi_;
  CURL* const easy_;
  curl_slist* headers_ = nullptr;
  char error_[CURL_ERROR_SIZE] = {};
};

void HttpClient::Line::SetUp(const HttpClientOptions& options, Exchange& exchange) {
  const HttpRequest& request = exchange.request;
  curl_easy_reset(easy_);
  curl_slist_free_all(headers_);
  headers_ = nullptr;
  error_[0] = '\0';
  for (const auto& [name, value] : request.headers)
    headers_ = curl_slist_append(headers_, StrCat(name, ": ", value).c_str());
  const auto set = [this](auto option, auto value) {
    CAIRN_CHECK(curl_easy_setopt(easy_, option, value) == CURLE_OK);
  };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  set(CURLOPT_HTTPHEADER, headers_);
  set(CURLOPT_USERAGENT, "cairn/" CAIRN_VERSION);
  set(CURLOPT_ERRORBUFFER, error_);
  // Signals belong to the process, and paths are signed as they are.
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_BUFFERSIZE, 256L * 1024);
  set(CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
  set(CURLOPT_CONNECTTIMEOUT_MS,
      static_cast<long>(absl::ToInt64Milliseconds(options.connect_timeout)));
  if (!options.ca_file.empty()) set(CURLOPT_CAINFO, options.ca_file.c_str());
  if (options.proxy == HttpClientOptions::Proxy::kNone) set(CURLOPT_PROXY, "");
  if (request.method == "HEAD") set(CURLOPT_NOBODY, 1L);
  uint64_t length = 0;
  for (const ConstBytes piece : request.body) length += piece.size();
  if (request.method == "PUT" || request.method == "POST" || length > 0) {
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(length));
    set(CURLOPT_READFUNCTION, &SendBody);
    set(CURLOPT_READDATA, static_cast<void*>(&exchange));
    set(CURLOPT_SEEKFUNCTION, &SeekBody);
    set(CURLOPT_SEEKDATA, static_cast<void*>(&exchange));
  }
  set(CURLOPT_HEADERFUNCTION, &TakeHeader);
  set(CURLOPT_HEADERDATA, static_cast<void*>(&exchange));
  set(CURLOPT_WRITEFUNCTION, &TakeBody);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&exchange));
}

absl::StatusOr<CURLcode> HttpClient::Line::Run(const HttpClientOptions& options,
                                               const Exchange& exchange, const CallBounds& bounds,
                                               const Clock& clock) {
  Progress progress(options, clock);
  for (;;) {
    int running = 0;
    CAIRN_CHECK(curl_multi_perform(multi_, &running) == CURLM_OK);
    int queued = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &queued)) {
      if (message->msg == CURLMSG_DONE) return message->data.result;
    }
    if (absl::Status status = CheckBounds(bounds, clock); !status.ok()) return status;
    if (!progress.GoesOn(exchange.moved_bytes)) {
      return absl::UnavailableError(StrCat("the connection to ", HostOf(exchange.request.url),
                                           " moved less than ", options.stall_bytes, " bytes in ",
                                           absl::FormatDuration(options.stall_window)));
    }
    const absl::Duration wait = std::min(kStopPollInterval, bounds.deadline.Remaining(clock));
    CAIRN_CHECK(curl_multi_poll(multi_, nullptr, 0,
                                static_cast<int>(absl::ToInt64Milliseconds(wait)) + 1,
                                nullptr) == CURLM_OK);
  }
}

absl::StatusOr<HttpResponse> HttpClient::Line::Perform(const HttpRequest& request,
                                                       const HttpClientOptions& options,
                                                       const CallBounds& bounds,
                                                       const Clock& clock) {
  Exchange exchange{.request = request, .response = {}, .body_bytes_max = options.body_bytes_max};
  SetUp(options, exchange);
  CAIRN_CHECK(curl_multi_add_handle(multi_, easy_) == CURLM_OK);
  const absl::StatusOr<CURLcode> code = Run(options, exchange, bounds, clock);
  // Also ends what is not over: the exchange's memory is not used after this.
  CAIRN_CHECK(curl_multi_remove_handle(multi_, easy_) == CURLM_OK);
  if (!code.ok()) return code.status();
  if (exchange.too_long) {
    const uint64_t room = exchange.FillsCaller() ? request.into->size() : options.body_bytes_max;
    return absl::DataLossError(StrCat(HostOf(request.url), " answered with a body of over ", room,
                                      " bytes, which are all that were asked for"));
  }
  if (*code != CURLE_OK) return CurlStatus(*code, request, error_);
  return std::move(exchange.response);
}

HttpClient::HttpClient(HttpClientOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {
  InitCurl();
}

HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Line> HttpClient::TakeLine() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_.empty()) {
      // The last one used: its connection is the likeliest to be open still.
      std::unique_ptr<Line> line = std::move(idle_.back());
      idle_.pop_back();
      return line;
    }
  }
  return std::make_unique<Line>();
}

void HttpClient::GiveBack(std::unique_ptr<Line> line) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.size() < kIdleLinesMax) idle_.push_back(std::move(line));
}

absl::StatusOr<HttpResponse> HttpClient::Perform(const HttpRequest& request,
                                                 const CallBounds& bounds) {
  if (absl::Status status = CheckBounds(bounds, clock_); !status.ok()) return status;
  std::unique_ptr<Line> line = TakeLine();
  absl::StatusOr<HttpResponse> response = line->Perform(request, options_, bounds, clock_);
  // A connection that something went wrong on is closed with its line.
  if (response.ok()) GiveBack(std::move(line));
  return response;
}

}  // namespace cairn
