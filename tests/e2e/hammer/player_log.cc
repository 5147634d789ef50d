// The log of the hammer: a file that all mounts append to at once, and that is begun anew when it
// is long. See player.h.
#include <algorithm>
#include <vector>

#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "tests/e2e/hammer/blocks.h"
#include "tests/e2e/hammer/player.h"

namespace cairn::hammer {
namespace {

constexpr char kLog[] = "log";
constexpr uint64_t kLogBytesMax = 6 << 20;
constexpr uint64_t kRecordsAtOnce = 4;

absl::Status Wrong(const std::string& what) { return absl::DataLossError(what); }

// What the records in the log say, by who appended them.
struct Seen {
  uint64_t first = 0, last = 0;  // numbers; 0: none
};

absl::Status TakeRecord(const Record& record, uint64_t at, std::vector<Seen>* seen) {
  if (record.instance >= seen->size())
    return Wrong(StrCat("a record of ", record.instance, " at ", at, ", who never appended"));
  Seen& each = (*seen)[record.instance];
  if (each.last != 0 && record.number != each.last + 1) {
    return Wrong(StrCat("record ", record.number, " of ", record.instance, " at ", at,
                        " comes after ", each.last));
  }
  if (each.last == 0) each.first = record.number;
  each.last = record.number;
  return absl::OkStatus();
}

}  // namespace

void Player::AppendToLog() {
  if (!view_.writes_in_place() || board_.log_renewal != 0) return;
  if (!TryLook(board_.log_holders, options_.worker)) return;
  Appender& self = board_.appenders[appender_];
  const uint64_t count = 1 + dice_.Below(kRecordsAtOnce);
  std::vector<std::string> records;
  for (uint64_t i = 0; i < count; ++i)
    records.push_back(MakeRecord(appender_, self.acknowledged + 1 + i));
  const bool syncs = options_.syncing == Syncing::kAlways || dice_.Below(2) == 0;
  Doing("appending to the log");
  board_.workers[options_.worker].appending = 1;
  ++board_.appends;
  const absl::Status done =
      view_.Append(kLog, records, syncs ? Durability::kSynced : Durability::kClosed);
  board_.workers[options_.worker].appending = 0;
  if (done.ok()) {
    self.acknowledged += count;
  } else {
    Report(done, "appending to the log");
    // Some of them may be there. Nobody must take them for others.
    appender_ = board_.next_appender++ % kAppendersMax;
  }
  LookAway(board_.log_holders, options_.worker);
  if (done.ok() && dice_.Below(8) == 0) RenewLog();
}

void Player::CheckLogHeld() {
  if (board_.log_renewal != 0) return RenewLog();
  if (!TryLook(board_.log_holders, options_.worker)) return;
  Doing("reading the log");
  if (board_.log_renewal == 0) Report(CheckLog(), "the log");
  LookAway(board_.log_holders, options_.worker);
}

absl::Status Player::CheckLog() {
  const uint32_t appenders = std::min(board_.next_appender.load(), kAppendersMax);
  std::vector<uint64_t> promised(appenders);
  std::vector<uint64_t> gone(appenders);
  for (uint32_t i = 0; i < appenders; ++i) {
    promised[i] = board_.appenders[i].acknowledged;
    gone[i] = board_.appenders[i].gone;
  }
  const uint64_t appends = board_.appends;
  const bool calm = NobodyAppends(appends);
  ASSIGN_OR_RETURN(const std::optional<std::string> log, view_.Read(kLog));
  std::vector<Seen> seen(board_.next_appender);
  const std::string_view text = log.has_value() ? std::string_view(*log) : std::string_view();
  for (uint64_t at = 0; at < text.size();) {
    const std::optional<Record> record = ReadRecord(text.substr(at));
    if (!record.has_value()) {
      // A file may grow while a call that extends it is under way.
      if (BeginsRecord(text.substr(at)) && !(calm && NobodyAppends(appends))) break;
      return Wrong(StrCat("what is at ", at, " of ", text.size(),
                          " bytes is no record, or not a whole one"));
    }
    RETURN_IF_ERROR(TakeRecord(*record, at, &seen));
    at += record->size_bytes;
  }
  for (uint32_t i = 0; i < appenders; ++i) {
    if (promised[i] == gone[i]) continue;
    if (seen[i].first != gone[i] + 1 || seen[i].last < promised[i]) {
      return Wrong(
          StrCat("records ", gone[i] + 1, " to ", promised[i], " of ", i, " must be in it, and ",
                 seen[i].first, " to ", seen[i].last, " are; ",
                 log.has_value() ? StrCat("it has ", text.size(), " bytes") : "there is no log"));
    }
  }
  return absl::OkStatus();
}

bool Player::NobodyAppends(uint64_t appends) const {
  return board_.appends == appends &&
         std::all_of(board_.workers.begin(), board_.workers.end(),
                     [](const Worker& each) { return each.appending == 0; });
}

void Player::RenewLog() {
  if (!view_.writes_in_place() || !TryHold(board_.log_holders, options_.worker)) return;
  Doing("renewing the log");
  const auto log = view_.Read(kLog);
  const bool due =
      board_.log_renewal != 0 || (log.ok() && log->has_value() && (*log)->size() > kLogBytesMax);
  Report(log.status(), "the log");
  if (log.ok() && due) {
    // From here on it may be there or not; who comes next removes it, if it is.
    board_.log_renewal = 1;
    const absl::Status removed =
        log->has_value() ? view_.Unlink(kLog, Durability::kSynced) : absl::OkStatus();
    Report(removed, "removing the log");
    if (removed.ok()) {
      for (Appender& each : board_.appenders) each.gone = each.acknowledged.load();
      board_.log_renewal = 0;
    }
  }
  LetGo(board_.log_holders, options_.worker);
}

}  // namespace cairn::hammer
