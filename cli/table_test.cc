#include "cli/table.h"

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

TEST(Table, ColumnsAreAsWideAsTheirWidestCell) {
  EXPECT_EQ(Table({{"NAME", "N", "WHY"}, {"a", "1000", "x"}, {"longer", "2", ""}}),
            "NAME    N     WHY\n"
            "a       1000  x\n"
            "longer  2\n");
}

TEST(Table, CountsCharactersNotBytes) {
  EXPECT_EQ(Table({{"\xC3\xA4\xC3\xB6", "1"}, {"abc", "2"}}), "\xC3\xA4\xC3\xB6   1\nabc  2\n");
}

}  // namespace
}  // namespace messaging::cli
