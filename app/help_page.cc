#include "app/help_page.h"

#include <sstream>

namespace psagen::app {

namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kHelpColumn = 27;

std::string flag_text(const FieldText& field) {
  std::string text = field.letter != 0 ? concat("-", field.letter, ", ") : std::string("    ");
  text += concat("--", field.name);
  if (!field.value.empty()) text += concat(" ", field.value);
  return text;
}

std::string help_text(const FieldText& field) {
  if (field.alias.empty()) return std::string(field.help);
  return concat(field.help, "; also --", field.alias);
}

}  // namespace

std::string wrapped(const std::string& start, const std::string& text) {
  std::string result;
  std::string line = start;
  bool is_empty = true;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!is_empty && line.size() + 1 + word.size() > kColumns) {
      result += line + "\n";
      line = std::string(start.size(), ' ');
      is_empty = true;
    }
    if (!is_empty) line += ' ';
    line += word;
    is_empty = false;
  }
  return result + line + "\n";
}

std::string flag_section(std::span<const FieldText> fields) {
  std::string page;
  std::string_view group;
  for (const FieldText& field : fields) {
    if (field.group != group) {
      group = field.group;
      page += concat("\n", group, ":\n");
    }
    std::string line = "  " + flag_text(field);
    if (line.size() + 2 > kHelpColumn) {
      page += line + "\n";
      line.clear();
    }
    line.resize(kHelpColumn, ' ');
    page += wrapped(line, help_text(field));
  }
  return page;
}

std::string exit_code_section() {
  return "\nExit codes:\n"
         "    0  the files are written\n"
         "    2  a flag, a setting or the prompt is wrong\n"
         "    3  an input file is missing, or what it holds is wrong\n"
         "    4  the input is sound, but this program cannot do it\n"
         "    5  reading or writing failed: no such output folder, no permission, disk full\n"
         "    6  the device is absent or failed\n"
         "    7  out of memory\n"
         "    8  the model gave NaN or infinity; the message says where\n"
         "   70  a fault of this program\n"
         "  130  interrupted; nothing half-written is left\n";
}

}  // namespace psagen::app
