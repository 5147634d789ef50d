#include "server/main/config_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <sstream>

#include <toml++/toml.h>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"

namespace cairn {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

uint64_t Line(const toml::node& node) { return node.source().begin.line; }

absl::Status Wrong(std::string_view file, const toml::node& node, std::string_view field,
                   std::string_view expected) {
  return absl::InvalidArgumentError(
      StrCat(file, ":", Line(node), ": \"", field, "\" must be ", expected));
}

absl::Status FillMessage(const toml::table& table, std::string_view file, Message* message);

absl::Status FillNumber(const toml::node& node, std::string_view file, const FieldDescriptor* field,
                        Message* message) {
  const auto* reflection = message->GetReflection();
  // Of a float, value() would be a conversion, which is undefined where it does not fit.
  const auto value = node.value_exact<int64_t>();
  const bool narrow = field->cpp_type() == FieldDescriptor::CPPTYPE_UINT32;
  const int64_t max =
      narrow ? int64_t{std::numeric_limits<uint32_t>::max()} : std::numeric_limits<int64_t>::max();
  if (!value.has_value() || *value < 0 || *value > max) {
    return Wrong(file, node, field->name(), StrCat("a whole number from 0 to ", max));
  }
  if (narrow) {
    reflection->SetUInt32(message, field, static_cast<uint32_t>(*value));
  } else {
    reflection->SetUInt64(message, field, static_cast<uint64_t>(*value));
  }
  return absl::OkStatus();
}

absl::Status FillScalar(const toml::node& node, std::string_view file, const FieldDescriptor* field,
                        Message* message) {
  const auto* reflection = message->GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      if (!node.is_string()) return Wrong(file, node, field->name(), "a string in quotes");
      reflection->SetString(message, field, node.value_or(std::string()));
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_BOOL:
      if (!node.is_boolean()) return Wrong(file, node, field->name(), "true or false");
      reflection->SetBool(message, field, node.value_or(false));
      return absl::OkStatus();
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
      return FillNumber(node, file, field, message);
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (!node.is_table()) return Wrong(file, node, field->name(), "a table");
      return FillMessage(*node.as_table(), file, reflection->MutableMessage(message, field));
    default:
      return absl::InternalError(StrCat("the configuration field ", field->full_name(),
                                        " has a type that the file format lacks"));
  }
}

// A repeated field: a list of strings, or tables.
absl::Status FillList(const toml::node& node, std::string_view file, const FieldDescriptor* field,
                      Message* message) {
  const auto* reflection = message->GetReflection();
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
    const toml::array* list = node.as_array();
    const bool strings = list != nullptr && (list->empty() || list->is_homogeneous<std::string>());
    if (!strings) return Wrong(file, node, field->name(), "a list of strings in quotes");
    for (const toml::node& element : *list)
      reflection->AddString(message, field, element.value_or(std::string()));
    return absl::OkStatus();
  }
  if (!node.is_array_of_tables()) {
    return Wrong(file, node, field->name(), StrCat("written as [[", field->name(), "]]"));
  }
  for (const toml::node& element : *node.as_array()) {
    RETURN_IF_ERROR(FillMessage(*element.as_table(), file, reflection->AddMessage(message, field)));
  }
  return absl::OkStatus();
}

absl::Status FillMessage(const toml::table& table, std::string_view file, Message* message) {
  for (const auto& [key, node] : table) {
    const FieldDescriptor* field =
        message->GetDescriptor()->FindFieldByName(std::string(key.str()));
    if (field == nullptr) {
      return absl::InvalidArgumentError(
          StrCat(file, ":", Line(node), ": unknown setting \"", std::string_view(key.str()), "\""));
    }
    if (!field->is_repeated()) {
      RETURN_IF_ERROR(FillScalar(node, file, field, message));
      continue;
    }
    RETURN_IF_ERROR(FillList(node, file, field, message));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseConfig(std::string_view toml_text, std::string_view file_name, Message* config) {
  toml::table table;
  try {
    table = toml::parse(toml_text, std::string(file_name));
  } catch (const toml::parse_error& error) {
    return absl::InvalidArgumentError(StrCat(file_name, ":", uint64_t{error.source().begin.line},
                                             ": ", std::string_view(error.description())));
  }
  return FillMessage(table, file_name, config);
}

absl::StatusOr<config::Server> ReadServerConfig(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return absl::NotFoundError(
        StrCat("cannot read the configuration ", path, ": ", strerror(errno)));
  }
  config::Server config;
  RETURN_IF_ERROR(ParseConfig(text.str(), path, &config));
  return config;
}

absl::StatusOr<uint64_t> ParseSize(std::string_view text) {
  const std::string_view all = text;
  text = ToStd(absl::StripAsciiWhitespace(ToAbsl(text)));
  size_t digits = 0;
  while (digits < text.size() && absl::ascii_isdigit(text[digits])) ++digits;
  uint64_t number = 0;
  const std::string unit =
      absl::AsciiStrToUpper(absl::StripAsciiWhitespace(ToAbsl(text.substr(digits))));
  if (absl::SimpleAtoi(ToAbsl(text.substr(0, digits)), &number)) {
    uint64_t factor = 0;
    if (unit.empty() || unit == "B") factor = 1;
    constexpr std::string_view kPrefixes = "KMGT";
    uint64_t decimal = 1, binary = 1;
    for (char prefix : kPrefixes) {
      decimal *= 1000;
      binary *= 1024;
      if (unit == std::string{prefix, 'B'}) factor = decimal;
      if (unit == std::string{prefix, 'I', 'B'}) factor = binary;
    }
    if (factor != 0 && number <= std::numeric_limits<uint64_t>::max() / factor)
      return number * factor;
  }
  return absl::InvalidArgumentError(
      StrCat("\"", all, "\" is not a size: write 64GiB, 500GB or a number of bytes"));
}

}  // namespace cairn
