// Sentences for a clip: synonyms and templates, so that the text encoder learns words, not strings.
#include <initializer_list>
#include <string>

#include "engine/synth/exact_maths.h"
#include "engine/synth/moving_shapes.h"

namespace psagen::engine {
namespace {

using Words = std::initializer_list<std::string_view>;

class Chooser {
 public:
  explicit Chooser(std::uint64_t key) : key_(key) {}
  bool chance(int percent) { return static_cast<int>(next() % 100) < percent; }
  std::string_view one_of(Words words) { return words.begin()[next() % words.size()]; }

 private:
  std::uint64_t next() { return mix64(key_ + 0x9e3779b97f4a7c15ULL * ++count_) >> 20; }
  std::uint64_t key_;
  std::uint64_t count_ = 0;
};

std::string_view shape_word(int shape, Chooser& choose) {
  if (shape == 0) return choose.one_of({"circle", "circle", "ball", "disc"});
  if (shape == 5) return choose.one_of({"cross", "cross", "plus sign"});
  return kShapes[shape];
}

std::string motion_words(int motion, Chooser& choose) {
  if (motion < 6) {
    const std::string direction(kMotions[motion].substr(std::string_view("moves ").size()));
    const std::string_view verb = choose.one_of({"moves", "moves", "slides", "travels", "moving"});
    return std::string(verb) + " " + direction;
  }
  switch (motion) {
    case 6:
      return std::string(choose.one_of({"circles clockwise", "orbits clockwise"}));
    case 7:
      return std::string(choose.one_of({"circles counter-clockwise", "orbits counter-clockwise"}));
    case 8:
      return std::string(choose.one_of({"bounces", "bounces up and down", "bouncing"}));
    case 9:
      return std::string(choose.one_of({"grows", "gets bigger", "growing"}));
    case 10:
      return std::string(choose.one_of({"shrinks", "gets smaller", "shrinking"}));
    default:
      return std::string(choose.one_of({"spins", "rotates", "spinning"}));
  }
}

std::string join(Words words) {
  std::string text;
  for (const std::string_view word : words) {
    if (word.empty()) continue;
    if (!text.empty()) text += ' ';
    text += word;
  }
  return text;
}

std::string_view article(std::string_view next_word) {
  return std::string_view("aeiou").find(next_word.front()) == std::string_view::npos ? "a" : "an";
}

}  // namespace

std::string synth_caption(const SynthClip& clip, std::uint64_t variant) {
  const std::string_view size = kSizes[clip.size], speed = kSpeeds[clip.speed];
  const std::string_view colour = kColours[clip.colour];
  const std::string background(kBackgrounds[clip.background]);
  if (variant == 0) {
    return join({article(size.empty() ? colour : size), size, colour, kShapes[clip.shape],
                 kMotions[clip.motion], speed, "on a", background, "background"});
  }
  Chooser choose(mix64(variant) + clip.shape * 131 + clip.colour * 17 + clip.motion);
  const bool say_size = !choose.chance(15), say_speed = !choose.chance(15);
  const std::string_view said_size = say_size ? size : "";
  const std::string object = join({article(said_size.empty() ? colour : said_size), said_size,
                                   colour, shape_word(clip.shape, choose),
                                   motion_words(clip.motion, choose), say_speed ? speed : ""});
  if (choose.chance(15)) return object;
  if (choose.chance(25)) return join({background, "background,", object});
  return join(
      {object, choose.one_of({"on a", "on a", "over a", "against a"}), background, "background"});
}

}  // namespace psagen::engine
