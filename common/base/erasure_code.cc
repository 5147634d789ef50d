#include "common/base/erasure_code.h"

#include <isa-l/erasure_code.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

// ISA-L's tables have 32 bytes for each product of a row.
constexpr size_t kTableBytes = 32;

// ISA-L takes an int length.
constexpr size_t kPieceBytes = size_t{1} << 30;

std::vector<uint8_t> TablesOf(uint32_t columns, uint32_t rows, uint8_t* matrix) {
  std::vector<uint8_t> tables(kTableBytes * columns * rows);
  ec_init_tables(static_cast<int>(columns), static_cast<int>(rows), matrix, tables.data());
  return tables;
}

// Each of `outputs` becomes its row of the tables times `inputs`.
void Multiply(const std::vector<uint8_t>& tables, std::span<const ConstBytes> inputs,
              std::span<const MutableBytes> outputs) {
  if (outputs.empty()) return;
  const size_t length = outputs[0].size();
  for (ConstBytes each : inputs) CAIRN_CHECK(each.size() == length);
  for (MutableBytes each : outputs) CAIRN_CHECK(each.size() == length);
  std::vector<uint8_t*> from(inputs.size());
  std::vector<uint8_t*> to(outputs.size());
  for (size_t at = 0; at < length; at += kPieceBytes) {
    // ISA-L takes its inputs as plain pointers; nothing writes to them.
    for (size_t i = 0; i < from.size(); ++i) {
      from[i] = reinterpret_cast<uint8_t*>(const_cast<std::byte*>(inputs[i].data())) + at;
    }
    for (size_t i = 0; i < to.size(); ++i)
      to[i] = reinterpret_cast<uint8_t*>(outputs[i].data()) + at;
    ec_encode_data(static_cast<int>(std::min(kPieceBytes, length - at)),
                   static_cast<int>(from.size()), static_cast<int>(to.size()),
                   const_cast<uint8_t*>(tables.data()), from.data(), to.data());
  }
}

}  // namespace

absl::StatusOr<ErasureCode> ErasureCode::Create(uint32_t data_fragments,
                                                uint32_t parity_fragments) {
  if (data_fragments == 0 || data_fragments > kFragmentsMax ||
      parity_fragments > kFragmentsMax - data_fragments) {
    return absl::InvalidArgumentError(StrCat("ec:", data_fragments, "+", parity_fragments,
                                             " is no erasure code: 1 data fragment at least, ",
                                             kFragmentsMax, " in all at most"));
  }
  return ErasureCode(data_fragments, parity_fragments);
}

ErasureCode::ErasureCode(uint32_t data, uint32_t parity)
    : data_(data), parity_(parity), matrix_(size_t{data} * (data + parity)) {
  gf_gen_cauchy1_matrix(matrix_.data(), static_cast<int>(data + parity), static_cast<int>(data));
  if (parity > 0) encode_tables_ = TablesOf(data, parity, &matrix_[size_t{data} * data]);
}

void ErasureCode::Encode(std::span<const ConstBytes> data,
                         std::span<const MutableBytes> parity) const {
  CAIRN_CHECK(data.size() == data_ && parity.size() == parity_);
  Multiply(encode_tables_, data, parity);
}

absl::Status ErasureCode::Reconstruct(std::span<const CodedFragment> present,
                                      std::span<const WantedFragment> wanted) const {
  if (present.size() < data_) {
    return absl::DataLossError(StrCat("of ", data_ + parity_, " fragments of a stripe ",
                                      present.size(), " can be read, and any ", data_,
                                      " are needed"));
  }
  const size_t k = data_;
  std::vector<uint8_t> of_present(k * k);
  std::vector<ConstBytes> inputs(k);
  for (size_t i = 0; i < k; ++i) {
    CAIRN_CHECK(present[i].index < data_ + parity_);
    const uint8_t* const row = &matrix_[present[i].index * k];
    std::copy(row, row + k, &of_present[i * k]);
    inputs[i] = present[i].bytes;
  }
  // Row i of the inverse gives data fragment i from what is present. It exists unless a fragment
  // was given twice.
  std::vector<uint8_t> inverse(k * k);
  CAIRN_CHECK(gf_invert_matrix(of_present.data(), inverse.data(), static_cast<int>(k)) == 0);

  std::vector<uint8_t> rows(k * wanted.size());
  std::vector<MutableBytes> outputs;
  for (const WantedFragment& fragment : wanted) {
    CAIRN_CHECK(fragment.index < data_ + parity_);
    const uint8_t* const from_data = &matrix_[fragment.index * k];
    uint8_t* const row = &rows[outputs.size() * k];
    for (size_t column = 0; column < k; ++column) {
      for (size_t i = 0; i < k; ++i) row[column] ^= gf_mul(from_data[i], inverse[i * k + column]);
    }
    outputs.push_back(fragment.bytes);
  }
  if (outputs.empty()) return absl::OkStatus();
  Multiply(TablesOf(data_, static_cast<uint32_t>(outputs.size()), rows.data()), inputs, outputs);
  return absl::OkStatus();
}

}  // namespace cairn
