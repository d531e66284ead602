#include "cli/where.h"

#include <map>

#include "gtest/gtest.h"

namespace messaging::cli {
namespace {

// Whether a message with these properties fulfils `texts`.
bool Holds(const std::vector<std::string>& texts, const std::map<std::string, std::string>& message) {
  const absl::StatusOr<Where> where = Where::Parse(texts, {"key", "id"});
  EXPECT_TRUE(where.ok()) << where.status();
  return where.ok() && where->Matches([&](std::string_view name) -> std::optional<std::string_view> {
    const auto found = message.find(std::string(name));
    return found == message.end() ? std::nullopt : std::optional<std::string_view>(found->second);
  });
}

TEST(Where, NothingAskedHolds) { EXPECT_TRUE(Holds({}, {})); }

TEST(Where, AllHaveToHold) {
  EXPECT_TRUE(Holds({"key=7", "id=a=b"}, {{"key", "7"}, {"id", "a=b"}}));
  EXPECT_FALSE(Holds({"key=7", "id=x"}, {{"key", "7"}, {"id", "a"}}));
  EXPECT_TRUE(Holds({"key="}, {{"key", ""}}));
  EXPECT_FALSE(Holds({"key="}, {})) << "no key is not an empty one";
  EXPECT_TRUE(Holds({"key!=7"}, {{"key", "8"}}));
  EXPECT_TRUE(Holds({"key!=7"}, {}));
  EXPECT_FALSE(Holds({"key!=7"}, {{"key", "7"}}));
}

TEST(Where, Headers) {
  EXPECT_TRUE(Holds({"header.source=web"}, {{"header.source", "web"}}));
  EXPECT_FALSE(Holds({"header.source=web"}, {}));
}

TEST(Where, FieldsOfJson) {
  const std::map<std::string, std::string> message = {
      {"payload", R"({"id": 7, "who": {"name": "ann", "tags": ["a", {"b": true}]}, "none": null, "text": "7"})"}};
  for (const char* text : {"payload.id=7", "payload.id=7.0", "payload.who.name=ann", "payload.who.name=\"ann\"",
                           "payload.who.tags.0=a", "payload.who.tags.1.b=true", "payload.none=null", "payload.text=7",
                           "payload.who.tags=[\"a\",{\"b\":true}]", "payload.missing!=1", "payload.id!=8"}) {
    EXPECT_TRUE(Holds({text}, message)) << text;
  }
  for (const char* text : {"payload.id=8", "payload.id=", "payload.who=ann", "payload.who.tags.2=a", "payload.id.x=7",
                           "payload.who.tags.-1=a", "payload.none=", "payload.missing=null", "payload.id=seven"}) {
    EXPECT_FALSE(Holds({text}, message)) << text;
  }
}

TEST(Where, PayloadsThatAreNoJson) {
  for (const char* payload : {"", "{", "\xff\xfe", "7"}) {
    EXPECT_FALSE(Holds({"payload.a=1"}, {{"payload", payload}})) << payload;
    EXPECT_TRUE(Holds({"payload.a!=1"}, {{"payload", payload}})) << payload;
  }
  const std::string deep(1 << 20, '[');
  EXPECT_FALSE(Holds({"payload.0=1"}, {{"payload", deep}}));
}

TEST(Where, MalformedConditionsSayWhatThereIs) {
  for (const char* text : {"", "key", "=7", "!=7", "colour=red", "header.=x", "payload.=1", "payload=1", "KEY=7"}) {
    const absl::StatusOr<Where> where = Where::Parse({text}, {"key", "id"});
    ASSERT_FALSE(where.ok()) << text;
    EXPECT_EQ(where.status().message(),
              std::string("--where: \"") + text +
                  "\" is not NAME=VALUE or NAME!=VALUE with one of key, id, header.NAME, payload.FIELD");
  }
}

}  // namespace
}  // namespace messaging::cli
