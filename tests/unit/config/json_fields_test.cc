#include "engine/config/json_fields.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"
#include "tests/support/temporary_folder.h"

namespace psagen::engine {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;
using testing::write_text;

struct Inner {
  std::vector<std::int64_t> sizes;
};

struct Outer {
  bool flag = false;
  std::int64_t count = 7;
  std::uint64_t seed = 0;
  double scale = 0.5;
  std::string name;
  std::array<double, 2> pair{};
  std::vector<Inner> inners;
  std::optional<std::string> note;
};

void read_value(const JsonValue& value, Inner& inner) {
  read_fields(value, UnknownKeys::kRefuse, {required("sizes", inner.sizes, {1, 100})});
}

void read_value(const JsonValue& value, Outer& outer) {
  read_fields(value, UnknownKeys::kRefuse,
              {optional("flag", outer.flag), optional("count", outer.count, {-5, 10}),
               optional("seed", outer.seed), optional("scale", outer.scale, {0.25}),
               required("name", outer.name), optional("pair", outer.pair),
               optional("inners", outer.inners), optional("note", outer.note)});
}

Outer read(const std::string& text) {
  const JsonDocument document = JsonDocument::parse(text, "run.json");
  Outer outer;
  read_value(document.root(), outer);
  return outer;
}

void expect_refused(const std::string& text, const std::vector<std::string>& parts,
                    ErrorCode code = ErrorCode::kInvalidArgument) {
  SCOPED_TRACE(text);
  std::vector<std::string> all = parts;
  all.push_back("run.json: ");
  expect_error(code, all, [&] { read(text); });
}

TEST(JsonFields, ReadsEveryType) {
  const Outer outer =
      read(R"({"flag": true, "count": -3, "seed": 18446744073709551615, "scale": 2, "name": "猫",)"
           R"("pair": [1, 2.5], "inners": [{"sizes": [4, 5]}, {"sizes": []}], "note": "x"})");
  EXPECT_TRUE(outer.flag);
  EXPECT_EQ(outer.count, -3);
  EXPECT_EQ(outer.seed, 18446744073709551615u);
  EXPECT_EQ(outer.scale, 2.0);
  EXPECT_EQ(outer.name, "猫");
  EXPECT_EQ(outer.pair[1], 2.5);
  ASSERT_EQ(outer.inners.size(), 2u);
  EXPECT_EQ(outer.inners[0].sizes, (std::vector<std::int64_t>{4, 5}));
  EXPECT_EQ(outer.note, "x");
}

TEST(JsonFields, LeavesAbsentAndNullKeysAlone) {
  const Outer outer = read(R"({"name": "", "count": null})");
  EXPECT_EQ(outer.count, 7);
  EXPECT_EQ(outer.scale, 0.5);
  EXPECT_FALSE(outer.note);
}

TEST(JsonFields, NamesMissingKeys) {
  expect_refused("{}", {"key \"name\" is missing"}, ErrorCode::kNotFound);
  expect_refused(R"({"name": null})", {"key \"name\" is null"}, ErrorCode::kNotFound);
  expect_refused(R"({"name": "", "inners": [{"sizes": []}, {}]})",
                 {"key \"inners[1]\"", "\"sizes\" is missing"}, ErrorCode::kNotFound);
}

TEST(JsonFields, NamesUnknownKeysAndTheNearestKnownOne) {
  expect_refused(R"({"nmae": "x"})", {"unknown key \"nmae\"", "did you mean \"name\"?"});
  expect_refused(R"({"name": "", "zzzzzzzz": 1})", {"unknown key \"zzzzzzzz\"", "known: flag,"});
  expect_refused(R"({"name": "", "inners": [{"size": []}]})",
                 {"key \"inners[0]\"", "unknown key \"size\"", "\"sizes\""});
  std::int64_t count = 0;
  const JsonDocument document = JsonDocument::parse(R"({"count": 1, "other": 2})", "run.json");
  read_fields(document.root(), UnknownKeys::kIgnore, {required("count", count)});
  EXPECT_EQ(count, 1);
}

TEST(JsonFields, NamesWrongTypes) {
  expect_refused("[]", {"found [], wanted an object"});
  expect_refused(R"({"name": 3})", {"key \"name\"", "found 3, wanted a text"});
  expect_refused(R"({"name": "", "flag": 1})", {"key \"flag\"", "wanted true or false"});
  expect_refused(R"({"name": "", "count": 1.0})", {"key \"count\"", "wanted an integer"});
  expect_refused(R"({"name": "", "count": 9223372036854775808})", {"wanted an integer"});
  expect_refused(R"({"name": "", "count": "1"})", {"found \"1\", wanted an integer"});
  expect_refused(R"({"name": "", "seed": -1})", {"found -1, wanted an integer of at least 0"});
  expect_refused(R"({"name": "", "scale": true})", {"found true, wanted a number"});
  expect_refused(R"({"name": "", "pair": [1]})", {"wanted a list of 2"});
  expect_refused(R"({"name": "", "pair": [1, {}]})", {"key \"pair[1]\"", "found an object"});
  expect_refused(R"({"name": "", "inners": {}})", {"key \"inners\"", "wanted a list"});
}

TEST(JsonFields, NamesValuesOutOfBounds) {
  EXPECT_EQ(read(R"({"name": "", "count": 10})").count, 10);
  expect_refused(R"({"name": "", "count": 11})", {"key \"count\"", "found 11, wanted -5 to 10"});
  expect_refused(R"({"name": "", "scale": 0.2})", {"found 0.2, wanted at least 0.25"});
  expect_refused(R"({"name": "", "inners": [{"sizes": [1, 101]}]})",
                 {"key \"inners[0].sizes[1]\"", "found 101, wanted 1 to 100"});
}

TEST(JsonFields, RefusesValuesThatCannotBeHonoured) {
  const auto read_kind = [](const std::string& text) {
    const JsonDocument document = JsonDocument::parse(text, "run.json");
    read_fields(document.root(), UnknownKeys::kIgnore,
                {only("kind", {"\"a\"", "[1,2]"}), only("extra", {"null", "false"})});
  };
  read_kind("{}");
  read_kind(R"({"kind": "a", "extra": null})");
  read_kind(R"({"kind": [1, 2], "extra": false})");
  expect_error(ErrorCode::kUnsupported,
               {"key \"kind\"", "found \"b\"", "supports only \"a\" or [1,2]"},
               [&] { read_kind(R"({"kind": "b"})"); });
  expect_error(ErrorCode::kUnsupported, {"key \"kind\"", "found null"},
               [&] { read_kind(R"({"kind": null})"); });
  expect_error(ErrorCode::kUnsupported, {"key \"extra\"", "found true"},
               [&] { read_kind(R"({"extra": true})"); });
  const JsonDocument empty = JsonDocument::parse("{}", "run.json");
  expect_error(ErrorCode::kNotFound, {"\"kind\" is missing"}, [&] {
    read_fields(empty.root(), UnknownKeys::kIgnore, {required_only("kind", {"1"})});
  });
}

TEST(JsonDocument, NamesThePlaceOfBadSyntax) {
  expect_refused("{\"a\": 1,\n  \"b\" 2}", {"not valid JSON at line 2, column 7"});
  expect_refused("", {"not valid JSON at line 1, column 1"});
  expect_refused("{\"name\": \"\xff\"}", {"not valid JSON at line 1, column 11"});
  expect_refused("{\"scale\": 1e999}", {"not valid JSON"});
  expect_refused("{} x", {"not valid JSON at line 1, column 4"});
  expect_refused("{\"name\": NaN}", {"not valid JSON"});
}

TEST(JsonDocument, RefusesDuplicateKeysAndDeepNesting) {
  expect_refused(R"({"name": "a", "name": "b"})", {"key \"name\" appears twice"});
  expect_refused(R"({"name": "", "inners": [{"sizes": [], "sizes": []}]})", {"\"sizes\"", "twice"});
  JsonDocument::parse(R"([{"a": 1}, {"a": 2}])", "run.json");
  expect_refused(std::string(200, '['), {"nested deeper than 64"});
  JsonDocument::parse(std::string(60, '[') + std::string(60, ']'), "run.json");
}

TEST(JsonDocument, ShortensWhatItShows) {
  const std::string cats = std::string(1, '"') + [] {
    std::string text;
    for (int i = 0; i < 100; ++i) text += "猫";
    return text;
  }() + "\"";
  try {
    read("{\"name\": \"\", \"count\": " + cats + "}");
    FAIL();
  } catch (const Error& error) {
    EXPECT_LT(error.message().size(), 140u);
    EXPECT_NE(error.message().find("猫..."), std::string::npos) << "cut inside a character";
  }
}

TEST(QuotedName, FitsAMessageOfOneLine) {
  EXPECT_EQ(quoted_name("blocks.0.weight"), "\"blocks.0.weight\"");
  EXPECT_EQ(quoted_name("猫"), "\"猫\"");
  EXPECT_EQ(quoted_name("a\nb\x1b[31m\"c\""), R"("a\nb\u001b[31m\"c\"")");
  EXPECT_EQ(quoted_name("\xff"), "\"\ufffd\"");
  EXPECT_LT(quoted_name(std::string(10'000, 'x')).size(), 140u);
  expect_refused(R"({"a\nb": 1})", {R"(unknown key "a\nb")"});
}

TEST(JsonDocument, LoadsFiles) {
  const TemporaryFolder folder;
  write_text(folder / "a.json", R"({"name": "x"})");
  EXPECT_TRUE(JsonDocument::load(folder / "a.json").root().is_object());
  expect_error(ErrorCode::kNotFound, {"nowhere.json", "no such file"},
               [&] { JsonDocument::load(folder / "nowhere.json"); });
  expect_error(ErrorCode::kIo, {folder.path().string(), "directory"},
               [&] { JsonDocument::load(folder.path()); });
  write_text(folder / "empty.json", "");
  expect_error(ErrorCode::kInvalidArgument, {"empty.json", "not valid JSON"},
               [&] { JsonDocument::load(folder / "empty.json"); });
}

}  // namespace
}  // namespace psagen::engine
