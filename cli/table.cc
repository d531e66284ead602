#include "cli/table.h"

#include <algorithm>

#include "cli/text.h"

namespace messaging::cli {

std::string Table(const std::vector<std::vector<std::string>>& rows, const Paint& paint) {
  std::vector<std::vector<std::string>> cells;
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    cells.emplace_back();
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) {
      cells.back().push_back(OneLine(row[i]));
      widths[i] = std::max(widths[i], Width(cells.back().back()));
    }
  }
  std::string text;
  for (size_t r = 0; r < cells.size(); ++r) {
    size_t blanks = 0;  // Owed before the next cell that is not empty.
    for (size_t i = 0; i < cells[r].size(); ++i) {
      const std::string& cell = cells[r][i];
      if (!cell.empty()) {
        text.append(blanks, ' ');
        text += paint ? paint(r, i, cell) : cell;
        blanks = 0;
      }
      blanks += widths[i] - Width(cell) + 2;
    }
    text += '\n';
  }
  return text;
}

}  // namespace messaging::cli
