// See blocks.h.
#include "tests/e2e/hammer/blocks.h"

#include <algorithm>
#include <cstring>

#include "common/base/crc32c.h"
#include "common/base/random.h"

namespace cairn::hammer {
namespace {

constexpr uint64_t kBlockMagic = 0x6b636f6c62646968;
constexpr uint64_t kRecordMagic = 0x64726f636572676c;

struct BlockHead {
  uint64_t magic;
  uint32_t slot, index;
  uint64_t generation;
  uint32_t crc;  // of all behind this head
  uint32_t reserved;
};

struct RecordHead {
  uint64_t magic;
  uint32_t instance, length_bytes;  // of what follows
  uint64_t number;
  uint32_t crc;
  uint32_t reserved;
};

uint32_t CrcOf(std::string_view text) { return Crc32c(ConstBytes(std::as_bytes(std::span(text)))); }

// Bytes of a seed: a generator for each block would take most of the time.
void Fill(uint64_t seed, char* out, size_t size) {
  uint64_t word = seed * 0x9e3779b97f4a7c15u + 1;
  for (size_t at = 0; at < size; at += sizeof(word)) {
    word ^= word << 13;
    word ^= word >> 7;
    word ^= word << 17;
    memcpy(out + at, &word, std::min(sizeof(word), size - at));
  }
}

}  // namespace

std::string MakeBlock(uint32_t slot, uint32_t index, uint64_t generation) {
  std::string block(kBlockBytes, '\0');
  Fill(generation << 20 ^ index ^ static_cast<uint64_t>(slot) << 44,
       block.data() + sizeof(BlockHead), kBlockBytes - sizeof(BlockHead));
  const BlockHead head = {kBlockMagic,
                          slot,
                          index,
                          generation,
                          CrcOf(std::string_view(block).substr(sizeof(BlockHead))),
                          0};
  memcpy(block.data(), &head, sizeof(head));
  return block;
}

std::optional<uint64_t> ReadBlock(uint32_t slot, uint32_t index, std::string_view block) {
  if (block.size() != kBlockBytes) return std::nullopt;
  BlockHead head;
  memcpy(&head, block.data(), sizeof(head));
  if (head.magic == 0) {
    const bool zeros = block.find_first_not_of('\0') == std::string_view::npos;
    return zeros ? std::optional(kNoGeneration) : std::nullopt;
  }
  const bool ours = head.magic == kBlockMagic && head.slot == slot && head.index == index;
  if (!ours || head.generation == kNoGeneration) return std::nullopt;
  // All of it follows from the head.
  if (block != MakeBlock(slot, index, head.generation)) return std::nullopt;
  return head.generation;
}

std::string MakeRecord(uint32_t instance, uint64_t number) {
  const uint64_t seed = number << 24 ^ instance;
  SeededRandom dice(seed);
  constexpr uint32_t kLengths[] = {0, 11, 400, 3000, 20'000, 90'000};
  const uint32_t length = kLengths[dice.Below(std::size(kLengths))];
  std::string record(sizeof(RecordHead) + length, '\0');
  Fill(seed, record.data() + sizeof(RecordHead), length);
  const RecordHead head = {kRecordMagic,
                           instance,
                           length,
                           number,
                           CrcOf(std::string_view(record).substr(sizeof(RecordHead))),
                           0};
  memcpy(record.data(), &head, sizeof(head));
  return record;
}

std::optional<Record> ReadRecord(std::string_view text) {
  RecordHead head;
  if (text.size() < sizeof(head)) return std::nullopt;
  memcpy(&head, text.data(), sizeof(head));
  const uint64_t size = sizeof(head) + head.length_bytes;
  if (head.magic != kRecordMagic || text.size() < size) return std::nullopt;
  if (text.substr(0, size) != MakeRecord(head.instance, head.number)) return std::nullopt;
  return Record{head.instance, head.number, size};
}

bool BeginsRecord(std::string_view text) {
  RecordHead head;
  if (text.size() < sizeof(head)) {
    const std::string_view magic(reinterpret_cast<const char*>(&kRecordMagic),
                                 sizeof(kRecordMagic));
    return text.substr(0, sizeof(kRecordMagic)) == magic.substr(0, text.size());
  }
  memcpy(&head, text.data(), sizeof(head));
  return head.magic == kRecordMagic && MakeRecord(head.instance, head.number).starts_with(text);
}

}  // namespace cairn::hammer
