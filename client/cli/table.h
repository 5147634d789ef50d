// Aligned columns for people. Programs ask for JSON instead.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::cli {

enum class Align { kLeft, kRight };
enum class TextStyle { kPlain, kColor };

// What the reader should make of a text: green, yellow, red.
enum class Tone { kNone, kGood, kWarning, kBad };

// `text` with the escapes for its tone around it, if there are colors.
std::string Toned(std::string_view text, Tone tone, TextStyle style);

struct Cell {
  // Most cells are plain texts, and are written as such.
  Cell(std::string cell_text)
      : text(std::move(cell_text)) {}               // NOLINT(google-explicit-constructor)
  Cell(const char* cell_text) : text(cell_text) {}  // NOLINT(google-explicit-constructor)
  Cell(std::string cell_text, Tone cell_tone) : text(std::move(cell_text)), tone(cell_tone) {}

  std::string text;
  Tone tone = Tone::kNone;
};

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

// Rows under a line of titles, two spaces between the columns. Cells are made printable; the last
// column is not padded, so that lines end where their text ends.
class Table {
 public:
  explicit Table(std::vector<Column> columns);

  // REQUIRES: as many cells as columns.
  void AddRow(std::vector<Cell> cells);
  bool empty() const { return rows_.empty(); }
  // kColor prints the titles bold and the cells in their tones.
  std::string Render(TextStyle style) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// "name:   value" lines with the values below each other: one thing's properties.
std::string RenderProperties(const std::vector<std::pair<std::string, std::string>>& properties,
                             TextStyle style);

}  // namespace cairn::cli
