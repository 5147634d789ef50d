#include "server/tiering/object_packer.h"

#include <algorithm>
#include <utility>

#include "server/tier/cold_object.h"

namespace cairn {

wire::ExtentRun CutRun(const TierRun& run, uint64_t begin, uint64_t end) {
  const uint64_t stripe_bytes = run.record.stripe_bytes();
  const uint64_t first = begin / stripe_bytes;
  const uint64_t last = DivideUp(end, stripe_bytes);
  wire::ExtentRun cut;
  cut.set_offset_bytes(first * stripe_bytes);
  cut.set_length_bytes(std::min(last * stripe_bytes, run.record.length_bytes()) -
                       first * stripe_bytes);
  cut.set_first_stripe(run.first_stripe + first);
  cut.set_stripe_count(static_cast<uint32_t>(last - first));
  cut.set_stripe_bytes(run.record.stripe_bytes());
  const auto groups = static_cast<uint64_t>(run.record.groups_size());
  for (uint64_t i = 0; i < std::min(groups, last - first); ++i)
    cut.add_groups(run.record.groups(static_cast<int>((first + i) % groups)));
  return cut;
}

void ObjectPacker::Add(const TierRun& run, InodeId subject) {
  uint64_t at = 0;
  for (const disk::ColdRunRecord::Part& part : run.cold.parts()) {
    if (at < part.run_offset_bytes()) AddRange(run, subject, at, part.run_offset_bytes());
    at = part.run_offset_bytes() + part.length_bytes();
  }
  if (at < run.record.length_bytes()) AddRange(run, subject, at, run.record.length_bytes());
}

// Whole stripes in each object, so that one is read for one object only.
void ObjectPacker::AddRange(const TierRun& run, InodeId subject, uint64_t begin, uint64_t end) {
  const uint64_t stripe_bytes = run.record.stripe_bytes();
  while (begin < end) {
    uint64_t stop = std::min(end, begin + room());
    if (stop < end) stop -= stop % stripe_bytes;
    if (stop <= begin) {
      full_.push_back(std::exchange(open_, {}));
      open_message_bytes_ = 0;
      continue;
    }
    wire::ColdSource source;
    source.set_first_stripe(run.first_stripe);
    source.set_run_offset_bytes(begin);
    source.set_length_bytes(stop - begin);
    *source.mutable_run() = CutRun(run, begin, stop);
    AddSource(std::move(source), 0, subject);
    begin = stop;
  }
}

void ObjectPacker::AddPart(uint64_t first_stripe, const disk::ColdRunRecord::Part& part,
                           const wire::ColdPlace& place) {
  wire::ColdSource source;
  source.set_first_stripe(first_stripe);
  source.set_run_offset_bytes(part.run_offset_bytes());
  source.set_length_bytes(part.length_bytes());
  source.mutable_run()->set_offset_bytes(part.run_offset_bytes());
  source.mutable_run()->set_length_bytes(part.length_bytes());
  *source.mutable_run()->mutable_cold() = place;
  if (open_.payload_bytes > 0 && part.length_bytes() > room()) {
    full_.push_back(std::exchange(open_, {}));
    open_message_bytes_ = 0;
  }
  AddSource(std::move(source), part.object(), {});
}

void ObjectPacker::CloseIfFull(uint64_t next_source_bytes) {
  const bool has_room = open_.payload_bytes < kColdPayloadBytes &&
                        open_message_bytes_ + next_source_bytes <= kColdSourcesBytesMax;
  if (has_room || open_.sources.empty()) return;
  full_.push_back(std::exchange(open_, {}));
  open_message_bytes_ = 0;
}

void ObjectPacker::AddSource(wire::ColdSource source, uint64_t instead_of, InodeId subject) {
  const uint64_t message_bytes = source.ByteSizeLong() + 4;
  CloseIfFull(message_bytes);
  open_message_bytes_ += message_bytes;
  open_.payload_bytes += source.length_bytes();
  open_.sources.push_back(std::move(source));
  open_.instead_of.push_back(instead_of);
  open_.subjects.push_back(subject.value());
}

std::optional<PackedObject> ObjectPacker::Take() {
  CloseIfFull(0);
  if (full_.empty()) return std::nullopt;
  PackedObject first = std::move(full_.front());
  full_.pop_front();
  return first;
}

std::optional<PackedObject> ObjectPacker::Finish() {
  if (std::optional<PackedObject> full = Take()) return full;
  if (open_.sources.empty()) return std::nullopt;
  open_message_bytes_ = 0;
  return std::exchange(open_, {});
}

disk::NoteColdObject NoteOf(const PackedObject& packed, uint64_t object, uint64_t size_bytes) {
  disk::NoteColdObject note;
  note.set_object(object);
  note.set_size_bytes(size_bytes);
  uint64_t at = kColdHeaderBytes;
  for (size_t i = 0; i < packed.sources.size(); ++i) {
    const wire::ColdSource& source = packed.sources[i];
    disk::NoteColdObject::Piece* piece = note.add_pieces();
    piece->set_first_stripe(source.first_stripe());
    piece->set_run_offset_bytes(source.run_offset_bytes());
    piece->set_length_bytes(source.length_bytes());
    piece->set_object_offset_bytes(at);
    piece->set_instead_of(packed.instead_of[i]);
    piece->set_subject(packed.subjects[i]);
    at += source.length_bytes();
  }
  return note;
}

}  // namespace cairn
