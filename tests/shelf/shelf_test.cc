#include <string>

#include "absl/strings/str_cat.h"
#include "tests/conformance/conformance.h"

int main(int argc, char** argv) {
  messaging::conformance::Environment environment;
  environment.name = "shelf";
  environment.url = [](std::string_view case_name) { return absl::StrCat("shelf://", case_name); };
  return messaging::conformance::Main(argc, argv, environment);
}
