// What a message's body looks like, for documents about a service (`core asyncapi`).
#ifndef MESSAGING_MESSAGE_SCHEMA_H_
#define MESSAGING_MESSAGE_SCHEMA_H_

#include <map>
#include <string>

namespace messaging {

// JSON Schema. `schemas` has one named `name` and those that it refers to, as {"$ref": "#/components/schemas/NAME"}.
// Empty: nothing is known.
struct MessageSchema {
  std::string name;
  std::map<std::string, std::string> schemas;
};

}  // namespace messaging

#endif  // MESSAGING_MESSAGE_SCHEMA_H_
