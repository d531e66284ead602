// The schemas may follow those that are in use (baseline.txt), and the check finds each kind of change that may not.
#include "examples/shop/events/compatibility.h"

#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_join.h"
#include "examples/shop/events/shop.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "gtest/gtest.h"

namespace shop {
namespace {

using ::google::protobuf::DescriptorPool;
using ::google::protobuf::DescriptorProto;
using ::google::protobuf::FieldDescriptorProto;
using ::google::protobuf::FileDescriptor;
using ::google::protobuf::FileDescriptorProto;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

const FileDescriptor& Now() { return *OrderRequested::descriptor()->file(); }

std::vector<std::string> Baseline() {
  std::ifstream in("examples/shop/events/baseline.txt");
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Breaks of today's fields with a file that differs from today's.
std::vector<std::string> BreaksAfter(const std::function<void(DescriptorProto&)>& change) {
  FileDescriptorProto file;
  Now().CopyTo(&file);
  for (DescriptorProto& message : *file.mutable_message_type()) {
    if (message.name() == "StockRefused") change(message);
  }
  DescriptorPool pool;
  return Breaks(FieldsOf(Now()), *pool.BuildFile(file));
}

TEST(CompatibilityTest, TheSchemasMayFollowThoseInUse) {
  ASSERT_FALSE(Baseline().empty());
  EXPECT_THAT(Breaks(Baseline(), Now()), IsEmpty());
}

// What is new is in use from now on: the baseline has to know it, too.
TEST(CompatibilityTest, TheBaselineHoldsEveryField) {
  EXPECT_THAT(Baseline(), IsSupersetOf(FieldsOf(Now()))) << "add to examples/shop/events/baseline.txt:\n"
                                                         << absl::StrJoin(FieldsOf(Now()), "\n");
}

TEST(CompatibilityTest, ANewFieldIsAllowed) {
  EXPECT_THAT(BreaksAfter([](DescriptorProto& message) {
                FieldDescriptorProto* field = message.add_field();
                *field = message.field(1);
                field->set_name("note");
                field->clear_json_name();
                field->set_number(3);
              }),
              IsEmpty());
}

TEST(CompatibilityTest, AFieldThatIsGoneHasToBeReserved) {
  const auto remove = [](DescriptorProto& message) { message.mutable_field()->RemoveLast(); };
  EXPECT_THAT(BreaksAfter(remove), ElementsAre(HasSubstr("shop.StockRefused 2 reason string: is gone; reserve")));
  EXPECT_THAT(BreaksAfter([&](DescriptorProto& message) {
                remove(message);
                message.add_reserved_name("reason");
                DescriptorProto::ReservedRange* range = message.add_reserved_range();
                range->set_start(2);
                range->set_end(3);
              }),
              IsEmpty());
}

TEST(CompatibilityTest, AnotherTypeNumberOrNameBreaks) {
  EXPECT_THAT(BreaksAfter([](DescriptorProto& message) {
                message.mutable_field(1)->set_type(FieldDescriptorProto::TYPE_INT64);
              }),
              ElementsAre(HasSubstr("is now shop.StockRefused 2 reason int64")));
  EXPECT_THAT(BreaksAfter([](DescriptorProto& message) { message.mutable_field(1)->set_number(5); }),
              ElementsAre(HasSubstr("is gone")));
  EXPECT_THAT(BreaksAfter([](DescriptorProto& message) {
                message.mutable_field(1)->set_name("why");
                message.mutable_field(1)->clear_json_name();
              }),
              ElementsAre(HasSubstr("is now shop.StockRefused 2 why string")));
}

TEST(CompatibilityTest, AMessageThatIsGoneBreaks) {
  EXPECT_THAT(BreaksAfter([](DescriptorProto& message) { message.set_name("Refused"); }),
              ElementsAre(HasSubstr("its message is gone"), HasSubstr("its message is gone")));
}

TEST(CompatibilityTest, OldCodeKeepsWhatItDoesNotKnow) {
  StockRefused newer;
  newer.set_order_id(7);
  StockReserved older;  // Knows field 1 only.
  newer.set_reason("sold out");
  ASSERT_TRUE(older.ParseFromString(newer.SerializeAsString()));
  EXPECT_EQ(older.order_id(), 7);
  EXPECT_EQ(older.SerializeAsString(), newer.SerializeAsString());
}

}  // namespace
}  // namespace shop
