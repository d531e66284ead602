#include <type_traits>

#include "absl/status/statusor.h"

template <typename T>
void F(absl::StatusOr<T>) {
  static_assert(std::is_arithmetic_v<T>, "F takes a number");
}

int main() { F(absl::StatusOr<char*>()); }
