// "Did you mean ...?" for a mistyped command or flag.
#ifndef CLI_SUGGESTION_H_
#define CLI_SUGGESTION_H_

#include <string>
#include <string_view>
#include <vector>

namespace messaging::cli {

// The name that `typed` is most likely meant for: the one in fewest insertions, deletions, replacements and swaps of
// neighbours, at most a third of its length (and at least one) away. Empty: none is near.
std::string NearestName(std::string_view typed, const std::vector<std::string>& names);

// For the end of what says that there is no such name: "; did you mean NAME?", or nothing where none is near.
std::string DidYouMean(std::string_view typed, const std::vector<std::string>& names);

}  // namespace messaging::cli

#endif  // CLI_SUGGESTION_H_
