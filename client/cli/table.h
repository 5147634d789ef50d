// Aligned columns for people. Programs ask for JSON instead.
#pragma once

#include <string>
#include <vector>

namespace cairn::cli {

enum class Align { kLeft, kRight };
enum class TextStyle { kPlain, kColor };

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
  void AddRow(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  // kColor prints the titles bold.
  std::string Render(TextStyle style) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "name:   value" lines with the values below each other: one thing's properties.
std::string RenderProperties(const std::vector<std::pair<std::string, std::string>>& properties,
                             TextStyle style);

}  // namespace cairn::cli
