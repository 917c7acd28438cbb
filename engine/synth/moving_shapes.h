// MovingShapes: an enumerable world of captioned clips, one shape moving over a background, from
// which the default model is trained and against which it is judged. A clip is a pure function of
// (split, index); the same bytes come out on every machine.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace psagen::engine {

// Raised whenever a clip's pixels or captions change: models name the version they were trained on.
inline constexpr int kMovingShapesVersion = 1;

inline constexpr std::array<std::string_view, 8> kShapes = {
    "circle", "square", "triangle", "star", "ring", "cross", "heart", "hexagon"};
inline constexpr std::array<std::string_view, 10> kColours = {
    "red", "orange", "yellow", "green", "cyan", "blue", "purple", "pink", "white", "black"};
inline constexpr std::array<std::string_view, 12> kMotions = {"moves left",
                                                              "moves right",
                                                              "moves up",
                                                              "moves down",
                                                              "moves diagonally up right",
                                                              "moves diagonally down left",
                                                              "circles clockwise",
                                                              "circles counter-clockwise",
                                                              "bounces",
                                                              "grows",
                                                              "shrinks",
                                                              "spins"};
inline constexpr std::array<std::string_view, 3> kSpeeds = {"slowly", "", "fast"};
inline constexpr std::array<std::string_view, 3> kSizes = {"small", "", "large"};
inline constexpr std::array<std::string_view, 8> kBackgrounds = {
    "plain grey",        "plain navy",          "plain beige",  "plain teal",
    "vertical gradient", "horizontal gradient", "checkerboard", "striped"};

struct Rgb {
  double r = 0.0, g = 0.0, b = 0.0;  // sRGB, 0..1
};

// Which clips an index counts through. Combinations of (shape, colour, motion) held out of training
// are the whole of kTestComp; three (shape, colour) pairs held out entirely are kTestPair.
enum class SynthSplit { kTrain, kVal, kTestIid, kTestComp, kTestPair, kRealB };

inline constexpr std::array<std::string_view, 6> kSynthSplits = {
    "train", "val", "test-iid", "test-comp", "test-pair", "real-b"};
inline constexpr std::array<std::int64_t, 6> kSynthSplitSizes = {27000, 512, 2048, 2048, 256, 2048};

// Indices into the tables above, and the continuous variables a caption does not tell.
struct SynthClip {
  int shape = 0;
  int colour = 0;
  int motion = 0;
  int speed = 1;
  int size = 1;
  int background = 0;
  Rgb object_rgb;
  Rgb background_rgb;
  double radius = 0.0;                   // of the shape's unit outline, in frame widths
  double distance = 0.0;                 // covered per clip, in frame widths
  std::array<double, 4> placement = {};  // uniform in [0, 1): start, phase, tilt, orbit
};

// Where the object is at time t in [0, 1] of the clip: centre and radius in frame widths (x right,
// y down), angle in turns, clockwise.
struct SynthPose {
  double x = 0.0, y = 0.0, radius = 0.0, turns = 0.0;
};

// Throws Error(kInvalidArgument) for an index outside the split.
SynthClip make_synth_clip(SynthSplit split, std::int64_t index);

SynthPose synth_pose(const SynthClip& clip, double t);

// Held-out rules, for tests and reports.
bool is_held_out_pair(int shape, int colour);
bool is_held_out_triple(int shape, int colour, int motion);
// Colour and background too close to tell apart (CIE76 difference below 25).
bool colours_clash(int colour, int background);

// Variant 0 is the canonical sentence; others choose synonyms and templates and may leave optional
// attributes out. A pure function of (clip, variant).
std::string synth_caption(const SynthClip& clip, std::uint64_t variant);

}  // namespace psagen::engine
