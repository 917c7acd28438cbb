#include "engine/config/nearest_name.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace psagen::engine {
namespace {

TEST(EditDistance, CountsTheFewestEdits) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("steps", "steps"), 0u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("stpes", "steps"), 1u);  // neighbours swapped
  EXPECT_EQ(edit_distance("ca", "abc"), 3u);       // a swapped pair is not edited again
}

TEST(EditDistance, IsSymmetricAndAtLeastTheDifferenceInLength) {
  const std::vector<std::string> words = {"", "a", "ab", "ba", "abc", "bca", "steps", "spets"};
  for (const std::string& a : words) {
    for (const std::string& b : words) {
      EXPECT_EQ(edit_distance(a, b), edit_distance(b, a)) << a << " " << b;
      EXPECT_EQ(edit_distance(a, b) == 0, a == b) << a << " " << b;
      EXPECT_GE(edit_distance(a, b) + a.size(), b.size()) << a << " " << b;
    }
  }
}

TEST(NearestName, FindsLikelyMisspellings) {
  const std::vector<std::string> known = {"width", "height", "num_frames", "fps", "num_steps"};
  EXPECT_EQ(nearest_name("widht", known), "width");
  EXPECT_EQ(nearest_name("num-steps", known), "num_steps");
  EXPECT_EQ(nearest_name("NUM_FRAMES", known), "num_frames");
  EXPECT_EQ(nearest_name("numframe", known), "num_frames");
  EXPECT_EQ(nearest_name("fsp", known), "fps");
}

TEST(NearestName, StaysSilentWhereNothingIsNear) {
  const std::vector<std::string> known = {"width", "height", "fps"};
  EXPECT_EQ(nearest_name("colour", known), "");
  EXPECT_EQ(nearest_name("", known), "");
  EXPECT_EQ(nearest_name("xyz", known), "");
  EXPECT_EQ(nearest_name("width", {}), "");
  EXPECT_EQ(nearest_name(std::string(100'000, 'w'), known), "");
}

TEST(NameSuggestion, NamesTheNearestOrAllOrNothing) {
  EXPECT_EQ(name_suggestion("eulr", {"unipc", "euler"}), "; did you mean \"euler\"?");
  EXPECT_EQ(name_suggestion("zzzzzz", {"unipc", "euler"}), "; known: unipc, euler");
  EXPECT_EQ(name_suggestion("zzzzzz", {}), "");
}

}  // namespace
}  // namespace psagen::engine
