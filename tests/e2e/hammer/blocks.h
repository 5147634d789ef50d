// What the hammer writes: blocks that tell which file, place and generation they are of, and
// whether they are whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::hammer {

// No larger, so that none lies in two pages: what a kill leaves of one is all or nothing.
inline constexpr uint64_t kBlockBytes = 4096;

// Of a block that reads as zeros: of a hole.
inline constexpr uint64_t kNoGeneration = 0;

// Block `index` of the file of `slot`, of that generation. REQUIRES: generation > 0.
std::string MakeBlock(uint32_t slot, uint32_t index, uint64_t generation);

// The generation of such a block, kNoGeneration for zeros; nullopt when it is of another place, or
// not whole.
std::optional<uint64_t> ReadBlock(uint32_t slot, uint32_t index, std::string_view block);

// ---- records of the log, which all append to

// Record `number` of those that `instance` appends; of a length that follows from both.
std::string MakeRecord(uint32_t instance, uint64_t number);

struct Record {
  uint32_t instance = 0;
  uint64_t number = 0;
  uint64_t size_bytes = 0;
};
// The record that `text` begins with; nullopt when it is none, or not whole.
std::optional<Record> ReadRecord(std::string_view text);
// Whether it is the beginning of one.
bool BeginsRecord(std::string_view text);

}  // namespace cairn::hammer
