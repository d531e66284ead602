// A table for people: columns as wide as their widest cell.
#ifndef CLI_TABLE_H_
#define CLI_TABLE_H_

#include <string>
#include <vector>

namespace messaging::cli {

// `rows[0]` is the heading. Cells are made safe by OneLine; columns are two blanks apart, lines have no trailing
// blanks.
std::string Table(const std::vector<std::vector<std::string>>& rows);

}  // namespace messaging::cli

#endif  // CLI_TABLE_H_
