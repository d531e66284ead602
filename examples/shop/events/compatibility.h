// Whether a protobuf file may follow an older one: services of both run at the same time, and old messages are read by
// new code and new ones by old.
#ifndef EXAMPLES_SHOP_EVENTS_COMPATIBILITY_H_
#define EXAMPLES_SHOP_EVENTS_COMPATIBILITY_H_

#include <string>
#include <vector>

namespace google::protobuf {
class FileDescriptor;
}  // namespace google::protobuf

namespace shop {

// A line for each field: "shop.OrderRequested 3 item string". Sorted.
std::vector<std::string> FieldsOf(const google::protobuf::FileDescriptor& file);

// What in `file` breaks with `baseline` (lines of FieldsOf), a line each: a field that is gone without its number and
// name being reserved, one whose number, name or type is another, a message that is gone.
std::vector<std::string> Breaks(const std::vector<std::string>& baseline, const google::protobuf::FileDescriptor& file);

}  // namespace shop

#endif  // EXAMPLES_SHOP_EVENTS_COMPATIBILITY_H_
