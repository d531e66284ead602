#include "examples/shop/events/compatibility.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/descriptor.h"

namespace shop {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

std::string TypeOf(const FieldDescriptor& field) {
  std::string type(field.type_name());
  if (field.message_type() != nullptr) type = std::string(field.message_type()->full_name());
  return field.is_repeated() ? absl::StrCat("repeated ", type) : type;
}

std::string LineOf(const FieldDescriptor& field) {
  return absl::StrCat(std::string(field.containing_type()->full_name()), " ", field.number(), " ",
                      std::string(field.name()), " ", TypeOf(field));
}

// Empty: the field of the old line is there unchanged, or properly gone.
std::string BreakOf(const std::string& line, const FileDescriptor& file) {
  const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(' ', 3));
  int number = 0;
  if (parts.size() != 4 || !absl::SimpleAtoi(parts[1], &number)) return "is no line of a baseline";
  const Descriptor* message = nullptr;
  for (int i = 0; i < file.message_type_count(); ++i) {
    if (file.message_type(i)->full_name() == parts[0]) message = file.message_type(i);
  }
  if (message == nullptr) return "its message is gone";
  const FieldDescriptor* field = message->FindFieldByNumber(number);
  if (field != nullptr) return LineOf(*field) == line ? "" : absl::StrCat("is now ", LineOf(*field));
  if (message->IsReservedNumber(number) && message->IsReservedName(parts[2])) return "";
  return absl::StrCat("is gone; reserve its number and name: reserved ", number, "; reserved \"", parts[2], "\";");
}

}  // namespace

std::vector<std::string> FieldsOf(const FileDescriptor& file) {
  std::vector<std::string> lines;
  for (int i = 0; i < file.message_type_count(); ++i) {
    for (int j = 0; j < file.message_type(i)->field_count(); ++j) {
      lines.push_back(LineOf(*file.message_type(i)->field(j)));
    }
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::vector<std::string> Breaks(const std::vector<std::string>& baseline, const FileDescriptor& file) {
  std::vector<std::string> breaks;
  for (const std::string& line : baseline) {
    if (const std::string wrong = BreakOf(line, file); !wrong.empty()) {
      breaks.push_back(absl::StrCat(line, ": ", wrong));
    }
  }
  return breaks;
}

}  // namespace shop
