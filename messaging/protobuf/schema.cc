#include "messaging/protobuf/schema.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace messaging::internal {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;

// Names in protobuf are identifiers: nothing in them needs escaping.
std::string Quoted(std::string_view text) { return absl::StrCat("\"", text, "\""); }

// Those whose JSON is not an object of their fields.
const std::map<std::string, std::string, std::less<>>& WellKnown() {
  static const auto* const known = new std::map<std::string, std::string, std::less<>>{
      {"google.protobuf.Timestamp", R"({"type":"string","format":"date-time"})"},
      {"google.protobuf.Duration", R"({"type":"string","pattern":"^-?[0-9]+([.][0-9]+)?s$"})"},
      {"google.protobuf.FieldMask", R"({"type":"string"})"},
      {"google.protobuf.Empty", R"({"type":"object"})"},
      {"google.protobuf.Struct", R"({"type":"object"})"},
      {"google.protobuf.Value", R"({})"},
      {"google.protobuf.ListValue", R"({"type":"array"})"},
      {"google.protobuf.Any", R"({"type":"object","properties":{"@type":{"type":"string"}},"required":["@type"]})"},
      {"google.protobuf.BoolValue", R"({"type":["boolean","null"]})"},
      {"google.protobuf.StringValue", R"({"type":["string","null"]})"},
      {"google.protobuf.BytesValue", R"({"type":["string","null"],"contentEncoding":"base64"})"},
      {"google.protobuf.Int32Value", R"({"type":["integer","null"],"format":"int32"})"},
      {"google.protobuf.UInt32Value", R"({"type":["integer","null"],"format":"uint32"})"},
      {"google.protobuf.Int64Value", R"({"type":["string","integer","null"],"format":"int64"})"},
      {"google.protobuf.UInt64Value", R"({"type":["string","integer","null"],"format":"uint64"})"},
      {"google.protobuf.FloatValue", R"({"type":["number","string","null"],"format":"float"})"},
      {"google.protobuf.DoubleValue", R"({"type":["number","string","null"],"format":"double"})"}};
  return *known;
}

std::string EnumSchema(const EnumDescriptor& type) {
  if (type.full_name() == "google.protobuf.NullValue") return R"({"type":"null"})";
  std::vector<std::string> names;
  for (int i = 0; i < type.value_count(); ++i) names.push_back(Quoted(type.value(i)->name()));
  return absl::StrCat(R"({"type":"string","enum":[)", absl::StrJoin(names, ","), "]}");
}

class Writer {
 public:
  void Add(const Descriptor& message) {
    const std::string name(message.full_name());
    if (!schemas.try_emplace(name).second) return;  // It is there, or being written.
    std::vector<std::string> properties, required;
    for (int i = 0; i < message.field_count(); ++i) {
      const FieldDescriptor& field = *message.field(i);
      properties.push_back(absl::StrCat(Quoted(field.json_name()), ":", FieldSchema(field)));
      if (field.is_required()) required.push_back(Quoted(field.json_name()));
    }
    std::string schema = absl::StrCat(R"({"type":"object","properties":{)", absl::StrJoin(properties, ","), "}");
    if (!required.empty()) absl::StrAppend(&schema, R"(,"required":[)", absl::StrJoin(required, ","), "]");
    schemas[name] = absl::StrCat(schema, "}");
  }

  std::map<std::string, std::string> schemas;

 private:
  std::string FieldSchema(const FieldDescriptor& field) {
    if (field.is_map()) {
      const FieldDescriptor& value = *field.message_type()->FindFieldByNumber(2);
      return absl::StrCat(R"({"type":"object","additionalProperties":)", ValueSchema(value), "}");
    }
    if (field.is_repeated()) return absl::StrCat(R"({"type":"array","items":)", ValueSchema(field), "}");
    return ValueSchema(field);
  }

  std::string ValueSchema(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        return R"({"type":"boolean"})";
      case FieldDescriptor::CPPTYPE_INT32:
        return R"({"type":"integer","format":"int32"})";
      case FieldDescriptor::CPPTYPE_UINT32:
        return R"({"type":"integer","format":"uint32","minimum":0})";
      case FieldDescriptor::CPPTYPE_INT64:  // Written as text, read as either: a double holds no int64.
        return R"({"type":["string","integer"],"format":"int64"})";
      case FieldDescriptor::CPPTYPE_UINT64:
        return R"({"type":["string","integer"],"format":"uint64"})";
      case FieldDescriptor::CPPTYPE_FLOAT:  // Text: NaN, Infinity.
        return R"({"type":["number","string"],"format":"float"})";
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return R"({"type":["number","string"],"format":"double"})";
      case FieldDescriptor::CPPTYPE_STRING:
        return field.type() == FieldDescriptor::TYPE_BYTES ? R"({"type":"string","contentEncoding":"base64"})"
                                                           : R"({"type":"string"})";
      case FieldDescriptor::CPPTYPE_ENUM:
        return EnumSchema(*field.enum_type());
      case FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
    const Descriptor& message = *field.message_type();
    const auto known = WellKnown().find(message.full_name());
    if (known != WellKnown().end()) return known->second;
    Add(message);
    return absl::StrCat(R"({"$ref":"#/components/schemas/)", message.full_name(), R"("})");
  }
};

}  // namespace

MessageSchema SchemaOf(const Descriptor& message) {
  const std::string name(message.full_name());
  const auto known = WellKnown().find(name);
  if (known != WellKnown().end()) return {.name = name, .schemas = {*known}};
  Writer writer;
  writer.Add(message);
  return {.name = name, .schemas = std::move(writer.schemas)};
}

}  // namespace messaging::internal
