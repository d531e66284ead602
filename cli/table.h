// A table for people: columns as wide as their widest cell.
#ifndef CLI_TABLE_H_
#define CLI_TABLE_H_

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

namespace messaging::cli {

// What a cell looks like: takes it as it will be printed, and may put colours around it.
using Paint = std::function<std::string(size_t row, size_t column, const std::string& cell)>;

// `rows[0]` is the heading. Cells are made safe by OneLine; columns are two blanks apart, lines have no trailing
// blanks.
std::string Table(const std::vector<std::vector<std::string>>& rows, const Paint& paint = nullptr);

}  // namespace messaging::cli

#endif  // CLI_TABLE_H_
