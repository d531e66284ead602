// Any bytes as text for people.
#ifndef CLI_TEXT_H_
#define CLI_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace messaging::cli {

bool IsUtf8(std::string_view bytes);

// Characters, as far as their columns can be told without knowing the terminal.
size_t Width(std::string_view utf8);

// One line that is safe for a terminal: control characters and what is no UTF-8 as \xNN, the rest as it is; cut with
// "..." after `limit` characters.
std::string OneLine(std::string_view bytes, size_t limit = 100);

}  // namespace messaging::cli

#endif  // CLI_TEXT_H_
