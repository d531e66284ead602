#include "messaging/broker/url.h"

#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace messaging {
namespace {

using testing::HasSubstr;
using testing::Not;

// scheme|user|password|hosts|path|query, "-" for what is absent.
std::string Parts(const Url& url) {
  auto host = [](std::string* out, const Url::Host& h) { absl::StrAppend(out, h.name, "#", h.port); };
  auto parameter = [](std::string* out, const auto& p) { absl::StrAppend(out, p.first, "=", p.second); };
  return absl::StrJoin({url.scheme, url.user.value_or("-"), url.password.value_or("-"),
                        absl::StrJoin(url.hosts, " ", host), url.path, absl::StrJoin(url.query, " ", parameter)},
                       "|");
}

struct Good {
  std::string text;
  std::string parts;
  std::string redacted;
};

TEST(UrlTest, GoodOnes) {
  const std::vector<Good> cases = {
      {"memory://", "memory|-|-|||", "memory://"},
      {"SQLite:///var/lib/o.db", "sqlite|-|-||/var/lib/o.db|", "sqlite:///var/lib/o.db"},
      {"sqlite://o.db", "sqlite|-|-|o.db#0||", "sqlite://o.db"},
      {"sqlite:///a%20b/c%25.db?synchronous=normal", "sqlite|-|-||/a b/c%.db|synchronous=normal",
       "sqlite:///a%20b/c%25.db?synchronous=normal"},
      {"sqlite:///home/a@b/c.db", "sqlite|-|-||/home/a@b/c.db|", "sqlite:///home/a@b/c.db"},
      {"redis://h", "redis|-|-|h#0||", "redis://h"},
      {"rediss://:s3cret@h:6380/2", "rediss|-|s3cret|h#6380|/2|", "rediss://:***@h:6380/2"},
      {"redis://default:@h", "redis|default||h#0||", "redis://default:***@h"},
      {"amqp://us%40er:p%2Fw%3A@h/%2Fvhost", "amqp|us@er|p/w:|h#0|//vhost|", "amqp://us%40er:***@h//vhost"},
      {"amqp://user@h/", "amqp|user|-|h#0|/|", "amqp://user@h/"},
      {"kafka://a:9092,b:9093,c", "kafka|-|-|a#9092 b#9093 c#0||", "kafka://a:9092,b:9093,c"},
      {"kafka://[::1]:9092,[fe80::2]", "kafka|-|-|::1#9092 fe80::2#0||", "kafka://[::1]:9092,[fe80::2]"},
      {"x+y.z-1://h", "x+y.z-1|-|-|h#0||", "x+y.z-1://h"},
      {"kafka://h?sasl.password=x&a=1&a=2&flag&&access_token=t",
       "kafka|-|-|h#0||sasl.password=x a=1 a=2 flag= "
       "access_token=t",
       "kafka://h?sasl.password=***&a=1&a=2&flag=&access_token=***"},
      {"amqp://h?management_url=http://u:s3cret%40h:15672", "amqp|-|-|h#0||management_url=http://u:s3cret@h:15672",
       "amqp://h?management_url=http://u:***%40h:15672"},
      {"amqp://h?management_url=http://u:s3%23cret%40h", "amqp|-|-|h#0||management_url=http://u:s3#cret@h",
       "amqp://h?management_url=***"},
  };
  for (const Good& good : cases) {
    const absl::StatusOr<Url> url = Url::Parse(good.text);
    ASSERT_TRUE(url.ok()) << good.text << ": " << url.status();
    EXPECT_EQ(Parts(*url), good.parts) << good.text;
    EXPECT_EQ(url->Redacted(), good.redacted) << good.text;
  }
}

TEST(UrlTest, BadOnesSayWhatIsWrongWithoutThePassword) {
  struct Bad {
    std::string text;
    std::string says;
  };
  const std::vector<Bad> cases = {
      {"", "scheme"},
      {"orders.db", "scheme"},
      {"localhost:9092", "scheme"},
      {"://h", "scheme"},
      {"1redis://h", "scheme"},
      {"red is://h", "scheme"},
      {"sqlite:/x", "scheme"},
      {"redis://h:", "port"},
      {"redis://h:0", "port"},
      {"redis://h:65536", "port"},
      {"redis://h:+5", "port"},
      {"redis://h:99999999999999999999", "port"},
      {"redis://:6379", "host is missing"},
      {"redis://user:s3cret@", "host is missing"},
      {"kafka://a,,b", "host is missing"},
      {"kafka://a,", "host is missing"},
      {"redis://::1", "several :"},
      {"redis://fe80::1:6379", "several :"},
      {"redis://[::1", "without its ]"},
      {"redis://[localhost]", "IPv6"},
      {"redis://[]", "IPv6"},
      {"redis://[::1]6379", "after ]"},
      {"redis://user:s3cret/x@h", "%2F"},
      {"redis://user:s3cret/x", "port"},
      {"redis://user:s3cret#x@h", "%23"},
      {"redis://s3cret/x@h", "%2F"},
      {"redis://s3cret?x@h", "%3F"},
      {"redis://user:s3cret@x@h", "%40"},
      {"redis://user:s3cret:x@h", "%3A"},
      {"redis://user:s3cret%@h", "password"},
      {"redis://user:s3cret%zz@h", "password"},
      {"redis://user:s3cret%0@h", "password"},
      {"redis://user:s3cret%00@h", "%00"},
      {"redis://user:s3cret\n@h", "control"},
      {"redis://h/%", "path"},
      {"redis://h/%4", "path"},
      {"redis://h?=1", "no name"},
      {"redis://h?a=%x", "query"},
      {"redis://%zz", "host"},
      {std::string("redis://h\0", 10), "control"},
  };
  for (const Bad& bad : cases) {
    const absl::StatusOr<Url> url = Url::Parse(bad.text);
    ASSERT_FALSE(url.ok()) << bad.text << ": " << Parts(*url);
    EXPECT_TRUE(absl::IsInvalidArgument(url.status()));
    EXPECT_THAT(url.status().message(), HasSubstr(bad.says)) << bad.text;
    EXPECT_THAT(url.status().message(), Not(HasSubstr("s3cret"))) << bad.text;
  }
}

TEST(UrlTest, FilePathIsAbsoluteOrRelative) {
  EXPECT_EQ(Url::Parse("sqlite:///var/o.db")->FilePath(), "/var/o.db");
  EXPECT_EQ(Url::Parse("sqlite://o.db")->FilePath(), "o.db");
  EXPECT_EQ(Url::Parse("sqlite://data/o.db?a=1")->FilePath(), "data/o.db");
  EXPECT_EQ(Url::Parse("sqlite://./o%20o.db")->FilePath(), "./o o.db");
  EXPECT_EQ(Url::Parse("sqlite://../a,b.db")->FilePath(), "../a,b.db");
  EXPECT_EQ(Url::Parse("sqlite://")->FilePath(), "");
}

TEST(UrlTest, QueryGivesTheLastOfAName) {
  const absl::StatusOr<Url> url = Url::Parse("x://h?a=1&b=&a=2");
  ASSERT_TRUE(url.ok());
  EXPECT_EQ(url->Query("a"), "2");
  EXPECT_EQ(url->Query("b"), "");
  EXPECT_EQ(url->Query("c"), std::nullopt);
}

// What parses is written back to something that parses to the same, but for secrets.
TEST(UrlTest, GarbageNeverCrashesAndRedactedTextParses) {
  const std::vector<std::string> pieces = {
      "redis", "://", ":", "/", "@", "%",    "%41",  "%zz", "[",  "]", "::1",
      ",",     "?",   "&", "=", "h", "9092", "\xff", " ",   "..", "#", std::string(1, '\0')};
  std::mt19937 random(1);
  int parsed = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string text = random() % 2 == 0 ? "redis://" : "";
    for (unsigned n = random() % 12; n > 0; --n) text += pieces[random() % pieces.size()];
    const absl::StatusOr<Url> url = Url::Parse(text);
    if (!url.ok()) continue;
    ++parsed;
    const absl::StatusOr<Url> again = Url::Parse(url->Redacted());
    ASSERT_TRUE(again.ok()) << text << " as " << url->Redacted() << ": " << again.status();
    ASSERT_EQ(again->Redacted(), url->Redacted()) << text;
    ASSERT_EQ(again->FilePath(), url->FilePath()) << text;
  }
  EXPECT_GT(parsed, 1'000);
}

}  // namespace
}  // namespace messaging
