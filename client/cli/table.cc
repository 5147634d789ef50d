// See table.h.
#include "client/cli/table.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cli/format.h"
#include "common/base/check.h"

namespace cairn::cli {
namespace {

constexpr char kBold[] = "\033[1m";
constexpr char kPlain[] = "\033[0m";

const char* EscapeOf(Tone tone) {
  switch (tone) {
    case Tone::kGood:
      return "\033[32m";
    case Tone::kWarning:
      return "\033[33m";
    case Tone::kBad:
      return "\033[31m";
    case Tone::kNone:
      break;
  }
  return "";
}

void AppendLine(const std::vector<Cell>& cells, const std::vector<Column>& columns,
                const std::vector<size_t>& widths, TextStyle style, std::string* out) {
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - DisplayWidth(cells[i].text), ' ');
    const bool last = i + 1 == cells.size();
    if (columns[i].align == Align::kRight) out->append(padding);
    out->append(Toned(cells[i].text, cells[i].tone, style));
    if (columns[i].align == Align::kLeft && !last) out->append(padding);
    if (!last) out->append("  ");
  }
  while (!out->empty() && out->back() == ' ') out->pop_back();
}

}  // namespace

std::string Toned(std::string_view text, Tone tone, TextStyle style) {
  if (tone == Tone::kNone || style == TextStyle::kPlain || text.empty()) return std::string(text);
  return absl::StrCat(EscapeOf(tone), std::string(text), kPlain);
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::AddRow(std::vector<Cell> cells) {
  CAIRN_CHECK(cells.size() == columns_.size());
  for (Cell& cell : cells) cell.text = Printable(cell.text);
  rows_.push_back(std::move(cells));
}

std::string Table::Render(TextStyle style) const {
  std::vector<Cell> titles;
  std::vector<size_t> widths;
  for (const Column& column : columns_) {
    titles.emplace_back(column.title);
    widths.push_back(DisplayWidth(column.title));
  }
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], DisplayWidth(row[i].text));
  }
  std::string out;
  if (style == TextStyle::kColor) out.append(kBold);
  AppendLine(titles, columns_, widths, TextStyle::kPlain, &out);
  if (style == TextStyle::kColor) out.append(kPlain);
  out.push_back('\n');
  for (const auto& row : rows_) {
    std::string line;
    AppendLine(row, columns_, widths, style, &line);
    absl::StrAppend(&out, line, "\n");
  }
  return out;
}

std::string RenderProperties(const std::vector<std::pair<std::string, std::string>>& properties,
                             TextStyle style) {
  size_t width = 0;
  for (const auto& [name, value] : properties) width = std::max(width, DisplayWidth(name));
  std::string out;
  for (const auto& [name, value] : properties) {
    const std::string padding(width - DisplayWidth(name) + 2, ' ');
    if (style == TextStyle::kColor) {
      absl::StrAppend(&out, kBold, name, kPlain, padding, Printable(value), "\n");
    } else {
      absl::StrAppend(&out, name, padding, Printable(value), "\n");
    }
  }
  return out;
}

}  // namespace cairn::cli
