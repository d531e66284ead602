// Conditions on messages: --where key=7 --where payload.customer.id=12 --where header.source!=web
#ifndef CLI_WHERE_H_
#define CLI_WHERE_H_

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace messaging::cli {

class Where {
 public:
  // A property's value; nullopt: it has none. Names are those that Parse was given, "header.NAME", and "payload".
  using Lookup = std::function<std::optional<std::string_view>(std::string_view name)>;

  // Each text is NAME=VALUE or NAME!=VALUE. NAME is one of `names`, header.NAME, or payload.PATH, a field of a payload
  // that is JSON: payload.lines.0.sku. InvalidArgument: says what there is.
  static absl::StatusOr<Where> Parse(const std::vector<std::string>& texts, const std::vector<std::string>& names);

  bool empty() const { return conditions_.empty(); }
  // Whether all hold. A field equals VALUE as JSON (7 is 7.0) or, where it is a string, as text.
  bool Matches(const Lookup& lookup) const;

 private:
  struct Condition {
    std::string name;               // "key", "header.NAME", or "payload" ...
    std::vector<std::string> path;  // ... with this.
    std::string value;
    bool equal = true;
  };
  std::vector<Condition> conditions_;
};

}  // namespace messaging::cli

#endif  // CLI_WHERE_H_
